"""What `planact doctor` says about one thing that it has looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    level: Literal["ok", "note", "problem"]
    subject: str
    text: str
    advice: str = ""
    """What to do, in lines that can be pasted."""
