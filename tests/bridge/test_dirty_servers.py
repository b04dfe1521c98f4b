"""Servers that break the protocol's rules: what makes sense is used, the rest is reported."""

import pytest
from anyio import fail_after

from planact_bridge import Deadlines, Eras, SkippedTool
from planact_tools import ToolCall, ToolError


def call(tool: str, /, **arguments: object) -> ToolCall:
    return ToolCall(name=tool, arguments=arguments)  # type: ignore[arg-type]


async def test_every_tool_that_can_be_called_survives_its_neighbours(connect) -> None:
    server = connect("raw.py", "dirty")
    with fail_after(20):
        definitions = await server.definitions()

    assert [definition.name for definition in definitions] == [
        "empty schema",
        "no_schema",
        "no_object",
        "odd_required",
        "any_of",
        "null_fields",
        "extra",
        "said_yes",
        "untyped_output",
        "bad_icon",
        "true_property",
        "odd/name!",
        "ok",
    ]
    assert server.status.skipped == (
        SkippedTool(name="entry 13", reason="its name is 5"),
        SkippedTool(name="entry 14", reason="it is no object: 'not a tool'"),
        SkippedTool(name="ok", reason="the list has this name twice; the first one counts"),
    )
    assert {definition.name: definition.defects for definition in definitions if definition.defects} == {
        "no_schema": ["it has no input schema; any argument is passed on"],
        "no_object": ["its input schema is 'nope', no object; any argument is passed on"],
        "odd_required": ["'required' is no list of names and was ignored"],
        "said_yes": ["readOnlyHint is 'yes', neither true nor false, and was ignored"],
        "true_property": ["no schema for 'b'; any value is passed on"],
    }
    assert server.status.problems == ()


async def test_a_doubtful_read_mark_is_no_read_mark(connect) -> None:
    definitions = {tool.name: tool for tool in await connect("raw.py", "dirty").definitions()}
    assert definitions["said_yes"].read_only is None


async def test_a_list_that_is_no_list_is_an_empty_one(connect) -> None:
    server = connect("raw.py", "no_list")
    assert list(await server.definitions()) == []
    assert server.status.problems == ("its list of tools is None",)


async def test_all_pages_of_a_list_are_read(connect) -> None:
    definitions = await connect("raw.py", "paged").definitions()
    assert [tool.name for tool in definitions] == ["tool_0", "tool_1", "tool_2", "tool_3"]


async def test_a_list_that_turns_in_circles_ends(connect) -> None:
    server = connect("raw.py", "endless")
    with fail_after(20):
        assert [tool.name for tool in await server.definitions()] == ["same"]
    assert server.status.problems == ("its list does not end; the rest was left out",)


async def test_a_server_that_announces_a_change_at_every_reading_is_read_a_few_times_only(connect, tmp_path) -> None:
    notes = tmp_path / "notes"
    server = connect("raw.py", "restless", notes)
    with fail_after(20):
        assert [tool.name for tool in await server.definitions()] == ["ok"]
    assert notes.read_text().count("listed") <= 3


async def test_what_is_printed_on_standard_output_is_passed_over_and_counted(connect) -> None:
    server = connect("raw.py", "prints")
    assert (await server.call(call("ok"))).value == "ok"
    assert server.status.garbage_lines == 2


@pytest.mark.parametrize(
    ("case", "value"),
    [
        ("no_content", {"n": 1}),
        ("hologram", [{"type": "hologram", "x": 1}, "t"]),
        ("half_emoji", "a\ufffd"),
        ("unknown_version", "ok"),
    ],
)
async def test_a_malformed_result_is_read_as_far_as_it_goes(connect, case: str, value: object) -> None:
    assert (await connect("raw.py", case).call(call("ok"))).value == value


async def test_an_error_whose_content_is_bare_text_is_that_text(connect) -> None:
    with pytest.raises(ToolError, match=r"^oops$"):
        await connect("raw.py", "bare_error").call(call("ok"))


async def test_a_flood_on_standard_error_neither_blocks_the_call_nor_is_kept_whole(connect) -> None:
    server = connect("raw.py", "chatty")
    with fail_after(20):
        assert (await server.call(call("ok"))).value == "ok"
    assert len(server.status.log) <= 200


async def test_a_server_that_declares_no_resources_is_not_asked_for_any(connect) -> None:
    server = connect("raw.py", "chatty")
    assert server.has_resources, "nothing is known of it yet"
    await server.connect()
    assert not server.has_resources


async def test_questions_are_refused_so_that_the_server_can_go_on(connect) -> None:
    result = await connect("raw.py", "asks").call(call("ok"))
    assert result.value == [
        "Planact does not offer questions to the user.",
        "Planact does not offer sampling.",
        "Planact does not offer roots.",
        "answered",
    ]


async def test_a_server_that_dies_of_the_probe_is_spoken_to_in_the_older_era(connect) -> None:
    eras = Eras()
    server = connect("raw.py", "dies_on_probe", eras=eras)
    assert (await server.call(call("ok"))).value == "ok"
    assert eras.recall(server.identity) == "handshake"


async def test_a_server_that_is_silent_on_the_probe_costs_it_only_once(connect, tmp_path) -> None:
    notes, learned = tmp_path / "notes", {}
    eras = Eras(learned=learned.__setitem__)
    for _ in range(2):
        server = connect("raw.py", "silent_on_probe", notes, eras=eras, deadlines=Deadlines(probe=0.3))
        assert (await server.call(call("ok"))).value == "ok"
    assert notes.read_text() == "probed\n"
    assert learned == {server.identity: "handshake"}


@pytest.mark.parametrize("code", [-32601, -32600, -32004])
async def test_a_server_that_has_left_the_era_that_is_remembered_is_found_in_the_newer_one(
    connect, tmp_path, code: int
) -> None:
    eras = Eras()
    server = connect("raw.py", "left_the_handshake", tmp_path / "notes", code, eras=eras)
    eras.remember(server.identity, "handshake")
    assert (await server.call(call("ok"))).value == "ok"
    assert (server.status.era, eras.recall(server.identity)) == ("stateless", "stateless")


async def test_a_server_of_the_newer_era_that_was_slow_to_answer_the_probe_is_probed_again(connect, tmp_path) -> None:
    server = connect("raw.py", "left_the_handshake", tmp_path / "slow", -32601, deadlines=Deadlines(probe=1.0))
    assert (await server.call(call("ok"))).value == "ok"
    assert server.status.era == "stateless"


async def test_a_result_of_an_unknown_kind_is_an_error_after_which_nothing_is_certain(connect) -> None:
    with pytest.raises(ToolError) as caught:
        await connect("raw.py", "begins_a_task_stateless").call(call("ok"))
    assert caught.value.outcome_unknown
    assert caught.value.message == (
        "Server 'begins_a_task_stateless' answered 'tools/call' of 'ok' with something else than a result: "
        "its answer is of the kind 'task', which cannot be read. It is not known whether the call took effect."
    )


async def test_in_the_older_era_a_kind_of_result_is_the_servers_own_field(connect) -> None:
    assert (await connect("raw.py", "has_a_result_type_of_its_own").call(call("ok"))).value == "rows"


async def test_a_question_in_the_place_of_a_list_is_an_error(connect) -> None:
    with pytest.raises(ToolError, match=r"'tools/list' with something else than a result: .*'input_required'"):
        await connect("raw.py", "asks_in_its_list_stateless").definitions()
