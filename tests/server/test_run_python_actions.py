"""The tool as a host sees it: real server, real worker, real downstream server, both protocol eras."""

import re

import anyio
import pytest
from mcp.shared.exceptions import MCPError

from planact_server.sandbox.monty.source import is_installed
from planact_testing import Home, act, appears

ENGINES = [
    "auto",
    pytest.param(
        "monty",
        marks=[pytest.mark.check, pytest.mark.skipif(not is_installed(), reason="Monty is not installed")],
    ),
]


@pytest.fixture(params=ENGINES)
def home(home: Home, request: pytest.FixtureRequest) -> Home:
    """The same user with either engine."""
    home.environment["PLANACT_SANDBOX__ENGINE"] = request.param
    return home


EXAMPLE = 'x = [1, 2]\nz = pair_sum(a=x, b=[2, 3])\nprint("so far", z)\nz[5]'


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_contracts_own_example(home: Home, mode: str) -> None:
    async with home.serve(mode=mode, cold=mode == "auto") as client:
        answer = await act(client, EXAMPLE)

    assert re.fullmatch(r"s_[0-9a-f]{32}", answer.pop("session"))
    assert re.fullmatch(r"r_[0-9a-f]{32}", answer.pop("run"))
    assert answer["calls"][0].pop("ms") > 0
    assert answer == {
        "status": "error",
        "function_results": {"pair_sum": ["z"]},
        "variables": {"x": [1, 2], "z": [3, 5]},
        "calls": [
            {
                "call": 1,
                "function": "pair_sum",
                "server": "workshop",
                "arguments": {"a": [1, 2], "b": [2, 3]},
                "line": 2,
                "bound_to": ["z"],
                "ok": True,
                "value": [3, 5],
                "read_only": True,
                "parallel": False,
            }
        ],
        "output": "so far [3, 5]\n",
        "errors": [
            {
                "type": "IndexError",
                "message": "list index out of range",
                "line": 4,
                "column": 1,
                "code_line": "z[5]",
                "hint": "z has 2 items: [3, 5]",
            }
        ],
    }


async def test_there_is_one_tool_and_its_description_names_the_servers(home: Home) -> None:
    async with home.serve() as client:
        await act(client, "workshop.pair_sum(a=[1], b=[1])")
        listed = (await client.list_tools()).tools

    assert [tool.name for tool in listed] == ["run_python_actions"]
    description = listed[0].description or ""
    assert "workshop (8 tools)" in description[:2000]
    assert "pair_sum(a: list[int], b: list[int])" in description
    assert len(description) <= 4000
    assert set(listed[0].input_schema["properties"]) == {
        "code", "task", "run", "session", "mode", "wait_seconds", "timeout_seconds", "max_chars",
    }  # fmt: skip


async def test_sessions_are_a_repl(home: Home) -> None:
    async with home.serve() as client:
        first = await act(client, "total = 1\ndef double(n):\n    return 2 * n")
        second = await act(client, "total = double(total)\ntotal", session=first["session"])
        other = await act(client, "double(1)")

    assert first["variables"] == {"total": 1}
    assert (second["result"], second["variables"]) == (2, {"total": 2})
    assert (other["status"], other["errors"][0]["type"]) == ("refused", "NameError")


async def test_a_session_outlives_the_server(home: Home) -> None:
    async with home.serve() as client:
        before = await act(client, "rows = [1, 2]\ndef f():\n    return 1")
    async with home.serve() as client:
        after = await act(client, "sum(rows)", session=before["session"])

    assert after["result"] == 3
    assert after["recovered"] == {"kept": ["rows", "f"], "lost": []}


async def test_what_json_would_make_something_else_is_lost_with_its_worker(home: Home) -> None:
    plan = (
        "import datetime, decimal\nrows = {'a': [1.5, None, (1, 2)]}\nby_id = {1: 'x'}\n"
        "price = [decimal.Decimal('1.10')]\ndue = datetime.date(2026, 1, 2)\nscores = [float('nan')]"
    )
    if home.environment["PLANACT_SANDBOX__ENGINE"] == "auto":
        plan += "\nimport collections\ncounts = collections.Counter('aab')\nclass Name(str): ...\nname = Name('x')"
    async with home.serve() as client:
        before = await act(client, plan)
    async with home.serve() as client:
        after = await act(client, "rows", session=before["session"])
    assert before["variables"]["by_id"] == {"1": "x"}
    assert {"datetime", "rows"} <= set(after["recovered"]["kept"])
    data = {"by_id", "due", "price", "scores", "counts", "name"} & before["variables"].keys()
    assert data <= set(after["recovered"]["lost"])


async def test_a_long_plan_is_answered_with_a_handle_and_fetched_later(home: Home) -> None:
    gate = home.folder / "gate"
    async with home.serve() as client:
        early = await act(client, f'print("here")\ngot = wait_for(path="{gate}")\ngot', wait_seconds=0)
        await appears(home.folder / "gate.started")
        still = await act(client, run=early["run"], wait_seconds=0)
        gate.touch()
        late = await act(client, run=early["run"])
        again = await act(client, run=early["run"])

    assert (early["status"], early["session"]) == ("running", late["session"])
    assert (still["status"], still["output"]) == ("running", "here\n")
    assert [(call["function"], call["ok"]) for call in still["calls"]] == [("wait_for", False)]
    assert (late["status"], late["result"], late["run"]) == ("ok", "there", early["run"])
    assert again == late


async def test_a_busy_session_names_its_run(home: Home) -> None:
    gate = home.folder / "gate"
    async with home.serve() as client:
        early = await act(client, f'wait_for(path="{gate}")', wait_seconds=0)
        busy = await act(client, "1", session=early["session"])
        gate.touch()
        await act(client, run=early["run"])

    assert busy["status"] == "error"
    assert early["run"] in busy["errors"][0]["message"]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_cancelling_the_request_cancels_the_downstream_call(home: Home, mode: str) -> None:
    gate = home.folder / "gate"
    async with home.serve(mode=mode) as client:
        await act(client, "1")
        with anyio.move_on_after(10) as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(act, client, f'before = 1\nwait_for(path="{gate}")')
                await appears(home.folder / "gate.started")
                tasks.cancel_scope.cancel()
        assert not scope.cancelled_caught
        await appears(home.folder / "gate.cancelled")
        after = await act(client, "2")

    assert after["result"] == 2


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_progress_reaches_the_host(home: Home, mode: str) -> None:
    heard: list[tuple[float, str | None]] = []

    async def listen(progress: float, total: float | None, message: str | None) -> None:
        del total
        heard.append((progress, message))

    gate = home.folder / "gate"
    gate.touch()
    async with home.serve(mode=mode) as client:
        await client.call_tool(
            "run_python_actions",
            {"code": f'progress("half", 0.5)\nwait_for(path="{gate}")\nprogress("done", 1.0)'},
            progress_callback=listen,
        )

    messages = [message for _, message in heard]
    assert [m for m in messages if m in ("half", "waiting", "done")] == ["half", "waiting", "done"]
    values = [value for value, _ in heard]
    assert values == sorted(set(values))


async def test_calls_of_gather_overlap(home: Home) -> None:
    gates = [home.folder / name for name in ("one", "two")]
    plan = f'import asyncio\ngot = await asyncio.gather(wait_for(path="{gates[0]}"), wait_for(path="{gates[1]}"))\ngot'
    async with home.serve() as client:
        early = await act(client, plan, wait_seconds=0)
        # Both have begun before either may end: that is what overlapping means.
        await appears(home.folder / "one.started")
        await appears(home.folder / "two.started")
        for gate in gates:
            gate.touch()
        answer = await act(client, run=early["run"])

    assert answer["result"] == ["there", "there"]
    assert [call["parallel"] for call in answer["calls"]] == [True, True]


async def test_an_image_is_a_handle_in_the_plan_and_native_content_for_the_host(home: Home) -> None:
    async with home.serve() as client:
        result = await client.call_tool("run_python_actions", {"code": "p = picture()\nprint(p.mime, p.size)\np"})

    assert result.structured_content is not None
    assert result.structured_content["output"] == "image/png 100\n"
    assert [block.type for block in result.content] == ["text", "image"]


async def test_what_was_cut_can_be_read_whole(home: Home) -> None:
    async with home.serve() as client:
        answer = await act(
            client, 'rows = [{"id": i, "text": "x" * 100} for i in range(1000)]\nlen(rows)', max_chars=2000
        )
        entry = next(e for e in answer["truncated"] if e["path"].startswith("variables"))
        whole = await client.read_resource(entry["resource"])

    assert answer["result"] == 1000
    assert len(str(answer)) < 2600
    assert len(whole.contents[0].text) > 100_000


async def test_a_tool_error_is_caught_or_reported(home: Home) -> None:
    async with home.serve() as client:
        caught = await act(client, "try:\n    lookup(key='nobody')\nexcept ToolError as e:\n    why = e.message\nwhy")
        loose = await act(client, "a = lookup(key='ann')\nlookup(key='nobody')")

    assert caught["status"] == "ok"
    assert "no record for nobody" in caught["result"]
    assert loose["status"] == "error"
    assert loose["variables"] == {"a": {"key": "ann", "name": "Ann"}}
    assert loose["errors"][0] | {"message": ""} == {
        "type": "ToolError", "message": "", "line": 2, "column": 1, "code_line": "lookup(key='nobody')",
        "call": 2, "function": "lookup",
    }  # fmt: skip


async def test_a_write_is_held_back_with_the_lines_to_allow_it(home: Home) -> None:
    async with home.serve() as client:
        answer = await act(client, "kept = 1\nerase(path='x')")

    assert answer["status"] == "denied"
    assert answer["variables"] == {"kept": 1}
    assert '[policy]\nallow = ["workshop.erase"]' in answer["errors"][0]["hint"]
    assert answer["calls"][0]["ok"] is False


async def test_reads_of_an_undecided_server_are_held_back_with_the_line_to_trust_it(home: Home) -> None:
    home.configure("")
    async with home.serve() as client:
        answer = await act(client, "lookup(key='ann')")

    assert answer["status"] == "denied"
    assert '[policy]\ntrust = ["workshop"]' in answer["errors"][0]["hint"]


async def test_tools_are_found_and_described_from_inside(home: Home) -> None:
    async with home.serve() as client:
        answer = await act(
            client, 'found = search_tools("record of a key", limit=3)\nmore = describe("workshop.lookup")'
        )

    assert answer["variables"]["found"][0].startswith("workshop.lookup(key: str)")
    assert "Return the record of a key." in answer["variables"]["more"]


async def test_what_was_meant_by_a_name_is_looked_for_among_tools_and_in_python(home: Home) -> None:
    async with home.serve() as client:
        names = ("prnt", "pair_sun", "nothing_alike")
        hints = {name: (await act(client, f"{name}(1)"))["errors"][0]["hint"] for name in names}
    assert hints["prnt"] == "Did you mean 'print'?"
    assert hints["pair_sun"] == "Did you mean 'pair_sum'?"
    assert "search_tools(" in hints["nothing_alike"]


async def test_a_server_that_is_called_like_a_tool_is_refused_before_anything_runs(home: Home) -> None:
    async with home.serve() as client:
        answer = await act(client, "x = 1\nworkshop(a=[1])")
    assert (answer["status"], answer["errors"][0]["line"]) == ("refused", 2)
    assert answer["errors"][0]["message"] == "'workshop' is a server, which cannot be called."
    assert answer["errors"][0]["hint"] == "Call one of its tools, workshop.TOOL(…); describe('workshop') lists them."


async def test_another_tool_name_is_a_protocol_error(home: Home) -> None:
    async with home.serve() as client:
        with pytest.raises(MCPError, match="run_python_actions"):
            await client.call_tool("pair_sum", {})
