"""Between MCP's objects and ours, without trust in either shape: nothing a server sends raises but what says so.

Pure: dictionaries in, values out.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, cast

from planact_tools import (
    Attachment,
    JSONObject,
    JSONValue,
    ToolDefinition,
    ToolResult,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_PARSED_CHARACTERS = 8 * 1024 * 1024
"""Longer text is not parsed: it stays text, which a plan can read piece by piece."""

MOST_ICONS = 4
ICON_CHARS = 16_000
"""Of one tool: every start reads them."""

_HINTS = ("readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint")


class MalformedTool(Exception):
    """This entry is no tool that could be called; the message says why."""


class ToolSaidNo(Exception):
    """The result is an error; the message is the server's text."""


def read_tool(entry: JSONValue) -> ToolDefinition:
    """Return the definition, with the defects that were passed over. Raises MalformedTool."""
    if not isinstance(entry, dict):
        raise MalformedTool(f"it is no object: {entry!r:.80}")
    name = entry.get("name")
    if not isinstance(name, str) or not name.strip():
        raise MalformedTool(f"its name is {name!r:.80}")
    execution = entry.get("execution")
    if isinstance(execution, dict) and execution.get("taskSupport") == "required":
        raise MalformedTool("it can only be started as a background task of MCP 2025-11-25, which Planact does not do")
    problems: list[str] = []
    annotations = _annotations(entry.get("annotations"), problems)
    marks = {hint: _mark(annotations, hint, problems) for hint in _HINTS}
    return ToolDefinition(
        name=name,
        description=_text(entry, "description", problems) or "",
        input_schema=_input_schema(entry, problems),
        output_schema=_output_schema(entry.get("outputSchema"), problems),
        title=_text(entry, "title", problems) or _text(annotations, "title", problems),
        read_only=marks["readOnlyHint"],
        destructive=marks["destructiveHint"],
        idempotent=marks["idempotentHint"],
        open_world=marks["openWorldHint"],
        icons=_icons(entry.get("icons")),
        defects=problems,
    )


def _icons(icons: JSONValue) -> list[JSONObject]:
    """Return the icons that can be kept: a picture in the text itself may be of any size."""
    given = [icon for icon in icons if isinstance(icon, dict)] if isinstance(icons, list) else []
    kept = [icon for icon in given if isinstance(icon.get("src"), str) and len(json.dumps(icon)) <= ICON_CHARS]
    return kept[:MOST_ICONS]


def read_result(
    result: JSONObject, *, output_schema: Mapping[str, JSONValue] | None = None, raw: bool = False
) -> ToolResult:
    """Return a tool's result as a plain value. Raises ToolSaidNo where the server marked it as an error.

    `raw` leaves text as it came. Pictures and the like beside structured content are put under its key `content`, if
    it is an object that has none.
    """
    attachments: list[Attachment] = []
    blocks = _blocks(result.get("content"))
    if _is_yes(result.get("isError")):
        raise ToolSaidNo(_error_text(blocks, result.get("structuredContent")))
    parts = [_part(block, attachments) for block in blocks]
    structured = result.get("structuredContent")
    if structured is not None:
        value = _unwrapped(_pointing(structured, blocks, parts) if attachments else structured, output_schema)
        if attachments and isinstance(value, dict) and "content" not in value:
            beside: list[JSONValue] = [
                part for part, block in zip(parts, blocks, strict=True) if _is_beside(part, block, structured)
            ]
            if beside:
                value = cast("JSONObject", {**value, "content": beside})
    else:
        value = _value(parts, raw=raw)
        if output_schema is not None and not raw:
            value = _unwrapped(value, output_schema)
    return ToolResult(value=value, attachments=tuple(attachments))


def read_contents(result: JSONObject) -> ToolResult:
    """Return what `resources/read` gave: a text, an attachment, or a list where there were several."""
    attachments: list[Attachment] = []
    contents = result.get("contents")
    parts = [
        _resource_value(item, attachments)
        for item in (contents if isinstance(contents, list) else [])
        if isinstance(item, dict)
    ]
    return ToolResult(value=parts[0] if len(parts) == 1 else parts or None, attachments=tuple(attachments))


def wraps_result(output_schema: Mapping[str, JSONValue] | None) -> bool:
    """Say whether a tool with this schema wraps its value as `{"result": value}`, as frameworks do for scalars."""
    properties = output_schema.get("properties") if output_schema is not None else None
    return isinstance(properties, dict) and set(properties) == {"result"}


# Definitions.


def _input_schema(entry: JSONObject, problems: list[str]) -> JSONObject:
    schema = entry.get("inputSchema")
    if not isinstance(schema, dict):
        if schema is None:
            problems.append("it has no input schema; any argument is passed on")
        elif schema is not True:
            problems.append(f"its input schema is {schema!r:.40}, no object; any argument is passed on")
        return {"type": "object"}
    fixed = dict(schema)
    if fixed.get("type") != "object":
        # Arguments are always an object; a schema that forgot to say so means it too.
        fixed["type"] = "object"
    _fix_properties(fixed, problems)
    _fix_required(fixed, problems)
    return fixed


def _fix_properties(schema: JSONObject, problems: list[str]) -> None:
    properties = schema.get("properties")
    if isinstance(properties, dict):
        wrong = sorted(name for name, value in properties.items() if not isinstance(value, dict))
        if wrong:
            schema["properties"] = {
                name: value if isinstance(value, dict) else {}
                for name, value in properties.items()
                if value is not False
            }
            # `true` is valid JSON Schema for "anything"; the rest is not schema at all.
            if odd := [name for name in wrong if not isinstance(properties[name], bool)]:
                problems.append(f"no schema for {', '.join(map(repr, odd))}; any value is passed on")
    elif "properties" in schema:
        del schema["properties"]
        problems.append("'properties' is no object and was ignored")


def _fix_required(schema: JSONObject, problems: list[str]) -> None:
    required = schema.get("required")
    if required is None:
        schema.pop("required", None)
    elif not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        del schema["required"]
        problems.append("'required' is no list of names and was ignored")


def _output_schema(schema: JSONValue, problems: list[str]) -> JSONObject | None:
    if isinstance(schema, dict):
        return schema or None
    if schema is not None:
        problems.append("'outputSchema' is no object and was ignored")
    return None


def _annotations(value: JSONValue, problems: list[str]) -> JSONObject:
    if isinstance(value, dict):
        return value
    if value is not None:
        problems.append("'annotations' is no object and was ignored")
    return {}


def _mark(annotations: JSONObject, hint: str, problems: list[str]) -> bool | None:
    # Never guessed: "yes" is not true, and what is not marked as a read is a write.
    value = annotations.get(hint)
    if value is None or isinstance(value, bool):
        return value
    problems.append(f"{hint} is {value!r:.40}, neither true nor false, and was ignored")
    return None


def _text(entry: JSONObject, key: str, problems: list[str]) -> str | None:
    value = entry.get(key)
    if value is None or isinstance(value, str):
        return value
    problems.append(f"{key!r} is no text and was ignored")
    return None


# Results.


def _blocks(content: JSONValue) -> list[JSONValue]:
    if content is None:
        return []
    return content if isinstance(content, list) else [content]


def _is_yes(flag: JSONValue) -> bool:
    # What is not plainly a no may be a failure, and a failure taken for success goes on.
    return bool(flag) and str(flag).lower() not in ("false", "no", "0")


def _error_text(blocks: list[JSONValue], structured: JSONValue) -> str:
    texts = [text for block in blocks if (text := _block_text(block)) is not None]
    if texts:
        return "\n".join(texts)
    said = structured if structured is not None else blocks
    return json.dumps(said, ensure_ascii=False) if said else "The tool reported an error without saying which."


def _block_text(block: JSONValue) -> str | None:
    if isinstance(block, str):
        return block
    if isinstance(block, dict) and block.get("type", "text") == "text":
        text = block.get("text")
        return text if isinstance(text, str) else None
    return None


def _part(block: JSONValue, attachments: list[Attachment]) -> JSONValue:
    text = _block_text(block)
    if text is not None or not isinstance(block, dict):
        return text if text is not None else block
    kind, resource = block.get("type"), block.get("resource")
    if kind in ("image", "audio"):
        return _attached(block, "data", str(kind), attachments) or block
    if kind == "resource" and isinstance(resource, dict):
        handle = _attached(resource, "blob", "blob", attachments)
        return resource if handle is None else {**resource, "blob": handle}
    return block


def _attached(block: JSONObject, key: str, kind: str, attachments: list[Attachment]) -> JSONObject | None:
    """Keep the bytes of a block and return what stands for them, or None where they cannot be read."""
    encoded, mime = block.get(key), block.get("mimeType")
    if not isinstance(encoded, str):
        return None
    try:
        # Some servers send a whole data URL; base64 itself has no comma.
        data = base64.b64decode(encoded.rpartition(",")[2])
    except (binascii.Error, ValueError):
        return None
    if encoded and not data:
        return None
    mime = mime if isinstance(mime, str) else "application/octet-stream"
    family = mime.partition("/")[0] if kind == "blob" else kind
    attachments.append(
        Attachment(
            kind="image" if family == "image" else "audio" if family == "audio" else "blob", mime=mime, data=data
        )
    )
    return {"$attachment": len(attachments) - 1}


def _pointing(value: JSONValue, blocks: list[JSONValue], parts: list[JSONValue]) -> JSONValue:
    """Return structured content in which the blocks of the content that it repeats stand as what became of them."""
    if isinstance(value, list):
        return [_pointing(item, blocks, parts) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("type") in ("image", "audio", "resource") and value in blocks:
        return parts[blocks.index(value)]
    return {key: _pointing(item, blocks, parts) for key, item in value.items()}


def _is_beside(part: JSONValue, block: JSONValue, structured: JSONValue) -> bool:
    """Say whether a block became an attachment, and stands nowhere in the structured content."""
    return part is not block and isinstance(part, dict) and not _holds(structured, block)


def _holds(value: JSONValue, block: JSONValue) -> bool:
    if isinstance(value, dict) and value == block:
        return True
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(_holds(item, block) for item in inner)


def _resource_value(item: JSONObject, attachments: list[Attachment]) -> JSONValue:
    text = item.get("text")
    return text if isinstance(text, str) else _attached(item, "blob", "blob", attachments) or item


def _value(parts: list[JSONValue], *, raw: bool) -> JSONValue:
    """Return one value for all blocks: texts alone become one text, everything else is kept as a list.

    Older frameworks send a list as one block of JSON for each item; others send prose around their JSON.
    """
    if not parts:
        return None
    values = parts if raw else [_parsed(part) if isinstance(part, str) else part for part in parts]
    if len(values) == 1:
        return values[0]
    texts = [value for value in values if isinstance(value, str)]
    return "\n".join(texts) if len(texts) == len(values) else values


def _parsed(text: str) -> JSONValue:
    """Return the JSON object or list that the text is, else the text."""
    if len(text) > MAX_PARSED_CHARACTERS or text.lstrip()[:1] not in ("{", "["):
        return text
    try:
        return cast("JSONValue", json.loads(text, parse_constant=_reject))
    except (ValueError, RecursionError):
        return text


def _reject(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _unwrapped(value: JSONValue, output_schema: Mapping[str, JSONValue] | None) -> JSONValue:
    if isinstance(value, dict) and set(value) == {"result"} and (output_schema is None or wraps_result(output_schema)):
        return value["result"]
    return value
