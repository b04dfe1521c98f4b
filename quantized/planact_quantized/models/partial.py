"""What has arrived of a file that is not whole yet, and what it is a part of."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from planact_quantized.file_lock import locked

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

SUFFIX: Final = ".partial"


def partial_path(target: Path) -> Path:
    """Return where what has arrived of a file lies until it is whole."""
    return target.with_name(f"{target.name}{SUFFIX}")


@dataclass(slots=True)
class Partial:
    """The beginning of a file. A note beside it tells the next process what it is the beginning of."""

    path: Path
    validator: str | None = None
    """What the server calls this very content: an ETag or a time of change."""

    total: int | None = None
    """Bytes of the whole file; None when nobody knows."""

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def locked(self) -> AbstractContextManager[None]:
        """Keep other processes from it. Raises LockedError at once when one has it."""
        return locked(self.path.with_name(f".{self.path.name}.lock"), seconds=0)

    def begin(self) -> None:
        """Start from nothing."""
        self.path.write_bytes(b"")
        self.validator = self.total = None

    def remember(self, *, url: str, sha256: str | None) -> None:
        """Write down what this is a part of."""
        note = {"url": url, "sha256": sha256, "validator": self.validator, "total": self.total}
        self._note.write_text(json.dumps(note), encoding="utf-8")

    def recall(self, *, url: str, sha256: str | None) -> None:
        """Take up what an earlier process left, if it can be told that it is a part of the same file; else begin."""
        try:
            note: dict[str, Any] = json.loads(self._note.read_text(encoding="utf-8"))
            same = note["sha256"] == sha256 if sha256 else note["url"] == url
            if same and (sha256 or note["validator"]):
                self.validator, self.total = note["validator"], note["total"]
                return
        except (OSError, ValueError, KeyError, TypeError):
            pass  # no note, or a damaged one: what is there is of no use
        self.begin()

    def discard(self) -> None:
        """Throw it away."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def become(self, target: Path) -> None:
        """Give a whole file its name."""
        self.path.replace(target)
        self._note.unlink(missing_ok=True)

    @property
    def _note(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")
