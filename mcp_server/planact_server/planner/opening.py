"""A planner from the configuration. Nothing is loaded, started or reached before the first task."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from planact_quantized.fitting.loads import FILE, Loads
from planact_server.planner.backends import LateBackend
from planact_server.planner.planner import Planner

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from planact_quantized import Backend
    from planact_server.catalog.ranking import Ranker
    from planact_server.config.schema import ModelSettings, PlannerSettings
    from planact_server.planner.options import PlannerOptions


@asynccontextmanager
async def open_planner(
    options: PlannerOptions,
    planner: PlannerSettings,
    model: ModelSettings,
    *,
    state: Path,
    ranker: Ranker | None = None,
) -> AsyncGenerator[Planner]:
    """Open a planner, and end its model when the context ends."""
    opened = Planner(late_backend(planner, model, state=state), options, ranker=ranker)
    try:
        yield opened
    finally:
        await opened.aclose()


def late_backend(planner: PlannerSettings, model: ModelSettings, *, state: Path) -> LateBackend:
    """Return the backend that is configured, not made yet. How a local model was loaded will be written down."""
    if planner.backend == "openai":
        return LateBackend(lambda: _openai(planner))
    return LateBackend(lambda: _local(planner, model, state), note=Loads(state / FILE).keep)


def _openai(planner: PlannerSettings) -> Backend:
    # A client for HTTP takes a while to load, and most processes never plan.
    from planact_quantized.openai.backend import OpenAIBackend  # noqa: PLC0415

    return OpenAIBackend(base_url=planner.base_url or "", model=planner.model or "", api_key=planner.api_key)


def _local(planner: PlannerSettings, model: ModelSettings, state: Path) -> Backend:
    # NumPy and what reads models come with it.
    from planact_server.planner.local import local_engine  # noqa: PLC0415

    return local_engine(planner, model, state=state)
