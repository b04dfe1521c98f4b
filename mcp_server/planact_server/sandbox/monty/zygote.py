"""The process that drivers are forked from: what they import is there, and nothing runs.

`inside/forking.py` says how it speaks with the host. Linux's alone: elsewhere a driver is an interpreter of its own.
"""

from __future__ import annotations

import gc
import os
import random
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

if sys.platform != "linux":
    raise ImportError("Drivers are forked on Linux alone.")

from planact_server.sandbox.inside.forking import Zygote
from planact_server.sandbox.monty import driver, driver_jail, jail_launcher, starting

if TYPE_CHECKING:
    from typing import NoReturn

    from planact_server.sandbox.jail.layers import Layers

_STREAM = 3


def main(settings: dict[str, Any]) -> NoReturn:
    """Fork drivers until the host goes away."""
    program: str = settings["program"]
    files = jail_launcher.needed(program)
    layers = driver_jail.prepare(parent=settings["parent"])
    become_driver = partial(
        _become_driver,
        program=program,
        files=files,
        layers=layers,
        memory_bytes=settings["memory_bytes"],
        cpu_seconds=settings["cpu_seconds"],
    )
    gc.disable()
    gc.freeze()
    Zygote(settings["control"], become_driver, listens=True).serve()


def _become_driver(
    stream: int,
    zygote: int,
    *,
    program: str,
    files: list[str],
    layers: Layers,
    memory_bytes: int,
    cpu_seconds: int,
) -> NoReturn:
    try:
        gc.enable()
        _keep_only(stream)
        own_mounts = driver_jail.leave_zygote(zygote) is True
        os.setsid()
        random.seed()
        launcher = jail_launcher.JailLauncher(
            program,
            files,
            memory_bytes=memory_bytes,
            cpu_seconds=cpu_seconds,
            layers=driver_jail.passed_on(layers),
        )
        limits = {"memory_bytes": memory_bytes, "cpu_seconds": cpu_seconds}
        driver.serve(
            _STREAM,
            _STREAM,
            start=lambda: starting.start_with(launcher, memory_bytes=memory_bytes),
            confine=lambda: driver_jail.confine(layers, own_mounts=own_mounts, **limits),
        )
    finally:
        os._exit(1)


def _keep_only(stream: int) -> None:
    """Keep the stream and standard error."""
    sys.stdin = sys.stdout = None
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1):
        os.dup2(nowhere, fd)
    os.dup2(stream, _STREAM)
    os.closerange(_STREAM + 1, os.sysconf("SC_OPEN_MAX"))
