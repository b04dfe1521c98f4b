"""The words that a plan may use without defining them.

They mirror what the sandbox offers; a test compares the two. This floor cannot look it up there.
"""

from __future__ import annotations

import keyword
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PLACEHOLDER = "todo_"
"""What the name of a function begins with that does not exist yet and is written when it is called."""

KEYWORDS = frozenset(keyword.kwlist)

FUNCTIONS = tuple(
    str.split(
        "abs all any ascii bin bool bytearray bytes callable chr classmethod complex dict divmod enumerate"
        " filter float format frozenset getattr hasattr hash hex id int isinstance issubclass iter len list"
        " map max min next object oct ord pow print property range repr reversed round set setattr slice"
        " sorted staticmethod str sum super tuple type vars zip"
    )
)
"""Python's own functions that plans have."""

ERRORS = tuple(
    str.split(
        "ArithmeticError AssertionError AttributeError Exception FileNotFoundError IndexError KeyError"
        " LookupError NotImplementedError OSError OverflowError PermissionError RuntimeError StopIteration"
        " TimeoutError ToolError TypeError ValueError ZeroDivisionError"
    )
)

HELPERS = tuple(str.split("ask_model call_tool describe parallel progress read_resource search_tools"))
"""Functions that every plan has beside its tools."""

MODULES = tuple(
    str.split(
        "asyncio base64 binascii bisect calendar cmath collections collections.abc copy csv dataclasses"
        " datetime decimal difflib enum fractions functools hashlib heapq hmac html io itertools json math"
        " operator pprint random re statistics string textwrap time typing unicodedata urllib.parse uuid"
        " zoneinfo"
    )
)
"""What `import` takes."""

_IMPORTABLE = {
    "asyncio": "gather run sleep wait_for",
    "base64": "b64decode b64encode",
    "bisect": "bisect_left bisect_right insort",
    "calendar": "monthrange",
    "collections": "ChainMap Counter OrderedDict defaultdict deque namedtuple",
    "copy": "deepcopy",
    "csv": "DictReader DictWriter",
    "dataclasses": "asdict astuple dataclass field",
    "datetime": "date datetime timedelta timezone",
    "decimal": "Decimal",
    "difflib": "SequenceMatcher get_close_matches",
    "enum": "Enum IntEnum StrEnum auto",
    "fractions": "Fraction",
    "functools": "cmp_to_key lru_cache partial reduce wraps",
    "hashlib": "md5 sha1 sha256",
    "heapq": "heapify heappop heappush nlargest nsmallest",
    "io": "StringIO",
    "itertools": "accumulate chain combinations groupby islice pairwise permutations product zip_longest",
    "json": "JSONDecodeError dumps loads",
    "math": "ceil comb cos exp factorial floor gcd hypot isclose lcm log log10 log2 perm pi prod radians sin sqrt tan",
    "operator": "attrgetter itemgetter",
    "random": "choice randint sample shuffle uniform",
    "statistics": "fmean mean median mode pstdev stdev variance",
    "textwrap": "dedent shorten",
    "typing": "Any Callable Dict Iterable List Literal NamedTuple Optional Sequence Set Tuple TypedDict Union",
    "urllib.parse": "parse_qs quote unquote urlencode urljoin urlparse",
    "uuid": "uuid4",
    "zoneinfo": "ZoneInfo",
}
IMPORTABLE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {module: tuple(names.split()) for module, names in _IMPORTABLE.items()}
)
"""Names that `from module import …` takes, and that may be called then without a module before them.

They are those that programs import by name. Words that a hallucinated tool could be called as well (`search`, `match`,
`add`) are reached through their module: `re.search(…)`.
"""

METHODS = tuple(
    str.split(
        "__add__ __aenter__ __aexit__ __aiter__ __anext__ __bool__ __call__ __contains__ __enter__ __eq__ __exit__"
        " __ge__ __getitem__ __gt__ __hash__ __init__ __iter__ __le__ __len__ __lt__ __mul__ __ne__ __neg__ __next__"
        " __post_init__ __repr__ __setitem__ __str__ __sub__ __truediv__"
    )
)
"""Methods of a class that belong to the language, to define and to call."""

SPECIAL_ATTRIBUTES = ("__init__", "__name__", "__class__.__name__", "__doc__")
"""What may stand behind a dot although it has underscores on both sides."""

HIDDEN_PREFIXES = ("ag_", "co_", "cr_", "f_", "gi_", "tb_")
HIDDEN_ATTRIBUTES = frozenset({"mro", "with_traceback"})
"""Attributes that lead into the interpreter: the sandbox refuses them."""
