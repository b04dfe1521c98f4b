"""The known attacks against the language inside: none gets out, and the worker survives or ends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

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
