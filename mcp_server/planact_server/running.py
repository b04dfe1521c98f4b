"""How the servers of running Planacts stand: each process that serves says so in a small file, others read it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
    from pathlib import Path

    from planact_tools import JSONObject, JSONValue

logger = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""How often a process looks whether there is something new to say."""

SIGN_OF_LIFE_SECONDS = 30.0
"""How often it writes though there is nothing new."""

DEAD_SECONDS = 3 * SIGN_OF_LIFE_SECONDS
"""A file that is older was left by a process that was killed."""


@asynccontextmanager
async def published(folder: Path, health: Callable[[], Mapping[str, JSONObject]]) -> AsyncGenerator[None]:
    """Let other processes read how the servers of this one stand, as long as the block lasts."""
    path = folder / f"{os.getpid()}.json"
    task = asyncio.create_task(_publish(path, health), name="publishing the health of servers")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        path.unlink(missing_ok=True)


def running(folder: Path) -> dict[str, list[JSONObject]]:
    """Return how each server stands in the processes that serve now; removes what dead ones left."""
    found: dict[str, list[JSONObject]] = {}
    for process, age, servers in _boards(folder):
        for name, health in servers.items():
            if isinstance(health, dict):
                found.setdefault(name, []).append({"planact": process, **_aged(health, age)})
    return found


async def _publish(path: Path, health: Callable[[], Mapping[str, JSONObject]]) -> None:
    said: object = None
    written = 0.0
    while True:
        servers = dict(health())
        # The wait for the next try runs down by itself, and readers know how old the file is.
        news = {name: {**each, "next_try_seconds": None} for name, each in servers.items()}
        if news != said or time.monotonic() - written > SIGN_OF_LIFE_SECONDS:
            _write(path, {"planact": os.getpid(), "servers": {**servers}})
            said, written = news, time.monotonic()
        await asyncio.sleep(LOOK_SECONDS)


def _write(path: Path, board: JSONObject) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(board), encoding="utf-8")
        fresh.replace(path)
    except OSError as error:  # it is for curious people only
        logger.info("the health of servers cannot be published: %s", error)


def _boards(folder: Path) -> Iterator[tuple[int, float, JSONObject]]:
    """Return process, age in seconds and servers of each file."""
    for path in sorted(folder.glob("*.json")):
        try:
            age = time.time() - path.stat().st_mtime
            board = cast("JSONValue", json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            continue
        if age > DEAD_SECONDS:
            with contextlib.suppress(OSError):
                path.unlink()
        elif isinstance(board, dict) and isinstance(servers := board.get("servers"), dict):
            process = board.get("planact")
            yield process if isinstance(process, int) else 0, age, servers


def _aged(health: JSONObject, age: float) -> JSONObject:
    left = health.get("next_try_seconds")
    if not isinstance(left, int | float):
        return health
    return {**health, "next_try_seconds": round(left - age, 1) if left > age else None}
