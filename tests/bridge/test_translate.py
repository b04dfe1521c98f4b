"""From MCP's objects to ours and nothing lost: pure, so the cases are listed."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planact_bridge import wraps_result
from planact_bridge.translate import MalformedTool, ToolSaidNo, read_contents, read_result, read_tool
from planact_tools import Attachment, ToolDefinition, ToolResult

PNG = base64.b64encode(b"png").decode()
WRAPPED = {"type": "object", "properties": {"result": {"type": "integer"}}}
OWN_RESULT = {"type": "object", "properties": {"result": {"type": "integer"}, "unit": {"type": "string"}}}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
KEYS = st.sampled_from(["type", "text", "data", "mimeType", "resource", "blob", "uri", "name"])
BLOCKS = st.lists(JSON | st.dictionaries(KEYS, JSON | st.sampled_from(["text", "image", "resource"])), max_size=4)


def text(*texts: str) -> dict:
    return {"content": [{"type": "text", "text": each} for each in texts]}


def test_a_whole_definition_is_kept() -> None:
    entry = {
        "name": "read-file",
        "title": "Read",
        "description": "Reads.",
        "inputSchema": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
        "outputSchema": {"type": "object"},
        "annotations": {"readOnlyHint": True, "destructiveHint": False, "idempotentHint": True, "openWorldHint": False},
    }
    assert read_tool(entry) == ToolDefinition(
        name="read-file",
        title="Read",
        description="Reads.",
        input_schema=entry["inputSchema"],
        output_schema={"type": "object"},
        read_only=True,
        destructive=False,
        idempotent=True,
        open_world=False,
    )


@pytest.mark.parametrize(
    ("result", "schema", "value"),
    [
        ({"structuredContent": {"a": 1}, **text("ignored")}, None, {"a": 1}),
        ({"structuredContent": {"result": 5}}, WRAPPED, 5),
        ({"structuredContent": {"result": 5}}, None, 5),
        ({"structuredContent": {"result": 5}}, OWN_RESULT, {"result": 5}),
        ({"structuredContent": {"result": 5, "unit": "m"}}, OWN_RESULT, {"result": 5, "unit": "m"}),
        ({"structuredContent": [1, 2]}, None, [1, 2]),
        (text('{"a": [1]}'), None, {"a": [1]}),
        (text(' [1, "b"]\n'), None, [1, "b"]),
        (text('{"result": 5}'), WRAPPED, 5),
        (text('{"result": 5}'), None, {"result": 5}),
        (text("42"), None, "42"),
        (text('"quoted"'), None, '"quoted"'),
        (text("[not json]"), None, "[not json]"),
        (text('{"a": NaN}'), None, '{"a": NaN}'),
        (text("[" * 100_000), None, "[" * 100_000),
        (text("one", "two"), None, "one\ntwo"),
        (text('{"a": 1}', '{"a": 2}'), None, [{"a": 1}, {"a": 2}]),
        (text("found:", '{"a": 1}', "and more"), None, ["found:", {"a": 1}, "and more"]),
        ({}, None, None),
        ({"content": []}, None, None),
        ({"content": "bare"}, None, "bare"),
        ({"content": ["bare"]}, None, "bare"),
        ({"content": [{"type": "resource_link", "uri": "file:///x", "name": "x"}]}, None,
         {"type": "resource_link", "uri": "file:///x", "name": "x"}),
        ({"content": [{"type": "resource", "resource": {"uri": "u:1", "text": "t"}}]}, None,
         {"uri": "u:1", "text": "t"}),
        ({"content": [{"type": "image", "data": "%", "mimeType": 5}, None]}, None,
         [{"type": "image", "data": "%", "mimeType": 5}, None]),
    ],
)  # fmt: skip
def test_a_result_becomes_one_plain_value(result: dict, schema: dict | None, value: object) -> None:
    assert read_result(result, output_schema=schema) == ToolResult(value=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("flag", ["true", 1, "yes", [0]])
def test_a_doubtful_error_mark_is_an_error(flag: object) -> None:
    with pytest.raises(ToolSaidNo, match="no"):
        read_result({**text("no"), "isError": flag})  # type: ignore[dict-item]


@pytest.mark.parametrize("flag", [None, 0, "", "false", "False"])
def test_a_strange_mark_of_success_is_one(flag: object) -> None:
    assert read_result({**text("yes"), "isError": flag}).value == "yes"  # type: ignore[dict-item]


def test_raw_leaves_text_alone() -> None:
    assert read_result(text("[1]"), raw=True).value == "[1]"
    assert read_result(text("[1]", "[2]"), raw=True).value == "[1]\n[2]"


def test_text_too_long_to_be_parsed_stays_text() -> None:
    long = json.dumps(["x" * 9_000_000])
    assert read_result(text(long)).value == long


def test_pictures_and_files_become_attachments_that_the_value_points_to() -> None:
    result = {
        "content": [
            {"type": "text", "text": "see"},
            {"type": "image", "data": PNG, "mimeType": "image/png"},
            {"type": "resource", "resource": {"uri": "u:1", "mimeType": "audio/wav", "blob": PNG}},
        ]
    }
    assert read_result(result) == ToolResult(
        value=["see", {"$attachment": 0}, {"uri": "u:1", "mimeType": "audio/wav", "blob": {"$attachment": 1}}],
        attachments=(
            Attachment(kind="image", mime="image/png", data=b"png"),
            Attachment(kind="audio", mime="audio/wav", data=b"png"),
        ),
    )


@pytest.mark.parametrize(
    ("structured", "value"),
    [
        ({"n": 1}, {"n": 1, "content": [{"$attachment": 0}]}),
        ({"result": {"n": 1}}, {"n": 1, "content": [{"$attachment": 0}]}),
        ({"content": "its own"}, {"content": "its own"}),
        ({"result": 5}, 5),
        ([1], [1]),
    ],
)
def test_pictures_beside_structured_content_are_kept_with_an_object(structured: object, value: object) -> None:
    content = [{"type": "text", "text": "see"}, {"type": "image", "data": PNG, "mimeType": "image/png"}]
    assert read_result({"structuredContent": structured, "content": content}) == ToolResult(  # type: ignore[dict-item]
        value=value, attachments=(Attachment(kind="image", mime="image/png", data=b"png"),)
    )


def test_a_picture_that_structured_content_repeats_is_an_attachment_there_too() -> None:
    picture = {"type": "image", "data": PNG, "mimeType": "image/png"}
    assert read_result({"structuredContent": {"content": [picture, 1]}, "content": [picture]}) == ToolResult(
        value={"content": [{"$attachment": 0}, 1]},
        attachments=(Attachment(kind="image", mime="image/png", data=b"png"),),
    )


def test_a_tool_that_must_run_as_a_task_cannot_be_called() -> None:
    with pytest.raises(MalformedTool, match="background task"):
        read_tool({"name": "research", "inputSchema": {"type": "object"}, "execution": {"taskSupport": "required"}})


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (text("no", "really"), "no\nreally"),
        ({"structuredContent": {"code": 7}}, '{"code": 7}'),
        ({"content": []}, "The tool reported an error without saying which."),
    ],
)
def test_an_error_carries_what_the_server_said(result: dict, message: str) -> None:
    with pytest.raises(ToolSaidNo) as caught:
        read_result(result | {"isError": True})
    assert str(caught.value) == message


def test_resources_become_texts_and_handles() -> None:
    assert read_contents({"contents": [{"uri": "u:1", "text": "[1]"}]}) == ToolResult(value="[1]")
    assert read_contents({"contents": []}) == ToolResult(value=None)
    assert read_contents({"contents": [{"text": "a"}, {"blob": PNG}, {"uri": "u:2"}, 7]}) == ToolResult(
        value=["a", {"$attachment": 0}, {"uri": "u:2"}],
        attachments=(Attachment(kind="blob", mime="application/octet-stream", data=b"png"),),
    )


def test_a_schema_says_whether_it_wraps() -> None:
    assert [wraps_result(schema) for schema in (WRAPPED, OWN_RESULT, {}, None)] == [True, False, False, False]


@given(BLOCKS, JSON)
def test_no_result_whatever_it_holds_raises(content: list, structured: object) -> None:
    result = read_result({"content": content, "structuredContent": structured})  # type: ignore[dict-item]
    json.dumps(result.value)


FIELDS = ["name", "title", "description", "inputSchema", "outputSchema", "annotations"]


@given(st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_no_tool_whatever_it_holds_raises_anything_but_that_it_is_none(entry: dict) -> None:
    try:
        definition = read_tool(entry)
    except MalformedTool:
        return
    assert definition.input_schema["type"] == "object"
    assert {definition.read_only, definition.destructive} <= {True, False, None}


def test_every_recorded_server_reads_without_loss(shared) -> None:
    for path in sorted((shared / "data" / "tools_list").glob("*.json")):
        recorded = json.loads(path.read_text())
        entries = recorded if isinstance(recorded, list) else recorded["tools"]
        for entry in entries:
            if entry["name"] == "simulate-research-query":  # is only for background tasks
                continue
            definition = read_tool(entry)
            assert (definition.name, definition.defects) == (entry["name"], []), path.name


def test_icons_are_kept_as_far_as_they_are_icons() -> None:
    small = {"src": "https://example.com/a.png", "mimeType": "image/png"}
    huge = {"src": "data:image/png;base64," + "A" * 20_000}
    tool = read_tool({"name": "t", "inputSchema": {}, "icons": [small, huge, 5, {"mimeType": "x"}, *[small] * 9]})
    assert tool.icons == [small] * 4
    assert read_tool({"name": "t", "inputSchema": {}, "icons": "none"}).icons == []
