"""What a tool returns is learned from its results where its server does not say, kept, and marked as learned."""

import json
from pathlib import Path
from typing import Any

import pytest

from planact_server.catalog.catalog import Catalog, CatalogTool
from planact_server.learned import SETTLED, LearnedShape, LearnedTypes
from planact_server.store import Store, StoreError
from planact_testing import Home, act
from planact_tools import ToolDefinition
from warm.start import warm_python

LEDGER = Path(__file__).parent / "servers" / "ledger.py"
LINE = "ledger.entries(count: int = 2)"
LEARNED = f"{LINE} -> list[dict] ?"
TRUSTING = '[policy]\ntrust = ["ledger"]\nallow = ["ledger.book"]\n'


def with_ledger(home: Home, toml: str = TRUSTING) -> None:
    command, *rest = warm_python(str(LEDGER))
    home.configure(toml, ledger={"command": command, "args": rest})


async def test_a_return_type_is_learned_shown_and_kept(home: Home) -> None:
    with_ledger(home)
    look = "(search_tools('newest entries', limit=1)[0], describe('entries'))"
    async with home.serve() as client:
        before = await act(client, look)
        listed = await client.list_tools()
        await act(client, "entries(count=2)")
        after = await act(client, look)
        again = await client.list_tools()
        by_key = await act(client, "search_tools('note', limit=1)[0]")
    async with home.serve() as client:
        kept = await act(client, look)
    code, _, shown = await home.run("tools", "show", "ledger.entries")
    _, rows, _ = await home.run("tools", "search", "entries", "--json")

    assert before["result"][0].startswith(f"{LINE}  # List")
    assert "-> Any:" in before["result"][1]
    assert after["result"][0].startswith(f"{LEARNED}  # List")
    assert "# what it returns was learned from one result: the server does not say" in after["result"][1]
    assert (
        "class EntriesResultItem(TypedDict):\n    id: int\n    amount: float\n    note: str | None"
        in after["result"][1]
    )
    assert "def entries(count: int = 2) -> list[EntriesResultItem]:" in after["result"][1]
    assert by_key["result"].startswith(LINE)
    assert kept["result"] == after["result"]
    # What the host is told stays the same, byte for byte.
    assert [tool.description for tool in listed.tools] == [tool.description for tool in again.tools]
    assert (code, shown.strip()) == (0, after["result"][1])
    assert json.loads(rows)[0]["signature"] == LEARNED


async def test_a_dry_run_answers_as_the_tool_has_done(home: Home) -> None:
    with_ledger(home)
    async with home.serve() as client:
        unknown = await act(client, "book(amount=2.5)", mode="dry_run")
        await act(client, "book(amount=1.0)")
        known = await act(client, "book(amount=2.5)['entry']['amount']", mode="dry_run")
    assert unknown["result"] == {"ok": True, "amount": 2.5}
    assert (known["status"], known["result"]) == ("ok", 2.5)
    assert [call["stand_in"] for call in known["calls"]] == [True]


async def test_a_plan_is_held_against_what_its_tools_have_returned(home: Home) -> None:
    with_ledger(home)
    async with home.serve() as client:
        before = await act(client, "[row.get('notes') for row in entries()]")
        silent = await act(client, "[row.get('notes') for row in entries()]")
        failed = await act(client, "rows = entries()\nrows[0]['amout']\nrows[1]['nott']\nrows['id']")
        wrong = await act(client, "if entries()[0]['id']:\n    entries()[0]['amout']")
        dry = await act(client, "for row in entries():\n    row.get('amout')", mode="dry_run")
    assert (before["status"], before.get("warnings")) == ("ok", None)
    told = "there is no key 'notes' in what entries has returned so far (1 result). Did you mean 'note'?"
    assert silent["status"] == "ok"
    assert silent["warnings"] == [f"Line 1: row.get('notes'): {told} Its keys: 'id', 'amount', 'note'."]
    # The first is told by the error; what would have been wrong next is repaired in the same go.
    assert (failed["status"], failed["errors"][0]["line"]) == ("error", 2)
    assert [warning.partition(": ")[0] for warning in failed["warnings"]] == ["Line 3", "Line 4"]
    # What the run has settled is not said.
    assert (wrong["status"], wrong.get("warnings")) == ("ok", None)
    assert (dry["status"], len(dry["warnings"])) == ("ok", 1)


async def test_what_looks_wrong_is_said_where_a_call_needs_approval(home: Home) -> None:
    with_ledger(home, '[policy]\ntrust = ["ledger"]\n')
    async with home.serve() as client:
        await act(client, "entries()")
        answer = await act(client, "book(amount=2.0)\nentries()[0]['amout']")
    assert (answer["status"], answer["errors"][0]["line"]) == ("denied", 1)
    assert [warning[:29] for warning in answer["warnings"]] == ["Line 2: entries()[0]['amout']"]


def a_tool(**facts: Any) -> CatalogTool:
    return Catalog.build({"s": [ToolDefinition(name="t", **facts)]}).servers["s"].tools["t"]


def learning(store: Store | None = None) -> LearnedTypes:
    return LearnedTypes(identity_of=lambda tool: tool.raw_server, store=store)


def test_a_tool_that_declares_its_results_is_believed() -> None:
    types, tool = learning(), a_tool(output_schema={"type": "object"})
    types.observe(tool, {"a": 1})
    assert types.returns(tool) is None


def test_another_definition_is_another_tool(tmp_path: Path) -> None:
    old, new = a_tool(description="one"), a_tool(description="two")
    with Store.open(tmp_path) as store:
        types = learning(store)
        types.observe(old, {"a": 1})
        known, unknown = types.returns(old), types.returns(new)
        types.observe(new, [1])
        relearned = learning(store).returns(new)
    assert known is not None
    assert unknown is None
    assert relearned is not None
    assert relearned.schema.root == {"type": "array", "items": {"type": "integer"}}


def test_how_many_results_there_are_is_written_whenever_they_have_doubled() -> None:
    written: list[int] = []

    class Counting:
        def learned_shape(self, identity: str, tool: str) -> LearnedShape | None:
            return None

        def add_learned_shape(self, identity: str, tool: str, learned: LearnedShape) -> LearnedShape:
            written.append(learned.results)
            return LearnedShape(definition_hash=learned.definition_hash, shape=learned.shape, results=sum(written))

    types, tool = LearnedTypes(identity_of=lambda tool: tool.raw_server, store=Counting()), a_tool()
    for number in range(SETTLED):
        types.observe(tool, {"a": number})
    known = types.returns(tool)
    types.observe(tool, {"a": "text"})
    assert known is not None
    assert known.results == SETTLED
    assert written == [1, 1, 2, 4, 8, 5]


def test_several_processes_add_to_what_is_known(tmp_path: Path) -> None:
    tool = a_tool()
    with Store.open(tmp_path) as here, Store.open(tmp_path) as there:
        one, other = learning(here), learning(there)
        for types in (one, other):
            types.observe(tool, {"a": 1})
        one.observe(tool, {"a": 1, "b": 2})
        other.observe(tool, {"a": 1, "c": 3})
        known = learning(here).returns(tool)
    assert known is not None
    assert isinstance(known.schema.root, dict)
    assert (set(known.schema.root["properties"]), known.schema.root["required"], known.results) == (
        {"a", "b", "c"},
        ["a"],
        4,
    )


@pytest.mark.parametrize("full", ["learned_shape", "add_learned_shape"])
def test_a_store_that_fails_costs_only_what_is_kept(full: str) -> None:
    def fail(*_: object) -> None:
        raise StoreError("disk full")

    def forget(*facts: object) -> object:
        return facts[-1] if len(facts) > 3 else None

    store: Any = type("S", (), {"learned_shape": forget, "add_learned_shape": forget, full: fail})()
    types = LearnedTypes(identity_of=lambda tool: tool.raw_server, store=store)
    tool = a_tool()
    types.observe(tool, 1)
    known = types.returns(tool)
    assert known is not None
    assert known.schema.root == {"type": "integer"}
