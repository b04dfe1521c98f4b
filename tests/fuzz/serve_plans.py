"""The child of `test_hostile_plans`: one plan of the grammar for each text of bytes."""

from __future__ import annotations

import random
import sys
from typing import Any

from fuzz import child
from fuzz.grammar import Chooser, Grammar
from fuzz.plans import Plans
from fuzz.planted import PLANTED, plant
from fuzz.room import Room


def main() -> None:
    answers = child.prepare()
    room = Room()
    names = list(room.exposed())
    if "--plant" in sys.argv:
        plant(room)
        names = list(PLANTED)
    plans = Plans(room)
    grammar = Grammar(names)

    def run(data: bytes) -> list[str]:
        source = grammar.plan(Chooser(data))
        child.say_where(source)
        return [f"{finding}\n{source}" for finding in plans.run(source)]

    def answer(request: child.Request) -> dict[str, Any]:
        if "data" in request:
            findings = run(bytes.fromhex(request["data"]))
        else:
            chance = random.Random(request["seed"])
            findings = [finding for _ in range(request["plans"]) for finding in run(chance.randbytes(400))]
        return {"findings": findings, "ran": plans.ran, "refused": plans.refused}

    child.answer_requests(answer, sys.stdin, answers)


if __name__ == "__main__":
    main()
