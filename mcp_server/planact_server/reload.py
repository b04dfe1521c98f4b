"""A configuration that changes while Planact serves: the next generation is built, and put in force if it can be.

Whatever is wrong with a file changes nothing: what is in force goes on, and a person is told why. Requests that are
under way finish on what they began with.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from contextlib import asynccontextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar, cast

from planact_server.assembly import BrokenFileError, content_of, pack_files
from planact_server.config import Config, ConfigError
from planact_server.config.schema import SECTIONS
from planact_server.database import StoreError
from planact_server.regular_file import real_path
from planact_tools import message_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Hashable, Iterator

    from planact_server.app import App
    from planact_server.generation import Generation

logger = logging.getLogger(__name__)

T = TypeVar("T")

START_SECONDS = 1.0
"""After so long the watching begins: a start has better things to do. What changed before then is noticed as well."""

QUIET_MILLISECONDS = 300
"""Files that are written one after the other are one change."""

AGAIN_SECONDS = 0.5
"""Before a broken file is complained about, it may be half written."""

LOOK_MILLISECONDS = 10_000
"""How often files are looked at of which no news came: some file systems send none."""

AT_START = frozenset({"engine", "allow_weaker", "memory_mb", "warm_workers", "idle_seconds", "pool_idle_seconds"})
"""Keys of `[sandbox]` that workers are started with."""

LOAD_SECONDS = 30.0
"""For a changed configuration to be put together."""

_Contents: TypeAlias = "dict[str, str | None]"


@asynccontextmanager
async def reloading(app: App, *, read: Callable[[], Config], say: Callable[[str], None]) -> AsyncGenerator[None]:
    """Follow the files of the configuration as long as the block lasts.

    `read` reads them and raises ConfigError; `say` tells a person what changed, or what is wrong.
    """
    task = asyncio.create_task(Reloading(app, read=read, say=say).run(), name="watching the configuration")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


class Reloading:
    """Follows the files of one app's configuration."""

    def __init__(self, app: App, *, read: Callable[[], Config], say: Callable[[str], None]) -> None:
        self._app = app
        self._read = read
        self._say = say
        self._first = app.config
        self._said = {*app.problems, *app.config.notices}
        self._seen = self._contents()
        self._is_broken = False

    async def run(self) -> None:
        """Watch until cancelled."""
        await asyncio.sleep(START_SECONDS)
        while True:
            try:
                await self.look()
                await self._watch()
            except Exception:  # a defect here must not end what is served, and the next change may work
                logger.exception("following the configuration failed; it goes on")
                await asyncio.sleep(LOOK_MILLISECONDS / 1000)

    async def look(self) -> None:
        """Take over what has changed since the last time, if anything."""
        now = await asyncio.to_thread(self._contents)
        if now == self._seen:
            return
        self._seen = now
        problem = await self._take_over()
        if problem is None:
            return
        await asyncio.sleep(AGAIN_SECONDS)
        later = await asyncio.to_thread(self._contents)
        if later != now:
            self._seen = later
            problem = await self._take_over()
        if problem is not None:
            self._is_broken = True
            self._say(f"{problem}\nThe configuration stays as it was.")

    async def _watch(self) -> None:
        """Look whenever a file may have changed, until other folders have to be watched."""
        # Loading it takes as long as the rest of a quick start.
        import watchfiles  # noqa: PLC0415

        folders, wanted = watched = self._folders(), self._wanted()
        changes: AsyncGenerator[object] = watchfiles.awatch(  # pyright: ignore[reportUnknownMemberType]
            *folders,
            recursive=False,
            watch_filter=lambda _, path: path in wanted or (path.endswith(".py") and str(Path(path).parent) in wanted),
            debounce=QUIET_MILLISECONDS,
            step=QUIET_MILLISECONDS // 3,
            rust_timeout=LOOK_MILLISECONDS,
            yield_on_timeout=True,
        )
        async for _ in changes:
            await self.look()
            if (self._folders(), self._wanted()) != watched:
                return

    async def _take_over(self) -> str | None:
        """Put what the files say now in force. Return what is wrong with them, if something is."""
        try:
            config = await asyncio.to_thread(self._read)
            # Packs are imported for it, and that is anybody's code.
            fresh = await _beside(lambda: self._app.assemble(config))
        except (ConfigError, BrokenFileError) as error:
            return str(error)
        except TimeoutError:
            return f"Loading the packs of the configuration took longer than {LOAD_SECONDS:g} s."
        before = self._app.generations.current
        await fresh.open()
        await self._app.generations.replace(fresh)
        changed = differences(before, fresh)
        if changed or self._is_broken:
            again = "The configuration can be read again" if self._is_broken else "The configuration has changed"
            self._say(f"{again}: {', '.join(changed) or 'it says what it said before'}.")
        self._is_broken = False
        for text in (*self._restart(config), *config.notices, *fresh.problems):
            if text not in self._said:
                self._said.add(text)
                self._say(text)
        return None

    def _restart(self, config: Config) -> Iterator[str]:
        keys = [key for key in sorted(AT_START) if getattr(config.sandbox, key) != getattr(self._first.sandbox, key)]
        if keys:
            yield f"[sandbox] {', '.join(keys)}: takes effect when Planact is started again."

    def _files(self) -> list[Path]:
        config = self._app.config
        packs = [path for pack in config.packs if pack.path is not None for path in pack_files(pack.path)]
        return [*config.watched, *packs]

    def _contents(self) -> _Contents:
        contents: _Contents = {str(path): content_of(path) for path in self._files()}
        try:
            record = self._app.store.trusted_folder(str(self._app.config.cwd.resolve()))
        except StoreError:
            record = None
        return contents | {"trust": json.dumps(record and dict(record), sort_keys=True)}

    def _wanted(self) -> set[str]:
        """Return whose news matter: files, folders of packs, and what has to be there before a file can be."""
        wanted: set[Path] = {pack.path for pack in self._app.config.packs if pack.path is not None}
        for path in self._files():
            wanted |= {path, *(parent for parent in path.parents if not parent.is_dir())}
        # The system may name a file by another way to it.
        return {str(each) for path in wanted for each in (path, real_path(path), real_path(path.parent) / path.name)}

    def _folders(self) -> list[Path]:
        """Return the folders that files are in, or will be, and those that links to files lead to."""
        folders = {_nearest(path.parent) for path in self._files()}
        folders |= {_nearest(real_path(path).parent) for path in self._files() if path.is_symlink()}
        for pack in self._app.config.packs:
            if pack.path is not None and pack.path.is_dir():
                folders.add(pack.path)
        return sorted(folders)


async def _beside(work: Callable[[], T]) -> T:
    """Do `work` in a thread. Raises TimeoutError: then it goes on there, and holds up nobody, not even our end."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(value: T | None, error: BaseException | None) -> None:
        if not done.done():
            if error is None:
                done.set_result(cast("T", value))
            elif isinstance(error, Exception) and not isinstance(error, StopIteration):
                done.set_exception(error)
            else:  # it would end whoever waits, and with it everything
                done.set_exception(RuntimeError(f"{type(error).__name__}: {message_of(error)}"))

    def run() -> None:
        value: T | None = None
        error: BaseException | None = None
        try:
            value = work()
        except BaseException as raised:  # noqa: BLE001 - it belongs to whoever waits
            error = raised
        with suppress(RuntimeError):  # we may have ended meanwhile
            loop.call_soon_threadsafe(settle, value, error)

    threading.Thread(target=run, daemon=True, name="loading").start()
    async with asyncio.timeout(LOAD_SECONDS):
        return await done


def differences(before: Generation, after: Generation) -> list[str]:
    """Return in words what is new in a generation."""
    was, now = _made_from(before), _made_from(after)
    words = [f"{name!r} is new" for name in now if name not in was]
    words += [f"{name!r} is gone" for name in was if name not in now]
    words += [f"{name!r} is another one" for name in now if name in was and was[name] != now[name]]
    for section in fields(before.config):
        if section.name in SECTIONS and getattr(before.config, section.name) != getattr(after.config, section.name):
            words.append(f"[{section.name}]")
    return words


def _made_from(generation: Generation) -> dict[str, Hashable]:
    """Return server → what identifies the one there is."""
    return {name: id(generation.toolbox.toolset(name)) for name in generation.toolbox.names}


def _nearest(folder: Path) -> Path:
    """Return a folder, or the nearest one above it that is there."""
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder
