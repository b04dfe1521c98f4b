"""What stands in a plan for things that stay with the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from planact_tools import JSONValue


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedCall:
    """What a plan may read of a caught ToolError."""

    message: str
    server: str | None
    tool: str | None
    arguments: dict[str, JSONValue] | None


class Server:
    """Stands for a server's namespace in a plan; its attributes are looked up here."""


def function(name: str) -> Callable[[], None]:
    """A function of the host, as Monty knows it: by its name."""

    def stand_in() -> None: ...

    stand_in.__name__ = name
    return stand_in
