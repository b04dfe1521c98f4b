"""Monty's program in the Linux jail: a script that enters the jail and then becomes the program.

The pool takes the path of one file, without arguments of ours. The script is a file in memory that only this process
and its children can name; what took of the jail comes back through a pipe that they inherit like that.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import re
import shlex
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from planact_server.sandbox import EngineError
from planact_server.sandbox.monty.launching import ALONE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

if sys.platform != "linux":
    raise ImportError("This jail is Linux's.")

_LAUNCH = Path(__file__).with_name("launch.py")
_NEEDS = re.compile(r"=> (/\S+) \(")
_READ = 65536


class JailLauncher:
    """The program in the Linux jail, once."""

    def __init__(
        self,
        program: str,
        files: Sequence[str],
        *,
        memory_bytes: int,
        cpu_seconds: int,
        layers: Mapping[str, bool | str],
    ) -> None:
        """`files` are what the program is loaded from. `layers` hold around this process and what it starts."""
        self._reports, self._report = os.pipe()
        os.set_blocking(self._reports, False)
        os.set_inheritable(self._report, True)
        self._script = os.memfd_create("planact-monty", 0)
        settings = {
            "program": program,
            "files": list(files),
            "memory_bytes": memory_bytes,
            "cpu_seconds": cpu_seconds,
            "layers": dict(layers),
            "parent": os.getpid(),
            "report": self._report,
        }
        command = shlex.join([sys.executable, "-I", "-S", str(_LAUNCH), marshal.dumps(settings).hex()])
        os.write(self._script, f'#!/bin/sh\nexec {command} "$@"\n'.encode())
        self.path = f"/proc/self/fd/{self._script}"

    def layers(self) -> Mapping[str, bool | str]:
        """Return what took. Asked once the program serves, it has been told."""
        with contextlib.suppress(BlockingIOError):
            if told := os.read(self._reports, _READ):
                return marshal.loads(told)  # noqa: S302 - written before the program has begun
        return ALONE

    def close(self) -> None:
        """Start nothing more."""
        for fd in (self._reports, self._report, self._script):
            os.close(fd)


def needed(program: str) -> list[str]:
    """Return the files that a program is loaded from, the loader first. Raises EngineError."""
    try:
        loader = _loader(Path(program))
        command = [loader, "--list", program]
        listed = subprocess.run(command, stdout=subprocess.PIPE, env={}, check=False)  # noqa: S603 - what we start
    except (OSError, ValueError) as error:
        raise EngineError(f"The program {program!r} cannot be started: {error}") from error
    return [loader, *_NEEDS.findall(listed.stdout.decode("utf-8", "replace"))]


def _loader(program: Path) -> str:
    """Return the dynamic loader that a program names. Raises ValueError, OSError."""
    with program.open("rb") as file:
        head = file.read(4096)
    magic, start, size, count = head[:5], *struct.unpack_from("<Q", head, 32), *struct.unpack_from("<HH", head, 54)
    if magic != b"\x7fELF\x02":
        raise ValueError("it is no program for this machine")
    for index in range(count):
        kind, _, offset, _, _, length = struct.unpack_from("<IIQQQQ", head, start + index * size)
        if kind == 3:
            return head[offset : offset + length].rstrip(b"\0").decode()
    raise ValueError("it names no dynamic loader")
