"""The machine that hosts are looked for on, as a value: tests name any platform, the code never asks for its own."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

Platform: TypeAlias = Literal["linux", "darwin", "windows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One user on one machine."""

    platform: Platform
    home: Path
    environ: Mapping[str, str]

    @classmethod
    def current(cls, environ: Mapping[str, str] | None = None) -> Machine:
        """Return the machine that this process runs on."""
        names: dict[str, Platform] = {"win32": "windows", "darwin": "darwin"}
        variables = os.environ if environ is None else environ
        return cls(platform=names.get(sys.platform, "linux"), home=Path.home(), environ=variables)

    @property
    def xdg_config(self) -> Path:
        """Return the folder that programs of the XDG convention use; some do so on macOS and Windows, too."""
        return self.folder("XDG_CONFIG_HOME") or self.home / ".config"

    @property
    def roaming(self) -> Path:
        """Return %APPDATA%."""
        return self.folder("APPDATA") or self.home / "AppData" / "Roaming"

    @property
    def local(self) -> Path:
        """Return %LOCALAPPDATA%."""
        return self.folder("LOCALAPPDATA") or self.home / "AppData" / "Local"

    @property
    def application_support(self) -> Path:
        """Return where desktop programs keep their settings on this platform."""
        if self.platform == "windows":
            return self.roaming
        return self.home / "Library" / "Application Support" if self.platform == "darwin" else self.xdg_config

    def folder(self, variable: str) -> Path | None:
        """Return the folder that a variable names; None where it is unset, empty or relative."""
        named = self.environ.get(variable, "").strip()
        return Path(named) if named and Path(named).is_absolute() else None


def is_there(path: Path) -> bool:
    """Return whether a path leads to something that can be seen. Never raises."""
    try:
        return path.exists()
    except OSError:  # in a folder that is closed to us
        return False
