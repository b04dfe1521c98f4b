"""Where a text stands with its grammar.

A constraint is a value: stepping over bytes gives another one, so a guess is dropped by forgetting it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Constraint(Protocol):
    """What may come next."""

    may_end: bool
    """The text may be over here."""

    complete: bool
    """The text must be over here: nothing may follow."""

    @property
    def first_bytes(self) -> NDArray[np.bool_] | None:
        """Whether a token may start with a byte (index 256: no text, never). None: cannot be told so."""
        ...

    @property
    def forced(self) -> bytes:
        """What must follow, as far as there is only one way; whole characters."""
        ...

    def step(self, piece: bytes) -> Constraint | None:
        """Return where the text stands behind these bytes; None where they are not allowed."""
        ...


class Free:
    """The part of a text before the trigger of a late grammar: anything, until the trigger has come."""

    may_end = True
    complete = False
    first_bytes = None
    forced = b""

    def __init__(self, trigger: bytes, held: Constraint, *, tail: bytes = b"") -> None:
        self._trigger = trigger
        self._held = held
        self._tail = tail

    def step(self, piece: bytes) -> Constraint | None:
        seen = self._tail + piece
        at = seen.find(self._trigger)
        if at >= 0:
            # One token may hold the end of the trigger and what follows it, up to a whole ending of the text.
            after = seen[at + len(self._trigger) :]
            return self._held.step(after) if after else self._held
        keep = len(self._trigger) - 1
        return Free(self._trigger, self._held, tail=seen[-keep:] if keep else b"")
