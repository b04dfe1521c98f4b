"""The planner that is configured, opened by the first task: a server starts without it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planact_server.catalog.ranking import Ranker
    from planact_server.config import Config
    from planact_server.planner import Ground, Planned, TaskPlanner
    from planact_server.planner.spending import Spending
    from planact_tools import JSONObject, JSONValue


class LatePlanner:
    """A `TaskPlanner`; `aclose` closes what the first task has opened."""

    def __init__(self, config: Config, *, ranker: Ranker) -> None:
        self._config = config
        self._ranker = ranker
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._opened: TaskPlanner | None = None

    async def carry_out(self, task: str, ground: Ground) -> Planned:
        return await (await self._planner()).carry_out(task, ground)

    async def expand(
        self, name: str, arguments: Mapping[str, JSONValue], *, plan: str, depth: int, spending: Spending
    ) -> str:
        return await (await self._planner()).expand(name, arguments, plan=plan, depth=depth, spending=spending)

    async def ask_model(
        self, instruction: str, *, data: JSONValue, schema: JSONObject | None, spending: Spending
    ) -> JSONValue:
        planner = await self._planner()
        return await planner.ask_model(instruction, data=data, schema=schema, spending=spending)

    async def aclose(self) -> None:
        """Let go of the model, if there was a task."""
        await self._stack.aclose()

    async def _planner(self) -> TaskPlanner:
        async with self._opening:
            if self._opened is None:
                self._opened = await self._open()
            return self._opened

    async def _open(self) -> TaskPlanner:
        # Loading it takes longer than the rest of a start.
        from planact_server.planner.opening import open_planner  # noqa: PLC0415
        from planact_server.planner.options import PlannerOptions  # noqa: PLC0415

        config = self._config
        # [planner] spells the planner's switches as they are.
        switches = config.planner.model_dump(include={field.name for field in fields(PlannerOptions)})
        return await self._stack.enter_async_context(
            open_planner(
                PlannerOptions(**switches), config.planner, config.model, state=config.state, ranker=self._ranker
            )
        )
