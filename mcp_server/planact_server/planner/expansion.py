"""Writing a function that a running plan called and did not define: a `todo_…` placeholder, with its live arguments.

A plan may leave a step open until its data is there, as in ReCode ("Unify Plan and Action for Universal Granularity
Control"). The function is written in the same conversation as the plan, so the model knows the tools and the goal.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from planact_quantized import BackendError, GenerateRequest, Message, fenced, plan_grammar
from planact_server.planner import PLACEHOLDER, PlanningError
from planact_server.planner.reading import PlanText, Unreadable, read
from planact_server.planner.repairing import shown
from planact_server.planner.stubs import plan_functions
from planact_server.planner.writing import HELP_PRIORITY, Writer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from planact_quantized import Backend, Grammar
    from planact_server.planner.options import PlannerOptions
    from planact_server.planner.prompting import Prompt
    from planact_server.planner.spending import Spending
    from planact_tools import JSONValue

TRIES = 2
VALUE_CHARS = 300
_NAME = re.compile(rf"{PLACEHOLDER}\w+", re.ASCII)


class Expansion:
    """Writes one function."""

    def __init__(self, backend: Backend, options: PlannerOptions, spending: Spending) -> None:
        self._backend = backend
        self._options = options
        self._spending = spending

    async def write(
        self, name: str, arguments: Mapping[str, JSONValue], *, plan: str, depth: int, prompt: Prompt | None
    ) -> str:
        """Return the source of `def name(…)`. `depth` is 1 for a call in the plan itself. Raises PlanningError."""
        self._refuse(name, depth)
        messages = _conversation(name, arguments, plan, prompt)
        problem = "there was no try"
        try:
            for _ in range(TRIES):
                text = (await self._writer().write(self._request(name, messages, prompt)))[0]
                source = read(text)
                try:
                    if isinstance(source, PlanText):
                        return one_function(source.source, name, arguments)
                    problem = source.error.message if isinstance(source, Unreadable) else "There is no code in it."
                except ValueError as error:
                    problem = str(error)
                messages = [
                    *messages,
                    Message(role="assistant", content=text.text),
                    Message(role="user", content=problem),
                ]
        except BackendError as error:
            raise PlanningError(f"{name!r} could not be written: {error.message}") from error
        raise PlanningError(f"{name!r} could not be written: {problem}", hint="Write the step out in the plan itself.")

    def _refuse(self, name: str, depth: int) -> None:
        if not self._options.expansion:
            raise PlanningError(f"There is no function {name!r}, and [planner] expansion is off.")
        if not _NAME.fullmatch(name):
            raise PlanningError(
                f"There is no function {name!r}; only `{PLACEHOLDER}…` functions are written while a plan runs."
            )
        if depth > self._options.expansion_depth:
            raise PlanningError(
                f"{name!r} is {depth} levels deep; functions are written {self._options.expansion_depth} levels deep.",
                hint="Write the step out with the functions that exist.",
            )

    def _writer(self) -> Writer:
        return Writer(self._backend, self._options, self._spending)

    def _request(self, name: str, messages: Sequence[Message], prompt: Prompt | None) -> GenerateRequest:
        return GenerateRequest(
            messages=messages,
            stable_messages=prompt.stable if prompt is not None else 0,
            grammar=self._grammar(name, prompt),
            max_tokens=prompt.longest if prompt is not None else self._options.max_tokens,
            priority=HELP_PRIORITY,
        )

    def _grammar(self, name: str, prompt: Prompt | None) -> Grammar | None:
        """Return the grammar of this one function, which may call what the plan may call."""
        if prompt is None or not self._options.grammar:
            return None
        return plan_grammar(plan_functions(prompt.tools), expansion=True, callables=prompt.callables, define=name)


def _conversation(name: str, arguments: Mapping[str, JSONValue], plan: str, prompt: Prompt | None) -> list[Message]:
    values = "\n".join(f"- {key} = {shown(value, VALUE_CHARS)}" for key, value in arguments.items()) or "- no arguments"
    ask = (
        f"The plan is running and has reached the call of {name}, which does not exist yet. Its arguments:\n{values}\n"
        f"Write this function, and nothing else, in one ```python block: def {name}(…). It may use the available"
        " functions and must return what the plan expects."
    )
    before = list(prompt.messages) if prompt is not None else []
    if not before:
        return [Message(role="user", content=f"This plan is running:\n{fenced(plan)}\n{ask}")]
    return [
        *before,
        Message(role="assistant", content=fenced(plan)),
        Message(role="user", content=ask),
    ]


def one_function(source: str, name: str, arguments: Mapping[str, JSONValue]) -> str:
    """Return the source if it defines that function and can take the arguments; else raise ValueError.

    Imports and further functions may stand beside it; nothing else, for it would run at a time that nobody expects.
    Arguments by position are called `argument_1` and so on.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"That is not Python: {error}.") from None
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    found = next((node for node in functions if node.name == name), None)
    if found is None:
        raise ValueError(f"There is no `def {name}(…)` in it.")
    if any(not isinstance(node, ast.FunctionDef | ast.Import | ast.ImportFrom) for node in tree.body):
        raise ValueError(f"There must be nothing beside the definition of {name}.")
    for function in functions:
        if function.decorator_list:
            raise ValueError(f"{function.name} must have no decorators.")
        if any(isinstance(node, ast.Call | ast.NamedExpr) for part in _head(function) for node in ast.walk(part)):
            raise ValueError(f"{function.name} must call nothing in its first line: no calls as defaults.")
    _check_parameters(found.args, name, arguments)
    return source


def _head(function: ast.FunctionDef) -> list[ast.expr]:
    """Return what Python evaluates when a function is defined, decorators apart."""
    given = function.args
    parameters = (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg)
    said = [parameter.annotation for parameter in parameters if parameter is not None]
    return [part for part in (*given.defaults, *given.kw_defaults, *said, function.returns) if part is not None]


def _check_parameters(taken: ast.arguments, name: str, arguments: Mapping[str, JSONValue]) -> None:
    by_position = [key for key in arguments if key.startswith("argument_")]
    by_name = [key for key in arguments if key not in by_position]
    in_order = [each.arg for each in (*taken.posonlyargs, *taken.args)]
    if len(by_position) > len(in_order) and taken.vararg is None:
        raise ValueError(f"{name} is called with {len(by_position)} arguments and takes {len(in_order)}.")
    known = {*in_order[len(by_position) :], *(each.arg for each in taken.kwonlyargs)}
    unknown = [key for key in by_name if key not in known]
    if unknown and taken.kwarg is None:
        raise ValueError(f"{name} is called with {unknown[0]}=…, which it does not take.")
