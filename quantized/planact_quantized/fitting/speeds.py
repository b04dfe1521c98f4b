"""How fast models have been on this machine: measured through a backend, kept in one small file."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from planact_quantized.backend import GenerateRequest, Message
from planact_quantized.fitting.records import Records

if TYPE_CHECKING:
    from pathlib import Path

    from planact_quantized.backend import Backend, BackendInfo, Grammar

FILE = "speeds.json"
"""In the user's state folder."""

PROMPT_WORDS = 120
TEXT_TOKENS = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """What was measured once, in tokens per second; 0 where too little was written to tell."""

    model: str
    device: str
    layers: int
    offloaded_layers: int
    """As llama.cpp reported it after loading."""

    prompt: float
    text: float
    load_seconds: float
    when: str


class Speeds:
    """The measurements in one file. One that cannot be read counts as empty: it can be measured again."""

    def __init__(self, file: Path) -> None:
        self._records = Records(file)

    def find(self, info: BackendInfo) -> Speed | None:
        """Return the last measurement of this model, on this device, with these settings."""
        found = self._records.all().get(speed_key(info))
        return None if found is None else _speed(found)

    def all(self) -> tuple[Speed, ...]:
        """Return every measurement, the newest first."""
        found = [speed for value in self._records.all().values() if (speed := _speed(value))]
        return tuple(sorted(found, key=lambda speed: speed.when, reverse=True))

    def keep(self, info: BackendInfo, speed: Speed) -> None:
        """Write a measurement down in place of an earlier one. Raises OSError and LockedError."""
        self._records.keep(speed_key(info), asdict(speed))


def speed_key(info: BackendInfo) -> str:
    """Return what a speed depends on: content of the model, device, layers there, cache, build of llama.cpp."""
    extras = info.extras
    return "|".join(
        (
            extras.get("fingerprint", info.model),
            info.device,
            f"{info.offloaded_layers}/{info.layers}",
            extras.get("KV cache", ""),
            extras.get("flash attention", ""),
            extras.get("llama-cpp-python", ""),
        )
    )


async def measure(
    backend: Backend, *, load_seconds: float = 0.0, grammar: Grammar | None = None
) -> tuple[BackendInfo, Speed]:
    """Measure a backend with one prompt that it cannot have evaluated before. Raises BackendError.

    Takes as long as about 300 tokens of prompt and TEXT_TOKENS of text take. `grammar` keeps a model that would stop
    at once (weights at random) writing.
    """
    info = await backend.start()
    await backend.generate(_request(4, tokens=1))  # the first decode makes what later ones reuse
    usage = (await backend.generate(_request(PROMPT_WORDS, tokens=TEXT_TOKENS, grammar=grammar))).usage
    writing = usage.seconds - usage.seconds_to_first_token
    speed = Speed(
        model=info.model,
        device=info.device,
        layers=info.layers,
        offloaded_layers=info.offloaded_layers,
        prompt=_rate(usage.evaluated_tokens, usage.seconds_to_first_token),
        text=_rate(usage.generated_tokens - 1, writing),
        load_seconds=round(load_seconds, 3),
        when=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return info, speed


def _request(words: int, *, tokens: int, grammar: Grammar | None = None) -> GenerateRequest:
    # Numbers that nobody has seen: an earlier prompt with the same beginning would not be evaluated again.
    noise = " ".join(secrets.token_hex(2) for _ in range(words))
    return GenerateRequest(
        messages=(
            Message(role="system", content=f"{secrets.token_hex(8)} Notes: {noise}"),
            Message(role="user", content="Count from 1 to 100 in words."),
        ),
        max_tokens=tokens,
        grammar=grammar,
    )


def _rate(count: int, seconds: float) -> float:
    return round(count / seconds, 2) if count > 0 and seconds > 0 else 0.0


def _speed(value: Any) -> Speed | None:
    try:
        return Speed(**value)
    except TypeError:
        return None
