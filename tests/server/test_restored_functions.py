"""Functions and classes of a session whose worker is gone: defined again from their source, or named as lost."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest

from planact_server.sandbox import Limits, Outcome, Resolution, ResolvedTool, ToolRequest, Unresolved
from planact_server.sandbox.host import PooledEngine
from planact_server.sessions import Recovered, Session, Sessions
from planact_server.store import Store
from planact_tools import JSONValue

LIMITS = Limits(seconds=10)


@dataclass
class OneTool:
    """A host that knows the tool `look` and counts its calls."""

    calls: list[JSONValue] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    async def resolve(self, names: Sequence[str]) -> Mapping[str, Resolution]:
        look = ResolvedTool(server="s", tool="look", parameters=("value",))
        return {name: look if name == "look" else Unresolved() for name in names}

    async def call(self, request: ToolRequest) -> JSONValue:
        self.calls.append([*request.positional])
        return "seen"

    async def ask(self, helper: str, arguments: Mapping[str, JSONValue]) -> JSONValue:
        del arguments
        self.asked.append(helper)
        return None


@pytest.fixture
async def sessions(engine: PooledEngine) -> AsyncIterator[Sessions]:
    async with Sessions(engine, store=None, idle_seconds=900, most_workers=8) as sessions:
        yield sessions


@pytest.fixture
def host() -> OneTool:
    return OneTool()


async def run(sessions: Sessions, session: Session, code: str, host: OneTool) -> tuple[Outcome, Recovered | None]:
    worker, recovered = await sessions.worker(session)
    with anyio.fail_after(30):
        outcome = await worker.run(code, host=host, limits=LIMITS)
    session.absorb(outcome)
    return outcome, recovered


@pytest.fixture
def lose(sessions: Sessions, host: OneTool) -> Callable[..., object]:
    async def lose(*plans: str, then: str = "1") -> tuple[Recovered, Outcome]:
        """Run plans in one session, take its worker away, and run one more."""
        session = sessions.create("me")
        for plan in plans:
            outcome, _ = await run(sessions, session, plan, host)
            assert (outcome.status, outcome.errors) == ("ok", ()), outcome
        await sessions.drop_worker(session)
        outcome, recovered = await run(sessions, session, then, host)
        assert recovered is not None
        return recovered, outcome

    return lose


KEPT = {
    "a function": ("def f(x, *, y=1):\n    # one more\n    return x + y", "f(1)", 2),
    "an async function": ("async def f(x):\n    return x + 1", "await f(1)", 2),
    "a generator": ("def f(n):\n    for i in range(n):\n        yield i", "list(f(3))", [0, 1, 2]),
    "a lambda": ("f = lambda x: (\n    x + 'é'\n)", "f('é')", "éé"),
    "a lambda beside others": ("é, f, g = 1, None, 2; f = lambda x: x + 1; h = 3", "f(1)", 2),
    "a class": ("class F:\n    n = 1\n    def get(self):\n        return self.n\nf = 1", "F().get()", 1),
    "a decorated class": ("from dataclasses import dataclass\n@dataclass\nclass F:\n    n: int = 1", "F(2).n", 2),
    "a class of a class": ("class A:\n    n = 1\nclass F(A):\n    pass", "F().n", 1),
    "modules": ("import math\nimport collections.abc\nimport json as f", "f.dumps([math.floor(1.5)])", "[1]"),
    "a name of a module": ("from math import floor as f, ceil", "f(1.5) + ceil(1.5)", 3),
    "an import that may fail": ("try:\n    import json as f\nexcept ImportError:\n    f = None", "f.dumps(1)", "1"),
    "a function in a branch": ("if True:\n    def f():\n        return '''a\n b'''", "f()", "a\n b"),
    "a default that is data": ("N = 3\ndef f(x=N):\n    return x", "f()", 3),
    "a decorated function": (
        """
import functools
def twice(g):
    @functools.wraps(g)
    def both(x):
        return g(g(x))
    return both
@twice
def f(x):
    return x + 1
""",
        "f(1)",
        3,
    ),
    "a cached function": ("from functools import lru_cache\n@lru_cache\ndef f(x):\n    return x + 1", "f(1)", 2),
    "the last of several": ("def f():\n    return 1\ndef f():\n    return 2", "f()", 2),
    "functions that call each other": ("def f(n):\n    return g(n)\ndef g(n):\n    return n + 1", "f(1)", 2),
    "a function that uses a tool": ("def f():\n    return look(1)", "f()", "seen"),
}


@pytest.mark.parametrize(("plan", "then", "result"), KEPT.values(), ids=KEPT)
async def test_it_is_defined_again(
    lose: Callable[..., object], host: OneTool, plan: str, then: str, result: JSONValue
) -> None:
    recovered, outcome = await lose(plan, then=then)  # type: ignore[misc]
    assert (outcome.status, outcome.errors, outcome.result) == ("ok", (), result)
    assert recovered.lost == ()
    assert host.asked == []


LOST = {
    "made by another function": ("def make(n):\n    def f():\n        return n\n    return f\nf = make(1)", {"f"}),
    "made by a call": ("from collections import namedtuple\nF = namedtuple('F', 'x')", {"F"}),
    "another name of it": ("def g():\n    pass\nf = g", {"f"}),
    "rebound by a call": ("def wrap(g):\n    return lambda: g()\ndef f():\n    pass\nf = wrap(f)", {"f"}),
    "bound in a function": ("def set_up():\n    global f\n    def f():\n        pass\nset_up()", {"f"}),
    "one of two classes": ("if 1 > 2:\n    class F:\n        pass\nelse:\n    class F:\n        n = 1", {"F"}),
    "a default that is lost": ("data = b'x'\ndef f(x=data):\n    return x", {"data", "f"}),
    "a default that has changed": ("N = 3\ndef f(x=N):\n    return x\nN = 4", {"f"}),
    "a default from a tool": ("def f(x=look(1)):\n    return x", {"f"}),
    "a class body with a tool": ("class F:\n    x = look(1)", {"F"}),
    "a decorator that asks": ("def tell(g):\n    progress('half')\n    return g\n@tell\ndef f():\n    pass", {"f"}),
    "an object of a class": ("class F:\n    pass\nf = F()", {"f"}),
}


@pytest.mark.parametrize(("plan", "lost"), LOST.values(), ids=LOST)
async def test_it_is_named_as_lost(lose: Callable[..., object], host: OneTool, plan: str, lost: set[str]) -> None:
    recovered, outcome = await lose(plan)  # type: ignore[misc]
    assert outcome.status == "ok"
    assert set(recovered.lost) == lost
    assert len(host.calls) == plan.count("look(")
    assert len(host.asked) == plan.count("progress(")


async def test_a_later_plan_redefines_a_function(lose: Callable[..., object]) -> None:
    first = "def f():\n    return 1\ndef g():\n    return f()"
    recovered, outcome = await lose(first, "def f():\n    return 2", "def h():\n    return g()", then="h()")  # type: ignore[misc]
    assert outcome.result == 2
    assert recovered == Recovered(kept=("g", "f", "h"), lost=())


async def test_data_changed_by_a_definition_is_not_changed_twice(lose: Callable[..., object]) -> None:
    plan = (
        "names = []\ndef register(f):\n    names.append(f.__name__)\n    print('registered')\n    return f\n"
        "@register\ndef f():\n    return 1"
    )
    recovered, outcome = await lose(plan, then="[f(), names]")  # type: ignore[misc]
    assert (outcome.result, outcome.output) == ([1, ["f"]], "")
    assert recovered == Recovered(kept=("names", "register", "f"), lost=())


async def test_a_definition_that_never_ends_does_not_cost_the_others(
    lose: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    del monkeypatch
    plan = (
        "import time\nstart = time.time()\ndef f():\n    return 1\n"
        "def slow(g):\n    while time.time() - start > 0.3:\n        pass\n    return g\n"
        "@slow\ndef h():\n    pass\n"
        "def g():\n    return 2\ntime.sleep(0.4)"
    )
    recovered, outcome = await lose(plan, then="f() + g()")  # type: ignore[misc]
    assert outcome.result == 3
    assert recovered == Recovered(kept=("start", "time", "f", "slow", "g"), lost=("h",))


async def test_a_definition_that_swallows_its_stop_costs_the_functions_and_not_the_session(
    lose: Callable[..., object],
) -> None:
    plan = (
        "import time\nstart = time.time()\ndef f():\n    return 1\n"
        "def deaf(g):\n    while time.time() - start > 0.3:\n        try:\n            time.sleep(9)\n"
        "        finally:\n            continue\n    return g\n"
        "@deaf\ndef h():\n    pass\ntime.sleep(0.4)"
    )
    recovered, outcome = await lose(plan, then="start > 0")  # type: ignore[misc]
    assert outcome.result is True
    assert recovered == Recovered(kept=("start",), lost=("time", "f", "deaf", "h"))


async def test_sources_pass_the_policy_again(sessions: Sessions, host: OneTool) -> None:
    session = sessions.create("me")
    await run(sessions, session, "x = 1", host)
    await sessions.drop_worker(session)
    session.definitions = {
        "f": "def f():\n    return x",
        "a": "def a():\n    return ().__class__",
        "b": "b = __import__('os')",
        "c": "def c(): pass\nx = 2",
        "d": "def other(): pass",
        "e": "import subprocess as e",
        "g": "def g(:",
        "h": "def h(): return eval('1')",
        "__builtins__": "def __builtins__(): pass",
        "__name__": "import math as __name__",
        "x": "x = lambda: 3",
    }
    outcome, recovered = await run(sessions, session, "f()", host)
    assert recovered == Recovered(kept=("x", "f"), lost=("a", "b", "c", "d", "e", "g", "h", "__builtins__", "__name__"))
    assert outcome.has_result


async def test_functions_live_on_in_another_process(tmp_path: Path, engine: PooledEngine, host: OneTool) -> None:
    with Store.open(tmp_path) as store:
        async with Sessions(engine, store=store, idle_seconds=900, most_workers=8) as sessions:
            session = sessions.create("me")
            await run(sessions, session, "def f():\n    return look(n)\nn = 1", host)
            await sessions.keep(session)
        async with Sessions(engine, store=store, idle_seconds=900, most_workers=8) as sessions:
            outcome, recovered = await run(sessions, sessions.get(session.handle, "me"), "f()", host)
    assert (outcome.result, host.calls) == ("seen", [[1]])
    assert recovered == Recovered(kept=("n", "f"), lost=())


async def test_what_was_put_back_can_be_put_back_again(sessions: Sessions, host: OneTool) -> None:
    session = sessions.create("me")
    await run(sessions, session, "def f():\n    return 1", host)
    for _ in range(2):
        await sessions.drop_worker(session)
        outcome, recovered = await run(sessions, session, "f()", host)
        assert (outcome.result, recovered) == (1, Recovered(kept=("f",), lost=()))
    await run(sessions, session, "del f", host)
    assert session.definitions == {}


async def test_going_back_to_a_checkpoint_takes_back_definitions(sessions: Sessions, host: OneTool) -> None:
    session = sessions.create("me")
    await run(sessions, session, "def f():\n    return 1", host)
    worker, _ = await sessions.worker(session)
    await worker.checkpoint()
    await worker.run("def f():\n    return 2\ndef g():\n    return 3", host=host, limits=LIMITS)
    await worker.rollback()
    await run(sessions, session, "h = lambda: f()", host)
    assert session.definitions == {"f": "def f():\n    return 1", "h": "h = (lambda: f())"}
