"""Measures one subject of `sandbox.py` in a process of its own: python sandbox_measures.py SUBJECT

Prints one JSON object: name of a measure → {"ms", "cpu_ms"} or a number. CPU time is that of this process and of all
processes below it, the ended ones included, so that work which is handed on counts as well.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox_subjects import SUBJECTS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sandbox_subjects import Session, Subject

SESSIONS = 50
POOL_SECONDS = 0.1
"""In which a pool gets ready again."""

MEASURED_SESSIONS = 10
MANY = 200
MOST_SECONDS = 10.0
"""For all rounds of one measure."""

_TICKS = os.sysconf("SC_CLK_TCK")

LOOP = "total = 0\nfor i in range(1_000_000):\n    total += i\ntotal"
FUNCTION = "def add():\n    total = 0\n    for i in range(1_000_000):\n        total += i\n    return total\nadd()"
HUNDRED = "total = 0\nfor i in range(100):\n    total += echo(i)\ntotal"

PLANS = {
    "trivial plan": ("1 + 1", 1000),
    "plan with one call": ("echo(1)", 500),
    "plan with 100 calls": (HUNDRED, 50),
    "loop of 1e6": (LOOP, 9),
    "the same in a function": (FUNCTION, 9),
    "60 KB result": ("fetch()", 50),
}

Figures = dict[str, Any]


async def measure(name: str) -> Figures:
    """Measure everything; a row that a subject cannot have is missing."""
    figures: Figures = {}
    subject = SUBJECTS[name]()
    await subject.open(fresh=True)
    session = await subject.session()
    await session.run("1 + 1")
    figures["new session"] = await _timed_sessions(subject, pause=0.0)
    await session.close()
    await subject.close()

    await subject.open(fresh=False)
    session = await subject.session()
    await session.run("1 + 1")
    figures["new session, from the pool"] = await _timed_sessions(subject, pause=POOL_SECONDS)
    for what, (plan, rounds) in PLANS.items():
        figures[what] = await _timed(lambda plan=plan: session.run(plan), rounds)
    figures["tool call, of 100"] = {unit: value / 100 for unit, value in figures["plan with 100 calls"].items()}
    figures |= await _recovery(session)
    await session.close()
    await subject.close()
    return figures | await _memory(name)


async def _timed_sessions(subject: Subject, *, pause: float) -> dict[str, float]:
    """Return how long a session takes to its first answer; its CPU time goes on until it is closed."""
    times: list[float] = []
    cpu = _cpu_seconds(os.getpid())
    for _ in range(SESSIONS):
        await asyncio.sleep(pause)
        begun = time.perf_counter()
        session = await subject.session()
        await session.run("1 + 1")
        times.append(time.perf_counter() - begun)
        await session.close()
    spent = _cpu_seconds(os.getpid()) - cpu
    return {"ms": statistics.median(times) * 1000, "cpu_ms": spent / len(times) * 1000}


async def _recovery(session: Session) -> Figures:
    await session.run("kept = [1, 2, 3]")
    try:
        await session.kill_and_recover()
    except NotImplementedError:
        return {}

    async def once() -> None:
        await session.kill_and_recover()
        if await session.run("kept") != [1, 2, 3]:
            raise RuntimeError("The session came back without its variable.")

    return {"kill and recovery": await _timed(once, 30)}


async def _timed(work: Callable[[], Awaitable[Any]], rounds: int) -> dict[str, float]:
    """Return the median wall time of a round, and the mean of its CPU time, in milliseconds; the first warms up."""
    for count in (1, rounds):
        times: list[float] = []
        cpu = _cpu_seconds(os.getpid())
        while len(times) < count and sum(times) < MOST_SECONDS:
            begun = time.perf_counter()
            await work()
            times.append(time.perf_counter() - begun)
        spent = _cpu_seconds(os.getpid()) - cpu
        if sum(times) > MOST_SECONDS / 5:
            break
    return {"ms": statistics.median(times) * 1000, "cpu_ms": spent / len(times) * 1000}


async def _memory(name: str) -> Figures:
    """Memory of sessions that have run something, in MB."""
    subject = SUBJECTS[name]()
    await subject.open(fresh=True)
    before = _resident(os.getpid())
    sessions = [await subject.session() for _ in range(MEASURED_SESSIONS)]
    for session in sessions:
        await session.run(HUNDRED)
    pids = [session.pid for session in sessions if session.pid is not None]
    figures: Figures = {}
    if not pids:
        figures["private memory of a session, MB"] = (_resident(os.getpid()) - before) / MEASURED_SESSIONS / 2**20
    elif private := [size for pid in pids if (size := _rollup(pid, "Private_")) is not None]:
        figures["private memory of a session, MB"] = statistics.median(private) / 2**20
    begun = time.perf_counter()
    sessions += [await subject.session() for _ in range(MANY - MEASURED_SESSIONS)]
    for session in sessions:
        await session.run("1 + 1")
    figures[f"{MANY - MEASURED_SESSIONS} more sessions, s"] = time.perf_counter() - begun
    shares = [_rollup(pid, "Pss:") for pid in _tree(os.getpid())[1:]]
    if shares and None not in shares:
        figures[f"{MANY} sessions at once, MB"] = sum(share for share in shares if share is not None) / 2**20
    for session in sessions:
        await session.close()
    await subject.close()
    return figures


def _tree(pid: int) -> list[int]:
    """Return a process and all below it."""
    try:
        listed = [(task / "children").read_text().split() for task in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return [pid]
    return [pid, *(below for children in listed for child in children for below in _tree(int(child)))]


def _cpu_seconds(root: int) -> float:
    total = 0.0
    for pid in _tree(root):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            # The scheduler's clock is exact; what ended children have used is counted in ticks.
            total += time.clock_gettime((~pid << 3) | 2) + sum(map(int, fields[13:15])) / _TICKS
        except OSError:
            continue
    return total


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def _rollup(pid: int, kind: str) -> int | None:
    """Sum the lines of this kind; nothing where we may not look: jailed workers are not to be looked into."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(kind))


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(sys.argv[1]))))
