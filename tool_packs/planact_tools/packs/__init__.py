"""The packs that Planact ships. Each module is imported when its pack is opened."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

from planact_tools.pack import Pack
from planact_tools.toolset import JSONValue


class PackOpener(Protocol):
    """What the module of a shipped pack offers under the name `open_pack`."""

    def __call__(self, *, base: Path, state: Path, options: Mapping[str, JSONValue]) -> Pack:
        """Make the pack. Paths in `options` are relative to `base`; its own data is under `state`. Raises ToolError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippedPack:
    """A pack that comes with Planact."""

    name: str
    summary: str
    module: str

    def open(self, *, base: Path, state: Path, options: Mapping[str, JSONValue]) -> Pack:
        """Make the pack. Raises ToolError for an option that it does not take."""
        opener: PackOpener = import_module(self.module).open_pack
        return opener(base=base, state=state, options=options)


_SHIPPED = (
    ShippedPack(
        name="calendar",
        summary="Appointments and reminders, kept on this machine.",
        module="planact_tools.packs.calendar",
    ),
    ShippedPack(
        name="files",
        summary="Read, write and search files in one folder, and nowhere else.",
        module="planact_tools.packs.files",
    ),
)


def shipped_packs() -> tuple[ShippedPack, ...]:
    """Return the shipped packs, by name."""
    return _SHIPPED
