"""Text above 8 MB stays with the host; counted are the bytes that are written to the worker, not the time it takes."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from anyio import fail_after

from planact_server.config import PolicySettings
from planact_server.content import Contents
from planact_server.plans.calls import PlanCalls, PlanRights
from planact_server.policy import Policy
from planact_server.sandbox import Limits
from planact_server.sandbox.connection import Connection
from planact_server.toolbox import Toolbox
from planact_testing import Home, act
from planact_tools import ToolDefinition
from planact_tools.testing import MemoryToolset

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from planact_server.sandbox import Outcome
    from planact_server.sandbox.host import PooledEngine
    from planact_tools import JSONValue

LINES = 400_000
LINE = "{number:07d} naïve 🙂 \u2028 " + "x" * 80 + "\n"
SLICE = 1_100_000
"""What may cross for one question: a megabyte of characters here, and what is around it."""


class Bench(NamedTuple):
    """One session on a server that holds the text."""

    run: Any
    text: str
    server: MemoryToolset
    sent: list[int]
    """Sizes of the frames that were written to the worker since the last plan began."""


@pytest.fixture(scope="module")
def text() -> str:
    """40 million characters, of one, two, three and four bytes each; one Python string of them has 160 MB."""
    return "".join(LINE.format(number=number) for number in range(LINES))


@pytest.fixture
async def bench(engine: PooledEngine, text: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    sent: list[int] = []
    send = Connection.send

    async def counted(connection: Connection, body: bytes) -> None:
        sent.append(len(body))
        await send(connection, body)

    monkeypatch.setattr(Connection, "send", counted)
    server = MemoryToolset("library")
    replies: dict[str, JSONValue] = {
        "novel": text,
        "index": {"novel": text, "pages": 7},
        "rows": json.dumps(["é" * 9_000_000]),
    }
    for name, reply in replies.items():
        server.add(ToolDefinition(name=name, read_only=True), reply)
    server.add(ToolDefinition(name="lend", read_only=True, input_schema={"type": "object"}), "lent")
    contents = Contents()
    worker = await engine.worker()

    async def unheard(_: str, __: float | None) -> None:
        """Nobody listens."""

    async with Toolbox([server]) as toolbox:
        rights = PlanRights(toolbox=toolbox, policy=Policy(PolicySettings(trust=("*",))), start_seconds=5)

        async def run(plan: str) -> Outcome:
            sent.clear()
            with fail_after(60):
                return await worker.run(plan, host=PlanCalls(rights, contents, unheard), limits=Limits())

        yield Bench(run, text, server, sent)
    await worker.aclose()


async def test_a_large_text_does_not_cross_into_the_worker(bench: Bench) -> None:
    outcome = await bench.run("t = novel()\n[t.size, len(t), repr(t), type(t).__name__]")
    shown = f"<LargeText of {len(bench.text)} characters: use slices, iterate over lines, or .text()>"
    assert (outcome.errors, outcome.result) == ((), [len(bench.text), len(bench.text), shown, "LargeText"])
    assert sum(bench.sent) < 10_000


async def test_it_is_one_inside_a_larger_result_too(bench: Bench) -> None:
    outcome = await bench.run('i = index()\n[i["pages"], i["novel"].size]')
    assert (outcome.result, sum(bench.sent) < 10_000) == ([7, len(bench.text)], True)


async def test_it_goes_on_to_another_tool_whole_and_past_the_worker(bench: Bench) -> None:
    outcome = await bench.run('t = novel()\nlend(book=t, also=[{"again": t}])')
    assert (outcome.errors, outcome.result) == ((), "lent")
    assert bench.server.calls[-1].arguments == {"book": bench.text, "also": [{"again": bench.text}]}
    assert sum(bench.sent) < 10_000


async def test_slices_are_right_wherever_characters_have_several_bytes(bench: Bench) -> None:
    places = [(0, 20), (7, 14), (13, 16), (1_048_570, 1_048_590), (2_097_152, 2_097_153), (-30, None), (5, 5), (9, 3)]
    steps = [(2, 40, 3), (40, 2, -3), (-1, -30, -7), (9, 9, 2)]
    outcome = await bench.run(f"t = novel()\n[t[a:b] for a, b in {places}] + [t[a:b:c] for a, b, c in {steps}]")
    assert outcome.errors == ()
    assert outcome.result == [bench.text[a:b] for a, b in places] + [bench.text[a:b:c] for a, b, c in steps]


async def test_a_slice_costs_no_more_than_a_piece(bench: Bench) -> None:
    outcome = await bench.run("t = novel()\nt[20_000_000:20_000_100] + t[20_000_100:20_000_200]")
    assert outcome.result == bench.text[20_000_000:20_000_200]
    assert sum(bench.sent) < 2 * SLICE


async def test_lines_are_read_in_bounded_memory_though_the_whole_does_not_fit(bench: Bench) -> None:
    """A worker has 256 MB: the lines pass, one string of them and its pieces do not."""
    outcome = await bench.run(
        "import hashlib\nt, seen, digest = novel(), 0, hashlib.sha256()\n"
        "for line in t:\n    seen += 1\n    digest.update(line.encode())\n[seen, digest.hexdigest()]"
    )
    assert (outcome.errors, outcome.result) == ((), [LINES, hashlib.sha256(bench.text.encode()).hexdigest()])
    assert max(bench.sent) < 4 * SLICE

    whole = await bench.run("len(novel().text())")
    assert whole.status in ("error", "limit")


async def test_json_in_a_large_text_is_loaded_when_asked_for(bench: Bench) -> None:
    outcome = await bench.run("import json\nr = rows()\nbefore = type(r).__name__\n[before, len(json.loads(r)[0])]")
    assert (outcome.errors, outcome.result) == ((), ["LargeText", 9_000_000])


async def test_what_is_too_large_to_leave_the_jail_says_how_much_of_it_can_be_read(home: Home) -> None:
    async with home.serve() as client:
        answer = await act(client, "b = [{'i': i, 't': 'y' * 80} for i in range(90_000)]\nlen(b)")
        [entry] = answer["truncated"]
        read = await client.read_resource(entry["resource"])
        whole = await act(client, "len(b)", session=answer["session"])
    *rows, last = json.loads(read.contents[0].text)
    assert (entry["path"], entry["size"], entry["kept"]) == ("variables/b", 90_000, len(rows))
    assert last == f"… {90_000 - len(rows)} more"
    assert rows[-1] == {"i": len(rows) - 1, "t": "y" * 80}
    *shown, last = answer["variables"]["b"]
    assert last == f"… {90_000 - len(shown)} more"
    assert whole["result"] == 90_000
