"""Values of a hostile plan: classes with every hook, subclasses of what libraries expect, texts that are attacks.

They are made by a plan, through the policy, so they are what a plan can really make. Every hook tells `note` what it
was given.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from planact_server.sandbox.inside import attributes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fuzz.room import Room

_NOT_HOOKED = frozenset(str.split("__new__ __init__ __post_init__ __init_subclass__ __class_getitem__ __hash__"))
_DUCK_METHODS = sorted(
    {
        name
        for kind in (str, bytes, dict, list, set, dt.datetime, dt.tzinfo)
        for name in dir(kind)
        if not name.startswith("_")
    }
    | set(str.split("read write readline readlines flush close seek send throw default choice getrandbits bytes split"))
)
_BASES = str.split(
    "object str int float dict list tuple set bytes Exception KeyError functools.partial random.Random "
    "string.Template json.JSONEncoder json.JSONDecoder datetime.datetime datetime.tzinfo decimal.Decimal "
    "fractions.Fraction collections.Counter collections.OrderedDict collections.UserDict collections.deque "
    "collections.defaultdict io.StringIO csv.Dialect textwrap.TextWrapper calendar.Calendar uuid.UUID property "
    "collections.abc.Mapping"
)


def _class_name(base: str) -> str:
    return f"Hostile_{base.replace('.', '_')}"


def _class(base: str) -> str:
    parents = "Ducks" if base == "object" else f"Hooks, {base}"
    parents = f"Ducks, {base}" if base in ("collections.abc.Mapping", "datetime.tzinfo") else parents
    return f"class {_class_name(base)}({parents}): pass"


def _methods(names: Iterable[str]) -> str:
    return "\n".join(f"    def {name}(self, *a, **k): return note(self, {name!r}, a, k)" for name in names)


_PLAN = (
    "import calendar, collections, csv, dataclasses, datetime, decimal, enum, fractions, functools, io, json\n"
    "import operator, random, re, string, textwrap, typing, uuid, asyncio\n"
    "class Hooks:\n    def __hash__(self): return 7\n"
    + _methods(sorted(attributes.MAGIC - _NOT_HOOKED))
    + "\nclass Ducks(Hooks):\n"
    + _methods(_DUCK_METHODS)
    + "\n"
    + "\n".join(map(_class, _BASES))
    + """
@dataclasses.dataclass
class HostileData:
    name: object
    value: object = dataclasses.field(default_factory=list)
    def __post_init__(self, *a): note(self, "__post_init__", a, {})

class HostileNamed(typing.NamedTuple):
    a: object
    b: object = 1

class HostileEnum(enum.Enum):
    one = 1
    two = "two"

@typing.runtime_checkable
class HostileProtocol(typing.Protocol):
    gi_frame: object
    format: object

class HostileBase:
    def __init_subclass__(cls, **options): note(cls, "__init_subclass__", (), options)
    def __class_getitem__(cls, item): return note(cls, "__class_getitem__", (item,), {})
    @property
    def prop(self): return note(self, "prop", (), {})
    @functools.cached_property
    def cached(self): return note(self, "cached", (), {})
    @classmethod
    def make(cls, *a, **k): return note(cls, "make", a, k)
    @staticmethod
    def static(*a, **k): return note(None, "static", a, k)

def hostile_function(*a, **k):
    return note(hostile_function, "call", a, k)

def hostile_raise(*a, **k):
    note(hostile_raise, "call", a, k)
    raise Hostile_Exception(*a)

def hostile_decorator(*a, **k):
    note(hostile_decorator, "call", a, k)
    return hostile_function

def hostile_generator(*a, **k):
    note(hostile_generator, "call", a, k)
    got = yield 1
    note(hostile_generator, "sent", (got,), {})
    yield from [2, 3]

async def hostile_coroutine(*a, **k):
    note(hostile_coroutine, "call", a, k)
    return await asyncio.sleep(0, 1)

async def hostile_async_generator(*a, **k):
    note(hostile_async_generator, "call", a, k)
    yield 1

forged = {"$planact": "text", "id": "1", "size": 5}
"""
)

TEXTS = (
    *("", "a", "a b c", "1", "gi_frame", "__class__", "__globals__", "__class__.__base__", "{0.gi_frame}"),
    *(
        "{0.__class__.__init__.__globals__}",
        "{!r}",
        "%s %(a)s",
        "$a ${a}",
        "__import__('os')",
        "utf-8",
        "md5",
        "(a)(b)?",
    ),
    *(
        r"\1\g<0>",
        "2024-01-01",
        "%Y-%m-%d",
        "Europe/Berlin",
        "x=__import__('sys'):",
        "_link",
        "format",
        "__init__",
        "sha256",
    ),
)
MADE_BY_PLAN = {
    "generator": "hostile_generator()",
    "coroutine": "hostile_coroutine()",
    "async generator": "hostile_async_generator()",
    "lambda": "lambda *a, **k: note(None, 'lambda', a, k)",
    "data": "HostileData('a')",
    "named": "HostileNamed(1)",
    "member": "HostileEnum.one",
    "with properties": "HostileBase()",
    "property": "property(hostile_function, hostile_function)",
    "cached property": "functools.cached_property(hostile_function)",
    "static method": "staticmethod(hostile_function)",
    "class method": "classmethod(hostile_function)",
    "partial": "functools.partial(hostile_function, 1, key=2)",
    "cached": "functools.lru_cache(hostile_function)",
    "bound": "HostileBase().make",
    "iterator": "iter([hostile_function, 'a', 1])",
    "calls until": "iter(hostile_function, None)",
    "match": "re.match('(a)(b)?', 'a')",
    "pattern": "re.compile('(a)(b)?')",
    "file": "io.StringIO('a,b\\n1,2\\n')",
    "bytes file": "io.BytesIO(b'ab')",
    "future": "asyncio.Future()",
    "task": "asyncio.create_task(hostile_coroutine())",
    "error": "AttributeError('x', name='y', obj=hostile_function)",
    "group": "ExceptionGroup('x', [ValueError(1), Hostile_Exception(2)])",
    "tool": "echo",
    "server": "demo",
    "pending": "echo.later(1)",
    "image": "image(1)[0]",
    "large text": "image(1)[1]",
    "forged handle": "dict(forged)",
    "super": "super(Hostile_str, Hostile_str('x'))",
    "alias": "typing.List[int]",
    "alias of a builtin": "list[int]",
    "class of aliases": "type(typing.List[int])",
    "class of aliases of builtins": "type(list[int])",
    "class of methods": "type(print)",
    "class of tools": "type(echo)",
    "class of servers": "type(demo)",
    "class of calls": "type(echo.later(1))",
    "class of modules": "type(json)",
    "type variable": "typing.TypeVar('T')",
    "typed dict": "typing.TypedDict('T', {'x y': int})",
    "module": "json",
    "own getattr": "getattr",
    "own type": "type",
    "date": "datetime.datetime(2024, 1, 1)",
    "decimal": "decimal.Decimal('1.5')",
    "deque": "collections.deque([1, hostile_function])",
    "counter": "collections.Counter('aab')",
    "pairs": "[('a', hostile_function), ('b', 1)]",
    "rows": "[{'a': 1, 'b': hostile_function}]",
    "texts": "['a', 'b']",
    "dict": "{'a': 1, 'b': hostile_function, 1: 2}",
    "set": "{1, 2}",
    "tuple": "(1, 'a')",
    "bytes": "b'ab'",
    "context": "decimal.Context()",
    "HostileBase": "HostileBase",
    "HostileEnum": "HostileEnum",
    "HostileProtocol": "HostileProtocol",
    "int": "int",
    "str": "str",
    "Exception": "Exception",
    "hostile_function": "hostile_function",
    "hostile_raise": "hostile_raise",
    "hostile_decorator": "hostile_decorator",
}
_CONSTRUCTED = {
    "datetime.datetime": "(2024, 1, 1)",
    "functools.partial": "(hostile_function)",
    "uuid.UUID": "(int=1)",
    "string.Template": "('$a')",
    "property": "(hostile_function)",
    "str": "('{0.gi_frame}')",
    "bytes": "(b'ab')",
    "dict": "(a=1)",
    "tuple": "((1, 2))",
    "list": "([1, 2])",
}
_NUMBERS = {"none": None, "true": True, "zero": 0, "one": 1, "two": 2, "minus": -1, "half": 0.5}

CLASSES = (*(_class_name(base) for base in _BASES), "HostileBase", "HostileData", "HostileNamed", "HostileEnum")
"""Classes of the hostile plan, by the names that it gave them."""

NAMES: tuple[str, ...] = (
    *_NUMBERS,
    *(f"text {text}" for text in TEXTS),
    *MADE_BY_PLAN,
    *(f"class {base}" for base in _BASES),
    *(f"hostile {base}" for base in _BASES),
)
"""The names of all hostile values."""

_ANSWERS: dict[str, Any] = {
    "__len__": 2, "__length_hint__": 2, "__bool__": True, "__index__": 1, "__int__": 1, "__float__": 1.5,
    "__complex__": 1j, "__str__": "text", "__repr__": "repr", "__format__": "formatted", "__bytes__": b"ab",
    "__fspath__": "path", "__eq__": True, "__ne__": False, "__lt__": True, "__le__": True, "__gt__": False,
    "__ge__": False, "__contains__": True, "__exit__": False, "__aexit__": False, "__round__": 1, "__trunc__": 1,
    "__floor__": 1, "__ceil__": 1, "read": "a,b\n", "readline": "", "write": 1, "keys": ["a"],
    "items": [("a", 1)], "values": [1], "split": ["a", "b"], "encode": b"ab", "decode": "ab",
    "utcoffset": dt.timedelta(hours=1), "dst": dt.timedelta(0), "tzname": "X", "getrandbits": 1, "bytes": b"0" * 16,
    "replace": "a b", "strip": "a", "lower": "a", "upper": "A", "join": "a", "format": "a", "get": 1, "default": "a",
}  # fmt: skip


class Hostile:
    """The hostile values of one room, and what reached them."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.heard: list[tuple[str, Any]] = []
        """What hooks were given since the last time."""

        room.session._globals["note"] = self._note
        room.define(_PLAN)
        self._makers: dict[str, Callable[[], Any]] = dict(self._all_makers())

    def make(self, name: str) -> Any:
        """A fresh value; None where an earlier call has spoilt its class (`dataclass(HostileBase)`)."""
        try:
            return self._makers[name]()
        except Exception:  # noqa: BLE001 - the class is the plan's own, and may be in any state
            return None

    def fitting(self, kind: type) -> Any:
        """An object of a hostile class that inherits from this one, where there is one."""
        base = f"{kind.__module__}.{kind.__name__}".removeprefix("builtins.").removeprefix("_")
        return self.make(f"hostile {base}") if base in _BASES else None

    def _all_makers(self) -> Iterator[tuple[str, Callable[[], Any]]]:
        for name, number in _NUMBERS.items():
            yield name, lambda number=number: number
        for text in TEXTS:
            yield f"text {text}", lambda text=text: text
        sources = dict(MADE_BY_PLAN)
        for base in _BASES:
            kind = _class_name(base)
            sources[f"class {base}"] = kind
            sources[f"hostile {base}"] = kind + _CONSTRUCTED.get(base, "()")
        functions = "makers = {" + ", ".join(f"{name!r}: lambda: {text}" for name, text in sources.items()) + "}"
        self._room.define(functions)
        yield from self._room.session._globals.pop("makers").items()

    def _note(self, owner: Any, hook: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        if len(self.heard) < 2000:
            self.heard += [(f"{hook} got", value) for value in args]
            self.heard += [(f"{hook} got {name}=", value) for name, value in options.items()]
        match hook:
            case "__iter__" | "__reversed__" | "__await__":
                return iter([1, "a"])
            case "__next__":
                raise StopIteration
            case "__getitem__" if args and isinstance(args[0], int) and not 0 <= args[0] < 2:
                raise IndexError
            case "__getitem__" | "__missing__":
                return 1
            case "__call__" | "call" | "lambda":
                return args[0] if args else None
            case _:
                return _ANSWERS.get(hook, owner)
