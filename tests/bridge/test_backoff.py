"""A server that keeps failing, and one that is there but frozen."""

import contextlib
import os
import signal
import sys
from pathlib import Path

import anyio
import pytest
from anyio import fail_after

from planact_bridge import ServerFiles
from planact_bridge.backoff import BackOff
from planact_tools import ToolCall, ToolError

OK = ToolCall(name="ok", arguments={})


def test_each_wait_is_about_twice_the_one_before_and_none_is_longer_than_a_minute() -> None:
    backoff = BackOff(clock=lambda: 0.0, jitter=lambda: 0.0)
    waits = []
    for _ in range(9):
        backoff.failed()
        waits.append(backoff.seconds)
    assert waits == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


def test_waits_are_shortened_by_chance_and_over_with_the_first_answer() -> None:
    backoff = BackOff(clock=lambda: 0.0, jitter=lambda: 1.0)
    for _ in range(3):
        backoff.failed()
    assert (backoff.seconds, backoff.failures) == (1.5, 3)
    backoff.forget()
    assert (backoff.seconds, backoff.failures) == (0.0, 0)


async def test_a_server_that_keeps_failing_is_left_alone_and_the_error_says_for_how_long(connect) -> None:
    server = connect("raw.py", "exits_at_start")
    for _ in range(2):
        with fail_after(20), pytest.raises(ToolError, match=r"giving up\.$"):
            await server.call(OK)
    with fail_after(1), pytest.raises(ToolError) as caught:
        await server.call(OK)
    assert caught.value.message.startswith("Server 'exits_at_start' did not start: it exited with code 1; its last")
    assert "It has failed 2 times in a row; the next try is in" in caught.value.message
    assert caught.value.message.endswith("`planact servers restart exits_at_start` tries at once.")
    assert not caught.value.outcome_unknown
    status = server.status
    assert (status.state, status.failures, status.counters.starts, status.counters.lost) == ("failed", 2, 2, 0)
    assert 0 < status.next_try_seconds <= 1


async def test_a_person_s_restart_has_it_tried_at_once(connect, tmp_path: Path) -> None:
    files = ServerFiles(tmp_path, "exits_at_start")
    server = connect("raw.py", "exits_at_start", files=files)
    for _ in range(3):
        with fail_after(20), pytest.raises(ToolError):
            await server.call(OK)
    assert server.status.counters.starts == 2
    files.want_restart()
    with fail_after(20), pytest.raises(ToolError, match=r"giving up\.$"):
        await server.call(OK)
    assert server.status.counters.starts == 3


async def test_a_person_s_restart_replaces_a_server_that_works(connect, tmp_path: Path) -> None:
    files, notes = ServerFiles(tmp_path, "plain"), tmp_path / "notes.starts"
    server = connect("raw.py", "plain", notes, files=files)
    with fail_after(20):
        await server.call(OK)
        first = server.status.pid
        files.want_restart()
        assert (await server.call(OK)).value == "ok"
    assert server.status.pid not in (None, first)
    assert (server.status.counters.lost, server.status.failures) == (0, 0)


async def test_a_call_that_a_restart_ends_says_so(connect, tmp_path: Path) -> None:
    files, notes = ServerFiles(tmp_path, "silent_in_call"), tmp_path / "notes"
    server = connect("raw.py", "silent_in_call", notes, files=files)
    errors: list[ToolError] = []

    async def use() -> None:
        try:
            await server.call(OK)
        except ToolError as error:
            errors.append(error)

    with fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(use)
            while not notes.exists():
                await anyio.sleep(0.01)
            files.want_restart()
            await server.connect()
    [error] = errors
    assert error.outcome_unknown
    assert error.message == (
        "Server 'silent_in_call' was restarted during the call, as was asked for. "
        "It is not known whether the call took effect."
    )


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
async def test_a_frozen_server_is_given_up_after_a_call_ran_out_of_time_and_started_again(
    connect, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr("planact_bridge.standing.PROOF_SECONDS", 0.3)
    monkeypatch.setattr("planact_bridge.child.EXIT_SECONDS", 0.3)
    server = connect("raw.py", "plain", tmp_path / "notes.starts", timeout=0.5)
    with fail_after(20):
        await server.connect()
        frozen = server.status.pid
        os.kill(frozen, signal.SIGSTOP)
        with pytest.raises(ToolError, match=r"did not answer 'tools/call' of 'ok' within 0\.5 s"):
            await server.call(OK)
        while server.status.state != "failed":
            await anyio.sleep(0.01)
        assert server.status.error == (
            "Server 'plain' was given up: after a call had run out of time, it was silent for another 0.3 s."
        )
        while server.status.failures:  # under load the new one may be slow as well
            with contextlib.suppress(ToolError):
                assert (await server.call(OK)).value == "ok"
        while Path(f"/proc/{frozen}").exists():
            await anyio.sleep(0.01)
    assert server.status.last_error.startswith("Server 'plain' was given up")
    assert server.status.counters.lost >= 1


async def test_a_server_that_is_only_slow_with_one_call_is_kept(connect, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("planact_bridge.standing.PROOF_SECONDS", 2.0)
    server = connect("raw.py", "silent_in_call", tmp_path / "notes", timeout=0.2)
    with fail_after(20):
        for _ in range(2):
            with pytest.raises(ToolError, match=r"within 0\.2 s"):
                await server.call(OK)
        await server._standing._proving
    assert (server.status.state, server.status.counters.starts) == ("ready", 1)


async def test_a_call_that_comes_right_after_a_server_has_died_waits_a_moment(connect, tmp_path: Path) -> None:
    server = connect("raw.py", "dies_in_call", tmp_path / "notes")
    await server.definitions()
    with fail_after(20):
        with pytest.raises(ToolError, match="was lost"):
            await server.call(ToolCall(name="twice", arguments={}))
        assert (await server.call(ToolCall(name="twice", arguments={}))).value == "ok"
    assert server.status.counters.starts == 3


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
async def test_a_call_that_is_given_up_after_long_makes_one_wonder_whether_the_server_is_there(
    connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A plan's deadline is often the first to come."""
    monkeypatch.setattr("planact_bridge.downstream.DOUBTFUL_SECONDS", 0.1)
    monkeypatch.setattr("planact_bridge.standing.PROOF_SECONDS", 0.3)
    server = connect("raw.py", "tells_its_process", tmp_path / "pid")
    await server.definitions()
    pid = server.status.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    with fail_after(20):
        with anyio.move_on_after(0.3):
            await server.call(OK)
        while server.status.state == "ready":
            await anyio.sleep(0.01)
        assert (await server.call(OK)).value == "ok"
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
