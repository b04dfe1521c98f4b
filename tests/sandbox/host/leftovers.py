"""What this process holds, and what a test has added to it: open descriptors and living descendants."""

from __future__ import annotations

import os
from pathlib import Path

import anyio

PATIENCE_SECONDS = 10.0
"""How long what was ended may take to go, on a machine that has a lot to do."""


def descriptors(pid: int | str = "self") -> dict[str, str]:
    """Return the open descriptors of a process: number → what it leads to."""
    found: dict[str, str] = {}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found[entry.name] = str(entry.readlink())
        except OSError:  # the one that lists the folder
            continue
    return found


def children() -> dict[str, str]:
    """Return the living descendants of this process: number → name."""
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            (pid, _, name), (state, parent, *_) = _parts(stat.read_text())
        except OSError:
            continue
        if state != "Z":
            parents[int(pid)], names[int(pid)] = int(parent), name
    return {str(pid): name for pid, name in names.items() if _descends(pid, parents)}


def held() -> set[str]:
    """Return everything that `nothing_more_than` looks at, in words."""
    opened = {f"descriptor {number}: {target}" for number, target in descriptors().items()}
    return opened | {f"process {number}: {name}" for number, name in children().items()}


async def nothing_more_than(before: set[str]) -> None:
    """Wait until this process holds nothing that it did not hold before; fail with what it does hold.

    What goes for good in the meantime may have been dying when the test began: that is nobody's leak.
    """
    with anyio.move_on_after(PATIENCE_SECONDS):
        while held() - before:
            await anyio.sleep(0.01)
    left = sorted(held() - before)
    assert not left, f"Left behind: {'; '.join(left)}"


def _parts(stat: str) -> tuple[tuple[str, str, str], list[str]]:
    head, _, tail = stat.rpartition(")")
    return head.partition(" ("), tail.split()


def _descends(pid: int, parents: dict[int, int]) -> bool:
    while (parent := parents.get(pid)) is not None:
        if parent == os.getpid():
            return True
        pid = parent
    return False
