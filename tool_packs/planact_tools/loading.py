"""Loading packs: the shipped ones by name, the user's own from Python files.

A user's file is code that runs in this process. Whatever is wrong with it becomes a `PackError` that names
the file, the line and the reason, and stays with that file.
"""

import contextlib
import difflib
import hashlib
import linecache
import logging
import os
import signal
import stat
import sys
import threading
import traceback
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from planact_tools.pack import Pack
from planact_tools.packs import shipped_packs
from planact_tools.signature import ToolDefinitionError
from planact_tools.tool import Tool
from planact_tools.toolset import JSONValue, ToolError, message_of

logger = logging.getLogger(__name__)

LOAD_SECONDS = 20.0
"""How long what stands at the top of a pack file may take."""

_AGAIN_SECONDS = 0.1

_MOST_BYTES = 16 * 1024 * 1024


class PackError(Exception):
    """A pack cannot be loaded; the message names it, where there is one the file and line, and the reason."""

    def __init__(self, message: str, *, file: Path | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.file = file
        self.line = line


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedPacks:
    """What one entry of `packs` brought: a folder may bring some packs and some problems."""

    packs: tuple[Pack, ...] = ()
    problems: tuple[PackError, ...] = ()


def load_packs(spec: str, *, base: Path, state: Path, options: Mapping[str, JSONValue] | None = None) -> LoadedPacks:
    """Load what one entry of `packs` names; never raises for what a pack does wrong.

    A folder brings one pack for each of its `.py` files, except those whose name begins with `_` or `.`.
    """
    try:
        sources = _sources(spec, base)
    except PackError as error:
        return LoadedPacks(problems=(error,))
    packs: list[Pack] = []
    problems: list[PackError] = []
    for source in sources:
        try:
            packs.append(_load(source, base=base, state=state, options=options or {}))
        except PackError as error:
            problems.append(error)
    return LoadedPacks(packs=tuple(packs), problems=tuple(problems))


def load_pack(spec: str, *, base: Path, state: Path, options: Mapping[str, JSONValue] | None = None) -> Pack:
    """Load one pack: a shipped one by name, or a `.py` file (relative to `base`). Raises PackError.

    Nothing is opened yet: shipped packs keep their data under `state`, from the first call on.
    """
    sources = _sources(spec, base)
    if len(sources) > 1:
        names = ", ".join(repr(f"{spec.rstrip('/')}/{source.name}") for source in sources if isinstance(source, Path))
        raise PackError(f"{spec!r} is a folder of {len(sources)} packs; name one of them: {names}.")
    return _load(sources[0], base=base, state=state, options=options or {})


def _sources(spec: str, base: Path) -> list[str | Path]:
    """Return the shipped pack's name, or the files."""
    path = _path(spec, base)
    if path is None:
        return [spec]
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.glob("*.py") if not file.name.startswith(("_", ".")))
    if not files:
        raise PackError(f"The pack folder {spec!r} has no .py file ({path}).", file=path)
    return [*files]


def _path(spec: str, base: Path) -> Path | None:
    if not (spec.startswith((".", "~")) or "/" in spec or "\\" in spec or spec.endswith(".py")):
        return None
    return base / os.path.expanduser(spec)  # noqa: PTH111 - Path.expanduser raises for an unknown user


def _load(source: str | Path, *, base: Path, state: Path, options: Mapping[str, JSONValue]) -> Pack:
    if isinstance(source, str):
        return _load_shipped(source, base=base, state=state, options=options)
    if options:
        raise PackError(f"Pack {str(source)!r} takes no options; {next(iter(options))!r} was given.", file=source)
    return _load_file(source)


def _load_shipped(name: str, *, base: Path, state: Path, options: Mapping[str, JSONValue]) -> Pack:
    shipped = {pack.name: pack for pack in shipped_packs()}
    if name not in shipped:
        close = difflib.get_close_matches(name, shipped, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"Shipped are {', '.join(shipped)}."
        raise PackError(f"No pack {name!r} is shipped. {hint} A pack of your own is a path: './{name}.py'.")
    try:
        return shipped[name].open(base=base, state=state, options=options)
    except ToolError as error:
        raise PackError(f"Pack {name!r}: {error.message}") from error


def _load_file(path: Path) -> Pack:
    module = _run_file(path)
    pack = getattr(module, "pack", None)
    identity = str(path.resolve())
    if isinstance(pack, Pack):
        if pack.name != path.stem:
            raise PackError(
                f"Pack file {str(path)!r} makes a pack called {pack.name!r}, but a file's stem is its server name: "
                f"call the pack {path.stem!r} or the file '{pack.name}.py'.",
                file=path,
            )
        return pack.with_identity(identity)
    tools = cast("list[Tool[..., Any]]", [value for value in vars(module).values() if isinstance(value, Tool)])
    own = [tool for tool in tools if tool.__module__ == module.__name__]  # not those that it imports
    if not own:
        raise PackError(f"Pack file {str(path)!r} has no tools: put `@tool` above its functions.", file=path)
    try:
        return Pack(path.stem, own, identity=identity)
    except ToolDefinitionError as error:
        raise PackError(f"Pack file {str(path)!r}: {error}", file=path) from error


def _run_file(path: Path) -> ModuleType:
    """Run a pack file as a module, from its source: what somebody put in `__pycache__` is not what was trusted."""
    source = _read(path)
    # Two files with one stem must not share a module; dataclasses look their module up by its name.
    module = ModuleType(f"planact_pack_{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    linecache.checkcache(str(path))
    try:
        # Standard output may be the protocol: a pack that prints must not break it.
        with contextlib.redirect_stdout(sys.stderr), _no_longer_than(LOAD_SECONDS):
            exec(compile(source, str(path), "exec", dont_inherit=True), vars(module))  # noqa: S102 - this is the job
    except _UnfinishedError as error:
        sys.modules.pop(module.__name__, None)
        message = (
            f"Pack file {str(path)!r} took longer than {LOAD_SECONDS:g} s to load. Keep slow work out of its top level:"
            " do it in a function, or in the pack's `lifespan`."
        )
        raise PackError(message, file=path) from error
    except BaseException as error:
        sys.modules.pop(module.__name__, None)
        if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
            raise  # somebody pressed Ctrl-C: that reaches no other thread
        logger.debug("pack file %s failed", path, exc_info=True)
        raise _file_error(path, error) from error
    return module


class _UnfinishedError(BaseException):
    """What a pack does at its top level has taken too long. No `except Exception` of the pack's own catches it."""


@contextlib.contextmanager
def _no_longer_than(seconds: float) -> Generator[None]:
    """Raise _UnfinishedError in the block after so long: where signals can do that, in the main thread of POSIX.

    Not in a thread of its own: what a pack makes there, a database or an event loop, may be of no use elsewhere.
    """
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise _UnfinishedError

    before = signal.signal(signal.SIGALRM, stop)
    # Again and again: a bare `except` may swallow it.
    timer = signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *timer)


def _read(path: Path) -> bytes:
    try:
        # Opening a pipe would wait for a writer.
        if not stat.S_ISREG(path.stat().st_mode):
            raise PackError(f"Pack file {str(path)!r} is not a regular file.", file=path)
        with path.open("rb") as file:
            source = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise PackError(f"Pack file {str(path)!r} cannot be read: {reason}.", file=path) from error
    if len(source) > _MOST_BYTES:
        raise PackError(f"Pack file {str(path)!r} is larger than {_MOST_BYTES:,} bytes.", file=path)
    return source


def _file_error(path: Path, error: BaseException) -> PackError:
    line = _line(path, error)
    where = f"Pack file {str(path)!r}" + (f", line {line}" if line is not None else "")
    if isinstance(error, ToolDefinitionError):
        return PackError(f"{where}: {error}", file=path, line=line)
    reason = error.msg if isinstance(error, SyntaxError) else message_of(error)
    return PackError(f"{where}: {type(error).__name__}: {reason}", file=path, line=line)


def _line(path: Path, error: BaseException) -> int | None:
    """Return the last line of the file itself that was running, or the one that is no Python."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno for frame in reversed(frames) if frame.filename == str(path)), None)
