"""Many plans over many sessions, good, failing and hostile ones mixed: what is left of them afterwards?

    python benchmarks/soak.py [--plans 10000] [--sessions 50] [--seed 1] [--json]

One server in this process, with real workers. Every answer is held against what its plan must come to, every session
against its own memory: workers are killed under their plans and between them, their zygote too, and what a session held
must be there again. Afterwards no process, no descriptor and no temporary file may be left. Reads /proc: Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import logging
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from planact_server.app import open_app
from planact_server.config import Config, PackSpec, PolicySettings
from planact_server.request import PlanRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planact_server.app import App
    from planact_server.runs import Run
    from planact_server.sandbox.worker import JailedWorker
    from planact_server.sessions import Session

RUNNERS = 8
"""Plans at the same time; a session has one at most."""

GROWTH_MB = 30

PACK = '''"""Tools for the soak."""

import time

from planact_tools import tool


@tool(read_only=True)
def double(number: int) -> int:
    """Return twice the number."""
    return 2 * number


@tool(read_only=True)
def fail(message: str) -> str:
    """Fail."""
    raise ValueError(message)


@tool(read_only=True)
def wait(milliseconds: int) -> str:
    """Take a while."""
    time.sleep(milliseconds / 1000)
    return "done"
'''


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan and what has to become of it."""

    kind: str
    code: str
    statuses: tuple[str, ...]
    lost: bool = False
    """Its worker may go with it."""

    counts: bool = False
    """It adds one to the session's `n`."""

    timeout: float | None = None
    kill: bool = False
    """Its worker is killed from outside while it runs."""


COUNT = "n += 1\n"
GOOD = (
    Plan("computes", COUNT + "sum(x * x for x in range(500)) + n", ("ok",), counts=True),
    Plan("calls tools", COUNT + "[double(number=i) for i in range(3)]", ("ok",), counts=True),
    Plan(
        "defines", COUNT + "def step(x, by=1):\n    return x + by\nclass Box:\n    v = 1\nstep(n)", ("ok",), counts=True
    ),
    Plan(
        "gathers", COUNT + "import asyncio\nawait asyncio.gather(*(double(i) for i in range(4)))", ("ok",), counts=True
    ),
    Plan("prints", COUNT + "for i in range(50):\n    print('row', i)", ("ok",), counts=True),
    Plan("keeps data", COUNT + "rows = [{'i': i, 't': 'x' * 20} for i in range(200)]\nlen(rows)", ("ok",), counts=True),
    Plan("calls its function", COUNT + "mine()", ("ok",), counts=True),
    Plan("objects", COUNT + "import re\nm = re.match('a', 'abc')\ndel m", ("ok",), counts=True),
)
FAILING = (
    Plan("raises", "1 / 0", ("error",)),
    Plan("tool fails", "fail(message='no')", ("error",)),
    Plan("unknown name", "no_such_thing(1)", ("refused",)),
    Plan("no Python", "def f(:", ("refused",)),
    Plan("fails after counting", COUNT + "[][1]", ("error",), counts=True),
    Plan("wrong argument", "double(nummer=1)", ("refused", "error")),
    Plan("recursion", "def deep(x):\n    return deep(x + 1)\ndeep(0)", ("error",)),
)
HOSTILE = (
    Plan("underscores", "().__class__.__base__.__subclasses__()", ("refused",)),
    Plan("imports", "import os\nos.system('true')", ("refused", "error")),
    Plan("attribute by text", "getattr(print, '__self' + '__')", ("error",)),
    Plan("format string", "'{0.__class__}'.format(1)", ("error", "refused")),
    Plan("prints a flood", "while True:\n    print('x' * 10000)", ("limit",), lost=True),
    Plan("asks for too much", "x = 'x' * 10**12", ("error", "limit"), lost=True),
    Plan("spins", "while True:\n    pass", ("timeout",), timeout=0.03),
    Plan(
        "tasks without end",
        "import asyncio\nasync def f():\n    while True:\n        await asyncio.sleep(0)\nawait f()",
        ("timeout",),
        timeout=0.05,
    ),
    Plan("calls without end", "while True:\n    double(1)", ("limit", "timeout"), timeout=0.1),
    Plan(
        "leaves a call open", "call = double.later(1) if hasattr(double, 'later') else None", ("ok", "error", "refused")
    ),
    Plan(
        "stops in a finally",
        "try:\n    while True:\n        pass\nfinally:\n    print('late')",
        ("timeout",),
        timeout=0.03,
    ),
)
RARE = (
    Plan(
        "swallows its stop",
        "while True:\n    try:\n        while True:\n            pass\n    finally:\n        continue",
        ("timeout",),
        timeout=0.03,
        lost=True,
    ),
    Plan(
        "fills the memory",
        "hoard = []\nwhile True:\n    hoard.append('x' * 4_000_000 + str(len(hoard)))",
        ("limit", "error"),
        lost=True,
    ),
    Plan(
        "killed while it runs",
        COUNT + "double(number=n)\nwait(milliseconds=500)",
        ("error", "limit"),
        lost=True,
        kill=True,
    ),
)


@dataclass(slots=True)
class SoakSession:
    number: int
    handle: str = ""
    n: int = 0
    held: Session | None = None


@dataclass(slots=True)
class Tally:
    """What was seen."""

    plans: int = 0
    statuses: Counter[str] = field(default_factory=Counter[str])
    kinds: Counter[str] = field(default_factory=Counter[str])
    recovered: int = 0
    workers_killed: int = 0
    zygotes_killed: int = 0
    wrong: list[str] = field(default_factory=list[str])


def schedule(plans: int, chance: random.Random) -> Iterator[Plan]:
    for index in range(plans):
        if index % 100 == 99:
            yield RARE[index // 100 % len(RARE)]
        else:
            yield chance.choice(chance.choices((GOOD, FAILING, HOSTILE), (70, 17, 13))[0])


class Soak:
    """One server under many plans."""

    def __init__(self, app: App, *, sessions: int, seed: int) -> None:
        self.tally = Tally()
        self._app = app
        self._chance = random.Random(seed)
        self._sessions = [SoakSession(number) for number in range(sessions)]

    async def begin(self) -> None:
        """Have a plan in every session."""
        for session in self._sessions:
            code = f"n = 0\nowner = {session.number}\ndef mine():\n    return [owner, n]\nowner"
            answer = await self._ask(session, Plan("begins", code, ("ok",)))
            session.handle = str(answer["session"])

    async def run(self, plans: int, progress: Progress) -> None:
        bar = progress.add_task("plans", total=plans)
        queue = schedule(plans, self._chance)
        shares = [self._sessions[number::RUNNERS] for number in range(RUNNERS)]

        async def work(share: list[SoakSession]) -> None:
            for plan in queue:
                await self._one(self._chance.choice(share), plan)
                progress.advance(bar)
                if self.tally.plans % 2_500 == 1_250:
                    self._kill_zygote()

        async with asyncio.TaskGroup() as tasks:
            for share in shares:
                tasks.create_task(work(share))

    async def look_back(self) -> None:
        """Every session still knows what is its own, and nothing of the others."""
        for session in self._sessions:
            answer = await self._ask(session, Plan("looks back", "[owner, n, mine()]", ("ok",)))
            self._expect(
                answer.get("result") == [session.number, session.n, [session.number, session.n]], session, answer
            )

    async def _one(self, session: SoakSession, plan: Plan) -> None:
        if plan.kill:
            killer = asyncio.create_task(self._kill_worker(session))
            answer = await self._ask(session, plan)
            await killer
            calls = [call.get("value") for call in answer.get("calls", []) if call.get("function") == "double"]
            self._expect(calls == [2 * (session.n + 1)], session, answer)
        else:
            answer = await self._ask(session, plan)
        if plan.counts and not _was_lost(answer):
            session.n += 1
        if "n" in answer.get("variables", {}):
            self._expect(answer["variables"]["n"] == session.n, session, answer)
        if plan.kind == "calls its function" and answer["status"] == "ok":
            self._expect(answer["result"] == [session.number, session.n], session, answer)

    async def _ask(self, session: SoakSession, plan: Plan) -> dict[str, Any]:
        request = PlanRequest(code=plan.code, session=session.handle or None, timeout_seconds=plan.timeout)
        reply = await self._app.executor.execute(request, client="soak")
        session.held = reply.session
        answer: dict[str, Any] = dict(reply.answer)
        tally = self.tally
        tally.plans += 1
        tally.kinds[plan.kind] += 1
        tally.statuses[str(answer["status"])] += 1
        recovered = answer.get("recovered")
        if recovered is not None:
            tally.recovered += 1
            self._expect({"n", "owner", "mine"} <= set(recovered["kept"]), session, answer)
        lost_by_zygote = _was_lost(answer) and "forked from" in str(answer["errors"])
        self._expect(answer["status"] in plan.statuses or lost_by_zygote, session, answer)
        self._expect(plan.lost or lost_by_zygote or not _was_lost(answer), session, answer)
        return answer

    async def _kill_worker(self, session: SoakSession) -> None:
        """Kill the session's worker once its plan waits for a tool."""
        found = session.held
        if found is None:
            return
        async with asyncio.timeout(60):
            while found.busy_with is None:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            run = self._app.runs.get(found.busy_with, "soak")
            while run.answer is None and not _waits(run):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        if run.answer is None and found.worker is not None:
            with contextlib.suppress(ProcessLookupError):  # it went with its zygote
                os.kill(cast("JailedWorker", found.worker).pid, signal.SIGKILL)
                self.tally.workers_killed += 1

    def _kill_zygote(self) -> None:
        for pid in children_of(os.getpid(), parents()):
            os.kill(pid, signal.SIGKILL)
            self.tally.zygotes_killed += 1

    def _expect(self, holds: bool, session: SoakSession, answer: dict[str, Any]) -> None:
        if not holds and len(self.tally.wrong) < 20:
            shown = {key: answer.get(key) for key in ("status", "result", "calls", "errors", "recovered", "variables")}
            self.tally.wrong.append(f"session {session.number}, n={session.n}: {json.dumps(shown)[:1000]}")


def _waits(run: Run) -> bool:
    """Say whether the plan has called `wait`."""
    return run.snapshot is not None and '"wait"' in json.dumps(run.snapshot().get("calls"))


def _was_lost(answer: dict[str, Any]) -> bool:
    return any(error["type"] in ("WorkerLost", "EngineError") for error in answer["errors"])


def parents() -> dict[int, int]:
    """Every process and its parent, zombies included."""
    found: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            pid, _, rest = stat.read_text().partition(" (")
            found[int(pid)] = int(rest.rpartition(")")[2].split()[1])
    return found


def children_of(pid: int, known: dict[int, int]) -> list[int]:
    return [child for child, parent in known.items() if parent == pid]


def descendants() -> list[int]:
    known = parents()
    found = [os.getpid()]
    for pid in found:
        found += children_of(pid, known)
    return found[1:]


def descriptors() -> list[str]:
    """What this process has open, without the folder that says so."""
    opened: list[str] = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            target = str(entry.readlink())
            if not target.startswith(f"/proc/{os.getpid()}/fd"):
                opened.append(
                    target.partition(":")[0] if target.startswith(("socket:", "pipe:", "anon_inode:")) else target
                )
    return sorted(opened)


def held_mb() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def soak(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    temporary = folder / "tmp"
    temporary.mkdir()
    tempfile.tempdir = str(temporary)
    pack = folder / "soak_pack.py"
    pack.write_text(PACK)
    config = Config(
        state=folder / "state",
        packs=(PackSpec(spec=str(pack), base=folder, origin="the soak"),),
        policy=PolicySettings(allow=("soak*.*",)),
    )
    before = descriptors()
    started = time.monotonic()
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    async with open_app(config) as app:
        run = Soak(app, sessions=options.sessions, seed=options.seed)
        await run.begin()
        first = held_mb()
        with progress:
            await run.run(options.plans, progress)
        await run.look_back()
        last = held_mb()
        living = len(descendants())
        opened = len(descriptors())
    await asyncio.sleep(0)  # transports that were closed tell so in the next round
    tally = run.tally
    left = Counter(descriptors())
    left.subtract(before)
    return {
        "plans": tally.plans,
        "sessions": options.sessions,
        "seconds": round(time.monotonic() - started, 1),
        "statuses": dict(sorted(tally.statuses.items())),
        "recovered sessions": tally.recovered,
        "workers killed": tally.workers_killed,
        "zygotes killed": tally.zygotes_killed,
        "processes at the end": living,
        "descriptors at the end": opened,
        "server memory before, MB": round(first, 1),
        "server memory growth, MB": round(last - first, 1),
        "left processes": len(descendants()),
        "left descriptors": sorted((+left).elements()),
        "left temporary files": sorted(str(path.relative_to(temporary)) for path in temporary.rglob("*")),
        "wrong answers": tally.wrong,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plans", type=int, default=500)
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    if sys.platform != "linux":
        sys.exit("The soak reads /proc; it runs on Linux only.")
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="planact-soak-") as name:
        figures = asyncio.run(soak(Path(name), options))
    good = not any(figures[key] for key in figures if key.startswith(("left", "wrong")))
    good = good and figures["server memory growth, MB"] <= GROWTH_MB
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        table = Table("what", "figure", box=None)
        for key, value in figures.items():
            table.add_row(key, json.dumps(value) if isinstance(value, (dict, list)) else f"{value:,}")
        Console().print(table)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
