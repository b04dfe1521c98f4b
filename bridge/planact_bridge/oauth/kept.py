"""Where a login is kept: in the keyring of the operating system, and where there is none in a file of the user's.

A small file per server says that there is a login and for which URL; the secrets are in it only where no keyring
took them. Everything here may block: a keyring may ask a person to unlock it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from planact_bridge.oauth.credentials import Credentials

if TYPE_CHECKING:
    from types import ModuleType

    from planact_bridge.server_files import ServerFiles
    from planact_tools import JSONObject, JSONValue

logger = logging.getLogger(__name__)

SERVICE = "planact"
"""What the entries are called in the keyring."""

Place = Literal["keyring", "file"]


@dataclass(frozen=True, slots=True)
class KeptLogin:
    """The login of one server. It belongs to the URL too: an entry that leads elsewhere has none."""

    files: ServerFiles
    url: str

    @property
    def _account(self) -> str:
        return f"{self.files.name} {self.url}"

    def load(self) -> Credentials | None:
        """Return what is kept, or None; what cannot be read counts as nothing."""
        note = self._note()
        if note is None:
            return None
        secret = note.get("credentials")
        try:
            if note.get("kept") == "keyring":
                text = _from_keyring(self._account)
                secret = None if text is None else json.loads(text)
            return None if secret is None else Credentials.from_json(secret)
        except ValueError as error:
            logger.warning("the login of server %r cannot be read (%s); log in again", self.files.name, error)
            return None

    def save(self, credentials: Credentials) -> Place:
        """Keep a login in the place of the one before; say where it went. Raises OSError."""
        secret = credentials.as_json()
        if _into_keyring(self._account, json.dumps(secret)):
            self._write({"url": self.url, "kept": "keyring"})
            return "keyring"
        self._write({"url": self.url, "kept": "file", "credentials": secret})
        return "file"

    def forget(self) -> None:
        """Remove the login. Raises OSError."""
        note = self._note()
        if note is not None and note.get("kept") == "keyring":
            _out_of_keyring(self._account)
        self.files.login.unlink(missing_ok=True)

    def _note(self) -> JSONObject | None:
        try:
            note = cast("JSONValue", json.loads(self.files.login.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return None
        return note if isinstance(note, dict) and note.get("url") == self.url else None

    def _write(self, note: JSONObject) -> None:
        path = self.files.login
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()
        # Never for a moment readable by others.
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(note, file)
        fresh.replace(path)


def _into_keyring(account: str, text: str) -> bool:
    """Say whether a keyring took it: some refuse long texts, some are not there, one forgets everything."""
    try:
        shelf = _keyring()
        shelf.set_password(SERVICE, account, text)
        return shelf.get_password(SERVICE, account) == text
    except Exception:  # backends raise whatever their system's library does
        logger.info("no keyring took the login", exc_info=True)
        return False


def _from_keyring(account: str) -> str | None:
    try:
        return _keyring().get_password(SERVICE, account)
    except Exception:  # as above
        logger.warning("the keyring cannot be read", exc_info=True)
        return None


def _out_of_keyring(account: str) -> None:
    try:
        _keyring().delete_password(SERVICE, account)
    except Exception:  # as above
        logger.info("the keyring has no such login", exc_info=True)


def _keyring() -> ModuleType:
    """Return the library, which few servers need and which looks for backends when it is loaded."""
    import keyring  # noqa: PLC0415

    return keyring
