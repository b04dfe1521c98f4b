"""A worker in an interpreter of its own, for systems without fork: frames over standard input and output."""

from __future__ import annotations

from typing import Any, NoReturn

from planact_server.sandbox import jail
from planact_server.sandbox.inside import bootstrap, confined


def main(*, parent: int, rights: dict[str, Any]) -> NoReturn:
    """Confine this process and serve."""
    layers = jail.prepare(parent=parent)
    bootstrap.seal()
    confined.serve(0, 1, parent=parent, rights=rights, layers=layers)
