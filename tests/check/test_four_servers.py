"""One plan over four servers that nobody here wrote, started from an mcp.json like a user's."""

import subprocess
from pathlib import Path

import pytest

from planact_testing import Home, act

pytestmark = pytest.mark.check

PLAN = """
import time

commits = git.git_log(repo_path=REPOSITORY, max_count=5)
files_seen = filesystem.list_directory(path=REPOSITORY)
now = time_server("get_current_time", {"timezone": "Europe/Berlin"}, server="time")
memory.create_entities(entities=[
    {"name": name, "entityType": "file", "observations": [f"seen at {now['datetime']}"]}
    for name in ("notes.txt", "plan.txt")
])
memory.create_relations(relations=[{"from": "notes.txt", "to": "plan.txt", "relationType": "mentions"}])
graph = memory.read_graph()
relation = graph["relations"][0]
text = read_text_file(f"{REPOSITORY}/notes.txt")["content"]
{"from": relation["from"], "zone": now["timezone"], "text": text, "slept": time.time() > 0}
"""


async def test_one_plan_over_four_real_servers(home: Home, real_servers: dict[str, list[str]], tmp_path: Path) -> None:
    repository = _repository(tmp_path / "repository")
    home.configure(
        '[policy]\ntrust = ["git", "filesystem", "time", "memory"]\nallow = ["memory.create_*"]\n',
        filesystem=_entry(real_servers["filesystem"], str(repository)),
        memory=_entry(real_servers["memory"]) | {"env": {"MEMORY_FILE_PATH": str(tmp_path / "memory.jsonl")}},
        git=_entry(real_servers["git"], "--repository", str(repository)),
        time=_entry(real_servers["time"]),
    )
    plan = PLAN.replace("REPOSITORY", repr(str(repository))).replace(f"{{{str(repository)!r}}}", str(repository))
    plan = plan.replace("time_server", "call_tool")

    async with home.serve() as client:
        answer = await act(client, plan)

    assert answer["errors"] == []
    assert answer["result"] == {"from": "notes.txt", "zone": "Europe/Berlin", "text": "read plan.txt\n", "slept": True}
    assert "first commit" in str(answer["variables"]["commits"])
    assert "notes.txt" in str(answer["variables"]["files_seen"])
    assert [call["server"] for call in answer["calls"]] == [
        "git", "filesystem", "time", "memory", "memory", "memory", "filesystem",
    ]  # fmt: skip
    assert [call["read_only"] for call in answer["calls"]] == [True, True, True, False, False, True, True]
    assert answer["function_results"]["read_graph"] == ["graph"]


async def test_a_write_of_a_real_server_is_held_back(home: Home, real_servers: dict[str, list[str]]) -> None:
    home.configure("", memory=_entry(real_servers["memory"]))
    async with home.serve() as client:
        answer = await act(client, 'memory.delete_entities(entityNames=["a"])')
    assert answer["status"] == "denied"
    assert 'allow = ["memory.delete_entities"]' in answer["errors"][0]["hint"]


def _entry(command: list[str], *arguments: str) -> dict[str, object]:
    return {"command": command[0], "args": [*command[1:], *arguments]}


def _repository(folder: Path) -> Path:
    folder.mkdir()
    (folder / "notes.txt").write_text("read plan.txt\n")
    git = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.com", "-C", str(folder)]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first commit"]):
        subprocess.run([*git, *arguments], check=True)
    return folder
