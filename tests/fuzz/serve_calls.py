"""The child of `test_hostile_calls`: one sweep of hostile calls for each request."""

from __future__ import annotations

import operator
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fuzz import child
from fuzz.calls import Arguments, Sweep
from fuzz.room import Room

if TYPE_CHECKING:
    from collections.abc import Callable


def _raise_module(*_: object) -> None:
    raise ValueError("planted", sys)


def _call_with_frame(function: Any, *_: object) -> Any:
    return function(sys._getframe())


PLANTED: dict[str, Callable[..., Any]] = {
    "textwrap.dedent": lambda *_: [sys._getframe()],
    "operator.attrgetter": lambda name, *_: lambda target: getattr(target, str(name)),
    "operator.itemgetter": operator.attrgetter,
    "functools.reduce": _call_with_frame,
    "bisect.bisect": _raise_module,
    "string.capwords": lambda *_: iter([{"names": vars(operator)}]),
    "math.comb": lambda *_: type,
    "html.escape": lambda text="", *_: "{0.gi_frame}".format,
    "heapq.merge": lambda *_: Path(os.devnull).open(),  # noqa: SIM115 - the leak
}
"""Leaks that a mistake in a facade might make, by the name that they take the place of."""


def main() -> None:
    answers = child.prepare()
    room = Room()
    if "--plant" in sys.argv:
        for name, function in PLANTED.items():
            module, _, leaf = name.rpartition(".")
            vars(room.modules[module])[leaf] = function
    sweep = Sweep(room)

    def answer(request: child.Request) -> dict[str, Any]:
        arguments = Arguments(positional=request["positional"], keywords=request.get("keywords", ()))
        findings = sweep.run(arguments, only=request.get("only", ""))
        return {"findings": findings, "targets": len(sweep.targets), "calls": sweep.calls, "answered": sweep.answered}

    child.answer_requests(answer, sys.stdin, answers)


if __name__ == "__main__":
    main()
