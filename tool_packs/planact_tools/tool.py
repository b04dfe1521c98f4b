"""The `@tool` decorator: a Python function as a tool."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, cast, overload

from planact_tools.signature import Signature, ToolDefinitionError
from planact_tools.threads import in_thread
from planact_tools.toolset import JSONValue, Progress, ToolDefinition, ToolError, ToolResult, message_of

logger = logging.getLogger(__name__)

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
S = TypeVar("S")

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")  # what MCP allows


class Tool(Generic[P, R]):
    """A function with its definition. Calling it calls the function; `run` calls it as a tool.

    In a class it behaves as a method: taken from an instance, it is a tool of that instance.
    """

    def __init__(self, function: Callable[P, R], *, definition: ToolDefinition, signature: Signature) -> None:
        self.definition = definition
        self._function = function
        self._signature = signature
        functools.update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._function(*args, **kwargs)

    @overload
    def __get__(self, instance: None, owner: type[object]) -> Tool[P, R]: ...

    @overload
    def __get__(self: Tool[Concatenate[S, Q], R], instance: S, owner: type[object]) -> Tool[Q, R]: ...

    def __get__(self, instance: object | None, owner: type[object]) -> Tool[Any, Any]:
        if instance is None:
            return self
        method = self._function.__get__(instance, owner)
        return Tool(method, definition=self.definition, signature=self._signature)

    def __repr__(self) -> str:
        return f"<tool {self.definition.name!r}>"

    @property
    def needs_instance(self) -> bool:
        """Whether this is a method that has not been taken from an instance, so that it cannot run."""
        return self._signature.takes_self and not inspect.ismethod(self._function)

    async def run(self, arguments: Mapping[str, JSONValue], *, progress: Progress | None = None) -> ToolResult:
        """Check JSON arguments, call the function, return its result as JSON. Raises ToolError.

        A plain function runs in a thread of its own, so it never holds up the event loop.
        """
        if inspect.iscoroutinefunction(self._function):
            return await self._run_on_the_loop(arguments, progress)
        return await in_thread(lambda: self._run_here(arguments), name=f"tool {self.definition.name}")

    async def _run_on_the_loop(self, arguments: Mapping[str, JSONValue], progress: Progress | None) -> ToolResult:
        function = cast(Callable[..., Awaitable[object]], self._function)
        try:
            keywords = self._signature.bind(self.definition.name, arguments)
            if self._signature.progress_parameter is not None:
                keywords[self._signature.progress_parameter] = progress or _nobody_listens
            return self._signature.convert(self.definition.name, await function(**keywords))
        except ToolError:
            raise
        except BaseException as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise
            # One that nobody asked for, as of a task that the tool waited for, would leave its caller waiting.
            logger.exception("tool %r failed", self.definition.name)
            raise self._failure(error) from error

    def _run_here(self, arguments: Mapping[str, JSONValue]) -> ToolResult:
        function = cast(Callable[..., object], self._function)
        try:
            keywords = self._signature.bind(self.definition.name, arguments)
            return self._signature.convert(self.definition.name, function(**keywords))
        except ToolError:
            raise
        except BaseException as error:  # SystemExit and StopIteration, too, must not get into the event loop
            logger.exception("tool %r failed", self.definition.name)
            raise self._failure(error) from error

    def _failure(self, error: BaseException) -> ToolError:
        text = message_of(error)
        reason = f"{type(error).__name__}: {text}" if text else type(error).__name__
        return ToolError(f"Tool {self.definition.name!r} failed: {reason}")


@overload
def tool(function: Callable[P, R], /) -> Tool[P, R]: ...


@overload
def tool(
    *,
    name: str | None = None,
    title: str | None = None,
    read_only: bool | None = None,
    destructive: bool | None = None,
    idempotent: bool | None = None,
    open_world: bool | None = None,
) -> Callable[[Callable[P, R]], Tool[P, R]]: ...


def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    title: str | None = None,
    read_only: bool | None = None,
    destructive: bool | None = None,
    idempotent: bool | None = None,
    open_world: bool | None = None,
) -> Tool[..., Any] | Callable[[Callable[..., Any]], Tool[..., Any]]:
    """Make a function a tool: `@tool`, or `@tool(read_only=True)` where it changes nothing.

    The name is the function's; types become JSON Schema; the docstring (Google style) describes the tool and,
    under `Args:`, its parameters. A parameter annotated `Progress` receives the caller's progress receiver.
    Raises ToolDefinitionError where the function cannot be described.
    """

    def decorate(function: Callable[..., Any]) -> Tool[..., Any]:
        signature = Signature.read(function)
        definition = ToolDefinition(
            name=_checked_name(name if name is not None else function.__name__),
            description=signature.description,
            input_schema=signature.input_schema,
            output_schema=signature.output_schema,
            title=title,
            read_only=read_only,
            destructive=destructive,
            idempotent=idempotent,
            open_world=open_world,
        )
        if read_only and destructive:
            raise ToolDefinitionError(f"Tool {definition.name!r} cannot be both read_only and destructive.")
        return Tool(function, definition=definition, signature=signature)

    return decorate if function is None else decorate(function)


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ToolDefinitionError(
            f"{name!r} cannot be a tool's name: 1 to 128 letters, digits, dots, dashes and underscores. Give `name=`."
        )
    return name


async def _nobody_listens(_: str, __: float | None) -> None:
    """Stand in for a caller that does not want to hear of progress."""
