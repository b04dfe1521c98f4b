"""Going back: a session is what it was at its checkpoint, whatever a plan did to it since."""

from typing import Any

import pytest

from sandbox.inside.plan_worker import PlanWorker


def checkpoint(worker: PlanWorker) -> dict[str, Any]:
    worker.send({"type": "checkpoint"})
    return worker.reply()


def rollback(worker: PlanWorker) -> dict[str, Any]:
    worker.send({"type": "rollback"})
    return worker.reply()


TAKEN = {"type": "checkpointed", "taken": True, "unsettled": []}
DONE = {"type": "rolled_back", "done": True}

CHANGES = {
    "a list": ("x = [1, [2]]", "x[1].append(3); x += [4]", "x", [1, [2]]),
    "a dict and its order": ("x = {'a': 1, 'b': {}}", "x['b'][1] = 1; del x['a']; x['a'] = 2", "x", {"a": 1, "b": {}}),
    "a set": ("x = {1}", "x.add(2); x.discard(1)", "x", [1]),
    "a variable": ("x = 1", "x = 'other'", "x", 1),
    "a deleted variable": ("x = 1", "del x", "x", 1),
    "a deque": (
        "from collections import deque\nx = deque([1, 2], maxlen=2)",
        "x.append(3); x.rotate(1)",
        "(list(x), x.maxlen)",
        [[1, 2], 2],
    ),
    "an ordered dict": (
        "from collections import OrderedDict\nx = OrderedDict(a=1, b=2)",
        "x.move_to_end('a'); x['c'] = 3",
        "list(x.items())",
        [["a", 1], ["b", 2]],
    ),
    "a counter": (
        "from collections import Counter, defaultdict\nx = Counter('aab')\ny = defaultdict(list, k=[1])",
        "x['b'] += 7; y['n'].append(1); y['k'].clear()",
        "(dict(x), dict(y), y['new'])",
        [{"a": 2, "b": 1}, {"k": [1]}, []],
    ),
    "bytes that change": ("x = bytearray(b'ab')", "x += b'c'; x[0] = 0", "x.decode()", "ab"),
    "a text buffer": (
        "import io\nx = io.StringIO('abc'); x.seek(1)\ny = io.BytesIO(b'12')",
        "x.write('ZZZZ'); y.read(); y.write(b'3')",
        "(x.read(), y.getvalue().decode(), y.tell())",
        ["bc", "12", 0],
    ),
    "an instance": (
        """
class P:
    def __init__(self):
        self.n = 1
        self.of = [1]
x = P()""",
        "x.n = 2; x.of.append(2); x.more = 3",
        "vars(x)",
        {"n": 1, "of": [1]},
    ),
    "an instance with slots": (
        "class P:\n    __slots__ = ('n', 'm')\nx = P(); x.n = 1",
        "x.n = 2; x.m = 3",
        "(x.n, hasattr(x, 'm'))",
        [1, False],
    ),
    "a dataclass": (
        """
from dataclasses import dataclass, field
@dataclass
class P:
    n: int = 1
    of: list = field(default_factory=list)
x = P()""",
        "x.n = 5; x.of.append(1)",
        "(x.n, x.of)",
        [1, []],
    ),
    "kinds of classes": (
        """
from enum import Enum
from typing import NamedTuple
from collections.abc import Sized
class Colour(Enum):
    RED = 1
class Pair(NamedTuple):
    a: list = []
class Base(Sized):
    seen = [1]
x = Pair([1])""",
        "x.a.append(2); Base.seen.append(2); Colour.RED.note = 1",
        "(x.a, Base.seen, hasattr(Colour.RED, 'note'), Colour(1).name)",
        [[1], [1], False, "RED"],
    ),
    "a class": (
        """
class P:
    shared = []
    def say(self): return 'before'
x = P()""",
        "P.shared.append(1)\nP.more = 1\ndef say(self): return 'after'\nP.say = say",
        "(P.shared, hasattr(P, 'more'), x.say())",
        [[], False, "before"],
    ),
    "a function": ("def f(): return 'before'", "def f(): return 'after'", "f()", "before"),
    "a function's defaults": (
        "def f(n, seen=[]):\n    seen.append(n)\n    return len(seen)\nf(1)",
        "f(2); f(3)",
        "f(4)",
        2,
    ),
    "a closure": (
        """
def make():
    n = 0
    log = []
    def step():
        nonlocal n
        n += 1
        log.append(n)
        return log
    return step
step = make()
step()""",
        "step(); step()",
        "step()",
        [1, 2],
    ),
    "a list of a plan's own class": (
        "class L(list):\n    def __setitem__(self, *_): raise ValueError\nx = L([1]); x.note = 'a'",
        "x.append(2); x.note = 'b'",
        "(list(x), x.note)",
        [[1], "a"],
    ),
    "what a tuple holds": ("x = ([1], {'a': []})", "x[0].append(2); x[1]['a'].append(1)", "x", [[1], {"a": []}]),
    "an exception": ("x = ValueError('a'); x.found = [1]", "x.found.append(2)", "x.found", [1]),
    "what a partial was given": (
        "from functools import partial\nx = [1]\nf = partial(max, x)",
        "x.append(9)",
        "f()",
        1,
    ),
    "random numbers": (
        "import random\nrandom.seed(7)\nr = random.Random(7)\nseven = random.Random(7).random()",
        "random.random(); r.random()",
        "(random.random() == seven, r.random() == seven)",
        [True, True],
    ),
    "a module": ("import math", "math = None", "math.floor(2.5)", 2),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_session_goes_back_to_what_it_was(session: PlanWorker, case: str) -> None:
    before, change, look, expected = CHANGES[case]
    assert session.run(before).status == "ok"
    assert checkpoint(session) == TAKEN
    assert session.run(change).status == "ok"
    assert rollback(session) == DONE
    assert session.run(look).result == expected


def test_what_was_shared_is_still_shared(worker: PlanWorker) -> None:
    worker.run("row = {'n': 1}\nrows = [row, row]\nclass Box: pass\nbox = Box(); box.rows = rows\nrows.append(rows)")
    checkpoint(worker)
    worker.run("rows[0] = {'other': 1}; rows.pop(); row['n'] = 2; box.rows = []")
    rollback(worker)
    run = worker.run("row['n'] = 5\n(rows[0] is rows[1] is row, box.rows is rows, rows[2] is rows, rows[0]['n'])")
    assert run.result == [True, True, True, 5]


def test_a_checkpoint_can_be_gone_back_to_again_and_again(worker: PlanWorker) -> None:
    worker.run("x = [1]")
    checkpoint(worker)
    for _ in range(3):
        assert worker.run("x.append(2)\nx").result == [1, 2]
        assert rollback(worker) == DONE


def test_changes_are_reported_against_the_session_as_it_was(worker: PlanWorker) -> None:
    """What an attempt changed and the next one did not must not be in the answer."""
    worker.run("a = [1]\nb = [1]\nc = [1]")
    checkpoint(worker)
    assert worker.run("a.append(2)\nnew = 1\ndel c").variables == {"a": [1, 2], "new": 1}
    rollback(worker)
    run = worker.run("b.append(2)")
    assert (run.variables, run.done["deleted"]) == ({"b": [1, 2]}, [])
    assert worker.run("new").status == "refused"


def test_values_that_hide_their_state_are_named(worker: PlanWorker) -> None:
    worker.run("g = (n for n in [1, 2])\nit = [iter([1])]\nx = [1]")
    worker.run("import functools\n@functools.lru_cache\ndef f(): return 1")
    assert checkpoint(worker) == TAKEN | {"unsettled": ["g", "it", "f"]}
    worker.run("next(g); x.append(2)")
    assert rollback(worker) == DONE
    assert worker.run("(list(g), x)").result == [[2], [1]]


def test_without_a_checkpoint_there_is_no_way_back(worker: PlanWorker) -> None:
    assert rollback(worker) == {"type": "rolled_back", "done": False}
    checkpoint(worker)
    worker.send({"type": "forget"})
    assert worker.reply() == {"type": "forgotten"}
    assert rollback(worker) == {"type": "rolled_back", "done": False}


@pytest.mark.check
def test_a_plans_own_hash_cannot_hold_the_worker_up(worker: PlanWorker) -> None:
    worker.run(
        "from collections import OrderedDict\nbad = False\nclass K:\n    def __hash__(self):\n        while bad: pass\n"
        "        return 1\nx = OrderedDict(); x[K()] = 1\nclass Trick:\n    pass"
    )
    assert checkpoint(worker) == TAKEN
    worker.run("bad = True")
    # The variables are put back last, so `bad` still holds while the key is hashed.
    assert rollback(
        worker,
    ) == {"type": "rolled_back", "done": False}
