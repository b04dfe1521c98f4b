"""What `sandbox.py` measures, each behind the same few methods. Only the standard library at import: the peers run in
an environment of their own, where Planact is not installed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROWS = [
    {"id": number, "name": f"item {number}", "tags": ["red", "green"], "price": number / 7} for number in range(800)
]
"""About 60 KB of JSON."""


def echo(number: int) -> int:
    return number


def fetch() -> list[dict[str, Any]]:
    return ROWS


TOOLS: Mapping[str, Callable[..., Any]] = {"echo": echo, "fetch": fetch}


class Session(Protocol):
    """Variables that stay from plan to plan."""

    pid: int | None
    """The process that is this session's alone, if it has one."""

    async def run(self, plan: str) -> Any:
        """Return the value of the plan's last expression."""
        ...

    async def kill_and_recover(self) -> None:
        """Lose the process, and be back with the variable `kept`."""
        ...

    async def close(self) -> None: ...


class Subject(Protocol):
    """Something that runs plans."""

    async def open(self, *, fresh: bool) -> None:
        """`fresh`: sessions come from nothing that was made ahead of need, nor used by another session."""
        ...

    async def session(self) -> Session: ...

    async def close(self) -> None: ...


class Planact:
    """Ours, as the server uses it."""

    async def open(self, *, fresh: bool) -> None:
        from planact_server.sandbox import Limits  # noqa: PLC0415 - not installed where the peers are
        from planact_server.sandbox.host import open_engine  # noqa: PLC0415

        self.limits = Limits()
        self.engine = open_engine(limits=self.limits, warm_workers=0 if fresh else 1)

    async def session(self) -> _PlanactSession:
        return _PlanactSession(self, await self.engine.worker())

    async def close(self) -> None:
        await self.engine.aclose()


class _PlanactSession:
    def __init__(self, subject: Planact, worker: Any) -> None:
        self._subject = subject
        self._worker = worker
        self._variables: dict[str, Any] = {}

    @property
    def pid(self) -> int | None:
        return self._worker.pid

    async def run(self, plan: str) -> Any:
        outcome = await self._worker.run(plan, host=self, limits=self._subject.limits)
        if outcome.status != "ok":
            raise RuntimeError(f"{plan!r} ended with {outcome.status}: {outcome.errors}")
        self._variables |= outcome.variables
        return outcome.result

    async def kill_and_recover(self) -> None:
        os.kill(self._worker.pid, signal.SIGKILL)
        await self._worker.aclose()
        self._worker = await self._subject.engine.worker()
        await self._worker.restore(self._variables)

    async def close(self) -> None:
        await self._worker.aclose()

    async def resolve(self, names: list[str]) -> dict[str, Any]:
        from planact_server.sandbox import ResolvedTool  # noqa: PLC0415

        parameters = {"echo": ("number",), "fetch": ()}
        return {name: ResolvedTool(server="demo", tool=name, parameters=parameters[name]) for name in names}

    async def call(self, request: Any) -> Any:
        return TOOLS[request.tool](*request.positional, **request.keywords)


class Monty:
    """pydantic-monty: an interpreter in Rust, in a pool of processes."""

    async def open(self, *, fresh: bool) -> None:
        from pydantic_monty import Monty as Pool  # noqa: PLC0415

        self._pool = Pool(
            min_processes=0 if fresh else 1, max_processes=1000, max_checkouts_per_worker=1 if fresh else None
        )
        self.pool = self._pool.__enter__()

    async def session(self) -> _MontySession:
        return _MontySession(self)

    async def close(self) -> None:
        self._pool.__exit__(None, None, None)


class _MontySession:
    def __init__(self, subject: Monty) -> None:
        self._subject = subject
        self._check_out()

    def _check_out(self) -> None:
        limits = {"max_memory": 256 * 2**20, "max_suspensions": 1_000_000}
        self._checkout = self._subject.pool.checkout(limits=limits)
        self._session = self._checkout.__enter__()
        self.pid = self._session.worker_pid

    async def run(self, plan: str) -> Any:
        return self._session.feed_run(plan, external_lookup=TOOLS)

    async def kill_and_recover(self) -> None:
        state = self._session.dump()
        os.kill(self.pid, signal.SIGKILL)
        await self.close()
        self._check_out()
        self._session.load_session(state)

    async def close(self) -> None:
        with contextlib.suppress(Exception):  # one that was killed says so
            self._checkout.__exit__(None, None, None)


class Smolagents:
    """smolagents' LocalPythonExecutor: a walk over the syntax tree, in the agent's own process."""

    async def open(self, *, fresh: bool) -> None:
        del fresh
        from smolagents.local_python_executor import LocalPythonExecutor  # noqa: PLC0415

        self.executor = LocalPythonExecutor

    async def session(self) -> _SmolagentsSession:
        return _SmolagentsSession(self.executor([], additional_functions=dict(TOOLS), timeout_seconds=None))

    async def close(self) -> None:
        """There is no process to end."""


class _SmolagentsSession:
    pid = None

    def __init__(self, executor: Any) -> None:
        self._executor = executor
        executor.send_tools({})

    async def run(self, plan: str) -> Any:
        return self._executor(plan).output

    async def kill_and_recover(self) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        """Garbage."""


class Bare:
    """`exec` in a Python process of its own, lines of JSON over its pipes, and no protection at all: the floor."""

    async def open(self, *, fresh: bool) -> None:
        """Nothing is made ahead."""

    async def session(self) -> _BareSession:
        return await _BareSession.start()

    async def close(self) -> None:
        """Each session closes its own."""


_BARE = """
import ast, json, sys
from_host, to_host = sys.stdin.buffer, sys.stdout.buffer
def say(message):
    to_host.write(json.dumps(message).encode() + b"\\n")
    to_host.flush()
def tool(name):
    def call(*positional, **keywords):
        say({"call": name, "positional": positional, "keywords": keywords})
        return json.loads(from_host.readline())
    return call
space = {"echo": tool("echo"), "fetch": tool("fetch")}
for line in from_host:
    tree = ast.parse(json.loads(line))
    last = ast.Expression(tree.body.pop().value) if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "plan", "exec"), space)
    say({"result": eval(compile(last, "plan", "eval"), space) if last else None})
"""


class _BareSession:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid

    @classmethod
    async def start(cls) -> _BareSession:
        return cls(_bare_process())

    async def run(self, plan: str) -> Any:
        self._say(plan)
        while True:
            message = json.loads(self._process.stdout.readline())
            if "call" not in message:
                return message["result"]
            self._say(TOOLS[message["call"]](*message["positional"], **message["keywords"]))

    def _say(self, message: Any) -> None:
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        self._process.stdin.flush()

    async def kill_and_recover(self) -> None:
        kept = await self.run("kept")
        await self.close()
        self._process = _bare_process()
        await self.run(f"kept = {kept!r}")

    async def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def _bare_process() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-I", "-S", "-c", _BARE]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


SUBJECTS: Mapping[str, Callable[[], Subject]] = {
    "planact": Planact,
    "monty": Monty,
    "smolagents": Smolagents,
    "bare": Bare,
}


async def first_answer(name: str) -> None:
    """Do what a cold start consists of."""
    subject = SUBJECTS[name]()
    await subject.open(fresh=True)
    session = await subject.session()
    if await session.run("1 + 1") != 2:
        raise RuntimeError(f"{name} cannot add.")
    await session.close()
    await subject.close()


if __name__ == "__main__":
    asyncio.run(first_answer(sys.argv[1]))
