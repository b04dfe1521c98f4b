"""Bad input: each gets a clear message that names the thing, and the server lives on."""

import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from mcp import Client

from planact_testing import Home, act, workshop

ALIVE = "pair_sum(a=[1], b=[1])"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """As everywhere, but for as long as the server of this module lives."""
    return "asyncio"


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    """One server for everything that leaves no trace in it."""
    async with Home(tmp_path_factory.mktemp("home")).serve(within=600) as client:
        yield client


async def refused(client: Client, **arguments: Any) -> dict[str, Any]:
    """Send bad arguments and return the first error, having seen that the server lives on."""
    answer = await act(client, **arguments)
    assert (await act(client, ALIVE))["result"] == [2]
    assert answer["status"] in ("error", "refused")
    return answer["errors"][0]


async def refused_at(home: Home, **arguments: Any) -> dict[str, Any]:
    """The same on a server of its own, with the home's configuration."""
    async with home.serve() as client:
        return await refused(client, **arguments)


async def test_an_unknown_session(server: Client) -> None:
    error = await refused(server, code="1", session="s_nowhere")
    assert "Unknown session 's_nowhere'" in error["message"]


async def test_an_unknown_run(server: Client) -> None:
    error = await refused(server, run="r_nowhere")
    assert "Unknown run 'r_nowhere'" in error["message"]


async def test_code_and_task_together(server: Client) -> None:
    error = await refused(server, code="1", task="add")
    assert error["message"] == "Exactly one of `code`, `task` and `run` may be given, not `code` and `task`."


async def test_neither_code_nor_task_nor_run(server: Client) -> None:
    error = await refused(server)
    assert error["message"] == "One of `code`, `task` and `run` is needed; none was given."


@pytest.mark.parametrize("code", ["", "  \n"])
async def test_empty_code(server: Client, code: str) -> None:
    error = await refused(server, code=code)
    assert (error["message"], error["parameter"]) == ("`code` is empty.", "code")


async def test_a_misspelt_argument(server: Client) -> None:
    error = await refused(server, code="1", timeout_second=3)
    assert (error["parameter"], error["hint"]) == ("timeout_second", "Did you mean `timeout_seconds`?")


async def test_a_mistyped_argument(server: Client) -> None:
    error = await refused(server, code="1", wait_seconds="long")
    assert error["parameter"] == "wait_seconds"
    assert "'long'" in error["message"]


async def test_a_task_without_a_model(server: Client) -> None:
    error = await refused(server, task="book a table")
    assert "planact models setup" in f"{error['message']} {error.get('hint')}"


async def test_a_syntax_error(server: Client) -> None:
    error = await refused(server, code="x = 1\ny = = 2")
    assert (error["type"], error["line"], error["code_line"]) == ("SyntaxError", 2, "y = = 2")


async def test_a_megabyte_of_code(server: Client) -> None:
    answer = await act(server, "x = 1\n" * 175_000)
    assert (await act(server, ALIVE))["result"] == [2]
    assert answer["status"] == "limit"
    assert "200,000" in answer["errors"][0]["message"]


async def test_an_unknown_server(server: Client) -> None:
    error = await refused(server, code="worksop.pair_sum(a=[1], b=[1])")
    assert error["type"] == "NameError"
    assert "worksop" in error["message"]
    assert "workshop" in error["hint"]


async def test_an_unknown_tool(server: Client) -> None:
    error = await refused(server, code="done = 1\nworkshop.pair_some(a=[1], b=[1])")
    assert error["line"] == 2
    assert "pair_sum" in error["hint"]


async def test_an_unknown_keyword_is_refused_before_anything_ran(server: Client) -> None:
    answer = await act(server, "a = lookup(key='ann')\nlookup(keys='bob')")
    assert (answer["status"], answer["calls"]) == ("refused", [])
    assert answer["errors"][0] | {"message": "", "hint": ""} == {
        "type": "TypeError", "message": "", "hint": "", "line": 2, "column": 8, "code_line": "lookup(keys='bob')",
        "function": "lookup", "parameter": "keys",
    }  # fmt: skip
    assert "key" in answer["errors"][0]["hint"]


@pytest.mark.parametrize(
    ("code", "parameter"),
    [("lookup(key=5)", "key"), ("lookup()", "key"), ("pair_sum(a=[1], b=['x'])", "b"), ("lookup('a', 'b')", None)],
)
async def test_wrong_arguments_never_leave(server: Client, code: str, parameter: str | None) -> None:
    error = await refused(server, code=code)
    assert error["type"] == "TypeError"
    assert error["function"] in ("lookup", "pair_sum")
    if parameter is not None:
        assert error["parameter"].startswith(parameter)


async def test_a_server_that_does_not_start(home: Home) -> None:
    home.configure('[policy]\ntrust = ["*"]\n', workshop=workshop(), lathe=workshop("--broken"))
    error = await refused_at(home, code="lathe.pair_sum(a=[1], b=[1])")
    text = error["message"] + error.get("hint", "")
    assert "lathe" in text
    assert "the lathe is missing" in text


async def test_a_command_that_does_not_exist(home: Home) -> None:
    home.configure('[policy]\ntrust = ["*"]\n', workshop=workshop(), ghost={"command": "no-such-command-here"})
    error = await refused_at(home, code="ghost.walk()")
    assert "no-such-command-here" in error["message"] + error.get("hint", "")


async def test_a_server_that_answers_garbage(home: Home) -> None:
    home.configure(
        '[policy]\ntrust = ["*"]\n[servers]\nstart_timeout_seconds = 2\n',
        workshop=workshop(),
        babel=workshop("--garbage"),
    )
    error = await refused_at(home, code="babel.pair_sum(a=[1], b=[1])")
    assert "babel" in error["message"] + error.get("hint", "")


async def test_a_server_that_dies_in_a_call(home: Home) -> None:
    async with home.serve() as client:
        answer = await act(client, "before = lookup(key='ann')\ndie()")
        after = await act(client, ALIVE)
    assert answer["status"] == "error"
    assert answer["errors"][0]["type"] == "ToolError"
    assert "workshop" in answer["errors"][0]["message"]
    assert answer["variables"] == {"before": {"key": "ann", "name": "Ann"}}
    assert after["result"] == [2]


async def test_a_typo_in_planact_toml(home: Home) -> None:
    home.configure('[policy]\nalow = ["workshop.erase"]\n')
    code, _, complaint = await home.run("serve")
    assert code == 2
    assert "planact.toml" in complaint
    assert "alow" in complaint
    assert "allow" in complaint


async def test_broken_toml(home: Home) -> None:
    home.configure('[policy\nallow = ["workshop.erase"]\n')
    code, _, complaint = await home.run("servers")
    assert code == 2
    assert "planact.toml" in complaint
    assert "line 1" in complaint


async def test_a_missing_variable_in_mcp_json_costs_only_its_server(home: Home) -> None:
    home.configure(
        '[policy]\ntrust = ["*"]\n', workshop=workshop(), cloud=workshop() | {"env": {"KEY": "${CLOUD_KEY}"}}
    )
    async with home.serve() as client:
        assert (await act(client, ALIVE))["result"] == [2]
        answer = await act(client, "cloud.fetch()")
    assert answer["status"] == "refused"
    assert "Server 'cloud'" in answer["errors"][0]["hint"]
    assert "the variable CLOUD_KEY is not set" in answer["errors"][0]["hint"]


async def test_a_server_whose_entry_is_broken_is_not_waited_for(home: Home) -> None:
    silent = {"command": sys.executable, "args": ["-c", "import time; time.sleep(60)"]}
    home.configure(silent=silent, cloud={"url": "${CLOUD_URL}"})
    async with home.serve() as client:
        with anyio.fail_after(15):
            answer = await act(client, "cloud.fetch()")
    assert "the variable CLOUD_URL is not set" in answer["errors"][0]["hint"]


@pytest.mark.parametrize("command", [["servers"], ["run", "--code", "-"]])
async def test_a_missing_variable_in_mcp_json_is_said_by_every_command(home: Home, command: list[str]) -> None:
    home.configure(workshop=workshop(), cloud={"url": "${CLOUD_URL}"})
    code, _, complaint = await home.run(*command, stdin="1")
    assert code == 0
    assert "Server 'cloud'" in complaint
    assert "the variable CLOUD_URL is not set" in complaint


@pytest.mark.parametrize(
    "command",
    [
        ["servers"],
        ["tools"],
        ["run", "--code", "-"],
        ["servers", "restart", "workshop"],
        ["servers", "logs", "workshop"],
    ],
)
async def test_commands_that_need_the_servers_refuse_an_mcp_json_that_cannot_be_read(
    home: Home, command: list[str]
) -> None:
    (home.folder / "mcp.json").write_text('{"mcpServers": {')
    code, out, complaint = await home.run(*command, stdin="1")
    assert (code, out) == (2, "")
    assert complaint.startswith(f"planact: {home.folder / 'mcp.json'} cannot be used: line 1")
    assert len(complaint.splitlines()) == 1


async def test_an_mcp_json_that_cannot_be_read_is_told_by_the_doctor_and_by_serve_which_goes_on(home: Home) -> None:
    (home.folder / "mcp.json").write_text('{"mcpServers": {')
    code, out, _ = await home.run("doctor", "--json")
    assert code == 1
    assert [each["text"].partition(":")[0] for each in json.loads(out)["findings"] if each["level"] == "problem"] == [
        f"{home.folder / 'mcp.json'} cannot be used"
    ]
    async with home.serve() as client:
        assert (await act(client, "1 + 1"))["result"] == 2
    assert "cannot be used" in (home.folder / "stderr.txt").read_text()


async def test_an_untrusted_folder_brings_nothing_but_restrictions(home: Home) -> None:
    marker = home.folder / "marker"
    evil = home.work / "evil.py"
    evil.write_text(f"from pathlib import Path\nPath({str(marker)!r}).touch()\n")
    (home.work / "planact.toml").write_text(
        'packs = ["./evil.py"]\n[policy]\nallow = ["*.*"]\ntrust = ["*"]\ndeny = ["workshop.lookup"]\n'
    )
    (home.work / "mcp.json").write_text(json.dumps({"mcpServers": {"planted": workshop()}}))

    async with home.serve() as client:
        erased = await act(client, "erase(path='x')")
        looked = await act(client, "lookup(key='ann')")
        planted = await act(client, "planted.lookup(key='ann')")
        alive = await act(client, ALIVE)

    assert erased["status"] == "denied"
    assert looked["status"] == "denied"
    assert planted["status"] == "refused"
    assert alive["result"] == [2]
    assert not marker.exists()
    complaint = (home.folder / "stderr.txt").read_text()
    assert "planact trust" in complaint
    assert str(home.work) in complaint


async def test_a_plan_that_runs_too_long_keeps_what_it_has(server: Client) -> None:
    await act(server, ALIVE)  # the server is up, so that it does not eat the plan's time
    with anyio.fail_after(20):
        answer = await act(server, "a = lookup(key='ann')\nwhile True:\n    pass", timeout_seconds=0.5)
    alive = await act(server, ALIVE)
    assert answer["status"] == "timeout"
    assert answer["variables"] == {"a": {"key": "ann", "name": "Ann"}}
    assert alive["result"] == [2]


async def test_too_many_calls_are_a_limit(home: Home) -> None:
    home.configure('[policy]\ntrust = ["workshop"]\n[sandbox]\ncalls = 3\n')
    async with home.serve() as client:
        answer = await act(client, "n = 0\nwhile True:\n    process()\n    n += 1")
        alive = await act(client, ALIVE)
    assert (answer["status"], answer["variables"], len(answer["calls"])) == ("limit", {"n": 3}, 3)
    assert alive["result"] == [2]


async def test_too_much_output_is_a_limit(server: Client) -> None:
    answer = await act(server, "while True:\n    print('x' * 1000)")
    assert answer["status"] == "limit"
