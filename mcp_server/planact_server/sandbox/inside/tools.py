"""Tools, server namespaces and helpers: the functions of a plan that reach its host.

Helpers ask with these arguments: search_tools {"words", "limit"}, describe {"name"}, progress {"text", "fraction"},
read_resource {"uri", "server"}, text {"id", "start", "stop"} (characters of a LargeText), expand {"name", "arguments",
"depth"}, which is answered with {"source", "line"}. `ask_model` is a call, without a server.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, cast

from planact_server.sandbox.inside import sealed
from planact_server.sandbox.inside.arguments import to_json
from planact_server.sandbox.inside.attributes import LONGEST_NAME
from planact_server.sandbox.inside.bindings import current_frame
from planact_server.sandbox.inside.sealed import Sealed
from planact_server.sandbox.inside.trampoline import Future, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType

    from planact_server.sandbox.inside.channel import Channel
    from planact_server.sandbox.inside.observe import Observer, Place
    from planact_server.sandbox.inside.trampoline import Loop


class Link:
    """What every tool of a session needs to make a call."""

    def __init__(self, channel: Channel, observer: Observer, loop: Loop) -> None:
        self.channel = channel
        self.observer = observer
        self.loop = loop

    def call(self, callee: object, function: str, request: dict[str, Any], frame: FrameType) -> PendingCall:
        place = self.observer.place(callee, frame)
        number, future = self.channel.call(function, {**request, "line": place.line})
        return sealed.make(PendingCall, self, number, future, place)


class PendingCall(Work, metaclass=Sealed):
    """A tool call that is under way. Awaiting it gives the tool's result."""

    def __init__(self, link: Link, number: int, answer: Future, place: Place) -> None:
        super().__init__()
        self._link = link
        self._number = number
        self._answer = answer
        self._place = place
        answer.when_done(self._answered)

    def _answered(self) -> None:
        try:
            value = self._answer.result()
        except Exception as error:  # noqa: BLE001 - it belongs to whoever awaits this call
            self.set_exception(error)
        else:
            if not self.done():
                self._link.observer.succeeded(self._number, self._place)
            self.set_result(value)

    def value_now(self) -> Any:
        """Wait for the result without letting other tasks run."""
        self._link.channel.wait(self._answer)
        return self.result()

    def cancel(self, msg: object = None) -> bool:
        if not super().cancel(msg):
            return False
        self._link.channel.leave(self._number)
        return True

    def __repr__(self) -> str:
        return "<tool call under way: await it>"


class Tool(metaclass=Sealed):
    """A tool of a connected server, as a function."""

    __slots__ = ("__name__", "_link", "_parameters", "_server", "_tool")

    def __init__(self, link: Link, server: str, tool: str, parameters: Iterable[str]) -> None:
        self._link = link
        self._server = server
        self._tool = tool
        self._parameters = tuple(parameters)
        self.__name__ = tool

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return self._start(args, kwargs, current_frame(1)).value_now()

    def later(self, /, *args: Any, **kwargs: Any) -> PendingCall:
        """Start the call without waiting for it."""
        return self._start(args, kwargs, current_frame(1))

    def full_name(self) -> str:
        return f"{self._server}.{self._tool}"

    def is_same(self, other: object) -> bool:
        """The same tool may be held by more than one object: `git.git_status` and plain `git_status`."""
        return isinstance(other, Tool) and other.full_name() == self.full_name()

    def __repr__(self) -> str:
        return f"<tool {self.full_name()}({', '.join(self._parameters)})>"

    def _start(self, args: tuple[Any, ...], kwargs: dict[str, Any], frame: FrameType) -> PendingCall:
        known = self._parameters
        positional = [
            self._to_json(value, known[index] if index < len(known) else f"argument {index + 1}")
            for index, value in enumerate(args)
        ]
        request: dict[str, Any] = {
            "server": self._server,
            "tool": self._tool,
            "raw": False,
            "positional": positional,
            "keywords": {name: self._to_json(value, name) for name, value in kwargs.items()},
        }
        return self._link.call(self, self._tool, request, frame)

    def _to_json(self, value: Any, parameter: str) -> Any:
        try:
            return to_json(value, parameter)
        except (TypeError, ValueError) as error:
            self._link.channel.blame(error, function=self._tool, parameter=parameter)
            raise


class Server(metaclass=Sealed):
    """A server's namespace: its tools are attributes, looked up when used."""

    __slots__ = ("__name__", "_link", "_server", "_tools")

    # No public method: it would hide a tool of that name.

    def __init__(self, link: Link, server: str, name: str, known: dict[str, Tool]) -> None:
        self._link = link
        self._server = server
        self._tools = known
        self.__name__ = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or len(name) > LONGEST_NAME:
            raise AttributeError(f"server {self.__name__!r} has no tool {name:.50}")
        if name not in self._tools:
            full_name = f"{self.__name__}.{name}"
            resolution = self._link.channel.resolve([full_name]).get(full_name, {})
            if resolution.get("kind") != "tool":
                hint = resolution.get("hint", "")
                message = f"Server {self.__name__!r} has no tool {name!r}. {hint}".rstrip()
                raise AttributeError(message, name=name)
            self._tools[name] = make_tool(self._link, resolution)
        return self._tools[name]

    def __repr__(self) -> str:
        return f"<server {self.__name__}: search_tools('...') lists its tools>"


def make_tool(link: Link, resolution: dict[str, Any]) -> Tool:
    return sealed.make(Tool, link, resolution["server"], resolution["tool"], resolution["parameters"])


def make_server(link: Link, name: str, shown_as: str, known: dict[str, Tool]) -> Server:
    return sealed.make(Server, link, name, shown_as, known)


class CallTool(metaclass=Sealed):
    """`call_tool("raw-name", {...}, server="x")`: a tool by its raw name."""

    __slots__ = ("__name__", "_link")

    def __init__(self, link: Link) -> None:
        self._link = link
        self.__name__ = "call_tool"

    def __call__(self, name: str, arguments: Any = None, server: str | None = None) -> Any:
        return self._start(name, arguments, server, current_frame(1)).value_now()

    __call__.__qualname__ = "call_tool"

    def later(self, name: str, arguments: Any = None, server: str | None = None) -> PendingCall:
        return self._start(name, arguments, server, current_frame(1))

    def __repr__(self) -> str:
        return "<helper call_tool(name, arguments, server=None)>"

    def _start(self, name: Any, arguments: Any, server: Any, frame: FrameType) -> PendingCall:
        if isinstance(name, Tool):
            server, _, name = name.full_name().partition(".")
        if not isinstance(name, str):
            raise TypeError(f"call_tool() takes the tool's name as text, not {type(name).__name__}.")
        if not isinstance(server, str | None):
            raise TypeError(f"call_tool() takes the server's name as text, not {type(server).__name__}.")
        if max(len(name), len(server or "")) > LONGEST_NAME:
            raise ValueError(f"call_tool() takes names of at most {LONGEST_NAME} characters.")
        keywords = to_json({} if arguments is None else arguments, "arguments")
        if not isinstance(arguments, dict | None):
            raise TypeError(f"call_tool() takes the arguments as a dict, not {type(arguments).__name__}.")
        request: dict[str, Any] = {"server": server, "tool": name, "raw": True, "positional": [], "keywords": keywords}
        return self._link.call(self, name, request, frame)


class AskModel(metaclass=Sealed):
    """`ask_model("instruction", data, schema)`: the planner's model, called like a tool."""

    __slots__ = ("__name__", "_link")

    def __init__(self, link: Link) -> None:
        self._link = link
        self.__name__ = "ask_model"

    def __call__(self, instruction: str, data: Any = None, schema: Any = None) -> Any:
        return self._start(instruction, data, schema, current_frame(1)).value_now()

    __call__.__qualname__ = "ask_model"

    def later(self, instruction: str, data: Any = None, schema: Any = None) -> PendingCall:
        return self._start(instruction, data, schema, current_frame(1))

    def __repr__(self) -> str:
        return "<helper ask_model(instruction, data=None, schema=None)>"

    def _start(self, instruction: Any, data: Any, schema: Any, frame: FrameType) -> PendingCall:
        if not isinstance(instruction, str):
            raise TypeError(f"ask_model() takes the instruction as text, not {type(instruction).__name__}.")
        given = {"instruction": instruction, "data": data, "schema": schema}
        keywords = {name: to_json(value, name) for name, value in given.items() if value is not None}
        request: dict[str, Any] = {
            "server": None,
            "tool": "ask_model",
            "raw": False,
            "positional": [],
            "keywords": keywords,
        }
        return self._link.call(self, "ask_model", request, frame)


class Placeholder(metaclass=Sealed):
    """A function that a plan calls and that is written only then."""

    __slots__ = ("__name__", "_write")

    def __init__(self, name: str, write: Callable[[tuple[Any, ...], dict[str, Any]], Callable[..., Any]]) -> None:
        self._write = write
        self.__name__ = name

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return self._write(args, kwargs)(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<function {self.__name__}, not written yet>"


def later(function: Any) -> Any:
    """The form of a function that starts without waiting, if it has one; the function itself otherwise."""
    if isinstance(function, Tool | CallTool | AskModel):
        return function.later
    return _later_partial(cast("Any", function)) if isinstance(function, functools.partial) else function


def _later_partial(function: functools.partial[Any]) -> functools.partial[Any]:
    if isinstance(function.func, Tool | CallTool | AskModel):
        return functools.partial(function.func.later, *function.args, **function.keywords)
    return function


def helpers(link: Link) -> dict[str, Any]:
    """The functions that every plan has beside Python's own."""
    ask = link.channel.ask

    def search_tools(words: str = "", limit: int = 10) -> Any:
        """Find tools by words; returns signatures, best first."""
        return ask("search_tools", {"words": str(words), "limit": int(limit)})

    def describe(name: Any) -> Any:
        """The full signature and documentation of a tool."""
        full_name = name.full_name() if isinstance(name, Tool) else name
        full_name = name.__name__ if isinstance(name, Server) else full_name
        return ask("describe", {"name": str(full_name)})

    def progress(text: str = "", fraction: float | None = None) -> None:
        """Tell the person who waits how far the plan is."""
        ask("progress", {"text": str(text), "fraction": None if fraction is None else float(fraction)})

    def read_resource(uri: str, server: str | None = None) -> Any:
        """Read a resource of a connected server."""
        return ask("read_resource", {"uri": str(uri), "server": None if server is None else str(server)})

    def parallel(*work: Any) -> list[Any]:
        """Run functions at the same time and return their results in order: `parallel(lambda: f(1), lambda: g(2))`."""
        return link.loop.run(_all_of(link.loop, work))

    return {
        "search_tools": search_tools,
        "describe": describe,
        "progress": progress,
        "read_resource": read_resource,
        "ask_model": sealed.make(AskModel, link),
        "parallel": parallel,
        "call_tool": sealed.make(CallTool, link),
    }


async def _all_of(loop: Loop, work: tuple[Any, ...]) -> list[Any]:
    thunks: Iterable[Any] = work
    if len(work) == 1 and not callable(work[0]) and not isinstance(work[0], Future):
        thunks = work[0]
    started = [loop.start(_started(thunk)) for thunk in thunks]
    return [await future for future in started]


def _started(thunk: Any) -> Any:
    function: Callable[[], Any] | None = later(thunk) if callable(thunk) else None
    return thunk if function is None else function()
