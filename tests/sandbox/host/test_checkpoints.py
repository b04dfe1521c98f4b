"""Going back to a session as it was: what the host sees of it, from honest workers and from others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from anyio import fail_after

from planact_server.sandbox import Checkpoint, EngineError, Limits

if TYPE_CHECKING:
    from conftest import ScriptedHost
    from planact_server.sandbox.host import PooledEngine
    from planact_server.sandbox.worker import JailedWorker

LIES = {
    "another frame": ("send(type='restored')", "frame where another was due"),
    "no flag": ("send(type='checkpointed', taken=1, unsettled=[])", "malformed frame: checkpointed.taken"),
    "no name": ("send(type='checkpointed', taken=True, unsettled=['a b'])", "not a Python name"),
    "too many names": ("send(type='checkpointed', taken=True, unsettled=['a'] * 101)", "at most 100 items"),
    "too large a frame": ("send(type='checkpointed', taken=True, unsettled=['a' * 70_000])", "announced a frame of"),
}


async def test_a_session_goes_back_and_the_worker_lives_on(engine: PooledEngine, host: ScriptedHost) -> None:
    worker = await engine.worker()
    with fail_after(20):
        await worker.run("rows = [1]\ndef f(): return 1\ng = (n for n in rows)", host=host, limits=Limits())
        noted = await worker.checkpoint()
        await worker.run("rows.append(2)\ndef f(): return 2", host=host, limits=Limits())
        await worker.rollback()
        outcome = await worker.run("(rows, f())", host=host, limits=Limits())
        await worker.forget()
        with pytest.raises(EngineError, match="could not be put back"):
            await worker.rollback()
    # Monty makes a list of what Python keeps as a generator.
    assert noted == Checkpoint(taken=True, unsettled=() if engine.name == "monty" else ("g",))
    assert (outcome.result, dict(outcome.variables)) == ([[1], 1], {})
    assert not worker.alive


@pytest.mark.check
async def test_a_session_too_large_for_its_memory_is_not_noted(engine: PooledEngine, host: ScriptedHost) -> None:
    worker = await engine.worker()
    plan = "rows = []\nfor n in range(1_000_000): rows.append([n])"
    with fail_after(60):
        outcome = await worker.run(plan, host=host, limits=Limits(seconds=40))
        noted = await worker.checkpoint()
        after = await worker.run("len(rows)", host=host, limits=Limits())
    assert outcome.status == "ok"
    assert noted == Checkpoint(taken=False)
    assert after.result == 1_000_000


@pytest.mark.parametrize(("source", "reason"), LIES.values(), ids=LIES)
async def test_a_worker_that_lies_about_a_checkpoint_is_killed(
    raw_worker: JailedWorker, host: ScriptedHost, source: str, reason: str
) -> None:
    with fail_after(20):
        await raw_worker.run(f"done()\nreceive()\n{source}\nreceive()", host=host, limits=Limits())
        with pytest.raises(EngineError, match=reason):
            await raw_worker.checkpoint()
    assert not raw_worker.alive


async def test_a_worker_that_dies_over_its_checkpoint_says_how(raw_worker: JailedWorker, host: ScriptedHost) -> None:
    with fail_after(20):
        await raw_worker.run("done()\nreceive()\nos._exit(3)", host=host, limits=Limits())
        with pytest.raises(EngineError, match="ended with code 3"):
            await raw_worker.checkpoint()
