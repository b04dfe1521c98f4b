"""Running attacks: each in a session of its own, beside a session that must not notice."""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from unittest.mock import patch

import anyio

from attacks import host_rules
from attacks.corpus import MARKER, Attack
from attacks.unguarded import FIRST_LINE, RULES
from planact_server.sandbox import Limits, Outcome, PlanFault, ResolvedTool, ToolRequest, Unresolved, launching
from planact_server.sandbox.host import EngineChoice, PooledEngine, open_engine
from planact_server.sandbox.worker import GRACE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence

    from planact_server.sandbox import Resolution
    from planact_server.sandbox.worker import JailedWorker
    from planact_tools import JSONValue

HERE = Path(__file__).parent

LIMITS = Limits(
    seconds=6,
    cpu_seconds=2,
    memory_bytes=96 * 2**20,
    output_bytes=20_000,
    calls=100,
    calls_in_flight=8,
    frame_bytes=2**20,
    state_bytes=2**19,
)
HUNGRY = replace(LIMITS, seconds=1.5, cpu_seconds=1)
"""For attacks that use up their time whatever it is."""

PATIENCE = 3
"""How many times its seconds an attack gets to show that it would run on."""

LIFTED = {
    "seconds": 0.0,
    "cpu_seconds": 30.0,
    "memory_bytes": 2**30,
    "output_bytes": 2**24,
    "source_bytes": 2**24,
    "calls": 100_000,
    "calls_in_flight": 100_000,
    "frame_bytes": 2**26,
    "state_bytes": 2**25,
}
"""What a limit is without it: enough for an attack to show what it would have. Of seconds it gets `PATIENCE` times
as many."""

SECONDS_TO_ARRIVE = 30.0
"""For attacks that are about something else than time."""

OWN_PROCESS = "a process of its own"
"""What holds an attack that breaks its interpreter whatever the rules are: nobody else is in there."""

SLACK_SECONDS = 10.0
"""On top of the deadline and its grace: these tests share their machine."""

AT_ONCE = 6

KEPT = ["kept", 1, {"a": None}]

Script = Literal["unguarded.py", "native.py"] | None


def limits_of(attack: Attack) -> Limits:
    uses_up_its_time = "seconds" in attack.guards or "BaseException" in attack.guards
    from_elsewhere = attack.kind.startswith(("dos", "library"))
    return HUNGRY if uses_up_its_time or from_elsewhere else LIMITS


@dataclass
class Tools:
    """A PlanHost with the tools that the attacks know: `add(a, b)`, `aadd(a, b)`, `echo(x)`."""

    requests: list[ToolRequest] = field(default_factory=list[ToolRequest])

    async def resolve(self, names: Sequence[str]) -> Mapping[str, Resolution]:
        known = {"add": ("a", "b"), "aadd": ("a", "b"), "echo": ("x",)}
        return {
            name: ResolvedTool(server="tools", tool=name, parameters=known[name]) if name in known else Unresolved()
            for name in names
        }

    async def call(self, request: ToolRequest) -> JSONValue:
        self.requests.append(request)
        values = [*request.positional, *request.keywords.values()]
        match request.tool, values:
            case "add" | "aadd", [int() | float() as a, int() | float() as b]:
                return a + b
            case "echo", [value]:
                return value
            case _:
                raise PlanFault(f"No such call of {request.tool!r}.", type="ToolError", tool=request.tool)

    async def ask(self, helper: str, arguments: Mapping[str, JSONValue]) -> JSONValue:
        raise PlanFault(f"{helper}() has nothing to say here.", type="ValueError", function=helper)


_COMMAND = launching.command


@contextmanager
def workers_of(script: Script) -> Iterator[None]:
    """Have workers started by a script of the tests, which starts the product's own."""

    def command(mode: Literal["zygote", "spawned"], **settings: JSONValue) -> list[str]:
        interpreter, *options, launch, given, facts = _COMMAND(mode, **settings)
        return [interpreter, *options, str(HERE / str(script)), launch, given, facts]

    substitute = _COMMAND if script is None else command
    where = "planact_server.sandbox"
    with patch(f"{where}.launching.command", substitute), patch(f"{where}.host.command", substitute):
        yield


@asynccontextmanager
async def engine_of(
    choice: EngineChoice, script: Script = None, *, memory_bytes: int = LIMITS.memory_bytes
) -> AsyncIterator[PooledEngine]:
    """An engine whose workers all end with it."""
    with workers_of(script):
        engine = open_engine(choice, limits=replace(LIMITS, memory_bytes=memory_bytes), warm_workers=0)
        try:
            yield engine
        finally:
            with anyio.fail_after(60, shield=True):
                await engine.aclose()


async def run_plans(worker: JailedWorker, attack: Attack, limits: Limits, *, first_line: str = "") -> Outcome:
    """Run all plans of an attack, as long as they end well; return how the last one ended."""
    plans = [*([attack.before] if attack.before else []), *[attack.code] * attack.times]
    for plan in plans[:-1]:
        outcome = await worker.run(f"{first_line}{plan}", host=Tools(), limits=limits)
        if outcome.status != "ok":
            return outcome
    return await worker.run(f"{first_line}{plans[-1]}", host=Tools(), limits=limits)


def end_of(outcome: Outcome) -> str:
    """Say in a word of the corpus how a plan ended."""
    if outcome.worker_lost is not None and outcome.status == "error":
        return "killed"
    return "harmless" if outcome.status == "ok" else outcome.status


def has_marker(outcome: Outcome) -> bool:
    held = json.dumps([outcome.result, dict(outcome.variables)], default=str)
    return MARKER in held or MARKER in outcome.output


class Neighbour:
    """A session beside the attacks that holds a value."""

    def __init__(self, worker: JailedWorker) -> None:
        self._worker = worker
        self._turn = anyio.Lock()

    @classmethod
    async def move_in(cls, engine: PooledEngine) -> Neighbour:
        neighbour = cls(await engine.worker())
        await neighbour._run(f"kept = {KEPT!r}")
        return neighbour

    async def is_unharmed(self) -> bool:
        """Say whether its session holds what it held."""
        outcome = await self._run("kept")
        return (outcome.status, outcome.result) == ("ok", KEPT)

    async def _run(self, source: str) -> Outcome:
        async with self._turn:
            return await self._worker.run(source, host=Tools(), limits=replace(LIMITS, seconds=30))


class Field:
    """Where attacks take place: one engine, a neighbour, and all workers that were ever given out."""

    def __init__(self, engine: PooledEngine, neighbour: Neighbour) -> None:
        self.pids: list[int] = []
        self._engine = engine
        self._neighbour = neighbour

    async def complaints(self, attack: Attack) -> list[str]:
        """Run an attack; return what is wrong with how it went, which should be nothing."""
        limits = limits_of(attack)
        worker = await self._engine.worker()
        self.pids.append(worker.pid)
        began = time.monotonic()
        try:
            outcome = await run_plans(worker, attack, limits)
        except Exception as error:  # noqa: BLE001 - whatever it is, the plan did that
            return [f"made the host raise {error!r}"]
        finally:
            await worker.aclose()
        lasted = time.monotonic() - began
        wrong: list[str] = []
        is_harmless = self._engine.name == "monty" and attack.harmless_on_monty is not None
        if has_marker(outcome) and not is_harmless:
            wrong.append(f"escaped: {outcome.result!r:.100} {outcome.output!r:.100}")
        ends = attack.ends if self._engine.name != "monty" else None
        if ends is not None and end_of(outcome) not in ends:
            said = outcome.errors[0].message[:200] if outcome.errors else repr(outcome.result)[:200]
            wrong.append(f"ended {end_of(outcome)} instead of {'|'.join(sorted(ends))}: {said}")
        if lasted > limits.seconds + GRACE_SECONDS + SLACK_SECONDS:
            wrong.append(f"lasted {lasted:.1f} s")
        if not await self._neighbour.is_unharmed():
            wrong.append("harmed its neighbour")
        return wrong


async def all_complaints(choice: EngineChoice, attacks: Iterable[Attack]) -> dict[str, list[str]]:
    """Run attacks on one engine, several at once; return what went wrong with which, and what was left over."""
    attacks = list(attacks)
    found: dict[str, list[str]] = {}
    with host_rules.small_budgets():
        for native in (False, True):
            chosen = [attack for attack in attacks if attack.native is native]
            if chosen and not (native and choice == "monty"):
                found |= await _complaints(choice, "native.py" if native else None, chosen)
    return found


async def _complaints(choice: EngineChoice, script: Script, attacks: list[Attack]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    turns = anyio.Semaphore(AT_ONCE)
    async with engine_of(choice, script) as engine:
        ground = Field(engine, await Neighbour.move_in(engine))

        async def run(attack: Attack) -> None:
            async with turns:
                if wrong := await ground.complaints(attack):
                    found[attack.id] = wrong

        async with anyio.create_task_group() as tasks:
            for attack in attacks:
                tasks.start_soon(run, attack)
        with anyio.fail_after(30):
            last = await engine.worker()  # it still gives new ones
        ground.pids.append(last.pid)
    if left := [pid for pid in ground.pids if _is_running(pid)]:
        found["afterwards"] = [f"processes left over: {left}"]
    return found


def _is_running(pid: int) -> bool:
    """Say whether a process lives: one whose parent has not yet heard of its end does not."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state not in ("Z", "X")


async def all_that_miss(attacks: Iterable[Attack]) -> dict[str, str]:
    """Run attacks without the rules that stop them; return what happened to those that miss their targets even so."""
    missing: dict[str, str] = {}
    groups: defaultdict[tuple[str, ...], list[Attack]] = defaultdict(list)
    for attack in attacks:
        groups[tuple(guard for guard in attack.guards if guard in host_rules.RULES)].append(attack)
    turns = anyio.Semaphore(AT_ONCE)
    async with AsyncExitStack() as stack:
        engines = Engines(stack)

        async def run(attack: Attack) -> None:
            async with turns:
                why = await _miss(attack, engines)
            if why is not None:
                missing[attack.id] = why

        # The host's rules are taken away for all of its workers, so those that keep to the same ones go together.
        for rules, group in groups.items():
            with host_rules.small_budgets(), host_rules.without(*rules):
                async with anyio.create_task_group() as tasks:
                    for attack in group:
                        tasks.start_soon(run, attack)
    return missing


async def _miss(attack: Attack, engines: Engines) -> str | None:
    limits = limits_of(attack)
    lifted = {guard: LIFTED[guard] for guard in attack.guards if guard in LIFTED}
    if "seconds" in lifted:
        lifted |= {"seconds": PATIENCE * limits.seconds, "cpu_seconds": PATIENCE * limits.seconds}
    if lifted and attack.reaches == "marker":
        lifted |= {"seconds": SECONDS_TO_ARRIVE, "cpu_seconds": SECONDS_TO_ARRIVE}
    limits = replace(limits, **lifted)
    inside = [guard for guard in attack.guards if guard in RULES]
    first_line = f"{FIRST_LINE}{'; '.join(inside)}\n" if inside else ""
    engine = await engines.get("native.py" if attack.native else "unguarded.py", memory_bytes=limits.memory_bytes)
    worker = await engine.worker()
    began = time.monotonic()
    try:
        outcome = await run_plans(worker, attack, limits, first_line=first_line)
    except Exception as error:  # noqa: BLE001 - what the rule keeps from the host
        return None if attack.reaches == "host" else f"made the host raise {error!r}"
    finally:
        await worker.aclose()
    lasted = time.monotonic() - began
    match attack.reaches:
        case "marker":
            is_there = has_marker(outcome)
        case "runs on":
            is_there = outcome.status in ("timeout", "limit") and lasted > PATIENCE * limits_of(attack).seconds
        case "crash":
            is_there = outcome.worker_lost is not None and "SIGSEGV" in outcome.worker_lost
        case other:
            raise ValueError(f"The attack {attack.id!r} reaches {other!r}, which nobody knows how to see.")
    return (
        None if is_there else f"{outcome.status} after {lasted:.1f} s: {outcome.result!r:.200} {outcome.errors!r:.400}"
    )


class Engines:
    """Engines by what their workers may do, opened when they are asked for."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._turn = anyio.Lock()
        self._opened: dict[tuple[Script, int], PooledEngine] = {}

    async def get(self, script: Script, *, memory_bytes: int) -> PooledEngine:
        key = (script, memory_bytes)
        async with self._turn:
            if key not in self._opened:
                engine = await self._stack.enter_async_context(engine_of("fork", script, memory_bytes=memory_bytes))
                await (await engine.worker()).aclose()  # the zygote is there before anybody else patches the command
                self._opened[key] = engine
        return self._opened[key]
