"""Monty's program in the Linux jail: a script that enters the jail and then becomes the program.

The pool takes the path of one file, without arguments of ours. The script is a file in memory that only this process
and its children can name; what took of the jail comes back through a pipe that is named the same way.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shlex
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from planact_server.sandbox import EngineError
from planact_server.sandbox.monty.launching import ALONE

if TYPE_CHECKING:
    from collections.abc import Mapping

if sys.platform != "linux":
    raise ImportError("This jail is Linux's.")

_LAUNCH = Path(__file__).with_name("launch.py")
_NEEDS = re.compile(r"=> (/\S+) \(")
_READ = 65536


class JailLauncher:
    """The program in the Linux jail."""

    def __init__(self, settings: Mapping[str, object]) -> None:
        self._layers: dict[int, Mapping[str, bool | str]] = {}
        self._heard = b""
        self._reports, self._report = os.pipe()
        os.set_blocking(self._reports, False)
        self._script = os.memfd_create("planact-monty")
        here = f"/proc/{os.getpid()}/fd"
        facts = json.dumps({**settings, "parent": os.getpid(), "report": f"{here}/{self._report}"})
        command = shlex.join([sys.executable, "-I", "-S", str(_LAUNCH), facts])
        os.write(self._script, f'#!/bin/sh\nexec {command} "$@"\n'.encode())
        self.path = f"{here}/{self._script}"

    @classmethod
    async def open(cls, program: str, *, memory_bytes: int, cpu_seconds: int) -> JailLauncher:
        """Find out what the program needs to be loaded. Raises EngineError."""
        try:
            loader = _loader(Path(program))
            process = await asyncio.create_subprocess_exec(
                loader, "--list", program, stdout=asyncio.subprocess.PIPE, env={}
            )
            listed, _ = await process.communicate()
        except (OSError, ValueError) as error:
            raise EngineError(f"The program {program!r} cannot be started: {error}") from error
        return cls(
            {
                "program": program,
                "files": [loader, *_NEEDS.findall(listed.decode("utf-8", "replace"))],
                "memory_bytes": memory_bytes,
                "cpu_seconds": cpu_seconds,
            }
        )

    def layers(self, pid: int) -> Mapping[str, bool | str]:
        """Return what took in the process that began with this number; it has served since."""
        self._hear()
        return self._layers.get(pid, ALONE)

    def close(self) -> None:
        for fd in (self._reports, self._report, self._script):
            os.close(fd)

    def _hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._heard += os.read(self._reports, _READ)
            *lines, self._heard = self._heard.split(b"\n")
            for line in lines:
                told = json.loads(line)
                self._layers[told["pid"]] = told["layers"]


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
