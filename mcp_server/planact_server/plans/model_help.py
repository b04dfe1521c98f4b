"""What a running plan gets from the planner's model: answers about data, and functions that it left open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planact_server.catalog.catalog import Catalog
from planact_server.planner import PLACEHOLDER, PlanningError
from planact_server.sandbox import PlanFault
from planact_tools import ToolDefinition

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planact_server.planner import TaskPlanner
    from planact_server.planner.spending import Spending
    from planact_tools import JSONObject, JSONValue

MOST_EXPANSIONS = 20
"""Functions written for one plan."""

_HEADING = "# Written while the plan ran:"


class ModelHelp:
    """`ask_model` of one plan."""

    def __init__(self, planner: TaskPlanner, spending: Spending) -> None:
        self._planner = planner
        self._spending = spending

    async def answer(self, arguments: Mapping[str, JSONValue], *, made_up: bool) -> JSONValue:
        """Ask the model, or make an answer up as for a tool. Raises PlanFault."""
        instruction, schema = arguments.get("instruction"), arguments.get("schema")
        if not isinstance(instruction, str) or not instruction.strip():
            raise PlanFault(
                "ask_model needs an instruction in words.",
                type="TypeError",
                parameter="instruction",
                function="ask_model",
                hint='ask_model("Which of these is a complaint?", data, {"type": "integer"})',
            )
        if schema is not None and not isinstance(schema, dict):
            raise PlanFault(
                "ask_model takes a JSON schema, which is an object.",
                type="TypeError",
                parameter="schema",
                function="ask_model",
                hint='For example {"type": "array", "items": {"type": "string"}}.',
            )
        if made_up:
            return _made_up(schema)
        try:
            return await self._planner.ask_model(
                instruction, data=arguments.get("data"), schema=schema, spending=self._spending
            )
        except PlanningError as error:
            raise PlanFault(
                error.message, type="ToolError", hint=error.hint, server="planact", tool="ask_model"
            ) from None


class GrowingPlan:
    """A plan that may leave functions open, with those that were written for it."""

    def __init__(self, plan: str, planner: TaskPlanner, spending: Spending) -> None:
        self._plan = plan
        self._planner = planner
        self._spending = spending
        self._written: list[str] = []

    @property
    def original(self) -> str:
        """The plan as it was started."""
        return self._plan

    @property
    def text(self) -> str:
        """The code that ran: the plan, and behind it what was written while it ran."""
        return "\n\n".join([self._plan.rstrip("\n"), _HEADING, *self._written]) + "\n" if self._written else self._plan

    def leaves_open(self, name: str) -> bool:
        """Say whether a name that nothing has stands for a function that is still to be written."""
        return name.startswith(PLACEHOLDER) and name.isidentifier()

    async def expand(self, arguments: Mapping[str, JSONValue]) -> JSONObject:
        """Have a function written. Returns its source, and its first line in `text`. Raises PlanFault."""
        name, given, depth = str(arguments.get("name", "")), arguments.get("arguments"), arguments.get("depth")
        if not self.leaves_open(name) or not isinstance(given, dict) or not isinstance(depth, int) or depth < 1:
            raise PlanFault("That is no function to be written.", type="NameError")
        if len(self._written) >= MOST_EXPANSIONS:
            message = f"{name}() is not defined: {MOST_EXPANSIONS} functions have been written for this plan already."
            raise PlanFault(message, type="NameError", function=name, hint="Define it in the plan.")
        try:
            source = await self._planner.expand(name, given, plan=self._plan, depth=depth, spending=self._spending)
        except PlanningError as error:
            message = f"{name}() is not defined, and could not be written: {error.message}"
            raise PlanFault(message, type="NameError", function=name, hint=error.hint) from None
        source = source.strip("\n")
        self._written.append(source)
        return {"source": source, "line": self.text.rstrip("\n").count("\n") - source.count("\n") + 1}


def _made_up(schema: JSONObject | None) -> JSONValue:
    """Make up an answer that fits the schema, as for a tool that declares it."""
    # What makes values up takes a while to load, and few runs need it.
    from planact_server.standins.making import stand_in  # noqa: PLC0415

    value: JSONObject = schema or {"type": "string"}
    output: JSONObject = {"type": "object", "properties": {"result": value}, "required": ["result"]}
    definition = ToolDefinition(name="ask_model", output_schema=output)
    return stand_in(Catalog.build({"planact": [definition]}).servers["planact"].tools["ask_model"], {})
