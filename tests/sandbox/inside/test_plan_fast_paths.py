"""What runs without a guard for speed, and the attacks that the guard was there for."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planact_server.sandbox.inside import attributes, facades, formatting, language

if TYPE_CHECKING:
    from sandbox.inside.plan_worker import PlanWorker

GENERATOR = "g = (i for i in ())\n"
OWN = "class Own:\n    def __init__(self): self._x = 1\n"

ATTACKS = {
    "a private name of a tool": "echo._link",
    "a private name of a tool, as an own object": f"{OWN}x = Own()\nx._link = 0\nx._link\nx = echo\nx._link",
    "a private name of a helper": "p = print\np._channel",
    "a private name of a scheduler's owner": "import asyncio\na = asyncio\na._loop",
    "the same line, for an own object first": f"{OWN}for x in [Own(), echo]:\n    x._link = 1",
    "read by a method that is given something else": f"{OWN}    def peek(self): return self._link\nOwn.peek(echo)",
    "a `type` of one's own": f"{OWN}type = lambda _: Own\nx = echo\nx._link",
    "written on a tool": "x = echo\nx.name = 1",
    "written on a module": "import json\njson.loads = 1",
    "written on a library's class": "from decimal import Decimal\nDecimal.sqrt = 1",
    "written by a method that is given something else": "class Own:\n    def put(self): self.name = 1\nOwn.put(print)",
    "deleted from a module": "import json\ndel json.loads",
    "augmented on a module": "import math\nmath.pi += 1",
    "a template in a variable": GENERATOR + "t = '{0.gi_frame}'\nt.format(g)",
    "a template that reads in its format": GENERATOR + "t = '{0:{1.gi_frame}}'\nt.format(1, g)",
    "a template that reads an item first": GENERATOR + "t = '{[0].gi_frame}'\nt.format([g])",
    "a template that reads something harmless first": GENERATOR + "t = '{0.real.x}{1.gi_code}'\nt.format(1, g)",
    "a template for a mapping": GENERATOR + "t = '{a.gi_frame}'\nt.format_map({'a': g})",
    "a template for a method caller": GENERATOR
    + "from operator import methodcaller\nmethodcaller('format', g)('{0.gi_frame}')",
    "a template for str.format": GENERATOR + "list(map(str.format, ['{0.gi_frame}'], [g]))",
    "a template that equals a harmless one": GENERATOR
    + "class S(str):\n    def __eq__(self, other): return True\n    def __hash__(self): return hash('{}')\n"
    "'{}'.format(1)\nS('{0.gi_frame}').format(g)",
    "a private name in a template": "t = '{0._link}'\nt.format(echo)",
    "a private name in a written template": "'{0._link}'.format(echo)",
}


@pytest.mark.parametrize("source", ATTACKS.values(), ids=ATTACKS)
def test_a_fast_path_stops_what_its_guard_stopped(worker: PlanWorker, source: str) -> None:
    run = worker.run(source, {"demo.echo": lambda value: value})

    assert (run.status, run.done.get("result")) == ("error", None)
    assert run.error["type"] in ("PolicyError", "AttributeError")


REFUSED_TEMPLATES = {
    "an attribute": "'{.__class__}'.format",
    "an attribute of an attribute": "'{0.real.__class__}'.format(1)",
    "in the format of a field": "'{0:{1.gi_frame}}'.format(1, 2)",
    "in a mapping": "'{a.__globals__}'.format_map({})",
}


@pytest.mark.parametrize("source", REFUSED_TEMPLATES.values(), ids=REFUSED_TEMPLATES)
def test_a_written_template_that_reads_too_far_is_refused(session: PlanWorker, source: str) -> None:
    run = session.run(source)

    assert (run.status, run.error["type"], run.error["line"], run.error["column"]) == ("refused", "PolicyError", 1, 1)


def test_asking_whose_object_it_is_runs_nothing_of_the_plan(session: PlanWorker) -> None:
    run = session.run(
        "ran = []\n"
        "class Loud:\n"
        "    def __eq__(self, other): ran.append('eq')\n"
        "    def __hash__(self): ran.append('hash')\n"
        "    def __bool__(self): ran.append('bool')\n"
        "    _x = 1\n"
        "loud = Loud()\n"
        "loud.y = loud._x\n"
        "ran"
    )

    assert run.result == []


class Recorder:
    """Notes which attributes are read from it, and from what it gave."""

    def __init__(self, read: list[str]) -> None:
        self._read = read

    def __getattr__(self, name: str) -> Recorder:
        self._read.append(name)
        return self

    def __getitem__(self, key: object) -> Recorder:
        return self

    def __format__(self, spec: str) -> str:
        return "1"


PIECES = ("{", "}", "{", "}", "{{", "}}", "[", "]", ".", ".a", ".b", ":", ":", "!", "!r", "0", "a", "x")
TEMPLATES = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)


@given(TEMPLATES)
def test_python_reads_no_attribute_that_is_not_foreseen(template: str) -> None:
    read: list[str] = []
    thing = Recorder(read)
    with contextlib.suppress(ValueError, IndexError, KeyError):
        template.format(thing, thing, a=thing, x=thing)

    foreseen = formatting.attributes_read(template)
    assert foreseen is None or set(read) <= set(foreseen)


NEVER = (types.ModuleType, types.FrameType, types.CodeType, types.TracebackType)


def exposed() -> dict[str, Any]:
    """Everything that a plan begins with, by its name."""
    names: dict[str, Any] = dict(language.plan_builtins())
    for module in facades.MODULES.values():
        names |= {f"{module!r}.{name}": value for name, value in vars(module).items()}
    return names


def test_no_container_holds_what_the_guard_keeps_away() -> None:
    """Iteration, unpacking and items have no guard of their own."""

    def holds(value: Any) -> bool:
        if isinstance(value, NEVER):
            return True
        if isinstance(value, str | bytes | type) or not isinstance(value, Collection):
            return False
        items = [*value, *value.values()] if isinstance(value, Mapping) else list(value)
        return any(holds(item) for item in items if item is not value)

    assert [name for name, value in exposed().items() if holds(value)] == []


def test_no_class_to_inherit_from_has_a_private_name_that_leads_out() -> None:
    """On objects of a plan's own classes a private name is read without another look at its value."""
    classes = [value for value in exposed().values() if isinstance(value, type)]
    private = {
        f"{kind.__name__}.{name}": value
        for kind in classes
        for base in kind.__mro__
        for name, value in vars(base).items()
        if name.startswith("_") and attributes.is_ordinary_name(name)
    }

    assert len(private) > 50
    assert [name for name, value in private.items() if isinstance(value, NEVER)] == []
