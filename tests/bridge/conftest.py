"""Servers to connect to: real processes, closed at the end of the test."""

import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from planact_bridge import Downstream, StdioSpec

SERVERS = Path(__file__).with_name("servers")

Connect = Callable[..., Downstream]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Make a Downstream over one of the scripts in `servers/`: `connect("raw.py", "dirty")`."""
    opened: list[Downstream] = []

    def connect_to(
        script: str, *args: object, timeout: float = 20.0, env: dict[str, str] | None = None, **options: Any
    ):
        # -S: a hand-written server needs no site-packages, and starts in half the time.
        flags = ("-S",) if script == "raw.py" else ()
        spec = StdioSpec(
            name=str(args[0]) if args else script.removesuffix(".py"),
            command=sys.executable,
            args=(*flags, str(SERVERS / script), *map(str, args)),
            env=env or {},
            timeout=timeout,
        )
        opened.append(Downstream(spec, **options))
        return opened[-1]

    yield connect_to
    for downstream in opened:
        await downstream.aclose()
