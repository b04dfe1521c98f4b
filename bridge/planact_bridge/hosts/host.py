"""What a host is: a program that starts MCP servers, the files that it reads them from, and its dialect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from planact_bridge.hosts.machine import is_there

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from planact_bridge.hosts.dialect import Dialect
    from planact_bridge.hosts.machine import Machine
    from planact_tools import JSONValue

Scope: TypeAlias = Literal["user", "project"]

ENTRY = "planact"
"""The name of our entry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One program that starts MCP servers."""

    name: str
    """As typed on a command line."""

    title: str
    """As its makers write it."""

    user: Callable[[Machine], Path]
    """The file of the user."""

    dialect: Dialect
    reread: str
    """What makes it read its file again, as an instruction."""

    found: str = ""
    """Where Planact is to be found in it then, or what to do with it there."""

    project: Callable[[Path], Path] | None = None
    """From a project's folder to the file of that project; None where there is no such thing."""

    project_dialect: Dialect | None = None
    """Where it differs from that of the user's file."""

    marks: Callable[[Machine], tuple[Path, ...]] = lambda _: ()
    """What also shows that the host is on a machine, besides its file and the folder of that."""

    local: Callable[[JSONValue], Mapping[str, JSONValue]] = lambda _: {}
    """From what the user's file says to folder → the servers that count there only, which Planact does not read."""

    link: Callable[[str, str], str] | None = None
    """From a server's name and its entry as JSON to a link that installs it."""

    @property
    def then(self) -> str:
        """What to do once Planact is in its file."""
        return f"{self.reread} {self.found}".strip()

    def is_on(self, machine: Machine) -> bool:
        """Return whether there is a trace of the host."""
        path = self.user(machine)
        own = () if path.parent == machine.home else (path.parent,)
        return any(is_there(trace) for trace in (path, *own, *self.marks(machine)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One file of a host on one machine."""

    host: Host
    scope: Scope
    path: Path
    dialect: Dialect
    folder: Path | None = None
    """The project's folder."""


def places(host: Host, machine: Machine, folder: Path) -> tuple[Place, ...]:
    """Return the files that a host reads its servers from when it works in a folder."""
    user = Place(host=host, scope="user", path=host.user(machine), dialect=host.dialect)
    if host.project is None:
        return (user,)
    dialect = host.project_dialect or host.dialect
    return user, Place(host=host, scope="project", path=host.project(folder), dialect=dialect, folder=folder)
