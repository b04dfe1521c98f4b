"""A configuration that changes while Planact serves: what is new counts from then on, what runs goes on as it began."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest
from mcp import Client
from mcp.types import ToolListChangedNotification

from planact_server.app import App, open_app
from planact_server.config import Config, load_config
from planact_server.reload import Reloading
from planact_server.request import PlanRequest
from planact_server.server import LOCAL_CLIENT
from planact_server.store import Store
from planact_server.trust import examine, trust_folder
from planact_testing import Home, act, appears, workshop
from server.test_http import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TRUSTED = '[policy]\ntrust = ["*"]\n'
PACK = '''
from planact_tools import tool

@tool(read_only=True)
def version() -> int:
    """Say which one it is."""
    return 1

@tool(read_only=True)
def wait(path: str) -> str:
    """Wait until a file is there."""
    import pathlib, time
    pathlib.Path(path + ".started").touch()
    while not pathlib.Path(path).exists():
        time.sleep(0.01)
    return "there"
'''


class Place:
    """An app over the files of a home, and whoever follows them."""

    def __init__(self, home: Home, app: App, reloading: Reloading, said: list[str]) -> None:
        self.home = home
        self.app = app
        self.reloading = reloading
        self.said = said

    async def look(self) -> list[str]:
        """Look at the files; return what a person is told."""
        self.said.clear()
        await self.reloading.look()
        return list(self.said)

    async def run(self, code: str, **more: Any) -> dict[str, Any]:
        reply = await self.app.executor.execute(PlanRequest(code=code, **more), client=LOCAL_CLIENT)
        return reply.answer

    async def value(self, code: str) -> Any:
        answer = await self.run(code)
        assert answer["status"] == "ok", answer
        return answer["result"]

    def pid(self, server: str) -> int:
        return self.app.server_health()[server]["pid"]


@asynccontextmanager
async def following(home: Home) -> AsyncIterator[Place]:
    reread = partial(_load, home)
    said: list[str] = []
    with anyio.fail_after(60):
        async with open_app(reread()) as app:
            yield Place(home, app, Reloading(app, read=reread, say=said.append), said)


def _load(home: Home) -> Config:
    return load_config(config_file=home.folder / "planact.toml", environ=home.environment, cwd=home.work)


async def test_a_server_that_is_still_asked_for_stays_and_others_come_and_go(home: Home) -> None:
    home.configure(TRUSTED, one=workshop(), two=workshop())
    async with following(home) as place:
        assert await place.value("[one.pair_sum(a=[1], b=[2]), two.pair_sum(a=[1], b=[2])]") == [[3], [3]]
        kept = place.pid("one")
        home.configure(TRUSTED, one=workshop(), three=workshop())
        assert await place.look() == ["The configuration has changed: 'three' is new, 'two' is gone."]
        assert await place.value("[one.pair_sum(a=[1], b=[2]), three.pair_sum(a=[1], b=[2])]") == [[3], [3]]
        assert place.pid("one") == kept
        assert (await place.run("two.pair_sum(a=[1], b=[2])"))["status"] == "refused"
        assert await place.look() == []


async def test_a_server_with_another_command_is_another_one(home: Home) -> None:
    home.configure(TRUSTED, one=workshop())
    async with following(home) as place:
        await place.value("one.pair_sum(a=[1], b=[2])")
        before = place.pid("one")
        home.configure(TRUSTED, one={**workshop(), "env": {"NEW": "yes"}})
        assert await place.look() == ["The configuration has changed: 'one' is another one."]
        await place.value("one.pair_sum(a=[1], b=[2])")
        assert place.pid("one") != before


async def test_a_plan_under_way_finishes_with_the_tools_and_the_rights_that_it_began_with(home: Home) -> None:
    home.configure('[policy]\ntrust = ["*"]\nallow = ["one.*"]\n', one=workshop())
    gate = home.folder / "gate"
    plan = f'wait_for(path="{gate}")\n[pair_sum(a=[1], b=[2]), one.erase(path="x")]'
    async with following(home) as place, anyio.create_task_group() as tasks:
        answers: list[dict[str, Any]] = []

        async def run() -> None:
            answers.append(await place.run(plan))

        tasks.start_soon(run)
        await appears(Path(f"{gate}.started"))
        old = place.app.generations.current
        home.configure('[policy]\ndeny = ["*"]\n')
        (home.folder / "mcp.json").write_text('{"mcpServers": {}}')
        assert await place.look() == ["The configuration has changed: 'one' is gone, [policy]."]
        assert (await place.run("one.pair_sum(a=[1], b=[2])"))["status"] == "refused"
        assert old.toolbox.toolset("one").status.pid is not None
        gate.touch()
        while not answers:
            await anyio.sleep(0.01)
        assert (answers[0]["status"], answers[0]["result"]) == ("ok", [[3], "erased x"])
        while old.toolbox.toolset("one").status.state != "closed":
            await anyio.sleep(0.01)


@pytest.mark.parametrize(
    ("file", "broken", "said"),
    [
        ("planact.toml", "[policy]\ntrusst = []\n", "trust"),
        ("planact.toml", "[policy\n", "line 1"),
        ("mcp.json", '{"mcpServers": {', "line 1"),
        ("mcp.json", '{"servers_": {}}', "it has no 'mcpServers'"),
    ],
)
async def test_a_broken_file_changes_nothing_and_says_why(
    home: Home, monkeypatch: pytest.MonkeyPatch, file: str, broken: str, said: str
) -> None:
    monkeypatch.setattr("planact_server.reload.AGAIN_SECONDS", 0.01)
    home.configure(TRUSTED, one=workshop())
    path = home.folder / file
    good = path.read_text()
    async with following(home) as place:
        path.write_text(broken)
        [complaint] = await place.look()
        assert str(path) in complaint
        assert said in complaint
        assert complaint.endswith("\nThe configuration stays as it was.")
        assert await place.value("one.pair_sum(a=[1], b=[2])") == [3]
        assert await place.look() == []
        path.write_text(good)
        assert await place.look() == ["The configuration can be read again: it says what it said before."]


async def test_a_file_that_was_half_written_is_no_complaint(home: Home) -> None:
    home.configure(TRUSTED, one=workshop())
    path = home.folder / "mcp.json"
    async with following(home) as place, anyio.create_task_group() as tasks:
        path.write_text('{"mcpServers": {"tw')
        tasks.start_soon(place.reloading.look)
        await anyio.sleep(0.1)
        path.write_text(json.dumps({"mcpServers": {"two": workshop()}}))
        while not place.said:
            await anyio.sleep(0.01)
        assert place.said == ["The configuration has changed: 'two' is new, 'one' is gone."]


async def test_an_entry_that_cannot_be_used_costs_only_itself(home: Home) -> None:
    home.configure(TRUSTED, one=workshop())
    async with following(home) as place:
        home.configure(TRUSTED, one=workshop(), two={"command": "${NOT_SET_ANYWHERE}"})
        [complaint] = await place.look()
        assert "Server 'two'" in complaint
        assert "NOT_SET_ANYWHERE" in complaint
        assert await place.value("one.pair_sum(a=[1], b=[2])") == [3]


async def test_a_pack_that_was_edited_is_loaded_anew_and_a_plan_under_way_keeps_the_old_one(home: Home) -> None:
    (home.folder / "mine.py").write_text(PACK)
    home.configure('packs = ["./mine.py"]\n' + TRUSTED)
    (home.folder / "mcp.json").write_text('{"mcpServers": {}}')
    gate = home.folder / "gate"
    async with following(home) as place, anyio.create_task_group() as tasks:
        answers: list[dict[str, Any]] = []

        async def run() -> None:
            answers.append(await place.run(f"mine.wait(path={str(gate)!r})\nmine.version()"))

        tasks.start_soon(run)
        await appears(Path(f"{gate}.started"))
        (home.folder / "mine.py").write_text(PACK.replace("return 1", "return 2"))
        assert await place.look() == ["The configuration has changed: 'mine' is another one."]
        assert await place.value("mine.version()") == 2
        gate.touch()
        while not answers:
            await anyio.sleep(0.01)
        assert answers[0]["result"] == 1


async def test_a_pack_that_was_broken_stays_as_it_was(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planact_server.reload.AGAIN_SECONDS", 0.01)
    (home.folder / "mine.py").write_text(PACK)
    home.configure('packs = ["./mine.py"]\n' + TRUSTED)
    async with following(home) as place:
        (home.folder / "mine.py").write_text(PACK + "\ndef broken(:\n")
        [complaint] = await place.look()
        assert "mine.py', line 18: SyntaxError" in complaint
        assert await place.value("mine.version()") == 1


@pytest.mark.parametrize("source", ["raise KeyboardInterrupt", "raise GeneratorExit", "raise StopIteration"])
async def test_whatever_a_pack_raises_only_that_is_told(
    home: Home, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.setattr("planact_server.reload.AGAIN_SECONDS", 0.01)
    (home.folder / "mine.py").write_text(PACK)
    home.configure('packs = ["./mine.py"]\n' + TRUSTED)
    async with following(home) as place:
        (home.folder / "mine.py").write_text(f"{source}\n")
        [complaint] = await place.look()
        assert f"mine.py', line 1: {source.split()[1]}" in complaint
        assert await place.value("mine.version()") == 1


async def test_a_pack_that_was_added_is_followed_from_then_on(home: Home) -> None:
    (home.folder / "mine.py").write_text(PACK)
    home.configure(TRUSTED)
    async with home.serve() as client, anyio.create_task_group() as tasks:
        (home.folder / "noise.txt").touch()
        tasks.start_soon(_keep_writing, home.folder / "noise.txt")
        home.configure('packs = ["./mine.py"]\n' + TRUSTED)
        await _becomes(client, "mine.version()", 1)
        (home.folder / "mine.py").write_text(PACK.replace("return 1", "return 2"))
        await _becomes(client, "mine.version()", 2)
        tasks.cancel_scope.cancel()


async def _keep_writing(path: Path) -> None:
    while True:
        path.write_text("x")
        await anyio.sleep(0.1)


async def _becomes(client: Client, code: str, value: object) -> None:
    with anyio.fail_after(9):
        while (await act(client, code)).get("result") != value:
            await anyio.sleep(0.05)


async def test_a_trusted_folder_whose_files_changed_is_trusted_no_more(home: Home) -> None:
    home.configure(TRUSTED, one=workshop())
    (home.work / "mcp.json").write_text(json.dumps({"mcpServers": {"here": workshop()}}))
    with Store.open(home.folder / "state") as store:
        files = examine(home.work)
        assert files is not None
        trust_folder(store, files)
    async with following(home) as place:
        assert await place.value("here.pair_sum(a=[1], b=[2])") == [3]
        (home.work / "mcp.json").write_text(json.dumps({"mcpServers": {"here": workshop("--other")}}))
        changed, notice = await place.look()
        assert changed == "The configuration has changed: 'here' is gone."
        assert "they are no longer what was trusted: mcp.json changed" in notice
        assert (await place.run("here.pair_sum(a=[1], b=[2])"))["status"] == "refused"


async def test_what_workers_are_started_with_waits_for_the_next_start(home: Home) -> None:
    home.configure(TRUSTED, one=workshop())
    async with following(home) as place:
        home.configure(TRUSTED + "[sandbox]\nmemory_mb = 512\nseconds = 7\n", one=workshop())
        changed, restart = await place.look()
        assert changed == "The configuration has changed: [sandbox]."
        assert restart == "[sandbox] memory_mb: takes effect when Planact is started again."
        assert place.app.generations.current.limits.seconds == 7
        assert place.app.generations.current.limits.memory_bytes == 256 * 2**20


async def test_many_changes_leave_one_generation_open(home: Home) -> None:
    home.configure(TRUSTED, one=workshop())
    async with following(home) as place:
        await place.value("one.pair_sum(a=[1], b=[2])")
        server = place.app.toolbox.toolset("one")
        for number in range(20):
            home.configure(TRUSTED + f"[search]\nseconds = {number + 1}\n", one=workshop())
            await place.look()
        await anyio.lowlevel.checkpoint()
        assert place.app.toolbox.toolset("one") is server
        assert len(server._tools._listeners) == 1
        assert await place.value("one.pair_sum(a=[1], b=[2])") == [3]


async def test_a_host_is_told_when_a_server_comes_in_a_file_that_replaces_the_old_one(home: Home) -> None:
    told = anyio.Event()

    async def hear(message: object) -> None:
        if isinstance(message, ToolListChangedNotification):
            told.set()

    home.configure(TRUSTED, one=workshop())
    async with home.serve(mode="legacy", message_handler=hear) as client:
        assert (await act(client, "one.pair_sum(a=[1], b=[2])"))["result"] == [3]
        before = (await client.list_tools()).tools[0].description
        fresh = home.folder / "fresh.json"
        fresh.write_text(json.dumps({"mcpServers": {"one": workshop(), "second": workshop()}}))
        told = anyio.Event()
        fresh.replace(home.folder / "mcp.json")
        await told.wait()
        after = (await client.list_tools()).tools[0].description
        assert (await act(client, "second.pair_sum(a=[1], b=[2])"))["result"] == [3]

    assert "second" not in str(before)
    assert "second" in str(after)
    assert "planact: The configuration has changed: 'second' is new.\n" in (home.folder / "stderr.txt").read_text()


async def test_a_file_whose_folder_comes_later_is_read_too(home: Home) -> None:
    """Over HTTP, with a configuration of the user's own that was not there at all."""
    home.environment.pop("PLANACT_CONFIG")
    folder = Path(home.environment["XDG_CONFIG_HOME"]) / "planact"
    async with serving(home) as address, Client(address) as client:
        assert (await act(client, "1 + 1"))["result"] == 2
        (home.work / "mcp.json").write_text("{}")
        await said(home, "has its own mcp.json; it is not trusted")
        folder.mkdir(parents=True)
        (folder / "planact.toml").write_text(TRUSTED)
        (folder / "mcp.json").write_text(json.dumps({"mcpServers": {"late": workshop()}}))
        await said(home, "'late' is new")
        assert (await act(client, "late.pair_sum(a=[1], b=[2])"))["result"] == [3]


async def said(home: Home, text: str) -> None:
    """Wait until a person has been told something."""
    with anyio.fail_after(30):
        while text not in (home.folder / "stderr.txt").read_text():
            await anyio.sleep(0.02)


async def test_a_warning_about_a_file_keeps_nothing_from_being_taken_over(home: Home) -> None:
    home.configure(TRUSTED, one=workshop())
    async with following(home) as place:
        entry = json.dumps(workshop())
        (home.folder / "mcp.json").write_text(f'{{"mcpServers": {{"two": {entry}, "two": {entry}}}}}')
        said = await place.look()
        assert place.app.toolbox.names == ("two",)
    assert any("appears twice" in text for text in said)


async def test_the_configuration_is_followed_though_the_working_folder_has_gone(
    home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home.configure(TRUSTED, one=workshop())
    gone = tmp_path / "gone"
    gone.mkdir()
    async with following(home) as place:
        monkeypatch.chdir(gone)
        gone.rmdir()
        home.configure(TRUSTED, two=workshop())
        await place.look()
        assert place.app.toolbox.names == ("two",)
        monkeypatch.undo()


async def test_a_huge_file_of_a_folder_is_not_read(home: Home) -> None:
    home.configure(TRUSTED)
    with (home.work / "planact.toml").open("wb") as huge:
        huge.truncate(2**40)
    async with following(home) as place:
        assert await place.look() == []


async def test_a_pack_that_is_slow_to_load_holds_up_nobody(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planact_server.reload.LOAD_SECONDS", 0.3)
    home.configure(f'packs = ["{home.folder / "slow.py"}"]\n{TRUSTED}')
    (home.folder / "slow.py").write_text(PACK)
    async with following(home) as place:
        gate = home.folder / "gate"
        slow = f"import pathlib, time\nwhile not pathlib.Path({str(gate)!r}).exists():\n    time.sleep(0.01)\n"
        (home.folder / "slow.py").write_text(slow + PACK)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(place.look)
            await anyio.sleep(0.1)
            assert await place.value("slow.version()") == 1
        assert "took longer than 0.3 s" in place.said[0]
        gate.touch()
        (home.folder / "slow.py").write_text(slow + PACK.replace("return 1", "return 2"))
        await place.look()
        assert await place.value("slow.version()") == 2


async def test_a_file_that_could_not_be_read_and_is_gone_is_gone(home: Home) -> None:
    settings = home.work / "planact.toml"
    home.configure(TRUSTED)
    async with following(home) as place:
        seen = place.reloading._contents()
        settings.mkdir()
        unreadable = place.reloading._contents()
        settings.rmdir()
        assert unreadable != seen == place.reloading._contents()
