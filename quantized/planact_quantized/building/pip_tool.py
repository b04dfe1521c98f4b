"""pip for an environment, also for one that has none (uv makes such), and running it with its words in a log."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING

from planact_quantized import launching

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from pathlib import Path
    from types import FrameType

TAIL_LINES = 30
"""Of a log, shown when a command fails."""

GRACE_SECONDS = 5.0
"""Between asking a process group to end and killing it."""

TERMINATED = 143
"""The exit code of what SIGTERM ended, as shells have it."""


class CommandError(Exception):
    """A command failed. The message says which, and how; `tail` has the last lines that it wrote."""

    def __init__(self, message: str, *, tail: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.tail = tuple(tail)


def pip_for(python: str, workplace: Path) -> list[str]:
    """Return the beginning of a pip command that acts on the environment of `python`. Raises CommandError.

    An environment without pip is left so: a throw-away one in `workplace` gets it and acts on the other.
    """
    # -P: the current folder may hold a file of a module's name.
    if _runs([python, "-P", "-m", "pip", "--version"]):
        return [python, "-P", "-m", "pip"]
    helper = workplace / "pip"
    program = helper / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    uv = shutil.which("uv")
    makers = [[python, "-P", "-m", "venv", "--clear", str(helper)]]
    if uv is not None:
        makers.append([uv, "venv", "--quiet", "--clear", "--seed", "--python", python, str(helper)])
    for maker in makers:
        if _runs(maker) and _runs([str(program), "-P", "-m", "pip", "--version"]):
            return [str(program), "-P", "-m", "pip", "--python", python]
    raise CommandError(
        f"There is no pip for {python!r}, and none can be made: install your system's package for it "
        "(Debian: python3-venv), or uv."
    )


def run_logged(
    argv: Sequence[str],
    *,
    log: Path,
    what: str,
    environ: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] | None = None,
) -> None:
    """Run a command to its end, its words appended to `log` and handed to `on_line`. Raises CommandError.

    When we are interrupted or told to end, everything that the command has started ends first.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    last: deque[str] = deque(maxlen=TAIL_LINES)
    with log.open("a", encoding="utf-8") as kept, _sigterm_raises():
        kept.write(f"$ {' '.join(argv)}\n")
        try:
            process = subprocess.Popen(  # noqa: S603 - our own commands, no shell
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
                env=environ,
                # A group of its own: Ctrl-C reaches us alone, and we end all of it.
                start_new_session=True,
            )
        except OSError as error:
            raise CommandError(f"{what} failed: {argv[0]!r} cannot be started ({error}).") from None
        with process:
            try:
                for line in process.stdout or ():
                    kept.write(line)
                    last.append(line.rstrip())
                    if on_line is not None:
                        on_line(line)
                code = process.wait()
            except BaseException:
                # Before the outer block, which would wait for it.
                _end_group(process)
                raise
    if code != 0:
        raise CommandError(
            f"{what} failed: it {launching.ending(code)}. All that it wrote is in {log}", tail=list(last)
        )


def _runs(argv: Sequence[str]) -> bool:
    try:
        ended = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)  # noqa: S603
    except OSError:
        return False
    return ended.returncode == 0


def _end_group(process: subprocess.Popen[str]) -> None:
    """End a process and all that it started."""
    if sys.platform == "win32":
        subprocess.run(  # noqa: S603
            ["taskkill", "/F", "/T", "/PID", str(process.pid)],  # noqa: S607
            capture_output=True,
            check=False,
        )
        process.wait()
        return
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
    # The leader may have gone first; the second signal has reached whoever was left.


@contextlib.contextmanager
def _sigterm_raises() -> Generator[None]:
    """Within the block SIGTERM raises SystemExit, so that what was started is ended."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit(TERMINATED)

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
