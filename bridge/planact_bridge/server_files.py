"""What is kept of each server in the user's state folder, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class ServerFiles:
    """The files of one server. Nothing is created before it is written."""

    folder: Path
    """Of all servers."""

    name: str

    @property
    def log(self) -> Path:
        """What the server writes on standard error."""
        return self._file("log")

    @property
    def restart(self) -> Path:
        """Touched when a person wants the server started anew, by whichever process runs it."""
        return self._file("restart")

    @property
    def login(self) -> Path:
        """That there is a login, and, where the system has no keyring, the login itself."""
        return self._file("login.json")

    @property
    def renewing(self) -> Path:
        """There while a process renews the login."""
        return self._file("renewing")

    def want_restart(self) -> None:
        """Have every process that runs this server start it anew when it is next used. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.restart.touch(mode=0o600)

    def _file(self, suffix: str) -> Path:
        # Names are free text; a path separator, a drive or a leading dot in one must not lead anywhere else.
        return self.folder / f"{quote(self.name, safe=' ')}.{suffix}"
