"""What Monty's pool starts, and what is known of the process that it has become."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

ALONE: Mapping[str, bool | str] = {"process": True, "environment": True, "language": True}
"""What holds wherever it runs: a process of its own, nothing of the user's environment, no words for the system."""


DRIVER_BYTES = 768 * 1024 * 1024
"""Address space of a driver itself: its client of Monty reserves more than it uses."""


class Launcher(Protocol):
    """Something to start once, and what is known of the process that it has become."""

    @property
    def path(self) -> str: ...

    def layers(self) -> Mapping[str, bool | str]: ...

    def close(self) -> None: ...


class PlainLauncher:
    """The program, with no jail around it but its own language."""

    def __init__(self, program: str) -> None:
        self.path = program

    def layers(self) -> Mapping[str, bool | str]:
        return ALONE

    def close(self) -> None:
        """Nothing is held."""
