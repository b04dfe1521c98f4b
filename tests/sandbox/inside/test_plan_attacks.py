"""The known attacks against the language inside: none gets out, and the worker survives or ends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.inside.plan_worker import Limit, PlanWorker

if TYPE_CHECKING:
    from pathlib import Path

# Those need the jail around the worker, or seconds of CPU each.
LEFT_OUT = {"containment", "dos-cpu", "dos-memory"}
# gadget-12 and gadget-11 end their worker.
SLOW = {"gadget-11", "gadget-12", "dos-rpc-02", "dos-rpc-03", "gadget-14", "gadget-16"}


def test_no_known_attack_escapes(shared: Path) -> None:
    lines = (shared / "attacks" / "attacks_dev.jsonl").read_text().splitlines()
    attacks = [json.loads(line) for line in lines]
    chosen = [attack for attack in attacks if attack["category"] not in LEFT_OUT and attack["id"] not in SLOW]
    assert len(chosen) > 60
    worker = PlanWorker()
    try:
        ends = {attack["id"]: _end(worker, attack["code"]) for attack in chosen}
        survived = worker.alive and worker.run("'alive'").result
    finally:
        worker.close()

    assert [name for name, end in ends.items() if end[0] == "ok" and "ESCAPED" in json.dumps(end[1])] == []
    refused = [attack["id"] for attack in chosen if attack["expectation"] == "refused"]
    assert [name for name in refused if ends[name][0] not in ("refused", "error")] == []
    assert survived == "alive"


GENERATOR = "g = (i for i in ())\n"
EVIL_TEXT = """
import enum
class Text(str):
    def startswith(self, *_): return False
    def replace(self, *_): return self
    def split(self, *_): return ["harmless"]
"""

NEW_ATTACKS = {
    "a class pattern of an abstract class that claims a generator": GENERATOR
    + "from collections import abc, namedtuple\n"
    "class G(namedtuple('G', ['gi_frame']), abc.Sized): pass\n"
    "G.register(type(g))\n"
    "match g:\n    case G(frame): print('ESCAPED')",
    "a class pattern that reads a private name of the worker": "from collections import abc\n"
    "class G(abc.Sized):\n    __match_args__ = ('_link',)\n"
    "G.register(type(echo))\n"
    "match echo:\n    case G(link): print('ESCAPED')",
    "a field whose name is source code": "import dataclasses\n"
    "class F(dataclasses.Field):\n    name = property(lambda self: 'x):\\n pass#', lambda self, value: None)\n"
    "print('ESCAPED')",
    "the format method of super()": GENERATOR + "class S(str):\n    def f(self, x): return super().format(x)\n"
    "print('ESCAPED', S('{0.gi_frame}').f(g))",
    "a format method in a class of the library": GENERATOR
    + "from collections import UserString\nprint('ESCAPED', UserString('{0.gi_frame}').format(g))",
    "a base class inside an annotation": "from typing import Annotated\n"
    "class E(Annotated[ExceptionGroup, 1]): pass\nprint('ESCAPED')",
    "an enum's name that is a text of the plan": EVIL_TEXT
    + "enum.Enum('E', [(Text('__reduce_ex__'), 1)])\nprint('ESCAPED')",
    "enum names that read differently the second time": EVIL_TEXT
    + "class Pair(tuple):\n    def __getitem__(self, index): return 'harmless'\n"
    "enum.Enum('E', [Pair(('__reduce_ex__', 1))])\nprint('ESCAPED')",
}


@pytest.mark.parametrize("source", NEW_ATTACKS.values(), ids=NEW_ATTACKS)
def test_no_way_around_the_guard_is_left(session: PlanWorker, source: str) -> None:
    run = session.run(source, {"demo.echo": lambda value: value})

    assert (run.status, run.output) == ("error", "")


LEAVES = {
    "when it is shown": "class A:\n    def __repr__(self): raise SystemExit\nA()",
    "when it is closed": "import asyncio\nasync def f():\n    try: await asyncio.sleep(9)\n"
    "    finally: raise KeyboardInterrupt\ntask = asyncio.create_task(f())\nawait asyncio.sleep(0)",
}


@pytest.mark.parametrize("source", LEAVES.values(), ids=LEAVES)
def test_a_plan_that_wants_to_leave_ends_its_worker_never(session: PlanWorker, source: str) -> None:
    assert session.run(source).status == "ok"
    assert session.run("'still here'").result == "still here"


def test_a_deep_copy_does_not_take_the_worker_apart(session: PlanWorker) -> None:
    run = session.run(
        "import asyncio, copy\nkept = {}\nasync def f(): return 1\ntask = asyncio.create_task(f())\n"
        "copies = copy.deepcopy([print, asyncio.gather, task, echo], kept)\n"
        "[copies[2] is task, copies[3] is echo, [str(type(x)) for x in kept[id(kept)]]]",
        {"demo.echo": lambda value: value},
    )

    assert run.result == [True, True, ["<class 'method'>", "<class 'method'>", "<class 'list'>"]]


def _end(worker: PlanWorker, source: str) -> tuple[str, Any]:
    calls = 0

    def tool(a: Any = None, b: Any = None) -> Any:
        nonlocal calls
        calls += 1
        if calls > 100:
            raise Limit("100 calls")
        return a

    run = worker.run(source, {"demo.add": tool, "demo.aadd": tool, "demo.echo": tool}, seconds=0.2)
    return run.status, run.done.get("result")
