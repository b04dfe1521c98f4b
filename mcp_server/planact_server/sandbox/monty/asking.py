"""What a plan asks of its host: which arguments a helper takes, and how large an answer may be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from planact_server.sandbox import PlanFault, ToolRequest
from planact_server.sandbox.monty.values import argument

if TYPE_CHECKING:
    from planact_server.sandbox import PlanHost
    from planact_tools import JSONValue

_MAX_BYTES = 1024 * 1024
_TEXT_CHARACTERS = 64 * 1024 * 1024


def helper_question(helper: str, positional: tuple[Any, ...], keywords: dict[str, Any]) -> dict[str, JSONValue]:
    """Return the arguments that the host is asked with. Raises TypeError or ValueError."""
    match helper:
        case "search_tools":
            return _search_tools(*positional, **keywords)
        case "describe":
            return {"name": _text("describe", "name", *positional, **keywords)}
        case "progress":
            return _progress(*positional, **keywords)
        case "read_resource":
            return _read_resource(*positional, **keywords)
        case _:
            raise ValueError(f"There is no helper {helper!r}.")


def call_tool_request(
    helper: str, positional: tuple[Any, ...], keywords: dict[str, Any], *, max_bytes: int
) -> ToolRequest:
    """Return the call that `call_tool` or `ask_model` stands for, without number and line. Raises TypeError."""
    if helper == "ask_model":
        given = _ask_model(*positional, **keywords)
        facts = {name: argument(value, name, max_bytes=max_bytes) for name, value in given.items() if value is not None}
        return ToolRequest(call=0, server=None, tool="ask_model", raw=False, positional=[], keywords=facts, line=None)
    name, arguments, server = _call_tool(*positional, **keywords)
    sent = argument({} if arguments is None else arguments, "arguments", max_bytes=max_bytes)
    if not isinstance(sent, dict):
        raise TypeError(f"call_tool() takes the arguments as a dict, not {type(arguments).__name__}.")
    return ToolRequest(call=0, server=server, tool=name, raw=True, positional=[], keywords=sent, line=None)


def refuse_too_large(request: ToolRequest, value: JSONValue, *, max_bytes: int) -> None:
    """Raise PlanFault for an answer that is too large, RuntimeError for what is no JSON at all."""
    asked = request.tool if request.server is None else f"{request.server}.{request.tool}"
    try:
        size = len(json.dumps(value, ensure_ascii=False, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise RuntimeError(f"{asked} answered with what is no JSON") from error
    if size > max_bytes:
        raise PlanFault(
            f"The answer of {asked!r} is {size:,} bytes large; a plan can take {max_bytes:,} at once.",
            type="ToolError",
            hint="Ask for less: a filter, a range, a page, fewer fields.",
            function=asked,
            server=request.server,
            tool=request.tool,
        )


async def whole_texts(value: JSONValue, host: PlanHost) -> JSONValue:
    """Fetch texts that were too large to be sent at once: in a plan they are text like any other."""
    room = _TEXT_CHARACTERS

    async def fetched(value: JSONValue) -> JSONValue:
        nonlocal room
        match value:
            case {"$planact": "text", "id": str(id), "size": int(size)} if size <= room:
                room -= size
                return await _whole_text(id, size, host)
            case dict():
                return {key: await fetched(item) for key, item in value.items()}
            case list():
                return [await fetched(item) for item in value]
            case _:
                return value

    return await fetched(value)


async def _whole_text(id: str, size: int, host: PlanHost) -> str:
    pieces: list[str] = []
    start = 0
    while start < size:
        piece = await host.ask("text", {"id": id, "start": start, "stop": size})
        if not isinstance(piece, str) or not piece:
            break
        pieces.append(piece)
        start += len(piece)
    return "".join(pieces)


def _search_tools(words: object = "", limit: object = 10) -> dict[str, JSONValue]:
    if not isinstance(limit, int):
        raise TypeError(f"search_tools() takes the limit as a number, not {type(limit).__name__}.")
    return {"words": _text("search_tools", "words", words), "limit": limit}


def _progress(text: object = "", fraction: object = None) -> dict[str, JSONValue]:
    if not isinstance(fraction, int | float | None):
        raise TypeError(f"progress() takes the fraction as a number, not {type(fraction).__name__}.")
    return {"text": _text("progress", "text", text), "fraction": None if fraction is None else float(fraction)}


def _read_resource(uri: object, server: object = None) -> dict[str, JSONValue]:
    chosen = None if server is None else _text("read_resource", "server", server)
    return {"uri": _text("read_resource", "uri", uri), "server": chosen}


def _ask_model(instruction: object, data: object = None, schema: object = None) -> dict[str, object]:
    return {"instruction": _text("ask_model", "instruction", instruction), "data": data, "schema": schema}


def _call_tool(name: object, arguments: object = None, server: object = None) -> tuple[str, object, str | None]:
    called = _text("call_tool", "name", name)
    return called, arguments, None if server is None else _text("call_tool", "server", server)


def _text(helper: str, parameter: str, name: object) -> str:
    if isinstance(name, int | float):
        name = str(name)
    if not isinstance(name, str):
        raise TypeError(f"{helper}() takes {parameter!r} as text, not {type(name).__name__}.")
    if len(name) > _MAX_BYTES:
        raise ValueError(f"{helper}() was given {len(name):,} characters; {_MAX_BYTES:,} are allowed.")
    return name
