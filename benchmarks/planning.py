"""What the planner's pieces do on their own, without a model: python benchmarks/planning.py

Consensus, the detector of circles, what a complaint tells, and how stable prompts are. The plans are gold plans of
BFCL and NESTFUL from the folder `shared` beside the checkout, and plans over the calendar pack that hold the mistakes
which models make; those run in the real sandbox. Nothing here says how good a model is.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

CHECKOUT = Path(__file__).resolve().parents[1]
# The script's own folder has a `planner` too.
sys.path[:] = [str(CHECKOUT / "tests"), *(entry for entry in sys.path if Path(entry) != CHECKOUT / "benchmarks")]

from catalog.bfcl import gold_calls  # noqa: E402 - the tests' helpers are no package of their own
from catalog.recorded import livemcpbench  # noqa: E402
from planact_server.catalog.catalog import Catalog  # noqa: E402
from planact_server.catalog.search import rank  # noqa: E402
from planact_server.planner.consensus import medoid  # noqa: E402
from planact_server.planner.options import PlannerOptions  # noqa: E402
from planact_server.planner.planner import Planner  # noqa: E402
from planact_server.planner.repetition import Repetition  # noqa: E402
from planact_server.planner.stubs import function_stubs  # noqa: E402
from planact_server.sandbox import Limits  # noqa: E402
from planact_server.sandbox.host import open_engine  # noqa: E402
from planact_tools import load_pack  # noqa: E402
from planner.mistakes import MISTAKES  # noqa: E402
from planner.scripted import RealGround, ScriptedBackend  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from planact_server.planner.consensus import Trace

ROUNDS = 1_000
PROMPT_CHARS = 20_000


def main() -> int:
    data = CHECKOUT.parent / "shared" / "data"
    if not data.is_dir():
        print(f"No reference data beside the checkout ({data.name!r} in {data.parent.name!r}).", file=sys.stderr)
        return 2
    traces = [*_bfcl_traces(data), *_nestful_traces(data)]
    _consensus([each for each in traces if len(each) > 1])
    _circles(["\n".join(each) for each in traces])
    asyncio.run(_repairs())
    _prompts(data)
    return 0


# Consensus.


def _consensus(gold: Sequence[Trace]) -> None:
    print(f"consensus: right plan run, {ROUNDS} rounds over {len(gold)} gold plans of 2 or more calls")
    print("  right candidates   mistakes     k   first   medoid")
    for share in (0.3, 0.5, 0.7):
        for alike in (0.0, 0.5):
            for k in (4, 8):
                first, chosen = _choices(gold, share, alike, k, random.Random(1))
                kind = "alike" if alike else "unlike"
                print(f"  {share:15.0%}    {kind:8} {k:5}  {first:6.1%}  {chosen:6.1%}")
    print()


def _choices(gold: Sequence[Trace], share: float, alike: float, k: int, dice: random.Random) -> tuple[float, float]:
    """Return how often the first candidate is right, and how often the medoid is."""
    first = chosen = 0
    for _ in range(ROUNDS):
        right = dice.choice(gold)
        favourite = _mistaken(right, gold, dice)
        candidates = [
            right if dice.random() < share else favourite if dice.random() < alike else _mistaken(right, gold, dice)
            for _ in range(k)
        ]
        first += candidates[0] == right
        chosen += candidates[medoid(candidates)] == right
    return first / ROUNDS, chosen / ROUNDS


def _mistaken(right: Trace, gold: Sequence[Trace], dice: random.Random) -> Trace:
    """Return a plan with one to three mistakes: a call missing, doubled, foreign, out of order, or other arguments."""
    calls = list(right)
    for _ in range(dice.choice((1, 1, 2, 3))):
        place = dice.randrange(len(calls)) if calls else 0
        match dice.randrange(5) if calls else 4:
            case 0:
                del calls[place]
            case 1:
                calls.insert(place, calls[place])
            case 2:
                calls[place] = f"{calls[place].partition('(')[0]}({dice.randrange(10**6)}"
            case 3:
                other = dice.randrange(len(calls))
                calls[place], calls[other] = calls[other], calls[place]
            case _:
                calls.insert(place, dice.choice(dice.choice(gold)))
    return tuple(calls) if tuple(calls) != right else (*right, dice.choice(dice.choice(gold)))


def _bfcl_traces(data: Path) -> list[Trace]:
    plans: dict[str, list[str]] = {}
    for call in gold_calls(data / "bfcl_v4"):
        arguments = [*map(repr, call.positional), *(f"{key}={value!r}" for key, value in call.keywords.items())]
        plans.setdefault(call.id.partition("#")[0], []).append(f"{call.function}({', '.join(arguments)})")
    return [tuple(calls) for calls in plans.values()]


def _nestful_traces(data: Path) -> list[Trace]:
    return [
        tuple(f"{step['name']}({json.dumps(step['arguments'])})" for step in question["output"])
        for path in sorted((data / "nestful").glob("*-data.json"))
        for question in json.loads(path.read_text("utf-8"))
    ]


# Circles.


def _circles(plans: Sequence[str]) -> None:
    alarms = [plan for plan in plans if _stopped_at(plan) is not None]
    print(f"circles: {len(alarms)} false alarms in {len(plans)} gold plans")
    kinds: dict[str, Callable[[str], str]] = {
        "last line again": lambda plan: f"{plan.splitlines()[-1]}\n",
        "whole plan again": lambda plan: f"{plan}\n",
        "a word in a string": lambda _: "very ",
        "brackets": lambda _: "f([",
    }
    for kind, piece in kinds.items():
        rounds = [found for plan in plans if (found := _rounds(plan, piece(plan))) is not None]
        rounds.sort()
        middle = rounds[len(rounds) // 2] if rounds else 0
        print(f"  {kind:20} noticed in {len(rounds)} of {len(plans)}, after {middle} rounds in the middle")
    print()


def _rounds(plan: str, piece: str) -> int | None:
    """Return how many rounds of a piece behind a plan it takes to be noticed; None: 200 do not do."""
    text = f"{plan}\nx = '" if "\n" not in piece else f"{plan}\n"
    stopped = _stopped_at(text + piece * 200)
    return None if stopped is None else max(1, (stopped - len(text)) // len(piece))


def _stopped_at(text: str, *, piece: int = 4) -> int | None:
    watching = Repetition()
    for start in range(0, len(text), piece):
        if watching.feed(text[start : start + piece]):
            return start + piece
    return None


# Repairs.


async def _repairs() -> None:
    """Let a model make each mistake once, and see whether what it is told holds what the repair needs."""
    told = ended = executions = 0
    for mistake in MISTAKES:
        backend = ScriptedBackend([mistake.text, mistake.repaired])
        with tempfile.TemporaryDirectory() as folder:
            engine = open_engine(limits=Limits(), warm_workers=0)
            pack = load_pack("calendar", base=Path(folder), state=Path(folder))
            try:
                ground = await RealGround.over(engine, pack)
                planned = await Planner(backend, PlannerOptions(candidates=0)).carry_out("Book it", ground)
            finally:
                await pack.aclose()
                await engine.aclose()
        complaint = backend.requests[1].messages[-1].content
        told += all(part in complaint for part in mistake.needs)
        ended += planned.trial is not None and planned.trial.outcome.status == "ok"
        executions += len(ground.attempted)
    count = len(MISTAKES)
    print(f"repairs: {told} of {count} complaints name what the repair needs; {ended} of {count} repaired plans ran")
    print(f"  plans that reached the sandbox: {executions} of {2 * count}\n")


# Prompts.


def _prompts(data: Path) -> None:
    """Measure what the prompts of different tasks share when 527 tools do not fit and each task gets its own."""
    catalog = Catalog.build(livemcpbench(data))
    questions = json.loads((data / "livemcpbench" / "all_annotations.json").read_text("utf-8"))
    stubs = {tool: function_stubs([tool]) for tool in catalog}
    for order in ("by name", "by relevance"):
        seen: list[str] = []
        shares: list[float] = []
        for question in questions:
            tools = rank(catalog, question["Question"], limit=40)
            while sum(len(stubs[tool]) for tool in tools) > PROMPT_CHARS:
                tools.pop()
            if order == "by name":
                tools.sort(key=lambda tool: tool.full_name)
            prompt = "\n".join(stubs[tool] for tool in tools)
            shares.append(max((_in_common(prompt, other) for other in seen), default=0) / len(prompt))
            seen.append(prompt)
        again = len(seen) - len(set(seen))
        shared = sum(shares) / len(shares)
        print(f"prompts, tools {order}: {again} of {len(seen)} seen before; {shared:.1%} in common with the most alike")


def _in_common(first: str, second: str) -> int:
    pairs = enumerate(zip(first, second, strict=False))
    return next((place for place, (one, other) in pairs if one != other), min(len(first), len(second)))


if __name__ == "__main__":
    sys.exit(main())
