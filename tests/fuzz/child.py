"""A process of its own for a room: what hostile calls do to it stays there, and its death is a finding too."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

Request: TypeAlias = "dict[str, Any]"

_MEMORY_BYTES = 3 << 30
_ANSWER_SECONDS = 120.0
_TESTS = Path(__file__).parents[1]


class Child:
    """Answers requests, in a fresh process whenever something was found."""

    def __init__(self, serve: str, *arguments: str) -> None:
        """`serve` is a module with a `main`, which calls `answer_requests`."""
        self._command = [sys.executable, "-P", "-m", serve, *arguments]
        self._process: subprocess.Popen[bytes] | None = None
        self._where = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
        self.last: dict[str, Any] = {}

    def ask(self, request: Request, *, fresh: bool = True) -> list[str]:
        """Return what was found. `fresh`: after a finding the next request gets another process."""
        process = self._process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            where = os.pread(self._where.fileno(), 4000, 0).decode(errors="replace").strip()
            self._stop()
            return [f"the process died: {where}"]
        answer: dict[str, Any] = json.loads(line)
        if answer["findings"] and fresh:
            self._stop()
        self.last = answer
        return answer["findings"]

    def close(self) -> None:
        self._stop()
        self._where.close()

    def _stop(self) -> None:
        """End the process; the next request starts another."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command,
            cwd=_TESTS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._where,
            env={"PYTHONPATH": str(_TESTS), "PYTHONHASHSEED": "0"},
        )


def answer_requests(answer: Callable[[Request], dict[str, Any]], requests: Any, answers: int) -> None:
    """Serve in the child. `answers` is the descriptor of what was standard output at first."""
    for line in requests:
        os.write(answers, json.dumps(answer(json.loads(line))).encode() + b"\n")


def say_where(name: str) -> None:
    """Leave a word for whoever finds this process dead."""
    os.pwrite(2, name.encode()[:3000].ljust(3000), 0)


def prepare() -> int:
    """Set the child up. Returns the descriptor for answers: from here on plans own standard output."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    answers = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return answers
