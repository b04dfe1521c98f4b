"""Plain JSON is exported by a shorter way, with the same outcome as by the long one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sandbox.inside.plan_worker import PlanWorker

# Left: as written. Right: what the answer holds.
EXPORTED = {
    "records": ('[{"id": 1, "name": "é", "tags": [], "price": 0.5, "on": True, "off": None}]', None),
    "nothing": ("[[], {}]", None),
    "NaN": ('[1, float("nan")]', [1, "nan"]),
    "keys that are no text": ('{1: "a", None: "b", True: "c"}', {"1": "c", "None": "b"}),
    "a tuple inside": ("[(1, 2)]", [[1, 2]]),
    "a number of thousands of digits": ("[10 ** 2000]", [{"$type": "int", "repr": "<int of 6644 bits>"}]),
    "half a character": ('["\\ud800"]', ["?"]),
    "a class of the plan's": ("[Mine(1)]", [1]),
    "itself": ("[loop]", [[{"$type": "list", "repr": "[...]"}]]),
}


@pytest.mark.parametrize(("written", "expected"), EXPORTED.values(), ids=EXPORTED)
def test_a_value_is_exported_as_the_contract_says(session: PlanWorker, written: str, expected: object) -> None:
    run = session.run(f"class Mine(int): pass\nloop = []\nloop.append(loop)\n{written}")

    assert run.status == "ok"
    assert run.result == (eval(written) if expected is None else expected)


def test_what_was_exported_is_a_picture_of_that_moment(session: PlanWorker) -> None:
    assert session.run("rows = [{'n': [1]}]").variables == {"rows": [{"n": [1]}]}
    assert session.run("rows[0]['n'].append(2)").variables == {"rows": [{"n": [1, 2]}]}
    assert session.run("other = 1").variables == {"other": 1}


def test_plain_values_beyond_the_budget_are_cut(session: PlanWorker) -> None:
    run = session.run("rows = list(range(100_000))\nfew = [1, 2]", state_bytes=10_000)

    assert run.variables["few"] == [1, 2]
    assert run.variables["rows"][:3] == [0, 1, 2]
    assert run.done["truncated"] == {"rows": 100_000}
