"""What a model server can do beyond the common protocol, found out by asking once.

Every runtime has a page of its own that tells it apart. Whatever does not answer, answers late or answers oddly is
passed over: nothing here ever keeps a request from being made.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

import anyio
import httpx2

from planact_quantized.openai.foreign_json import at, list_at, number_at, text_at
from planact_quantized.openai.pages import fetch

if TYPE_CHECKING:
    from collections.abc import Mapping

Runtime: TypeAlias = Literal["llama-server", "Ollama", "LM Studio", "vLLM", "llama-cpp-python"]

PROBE_SECONDS = 3.0

OLLAMA_CONTEXT = 4096
"""What Ollama gives a model unless it is told otherwise; a longer prompt is cut there without a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """What is known about a server beside its protocol."""

    runtime: Runtime | None = None
    grammar: bool = False
    """It takes GBNF with a trigger, on a page of its own."""

    context_tokens: int = 0
    one_at_a_time: bool = False
    """A second request would make it drop the first."""

    model: str = ""
    """The model that is loaded there, where only one can be or the server says so."""

    facts: Mapping[str, str] = field(default_factory=dict[str, str])
    """For people."""


async def find_extras(http: httpx2.AsyncClient, root: str, models: object, model: str) -> Extras:
    """Ask a server what it is. `models` is its answer to GET /models, `model` the configured one or ""."""
    pages: dict[str, object] = {}

    async def read(path: str) -> None:
        pages[path] = await _page(http, f"{root}{path}")

    async with anyio.create_task_group() as tasks:
        for path in ("/props", "/api/version", "/api/v0/models", "/version", "/openapi.json"):
            tasks.start_soon(read, path)
    if isinstance(at(pages["/props"], "default_generation_settings"), dict):
        return _llama_server(pages["/props"])
    if isinstance(at(pages["/api/v0/models"], "data"), list):
        return _lm_studio(pages["/api/v0/models"], model)
    if version := text_at(pages["/api/version"], "version"):
        return await _ollama(http, root, version, model or text_at(models, "data", 0, "id"))
    if version := text_at(pages["/version"], "version"):
        return _vllm(version, models, model)
    if "llama.cpp Python API" in text_at(pages["/openapi.json"], "info", "title"):
        version = text_at(pages["/openapi.json"], "info", "version")
        facts = {"runtime": "llama-cpp-python", "version": version}
        return Extras(runtime="llama-cpp-python", one_at_a_time=True, facts=facts)
    return Extras()


async def _page(http: httpx2.AsyncClient, url: str, body: object = None) -> object:
    """Return the JSON at a page, or None for whatever else happens."""
    try:
        with anyio.fail_after(PROBE_SECONDS):
            return (await fetch(http, url, body)).json()
    except (TimeoutError, httpx2.HTTPError):
        return None


def _llama_server(props: object) -> Extras:
    facts = {
        "runtime": "llama-server",
        "build": text_at(props, "build_info"),
        "file": re.split(r"[/\\]", text_at(props, "model_path"))[-1],
    }
    return Extras(
        runtime="llama-server",
        grammar=True,
        context_tokens=number_at(props, "default_generation_settings", "n_ctx"),
        facts={name: value for name, value in facts.items() if value},
    )


def _lm_studio(page: object, model: str) -> Extras:
    listed = list_at(page, "data")
    usable = [each for each in listed if at(each, "type") in (None, "llm", "vlm")]
    loaded = [each for each in usable if at(each, "state") == "loaded"]
    chosen = next((each for each in usable if at(each, "id") == model), None) if model else next(iter(loaded), None)
    facts = {"runtime": "LM Studio", "quantization": text_at(chosen, "quantization")}
    return Extras(
        runtime="LM Studio",
        context_tokens=number_at(chosen, "loaded_context_length"),
        model=text_at(chosen, "id"),
        facts={name: value for name, value in facts.items() if value},
    )


async def _ollama(http: httpx2.AsyncClient, root: str, version: str, model: str) -> Extras:
    details: dict[str, object] = {}

    async def read(name: str, path: str, body: object) -> None:
        details[name] = await _page(http, f"{root}{path}", body)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read, "show", "/api/show", {"model": model})
        tasks.start_soon(read, "running", "/api/ps", None)
    running = list_at(details["running"], "models")
    loaded = next((each for each in running if model in (at(each, "name"), at(each, "model"))), None)
    asked = re.search(r"^num_ctx\s+([0-9]{1,9})\s*$", text_at(details["show"], "parameters"), re.MULTILINE)
    context = number_at(loaded, "context_length") or (int(asked[1]) if asked else OLLAMA_CONTEXT)
    facts = {
        "runtime": "Ollama",
        "version": version,
        "quantization": text_at(details["show"], "details", "quantization_level"),
    }
    return Extras(
        runtime="Ollama", context_tokens=context, facts={name: value for name, value in facts.items() if value}
    )


def _vllm(version: str, models: object, model: str) -> Extras:
    listed = list_at(models, "data")
    chosen = next((each for each in listed if at(each, "id") == model), listed[0] if listed and not model else None)
    return Extras(
        runtime="vLLM",
        context_tokens=number_at(chosen, "max_model_len"),
        facts={"runtime": "vLLM", "version": version},
    )
