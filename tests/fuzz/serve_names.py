"""The child of `test_exposed_names`: says what a plan can name, import, and read from the worker's own objects."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from fuzz import child
from fuzz.invariant import made_by_the_worker
from fuzz.room import Room
from planact_server.sandbox.inside import attributes, facades

if TYPE_CHECKING:
    from collections.abc import Iterator


def names(room: Room) -> list[str]:
    listed = [name for name in room.exposed() if name not in ("echo", "demo", "image", "todo_fuzz")]
    return sorted({*listed, *room.modules, *_methods(room)})


def _methods(room: Room) -> Iterator[str]:
    """What objects of the worker show, by the names of their classes."""
    for value in made_by_the_worker(room):
        if not isinstance(value, facades.Module):
            kind = type(value)
            public = (name for name in dir(value) if not name.startswith("_"))
            yield from (f"<{kind.__name__}>.{name}" for name in public if attributes.judge(name) != "forbidden")


def main() -> None:
    answers = child.prepare()
    room = Room()
    for name in sys.argv[1:]:
        module, _, leaf = name.rpartition(".")
        vars(room.modules[module])[leaf] = len

    def answer(_request: child.Request) -> dict[str, Any]:
        return {"findings": names(room)}

    child.answer_requests(answer, sys.stdin, answers)


if __name__ == "__main__":
    main()
