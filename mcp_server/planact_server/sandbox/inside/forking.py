"""What a process does that workers are forked from: everything imported, nothing running, no thread.

The control socket carries lines of JSON. The host asks with
    {"fork": true}             and the worker's end of a socket as a passed descriptor
    {"signal": n, "pid": pid}  where the system has no pidfd
and hears, in the order of its requests,
    {"forked": pid, "pidfd": bool, "held_bytes": n} with the pidfd passed along where the system has them,
    or {"failed": why}
and first of all {"ready": true}, and at any time
    {"exited": pid, "signal": n | null, "code": n | null, "peak_bytes": n, "last_line": text}
    with the last line that it wrote to its standard error, if that is heard
When the host closes its end, workers and zygote go.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import socket
import sys
from collections import deque
from typing import TYPE_CHECKING, Any, NoReturn

from planact_server.sandbox import jail

if TYPE_CHECKING:
    from collections.abc import Callable

if sys.platform == "win32":
    raise ImportError("Windows cannot fork.")

_RSS_UNIT = 1024 if sys.platform == "linux" else 1
_LAST_WORDS = 4096
_LINE_CHARACTERS = 300


class Zygote:
    """Forks, reaps and kills. A worker is this process's child, so its pid is its own until it was reaped here."""

    def __init__(self, control: int, become_worker: Callable[[int, int], NoReturn], *, listens: bool = False) -> None:
        """`become_worker` goes on in each child; it has the stream, and this process's number.

        `listens`: what a worker writes to its standard error is told at its end.
        """
        self._control = socket.socket(fileno=control)
        self._become_worker = become_worker
        self._listens = listens
        self._workers: dict[int, int | None] = {}
        """Process number → where its standard error can be read."""

        self._text = bytearray()
        self._passed: deque[int] = deque()
        self._woken, wake = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)

    def serve(self) -> NoReturn:
        self._say({"ready": True})
        while True:
            ready, _, _ = select.select([self._control, self._woken], [], [])
            if self._woken in ready:
                os.read(self._woken, 4096)
                self._reap()
            if self._control in ready:
                self._hear()

    def _hear(self) -> None:
        data, passed, _, _ = socket.recv_fds(self._control, 65536, 64)
        if not data:
            self._end()
        self._passed.extend(passed)
        *lines, rest = (self._text + data).split(b"\n")
        self._text = bytearray(rest)
        for line in lines:
            request = json.loads(line)
            if "fork" in request:
                self._fork(self._passed.popleft())
            elif request["pid"] in self._workers:
                os.kill(request["pid"], request["signal"])

    def _fork(self, stream: int) -> None:
        zygote = os.getpid()
        words: tuple[int, ...] = ()
        try:
            words = os.pipe() if self._listens else ()
            jail.before_fork()
            pid = os.fork()
        except OSError as error:
            jail.after_fork()
            for fd in (stream, *words):
                os.close(fd)
            self._say({"failed": str(error)})
            return
        if pid == 0:
            self._go_on(stream, zygote, words)
        jail.after_fork()
        for fd in (stream, *words[1:]):
            os.close(fd)
        self._workers[pid] = words[0] if words else None
        pidfd = _pidfd(pid)
        self._say({"forked": pid, "pidfd": pidfd is not None, "held_bytes": _held_bytes()}, pidfd)

    def _go_on(self, stream: int, zygote: int, words: tuple[int, ...]) -> NoReturn:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if words:
            os.dup2(words[1], 2)
        self._become_worker(stream, zygote)

    def _reap(self) -> None:
        while self._workers:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                return
            last_line = _last_line(self._workers.pop(pid, None))
            code = os.waitstatus_to_exitcode(status)
            self._say(
                {
                    "exited": pid,
                    "signal": -code if code < 0 else None,
                    "code": code if code >= 0 else None,
                    "peak_bytes": usage.ru_maxrss * _RSS_UNIT,
                    "last_line": last_line,
                }
            )

    def _say(self, message: dict[str, Any], fd: int | None = None) -> None:
        line = json.dumps(message).encode() + b"\n"
        try:
            if fd is None:
                self._control.sendall(line)
            else:
                socket.send_fds(self._control, [line], [fd])
                os.close(fd)
        except OSError:
            self._end()

    def _end(self) -> NoReturn:
        for pid in self._workers:
            os.kill(pid, signal.SIGKILL)
        os._exit(0)


def _last_line(words: int | None) -> str:
    if words is None:
        return ""
    os.set_blocking(words, False)
    said = b""
    try:
        while data := os.read(words, _LAST_WORDS):
            said = (said + data)[-_LAST_WORDS:]
    except BlockingIOError:  # something that the worker has left behind still holds the other end
        pass
    finally:
        os.close(words)
    lines = said.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:_LINE_CHARACTERS] if lines else ""


def _held_bytes() -> int:
    """The most that this process has held; nothing in it is ever given back."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT


def _pidfd(pid: int) -> int | None:
    """A handle that means this process for ever: it is our child and nobody has reaped it yet."""
    if sys.platform != "linux":
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:  # a kernel, or a container, without them
        return None
