"""What `planact doctor` finds out about a model server that writes the plans: whether it answers, with which model.

Only what costs nothing is asked for: its list of models and the pages that runtimes have about themselves. Nothing is
generated, no task and no tool is sent.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from planact_server.cli.finding import Finding
from planact_tools import JSONObject

if TYPE_CHECKING:
    from planact_quantized import BackendInfo
    from planact_quantized.openai.address import Address
    from planact_quantized.openai.backend import OpenAIBackend
    from planact_server.config import Config

SUBJECT = "planner"
SECONDS = 3.0
"""For the list of models, and for the pages of the runtime."""

MOST_NAMES = 10
"""Models of a server that are shown."""

NAME_CHARS = 80

_TAKES_ANY_NAME = frozenset({"llama-server", "llama-cpp-python"})
"""Runtimes with one model, which answers whatever it is called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answered:
    """A server that is there."""

    info: BackendInfo
    models: tuple[str, ...]
    """Empty: it has no list."""


def examine_endpoint(config: Config) -> tuple[list[Finding], JSONObject]:
    """Ask the server that is configured; return what there is to say, for people and as JSON. Blocks for seconds."""
    from planact_quantized import BackendError
    from planact_quantized.openai.address import read_address
    from planact_quantized.openai.backend import OpenAIBackend, Patience

    planner = config.planner
    report: JSONObject = {"backend": "openai", "model": planner.model}
    try:
        address = read_address(planner.base_url or "")
    except ValueError as error:
        text = f"`base_url`: {error}" if planner.base_url else "the backend is openai, and no server is named"
        advice = '[planner]\nbase_url = "http://localhost:8080/v1"'
        return [Finding(level="problem", subject=SUBJECT, text=text, advice=advice)], report
    report |= {"base_url": address.shown, "leaves_this_machine": not address.local}
    backend = OpenAIBackend(
        base_url=planner.base_url or "",
        model=planner.model or "",
        api_key=planner.api_key,
        patience=Patience(connect=SECONDS, models=SECONDS),
    )
    try:
        answered = asyncio.run(_ask(backend))
    except BackendError as error:
        report |= {"reachable": error.fault not in ("unavailable", "timeout"), "error": error.message}
        advice = f"curl -m {SECONDS:g} {address.shown}/models   # has to answer; docs/backends.md says how to start it"
        found = Finding(level="problem", subject=SUBJECT, text=error.message, advice=advice)
    else:
        report |= _about(answered, planner.model)
        found = _judged(answered, planner.model, address)
    return [found, *_leaving(address)], report


async def _ask(backend: OpenAIBackend) -> _Answered:
    try:
        return _Answered(info=await backend.start(), models=await backend.models())
    finally:
        await backend.aclose()


def _about(answered: _Answered, wanted: str | None) -> JSONObject:
    info = answered.info
    return {
        "reachable": True,
        "model": info.model,
        "model_found": _has(answered, wanted),
        "models": [_short(name) for name in answered.models[:MOST_NAMES]],
        "context_tokens": info.context_tokens or None,
        "grammar": info.grammar,
        "extras": dict(info.extras),
    }


def _judged(answered: _Answered, wanted: str | None, address: Address) -> Finding:
    info = answered.info
    found = Finding(level="ok", subject=SUBJECT, text=f"{_short(info.model)} at {address.shown} answers{_facts(info)}")
    if _has(answered, wanted) is None:
        said = "it lists no models, so whether it has this one shows with the first task"
        return replace(found, level="note", text=f"{found.text}; {said}")
    if _has(answered, wanted):
        return found
    names = [_short(name) for name in answered.models[:MOST_NAMES]]
    has = ", ".join([*names, "…"] if len(answered.models) > MOST_NAMES else names)
    if info.extras.get("runtime") in _TAKES_ANY_NAME:
        return replace(found, level="note", text=f"{found.text}; its own name for the model is {has}")
    return replace(
        found,
        level="problem",
        text=f"{address.shown} answers{_facts(info)}, and has no model {wanted!r}; it has: {has}",
        advice=f'[planner]\nmodel = "{names[0]}"',
    )


def _has(answered: _Answered, wanted: str | None) -> bool | None:
    """Say whether the server lists the model; None where it lists none. Ollama's names have a tag behind them."""
    if not answered.models:
        return None
    return not wanted or wanted in answered.models or f"{wanted}:latest" in answered.models


def _facts(info: BackendInfo) -> str:
    context = f"context {info.context_tokens:,}" if info.context_tokens else "context unknown"
    grammar = "holds plans to the grammar" if info.grammar else "plans are checked after they are written"
    runtime = " ".join(_short(info.extras[key]) for key in ("runtime", "version", "build") if key in info.extras)
    return f" ({', '.join(filter(None, (runtime, context, grammar)))})"


def _leaving(address: Address) -> list[Finding]:
    if address.local:
        return []
    return [
        Finding(
            level="note",
            subject=SUBJECT,
            text=f"tasks and the tools' descriptions leave this machine, for {address.host}",
            advice='[planner]\nbackend = "local"   # keeps them here',
        )
    ]


def _short(name: str) -> str:
    return name if len(name) <= NAME_CHARS else f"{name[: NAME_CHARS - 1]}…"
