"""How models were really loaded on this machine, as llama.cpp reported it: the last time for each model and device."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from planact_quantized.fitting.records import Records

if TYPE_CHECKING:
    from pathlib import Path

    from planact_quantized.backend import BackendInfo

FILE = "loads.json"
"""In the user's state folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One model that was loaded."""

    model: str
    device: str
    layers: int
    offloaded_layers: int
    """As llama.cpp reported it after loading."""

    context_tokens: int
    when: str


class Loads:
    """The records in one file. Entries that cannot be read are passed over: the next load writes a new one."""

    def __init__(self, file: Path) -> None:
        self._records = Records(file)

    def of(self, model: str) -> tuple[Load, ...]:
        """Return the last load on each device, the newest first."""
        found = [load for value in self._records.all().values() if (load := _load(value))]
        return tuple(sorted((each for each in found if each.model == model), key=lambda each: each.when, reverse=True))

    def keep(self, info: BackendInfo) -> None:
        """Write down what was loaded just now. Raises OSError and LockedError."""
        load = Load(
            model=info.model,
            device=info.device,
            layers=info.layers,
            offloaded_layers=info.offloaded_layers,
            context_tokens=info.context_tokens,
            when=datetime.now(UTC).isoformat(timespec="microseconds"),
        )
        self._records.keep(f"{info.model}|{info.device}", asdict(load))


def _load(value: Any) -> Load | None:
    if not isinstance(value, dict):
        return None
    found = cast("dict[str, Any]", value)
    texts = [found.get(name) for name in ("model", "device", "when")]
    counts = [found.get(name) for name in ("layers", "offloaded_layers", "context_tokens")]
    if not all(isinstance(text, str) for text in texts) or not all(isinstance(count, int) for count in counts):
        return None
    return Load(**{each.name: found[each.name] for each in fields(Load)})
