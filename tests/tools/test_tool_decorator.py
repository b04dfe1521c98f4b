"""The `@tool` decorator: what a function says becomes a definition, JSON goes in and comes out."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal, Optional

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from planact_tools import (
    Attachment,
    JSONObject,
    JSONValue,
    Progress,
    ToolDefinition,
    ToolDefinitionError,
    ToolError,
    ToolResult,
    bound_tools,
    tool,
)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Box(BaseModel):
    width: int
    height: int = 1


@dataclass(frozen=True)
class Area:
    size: int
    on: date


def test_a_function_becomes_a_definition() -> None:
    @tool(read_only=True, idempotent=True, open_world=False, title="Measure")
    def measure(box: Box, colour: Literal["red", "blue"] = "red", times: Annotated[int, Field(ge=1)] = 1) -> bool:
        """Measure a box.

        A second paragraph: with a colon.

        Args:
            box: The box,
                which may be large.
            times (int): How often.

        Returns:
            Whether it fits.
        """
        return box.width * times > len(colour)

    assert measure.definition == ToolDefinition(
        name="measure",
        title="Measure",
        description="Measure a box.\n\nA second paragraph: with a colon.\n\nReturns:\n    Whether it fits.",
        read_only=True,
        idempotent=True,
        open_world=False,
        input_schema={
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "box": {"$ref": "#/$defs/Box", "description": "The box, which may be large."},
                "colour": {"type": "string", "enum": ["red", "blue"], "default": "red"},
                "times": {"type": "integer", "minimum": 1, "default": 1, "description": "How often."},
            },
            "required": ["box"],
            "$defs": {
                "Box": {
                    "title": "Box",
                    "type": "object",
                    "properties": {"width": {"type": "integer"}, "height": {"type": "integer", "default": 1}},
                    "required": ["width"],
                }
            },
        },
        output_schema={"type": "boolean"},
    )


def test_a_bare_decorator_leaves_marks_unsaid_and_the_function_callable() -> None:
    @tool
    def double(number: int) -> int:
        return number * 2

    assert double(4) == 8
    assert double.definition == ToolDefinition(
        name="double",
        input_schema={
            "type": "object",
            "additionalProperties": False,
            "properties": {"number": {"type": "integer"}},
            "required": ["number"],
        },
        output_schema={"type": "integer"},
    )


def test_a_description_in_the_annotation_wins_over_the_docstring() -> None:
    @tool
    def greet(name: Annotated[str, Field(description="From the annotation.")]) -> None:
        """Greet.

        Args:
            name: From the docstring.
        """

    assert greet.definition.input_schema["properties"] == {
        "name": {"type": "string", "description": "From the annotation."}
    }


async def test_parameters_may_be_called_like_attributes_of_a_model() -> None:
    @tool
    def awkward(model_config: int, json: int, copy: int = 3, _private: int = 4) -> list[int]:
        return [model_config, json, copy, _private]

    assert (await awkward.run({"model_config": 1, "json": 2})).value == [1, 2, 3, 4]


async def test_arguments_arrive_as_what_the_function_declares() -> None:
    seen: list[object] = []

    @tool
    def take(box: Box, colour: Colour, day: date, pair: tuple[int, str], rest: list[Box] | None = None) -> None:
        seen.extend([box, colour, day, pair, rest])

    await take.run({"box": {"width": 2}, "colour": "blue", "day": "2026-12-01", "pair": [1, "a"]})

    assert seen == [Box(width=2), Colour.BLUE, date(2026, 12, 1), (1, "a"), None]


async def test_json_itself_is_a_type() -> None:
    @tool
    def pick(value: JSONValue, fallback: Optional[JSONObject] = None) -> JSONValue:  # noqa: UP045 - a string, so far
        return value or fallback

    assert pick.definition.input_schema["properties"] == {
        "value": {},
        "fallback": {"anyOf": [{"type": "object", "additionalProperties": True}, {"type": "null"}], "default": None},
    }
    assert (await pick.run({"value": [1, {"a": None}]})).value == [1, {"a": None}]


async def test_results_leave_as_json() -> None:
    @tool
    def area() -> Area:
        return Area(size=3, on=date(2026, 12, 1))

    assert await area.run({}) == ToolResult(value={"size": 3, "on": "2026-12-01"})


async def test_a_result_that_is_not_what_was_declared_is_an_error() -> None:
    @tool
    def count() -> int:
        return "three"  # type: ignore[return-value]

    with pytest.raises(ToolError, match=r"Tool 'count' returned 'three', which is not what it declares"):
        await count.run({})


async def test_a_result_of_no_declared_type_must_still_be_json() -> None:
    @tool
    def anything(wanted: bool):  # type: ignore[no-untyped-def]
        return {"when": date(2026, 12, 1)} if wanted else object()

    assert anything.definition.output_schema is None
    assert (await anything.run({"wanted": True})).value == {"when": "2026-12-01"}
    with pytest.raises(ToolError, match="'anything' returned <object object"):
        await anything.run({"wanted": False})


async def test_a_whole_result_passes_as_it_is() -> None:
    picture = ToolResult(value={"$attachment": 0}, attachments=(Attachment(kind="image", mime="image/png", data=b"x"),))

    @tool
    def draw() -> ToolResult:
        return picture

    assert draw.definition.output_schema is None
    assert await draw.run({}) is picture


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Tool 'add': parameter 'first' is missing. parameter 'second' is missing."),
        ({"first": 1, "secnd": 2, "second": 2}, "Tool 'add': there is no parameter 'secnd'. Did you mean 'second'?"),
        ({"first": 1, "second": 2, "x": 2}, "Tool 'add': there is no parameter 'x'. Its parameters: first, second."),
        (
            {"first": "one", "second": 2},
            (
                "Tool 'add': parameter 'first': Input should be a valid integer, "
                "unable to parse string as an integer (got 'one')."
            ),
        ),
        (
            {"first": 1, "second": {"a": 1}},
            "Tool 'add': parameter 'second': Input should be a valid integer (got {'a': 1}).",
        ),
    ],
)
async def test_wrong_arguments_are_an_error_naming_the_parameter(arguments: dict[str, JSONValue], message: str) -> None:
    @tool
    def add(first: int, second: int) -> int:
        return first + second

    with pytest.raises(ToolError) as caught:
        await add.run(arguments)

    assert caught.value.message == message


async def test_a_problem_inside_an_argument_says_where() -> None:
    @tool
    def stack(boxes: list[Box]) -> int:
        return len(boxes)

    with pytest.raises(ToolError, match=r"parameter 'boxes'\[1\]\['width'\]: Input should be a valid integer"):
        await stack.run({"boxes": [{"width": 1}, {"width": "wide"}]})


class Opaque:
    pass


def test_what_cannot_be_described_is_refused_at_decoration() -> None:
    def opaque(thing: Opaque) -> None: ...
    def calls(back: Callable[[int], int]) -> None: ...
    def optional(back: Callable[[int], int] | int) -> None: ...
    def untyped(a: int, b) -> None: ...  # type: ignore[no-untyped-def]
    def many(*numbers: int) -> None: ...
    def named(**numbers: int) -> None: ...
    def positional(a: int, /) -> None: ...
    def unknown(a: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821
    def misfit(a: Annotated[str, Field(pattern="(")]) -> None: ...
    def default(a: Any = object()) -> None: ...  # noqa: B008
    def result() -> Opaque: ...  # type: ignore[empty-body]

    functions = [opaque, calls, optional, untyped, many, named, positional, unknown, misfit, default]
    parameters = ["thing", "back", "back", "b", "numbers", "numbers", "a", "a", "a", "a"]
    for function, parameter in zip(functions, parameters, strict=True):
        with pytest.raises(ToolDefinitionError, match=f"Parameter '{parameter}' of tool '{function.__name__}'"):
            tool(function)
    with pytest.raises(ToolDefinitionError, match="The result of tool 'result'"):
        tool(result)


def test_contradictions_are_refused_at_decoration() -> None:
    def plain() -> None: ...

    def documented(start: int) -> None:
        """Begin.

        Args:
            strat: When.
        """

    with pytest.raises(ToolDefinitionError, match="'plain' cannot be both read_only and destructive"):
        tool(read_only=True, destructive=True)(plain)
    with pytest.raises(ToolDefinitionError, match="'two words' cannot be a tool's name"):
        tool(name="two words")(plain)
    with pytest.raises(ToolDefinitionError, match=r"no such parameter: 'strat'\. Did you mean 'start'\?"):
        tool(documented)


async def test_a_plain_function_does_not_hold_up_the_event_loop() -> None:
    release = threading.Event()

    @tool
    def wait() -> bool:
        return release.wait(5)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(wait.run, {})
            await anyio.lowlevel.checkpoint()
            release.set()


async def test_cancelling_a_plain_function_returns_at_once_and_lets_it_end() -> None:
    started, release, ended = threading.Event(), threading.Event(), threading.Event()

    @tool
    def wait() -> None:
        started.set()
        release.wait(5)
        ended.set()

    with anyio.fail_after(5):
        task = asyncio.create_task(wait.run({}))
        await asyncio.to_thread(started.wait, 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not ended.is_set()
        release.set()
        assert await asyncio.to_thread(ended.wait, 5)


@pytest.mark.parametrize("error", [asyncio.CancelledError, KeyboardInterrupt, GeneratorExit])
async def test_what_an_async_function_raises_of_itself_is_its_failure(error: type[BaseException]) -> None:
    @tool
    async def fail() -> None:
        raise error

    with pytest.raises(ToolError, match=f"Tool 'fail' failed: {error.__name__}"):
        await fail.run({})


async def test_cancelling_stops_an_async_function() -> None:
    started, stopped = asyncio.Event(), asyncio.Event()

    @tool
    async def wait() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    with anyio.fail_after(5):
        task = asyncio.create_task(wait.run({}))
        await started.wait()
        task.cancel()
        await stopped.wait()


@pytest.mark.parametrize("failure", [ValueError("no"), SystemExit(3), StopIteration(), KeyError("k")], ids=repr)
async def test_whatever_a_function_raises_is_a_tool_error(failure: BaseException) -> None:
    @tool
    def plain() -> None:
        raise failure

    @tool
    async def on_the_loop() -> None:
        raise failure

    for each in (plain, on_the_loop):
        with anyio.fail_after(5), pytest.raises(ToolError) as caught:
            await each.run({})
        assert caught.value.message.startswith(f"Tool {each.definition.name!r} failed: ")


async def test_a_tool_error_keeps_its_words() -> None:
    @tool
    def refuse() -> None:
        raise ToolError("Not today.")

    with pytest.raises(ToolError, match=r"^Not today\.$"):
        await refuse.run({})


async def test_progress_is_passed_and_is_no_argument() -> None:
    heard: list[tuple[str, float | None]] = []

    @tool
    async def work(steps: int, progress: Progress) -> int:
        """Work.

        Args:
            steps: How many.
            progress: Told of each.
        """
        for step in range(steps):
            await progress(f"step {step}", step / steps)
        return steps

    async def listen(text: str, fraction: float | None) -> None:
        heard.append((text, fraction))

    assert list(work.definition.input_schema["properties"]) == ["steps"]  # type: ignore[arg-type]
    assert (await work.run({"steps": 2}, progress=listen)).value == 2
    assert heard == [("step 0", 0.0), ("step 1", 0.5)]
    assert (await work.run({"steps": 1})).value == 1


def test_a_plain_function_cannot_take_progress() -> None:
    def work(progress: Progress) -> None: ...

    with pytest.raises(ToolDefinitionError, match="'progress' of tool 'work' is a Progress, which is awaited"):
        tool(work)


async def test_methods_are_tools_of_their_instance() -> None:
    class Counter:
        def __init__(self, start: int) -> None:
            self.value = start

        @tool
        def add(self, number: int) -> int:
            self.value += number
            return self.value

        @tool(name="show-it", read_only=True)
        async def show(self) -> int:
            return self.value

    counter = Counter(40)
    tools = bound_tools(counter)

    assert [each.definition.name for each in tools] == ["add", "show-it"]
    assert (await tools[0].run({"number": 2})).value == 42
    assert (await tools[1].run({})).value == 42
    assert counter.add(1) == 43


_TYPES: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(-(2**60), 2**60),
    str: st.text(),
    bool: st.booleans(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    list[int]: st.lists(st.integers(-1000, 1000)),
    dict[str, bool]: st.dictionaries(st.text(), st.booleans()),
    int | None: st.none() | st.integers(-1000, 1000),
}


@given(st.data())
def test_values_that_fit_the_types_arrive_and_return_unchanged(data: st.DataObject) -> None:
    types = data.draw(st.lists(st.sampled_from(list(_TYPES)), min_size=1, max_size=4))
    values = [data.draw(_TYPES[each]) for each in types]
    names = [f"p{number}" for number in range(len(types))]
    namespace: dict[str, Any] = {f"t{number}": each for number, each in enumerate(types)}
    parameters = ", ".join(f"p{number}: t{number}" for number in range(len(types)))
    result_type = ", ".join(f"t{number}" for number in range(len(types)))
    exec(f"def echo({parameters}) -> tuple[{result_type}]: return ({', '.join(names)},)", namespace)
    made = tool(namespace["echo"])

    schema = made.definition.input_schema
    result = anyio.run(made.run, dict(zip(names, values, strict=True)))

    assert list(schema["properties"]) == schema["required"] == names  # type: ignore[arg-type]
    assert result.value == values
