"""Going through everything below a folder, as far as a glob leads."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from planact_tools.packs.rooted.folder import Entry, Folder, RefusedError, split

if TYPE_CHECKING:
    from collections.abc import Generator

MOST_DEPTH = 64
"""Each level below the start holds a folder open."""

MOST_ENTRIES = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Visited:
    """A regular file that the glob admits, in the folder that holds it."""

    path: str
    """From the start of the walk, with `/`."""

    folder: Folder
    entry: Entry


class Glob:
    """`*`, `?` and `[…]` within a name, `**` for any number of folders; matched name by name on the way down.

    The state of a match is the set of positions in the pattern that the names so far can have led to.
    """

    def __init__(self, pattern: str) -> None:
        names = split(pattern)
        self._steps = tuple(None if name == "**" else re.compile(fnmatch.translate(name)) for name in names)
        self.start = self._close({0})

    def step(self, state: frozenset[int], name: str) -> frozenset[int]:
        """Return the state after one more name; an empty one can lead to nothing."""
        reached: set[int] = set()
        for position in state:
            if position == len(self._steps):
                continue
            step = self._steps[position]
            if step is None:
                reached.add(position)
            elif step.match(name):
                reached.add(position + 1)
        return self._close(reached)

    def accepts(self, state: frozenset[int]) -> bool:
        return len(self._steps) in state

    def _close(self, positions: set[int]) -> frozenset[int]:
        closed = set(positions)
        for position in sorted(positions):
            at = position
            while at < len(self._steps) and self._steps[at] is None:  # `**` also stands for no folder at all
                at += 1
                closed.add(at)
        return frozenset(closed)


def walk(start: Folder, glob: Glob) -> Generator[Visited]:
    """Yield the files that match, by path. Raises RefusedError where there is too much to go through."""
    return _Walk(glob).below(start, glob.start, "", 0)


class _Walk:
    def __init__(self, glob: Glob) -> None:
        self._glob = glob
        self._seen = 0

    def below(self, folder: Folder, state: frozenset[int], prefix: str, depth: int) -> Generator[Visited]:
        for entry in folder.entries():
            self._count()
            reached = self._glob.step(state, entry.name)
            if entry.kind == "file" and self._glob.accepts(reached):
                yield Visited(path=f"{prefix}{entry.name}", folder=folder, entry=entry)
            elif entry.kind == "folder" and reached:
                yield from self._inside(folder, reached, f"{prefix}{entry.name}", depth)

    def _inside(self, folder: Folder, state: frozenset[int], path: str, depth: int) -> Generator[Visited]:
        if depth == MOST_DEPTH:
            raise RefusedError(f"goes down more than {MOST_DEPTH} folders, at {path!r}. Start further down.")
        try:
            inner = folder.folder(path.rpartition("/")[2])
        except (OSError, RefusedError):
            return  # gone since it was listed, or not ours to read
        with inner:
            yield from self.below(inner, state, f"{path}/", depth + 1)

    def _count(self) -> None:
        self._seen += 1
        if self._seen > MOST_ENTRIES:
            raise RefusedError(f"has more than {MOST_ENTRIES:,} entries below it. Start further down.")
