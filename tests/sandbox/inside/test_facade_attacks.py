"""Ways through the facades that once worked: each must end with an error and print nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sandbox.inside.plan_worker import PlanWorker

GENERATOR = "g = (i for i in ())\n"
CLASSES = "from dataclasses import asdict, dataclass, replace\nfrom collections import abc\n"

READS_WITHOUT_THE_GUARD = {
    "a pattern in __init_subclass__, before the class is taken in": GENERATOR + CLASSES + "@dataclass\n"
    "class A:\n"
    "    gi_frame: object\n"
    "    def __init_subclass__(cls):\n"
    "        cls.register(type(g))\n"
    "        match g:\n"
    "            case cls(frame): print('ESCAPED', frame)\n"
    "class B(A, abc.Sized):\n"
    "    def __len__(self): return 0",
    "the same with a private name of the worker": CLASSES + "class A:\n"
    "    def __init_subclass__(cls):\n"
    "        cls.register(type(echo))\n"
    "        match echo:\n"
    "            case cls(link): print('ESCAPED', link)\n"
    "class B(A, abc.Sized):\n"
    "    __match_args__ = ('_link',)\n"
    "    def __len__(self): return 0",
    "the same while @dataclass makes the class anew, with slots": GENERATOR + CLASSES + "class A(abc.Sized):\n"
    "    def __init_subclass__(cls):\n"
    "        cls.register(type(g))\n"
    "        match g:\n"
    "            case cls(frame): print('ESCAPED', frame)\n"
    "@dataclass(slots=True)\n"
    "class B(A):\n"
    "    gi_frame: object\n"
    "    def __len__(self): return 0",
    "a pattern that reads str.format": GENERATOR + CLASSES + "@dataclass(init=False)\n"
    "class S(str):\n"
    "    format: object\n"
    "match S('{0.gi_frame}'):\n"
    "    case S(f): print('ESCAPED', f(g))",
    "asdict() that reads str.format": GENERATOR + CLASSES + "@dataclass\n"
    "class M:\n"
    "    format: object = None\n"
    "class S(M, str): pass\n"
    "class T(str, M):\n"
    "    def __init__(self, *_): pass\n"
    "print('ESCAPED', asdict(T('{0.gi_frame}'))['format'](g))",
}


@pytest.mark.parametrize("source", READS_WITHOUT_THE_GUARD.values(), ids=READS_WITHOUT_THE_GUARD)
def test_no_field_reads_what_the_guard_keeps_back(session: PlanWorker, source: str) -> None:
    run = session.run(source, {"demo.echo": lambda value: value})

    assert (run.status, run.output, run.error["type"]) == ("error", "", "TypeError")


def test_no_name_of_a_field_becomes_source_code(session: PlanWorker) -> None:
    run = session.run(
        "from typing import TypedDict\nfrom dataclasses import dataclass\n"
        "T = TypedDict('T', {'x=print(\"ESCAPED\")': int})\n"
        "@dataclass(repr=False, eq=False)\nclass D(T): pass"
    )

    assert (run.status, run.output) == ("error", "")
    assert "cannot name a field" in run.error["message"]


OBJECTS = {
    "a tool": "type(echo)",
    "a server": "type(demo)",
    "a helper": "type(call_tool)",
    "a helper of the model": "type(ask_model)",
    "a call under way": "type(echo.later(1))",
    "a task": "type(asyncio.create_task(asyncio.sleep(0)))",
    "an event loop": "type(asyncio.get_event_loop())",
    "a timeout": "type(asyncio.timeout(1))",
    "a module": "type(asyncio)",
    "a format method": "type('{0.real} {1._x}'.format)",
}


@pytest.mark.parametrize("kind", OBJECTS.values(), ids=OBJECTS)
def test_a_plan_makes_no_objects_of_the_worker(session: PlanWorker, kind: str) -> None:
    """A tool that a plan made would call the plan's own link, with the frame that it is called from."""
    run = session.run(
        "import asyncio\n"
        "class Link:\n"
        "    def call(self, *parts): print('ESCAPED', parts)\n"
        f"for arguments in [(Link(), 'a', 'b', ()), (Link(), 'a'), (Link(),), ()]:\n"
        f"    try: ({kind})(*arguments)()\n"
        "    except TypeError as error: print(error)",
        {"demo.echo": lambda value: value},
    )

    assert run.output.count("A plan cannot make ") == 4
    assert "ESCAPED" not in run.output


CHANGES = {
    "a function of a facade": "import json\njson.loads.seen = 1",
    "a function of a library": "import textwrap\ntextwrap.dedent.seen = 1",
    "the name of a function of a library": "import functools, textwrap\n"
    "functools.wraps(lambda: 0)(textwrap.dedent)\n"
    "assert textwrap.dedent.__name__ != 'dedent'",
    "the order of a library's class": "import functools, uuid\nfunctools.total_ordering(uuid.UUID)",
    "a property of a library's class": "import uuid\nproperty.__init__(uuid.UUID.hex, lambda self: 'ESCAPED')",
    "a property, through a class of one's own": "import uuid\nclass P(property): pass\n"
    "P.__init__(uuid.UUID.hex, lambda self: 'ESCAPED')",
}


@pytest.mark.parametrize("source", CHANGES.values(), ids=CHANGES)
def test_what_all_plans_share_cannot_be_changed(session: PlanWorker, source: str) -> None:
    assert session.run(source).status == "error"


REAL_TYPE = {
    "the class of a class, called": "import collections\nfound = collections.Counter.copy(Exception)",
    "the class of a class, called for a new class": "import collections\n"
    "class P:\n    maps = [0, (object,), {'__del__': print}]\n"
    "found = collections.ChainMap.new_child(P, 'X')",
    "the getter of a property": "import collections\n"
    "class P:\n    maps = [0, Exception]\n"
    "found = collections.ChainMap.parents.fget(P)",
    "the same of what was told to be a kind of it": "import collections\n"
    "class P:\n    maps = [0, Exception]\n"
    "collections.ChainMap.register(P)\n"
    "found = collections.ChainMap.parents.fget(P)",
}


@pytest.mark.parametrize("source", REAL_TYPE.values(), ids=REAL_TYPE)
def test_no_method_of_a_library_calls_the_class_of_what_is_not_its_object(session: PlanWorker, source: str) -> None:
    """It would be Python's own `type`, which makes classes with methods of any name."""
    run = session.run(source)

    assert (run.error["type"], "found" in run.variables) == ("TypeError", False)


def test_no_option_of_a_class_changes_its_name_between_check_and_use(session: PlanWorker) -> None:
    run = session.run(
        "def meta(*parts, **options): print('ESCAPED', parts)\n"
        "class Option(str):\n"
        "    asked = 0\n"
        "    def __hash__(self):\n"
        "        Option.asked += 1\n"
        "        return hash('metaclass') if Option.asked > 2 else 5\n"
        "class X(**{Option('metaclass'): meta}): pass"
    )

    assert (run.error["type"], run.output) == ("TypeError", "")


def test_an_alias_cannot_be_made_to_stand_for_something_else(session: PlanWorker) -> None:
    """What a base stands for is asked twice: once by the check, once by Python."""
    run = session.run("import typing\nalias = typing.List[int]\ntype(alias).__init__(alias, ExceptionGroup, ())")

    assert run.error["type"] == "PolicyError"


def test_an_alias_of_an_object_cannot_be_made(session: PlanWorker) -> None:
    """CPython follows a null pointer when the alias of a partial is called twice."""
    run = session.run(
        "import functools\n"
        "alias = type(list[int])(functools.partial(lambda **options: 1, key=2), ())\n"
        "[alias(), alias()]"
    )

    assert (run.error["type"], session.run("type(list[int]) is type(dict[str, int])").result) == ("TypeError", True)


def test_a_method_of_the_worker_takes_no_object_of_the_plan(session: PlanWorker) -> None:
    """`type(tool).later(x)` would call `x._start` with the frame of its caller."""
    run = session.run(
        "class Fake:\n"
        "    def _start(self, *parts): print('ESCAPED', parts)\n"
        "for method in (lambda: type(echo).later, lambda: type(call_tool).later, lambda: type(ask_model).later):\n"
        "    try: method()(Fake(), 1)\n"
        "    except AttributeError as error: print(error)",
        {"demo.echo": lambda value: value},
    )

    assert run.output.count("call it on one of them") == 3
    assert "ESCAPED" not in run.output


def test_super_shows_nothing_of_the_workers_own_objects(session: PlanWorker) -> None:
    run = session.run(
        "import asyncio\ntask = asyncio.create_task(asyncio.sleep(0))\nsuper(type(task), task)._settle",
    )

    assert run.error["type"] == "PolicyError"


def test_the_members_of_an_enum_cannot_be_changed_behind_its_back(session: PlanWorker) -> None:
    run = session.run(
        "import re\nseen = []\n"
        "class Spy:\n"
        "    def __eq__(self, other):\n"
        "        other.clear()\n"
        "        return True\n"
        "re.RegexFlag.__members__ == Spy()\n"
        "len(re.RegexFlag.__members__) > 5"
    )

    assert run.result is True


def test_a_copy_of_the_workers_object_is_the_object(session: PlanWorker) -> None:
    run = session.run(
        "import asyncio, copy\ntask = asyncio.create_task(asyncio.sleep(0))\n"
        "[copy.copy(x) is x for x in (task, echo, demo, asyncio)]",
        {"demo.echo": lambda value: value},
    )

    assert run.result == [True] * 4


def test_what_a_plan_puts_for_the_name_of_a_server_does_not_run_where_nothing_can_stop_it(session: PlanWorker) -> None:
    run = session.run(
        "class Trap(dict):\n"
        "    def items(self):\n"
        "        while True: pass\n"
        "def attempt(f):\n"
        "    try: f()\n"
        "    except TypeError as error: print(error)\n"
        "trap = Trap(a=1)\n"
        "attempt(lambda: call_tool('x', {}, trap))\n"
        "read_resource('x', trap)",
        seconds=1.0,
    )

    assert run.output == "call_tool() takes the server's name as text, not Trap.\n"
    assert run.asked == [("read_resource", {"uri": "x", "server": "{'a': 1}"})]


def test_what_plans_write_still_works(session: PlanWorker) -> None:
    run = session.run(
        "import enum, re, functools\n"
        "from dataclasses import dataclass, field, InitVar, fields\n"
        "from typing import ClassVar\n"
        "class Planet(enum.Enum):\n"
        "    EARTH = (3, 2)\n"
        "    def __init__(self, mass, radius):\n"
        "        self.mass, self._radius = mass, radius\n"
        "    @property\n"
        "    def radius(self): return self._radius\n"
        "class Base:\n"
        "    kinds = []\n"
        "    def __init_subclass__(cls, /, tag='', **options):\n"
        "        super().__init_subclass__(**options)\n"
        "        Base.kinds.append((cls.__name__, tag))\n"
        "@dataclass(slots=True)\n"
        "class Image(Base, tag='i'):\n"
        "    format: str\n"
        "    obj: int = field(default=1, kw_only=True)\n"
        "    scale: InitVar[int] = 1\n"
        "    count: ClassVar[int] = 0\n"
        "    _hidden: int = 0\n"
        "match Image('png'):\n"
        "    case Image(f): found = f\n"
        "@functools.total_ordering\n"
        "class Size:\n"
        "    def __init__(self, n): self.n = n\n"
        "    def __eq__(self, other): return self.n == other.n\n"
        "    def __lt__(self, other): return self.n < other.n\n"
        "def f(): pass\n"
        "f.calls = 1\n"
        "[Planet.EARTH.mass, Planet.EARTH.radius, found, Base.kinds[0], Size(2) >= Size(1), f.calls,\n"
        " re.compile('(a)').sub(r'[\\1]', 'ba')]"
    )

    assert run.result == [3, 2, "png", ["Image", "i"], True, 1, "b[a]"]
