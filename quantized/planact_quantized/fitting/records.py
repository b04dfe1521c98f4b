"""Small records about this machine in one file: what was measured, what was loaded. None of it is missed for long."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from planact_quantized.file_lock import locked
from planact_quantized.whole_file import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MOST_KEPT = 200
_LOCK_SECONDS = 10.0


class Records:
    """Records by key in one file, the latest last. A file that cannot be read counts as empty."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def all(self) -> dict[str, Any]:
        """Return every record; what is in them is as trustworthy as the file."""
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return cast("dict[str, Any]", found) if isinstance(found, dict) else {}

    def keep(self, key: str, record: Mapping[str, Any]) -> None:
        """Write a record down in place of an earlier one of that key. Raises OSError and LockedError."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with locked(self._file.with_suffix(".lock"), seconds=_LOCK_SECONDS):
            known = self.all()
            known.pop(key, None)
            newest = [*known.items(), (key, dict(record))][-MOST_KEPT:]
            write_whole(self._file, json.dumps(dict(newest), indent=2).encode())
