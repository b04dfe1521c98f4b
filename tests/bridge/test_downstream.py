"""A server over its life: started, used from many tasks, lost, started again, closed."""

import os
import sys
from pathlib import Path

import anyio
import pytest
from anyio import fail_after

from planact_bridge import Deadlines, Downstream, StdioSpec
from planact_tools import ToolCall, ToolDefinition, ToolError


def call(tool: str, /, **arguments: object) -> ToolCall:
    return ToolCall(name=tool, arguments=arguments)  # type: ignore[arg-type]


async def written(path: Path) -> str:
    """Wait until a server has written its note."""
    with fail_after(20):
        while not path.exists() or not path.read_text():
            await anyio.sleep(0.01)
    return path.read_text()


@pytest.fixture
def impatient(monkeypatch) -> None:
    """Servers that refuse to leave get a moment only."""
    monkeypatch.setattr("planact_bridge.child.EXIT_SECONDS", 0.3)


async def gone(pid: int) -> None:
    with fail_after(20):
        while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
            await anyio.sleep(0.01)


async def test_nothing_is_started_before_it_is_used(connect, tmp_path) -> None:
    notes = tmp_path / "notes.starts"
    server = connect("raw.py", "plain", notes)
    assert server.status.state == "idle"
    assert not notes.exists()


async def test_concurrent_first_uses_start_the_server_once(connect, tmp_path) -> None:
    notes = tmp_path / "notes.starts"
    server = connect("raw.py", "plain", notes)
    with fail_after(20):
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(server.call, call("ok"))
            tasks.start_soon(server.definitions)
    assert notes.read_text() == "started\n"
    assert (server.status.state, server.status.counters.starts) == ("ready", 1)


async def test_servers_start_side_by_side(connect, tmp_path) -> None:
    """Each of the two waits until the other one runs."""
    servers = [connect("raw.py", "waits_for_the_other", tmp_path) for _ in range(2)]
    with fail_after(20):
        async with anyio.create_task_group() as tasks:
            for server in servers:
                tasks.start_soon(server.definitions)
    assert [server.status.state for server in servers] == ["ready", "ready"]


async def test_a_caller_that_gives_up_does_not_end_the_start_for_the_others(connect, tmp_path) -> None:
    server = connect("raw.py", "plain", tmp_path / "notes.starts")
    with anyio.move_on_after(0):
        await server.definitions()
    assert (await server.call(call("ok"))).value == "ok"
    assert server.status.counters.starts <= 1


async def test_a_command_that_is_not_installed_is_named_with_what_to_do() -> None:
    server = Downstream(StdioSpec(name="gone", command="no-such-program", env={"PATH": "/nowhere"}))
    with pytest.raises(ToolError) as caught:
        await server.definitions()
    assert caught.value.server == "gone"
    assert caught.value.message == (
        "Server 'gone' did not start: the command 'no-such-program' was not found in /nowhere. "
        "Install it, or write its full path as 'command': in a terminal where it works, "
        "`command -v no-such-program` says it."
    )
    await server.aclose()


async def test_a_folder_that_does_not_exist_is_named(tmp_path) -> None:
    server = Downstream(StdioSpec(name="lost", command=sys.executable, cwd=str(tmp_path / "none")))
    with pytest.raises(
        ToolError, match=r"Server 'lost' did not start: its folder '.*none' does not exist. Check 'cwd'."
    ):
        await server.definitions()
    await server.aclose()


async def test_a_server_that_exits_at_start_is_reported_with_code_and_last_words(connect) -> None:
    server = connect("raw.py", "exits_at_start")
    with pytest.raises(ToolError) as caught:
        await server.definitions()
    assert caught.value.message == (
        "Server 'exits_at_start' did not start: it exited with code 1; its last words: "
        "no API key: set DEMO_KEY | no API key: set DEMO_KEY | giving up."
    )
    assert (server.status.state, server.status.error) == ("failed", caught.value.message)


async def test_all_who_wait_for_a_server_that_fails_share_one_start(connect) -> None:
    server = connect("raw.py", "exits_at_start")
    failures: list[str] = []

    async def use() -> None:
        with pytest.raises(ToolError) as caught:
            await server.definitions()
        failures.append(caught.value.message)

    with fail_after(20):
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(use)
    assert failures == [server.status.error] * 3
    assert server.status.counters.starts == 1


async def test_a_server_that_never_introduces_itself_is_given_up_after_the_deadline(impatient, connect) -> None:
    server = connect("raw.py", "says_nothing", deadlines=Deadlines(start=0.4, probe=0.2))
    with fail_after(15), pytest.raises(ToolError) as caught:
        await server.definitions()
    assert caught.value.message == (
        "Server 'says_nothing' did not start: it did not answer 'initialize' within 0.4 s; "
        "its last words: still downloading."
    )


async def test_a_read_survives_the_death_of_its_server(connect, tmp_path) -> None:
    server = connect("raw.py", "dies_in_call", tmp_path / "notes")
    await server.definitions()
    with fail_after(20):
        assert (await server.call(call("read"))).value == "ok"
    assert server.status.counters.starts == 2


async def test_a_write_is_not_repeated_and_its_outcome_is_said_to_be_unknown(connect, tmp_path) -> None:
    server = connect("raw.py", "dies_in_call", tmp_path / "notes")
    with fail_after(20), pytest.raises(ToolError) as caught:
        await server.call(call("write", to="disk"))
    error = caught.value
    assert (error.server, error.tool, error.arguments) == ("dies_in_call", "write", {"to": "disk"})
    assert error.outcome_unknown
    assert error.message == (
        "Server 'dies_in_call' was lost during 'tools/call' of 'write': it exited with code 9; "
        "its last words: out of cheese. It is not known whether the call took effect."
    )
    assert (await server.call(call("write"))).value == "ok", "the next use connects again"
    assert (tmp_path / "notes").read_text() == "write\nwrite\n"


async def test_the_caller_may_say_that_a_call_can_be_repeated(connect, tmp_path) -> None:
    server = connect("raw.py", "dies_in_call", tmp_path / "notes")
    assert (await server.call(call("write"), retry=True)).value == "ok"


async def test_what_was_known_before_decides_about_repeating_without_reading_the_list(connect, tmp_path) -> None:
    known = [ToolDefinition(name="read", read_only=True)]
    server = connect("raw.py", "dies_in_call", tmp_path / "notes", known=known)
    assert (await server.call(call("read"))).value == "ok"
    assert server.status.tools is None


async def test_a_server_that_comes_back_is_asked_for_its_tools_again(connect, tmp_path) -> None:
    server = connect("raw.py", "dies_in_call", tmp_path / "notes")
    await server.definitions()
    told = anyio.Event()

    async def hear() -> None:
        assert [tool.name for tool in await server.definitions()] == ["read", "write", "twice"]
        told.set()

    server.on_changed(hear)
    await server.call(call("read"))
    with fail_after(20):
        await told.wait()


async def test_a_call_past_its_time_says_so_and_tells_the_server(connect, tmp_path) -> None:
    notes = tmp_path / "notes"
    server = connect("raw.py", "silent_in_call", notes, timeout=0.3)
    with fail_after(20), pytest.raises(ToolError) as caught:
        await server.call(call("ok"))
    assert caught.value.outcome_unknown
    assert caught.value.message == (
        "Server 'silent_in_call' did not answer 'tools/call' of 'ok' within 0.3 s. "
        "It is not known whether the call took effect."
    )
    with fail_after(20):
        while "cancelled" not in notes.read_text():
            await anyio.sleep(0.01)
    assert server.status.state == "ready"


async def test_a_call_that_the_server_does_not_even_read_ends_in_time(impatient, connect) -> None:
    server = connect("raw.py", "deaf", timeout=0.3)
    for arguments in ({}, {"filler": "x" * 5_000_000}):
        with fail_after(4), pytest.raises(ToolError, match=r"did not answer 'tools/call' of 'ok' within 0.3 s"):
            await server.call(call("ok", **arguments))


async def test_a_dead_server_is_noticed_though_its_own_child_keeps_the_pipe_open(connect) -> None:
    server = connect("raw.py", "leaves_a_child")
    with fail_after(20), pytest.raises(ToolError, match=r"was lost during 'tools/call' of 'ok': it exited with code 0"):
        await server.call(call("ok"))


async def test_an_error_that_was_answered_counts_though_the_server_left_right_after(connect) -> None:
    with fail_after(20), pytest.raises(ToolError) as caught:
        await connect("raw.py", "errs_and_leaves").call(call("ok"))
    assert not caught.value.outcome_unknown
    assert caught.value.message == (
        "Server 'errs_and_leaves' answered 'tools/call' of 'ok' with an error: bad day (code -32602)."
    )


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
async def test_a_server_that_is_killed_while_idle_is_started_again_when_used(connect, tmp_path) -> None:
    server = connect("raw.py", "tells_its_process", tmp_path / "pid")
    await server.definitions()
    os.kill(int(await written(tmp_path / "pid")), 9)
    with fail_after(20):
        while server.status.error is None:
            await anyio.sleep(0.01)
        assert (server.status.state, server.status.error) == (
            "failed",
            "Server 'tells_its_process' was lost: it was killed by SIGKILL.",
        )
        assert (await server.call(call("ok"))).value == "ok"
        assert server.status.state == "ready"


async def test_cancelling_a_call_tells_the_server(connect, tmp_path) -> None:
    notes = tmp_path / "notes"
    server = connect("raw.py", "silent_in_call", notes)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.call, call("ok"))
        await written(notes)
        tasks.cancel_scope.cancel()
    with fail_after(20):
        while notes.read_text() != "called\ncancelled: caller cancelled\n":
            await anyio.sleep(0.01)


async def test_closing_ends_open_calls_with_an_error_that_says_so(connect, tmp_path) -> None:
    notes = tmp_path / "notes"
    server = connect("raw.py", "silent_in_call", notes)
    errors: list[str] = []

    async def use() -> None:
        try:
            await server.call(call("ok"))
        except ToolError as error:
            errors.append(error.message)

    with fail_after(15):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(use)
            await written(notes)
            await server.aclose()
    assert errors == [
        "Server 'silent_in_call' was closed during the call. It is not known whether the call took effect."
    ]
    await server.aclose()
    with pytest.raises(ToolError, match="Server 'silent_in_call' is closed"):
        await server.definitions()


@pytest.mark.skipif(sys.platform == "win32", reason="process groups and signals")
async def test_closing_ends_a_server_that_refuses_and_all_that_it_started(impatient, connect, tmp_path) -> None:
    notes = tmp_path / "notes"
    server = connect("raw.py", "refuses_to_leave", notes)
    await server.definitions()
    own, child = map(int, (await written(notes)).split())
    with fail_after(20):
        await server.aclose()
        for pid in (own, child):
            await gone(pid)


async def test_closing_during_the_start_ends_it(impatient, connect) -> None:
    server = connect("raw.py", "says_nothing")
    async with anyio.create_task_group() as tasks:

        async def use() -> None:
            with pytest.raises(ToolError, match="Server 'says_nothing' was closed while it started"):
                await server.definitions()

        tasks.start_soon(use)
        while not server.status.log:
            await anyio.sleep(0.01)
        with fail_after(20):
            await server.aclose()


async def test_a_large_result_arrives_in_linear_time(connect) -> None:
    server = connect("raw.py", "big")
    await server.definitions()
    with fail_after(20):
        result = await server.call(call("ok", size=20_000_000))
    assert result.value == "x" * 20_000_000


async def test_a_changed_list_is_announced_and_read_anew(connect) -> None:
    server = connect("raw.py", "grows")
    assert [tool.name for tool in await server.definitions()] == ["ok"]
    told = anyio.Event()

    async def hear() -> None:
        told.set()

    server.on_changed(hear)
    await server.call(call("ok"))
    with fail_after(20):
        await told.wait()
    assert [tool.name for tool in await server.definitions()] == ["ok", "new"]


async def test_a_server_inherits_few_variables_and_gets_its_own(connect, monkeypatch) -> None:
    monkeypatch.setenv("SOME_SECRET", "mine")
    server = connect("good.py", env={"GIVEN": "yes"})
    with fail_after(20):
        values = [
            (await server.call(call("environment", name=name))).value for name in ("SOME_SECRET", "GIVEN", "PATH")
        ]
    assert values[:2] == ["absent", "yes"]
    assert values[2].startswith(os.environ["PATH"])
