"""The child of `test_hostile_calls`: one sweep of hostile calls for each request."""

from __future__ import annotations

import sys
from typing import Any

from fuzz import child
from fuzz.calls import Arguments, Sweep
from fuzz.planted import plant
from fuzz.room import Room


def main() -> None:
    answers = child.prepare()
    room = Room()
    if "--plant" in sys.argv:
        plant(room)
    sweep = Sweep(room)

    def answer(request: child.Request) -> dict[str, Any]:
        arguments = Arguments(positional=request["positional"], keywords=request.get("keywords", ()))
        findings = sweep.run(arguments, only=request.get("only", ""))
        return {"findings": findings, "targets": len(sweep.targets), "calls": sweep.calls, "answered": sweep.answered}

    child.answer_requests(answer, sys.stdin, answers)


if __name__ == "__main__":
    main()
