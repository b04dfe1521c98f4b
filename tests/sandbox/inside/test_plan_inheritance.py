"""Classes of plans that inherit from the library, and call what they inherit."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox.inside.plan_worker import PlanWorker


def test_methods_of_library_classes_can_be_called_by_their_class(session: PlanWorker) -> None:
    run = session.run(
        """
import collections, datetime, fractions, json, random
class Encoder(json.JSONEncoder):
    def __init__(self, **options): json.JSONEncoder.__init__(self, **options)
    def default(self, value): return str(value)
class Dice(random.Random):
    def __init__(self): super().__init__(3)
class Third(fractions.Fraction):
    def __new__(cls, number): return super().__new__(cls, number, 3)
class Day(datetime.date):
    def __new__(cls): return datetime.date.__new__(cls, 2020, 1, 2)
class Loud(collections.UserDict):
    def __setitem__(self, key, value): collections.UserDict.__setitem__(self, key, value.upper())
loud = Loud(a="b")
[Encoder(indent=None).encode(1j), 1 <= Dice().randint(1, 6) <= 6, str(Third(2)), str(Day()), loud["a"]]
"""
    )

    assert run.result == ['"1j"', True, "2/3", "2020-01-02", "B"]


def test_methods_that_a_dataclass_wrote_can_be_called_by_its_class(session: PlanWorker) -> None:
    run = session.run(
        """
import dataclasses
@dataclasses.dataclass
class Base:
    x: int
    _note: str = ""
@dataclasses.dataclass
class Child(Base):
    y: int = 0
    def __init__(self, x):
        Base.__init__(self, x, "kept")
        self.y = 3
    def __eq__(self, other): return Base.__eq__(self, other)
[str(Child(4)), Child(1) == Child(1), Child(1) == Child(2), Child(1)._note]
"""
    )

    assert run.result == ["Child(x=4, _note='kept', y=3)", True, False, "kept"]


def test_what_has_a_name_in_a_plan_can_be_inherited(session: PlanWorker) -> None:
    run = session.run(
        """
import collections, collections.abc, enum, json, typing
T = typing.TypeVar("T")
class Box(typing.Generic[T]):
    def __init__(self, held): self.held = held
class IntBox(Box[int]): pass
class Point(typing.NamedTuple):
    x: int
class Pair(collections.namedtuple("Pair", "a b")):
    def __new__(cls, a): return super().__new__(cls, a, 2)
class Row(typing.TypedDict):
    x: int
class Rows(list[int]): pass
class Words(typing.List[str]): pass
class Table(typing.Mapping[str, int]):
    def __getitem__(self, key): return 7
    def __iter__(self): return iter(["k"])
    def __len__(self): return 1
class Bad(json.JSONDecodeError): pass
class Colour(str, enum.Enum):
    RED = "red"
class Computed(property): pass
[IntBox(5).held, Point(1).x, Pair(1).b, Row(x=1), Rows([1]), Words("ab"), dict(Table()), Colour("red").name]
"""
    )

    assert run.result == [5, 1, 2, {"x": 1}, [1], ["a", "b"], {"k": 7}, "RED"]


def test_an_object_may_have_an_attribute_obj(session: PlanWorker) -> None:
    run = session.run("class Holder:\n    def __init__(self): self.obj = 4\nHolder().obj")

    assert run.result == 4


def test_functions_methods_and_classes_can_be_cached(session: PlanWorker) -> None:
    run = session.run(
        """
import functools, math
calls = []
class Slow:
    @functools.lru_cache(maxsize=None)
    def double(self, x):
        calls.append(x)
        return 2 * x
@functools.cache
def fibonacci(n): return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)
@functools.lru_cache
def same(n): return n
slow = Slow()
doubled = [slow.double(1), slow.double(1)]
[doubled, calls, fibonacci(50), same(1), same.cache_info().misses, fibonacci.__name__,
 functools.cache(math.factorial)(5), functools.lru_cache(10)(int)("5")]
"""
    )

    assert run.result == [[2, 2], [1], 12586269025, 1, 1, "fibonacci", 120, 5]
