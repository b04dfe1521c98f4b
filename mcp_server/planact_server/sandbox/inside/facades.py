"""The modules and builtins that plans see: explicit names, frozen, no real module among them.

A name that is not listed here does not exist for a plan. Left out on purpose: whatever opens files, starts processes,
reads the environment, evaluates text (`typing.get_type_hints`, `dataclasses.make_dataclass`), makes metaclasses
(`enum.EnumType`, `type(name, bases, dict)`), or hands out attributes by name past the guard (`UserString.format`).
"""

from __future__ import annotations

import base64
import binascii
import bisect
import calendar
import cmath
import collections
import collections.abc
import copy
import csv
import dataclasses
import datetime as dt
import decimal
import difflib
import enum
import fractions
import functools
import hashlib
import heapq
import hmac
import html
import io
import itertools
import json
import math
import operator
import pprint
import random
import re
import statistics
import string
import textwrap
import time
import types
import typing
import unicodedata
import urllib.parse
import uuid
import zoneinfo
from typing import TYPE_CHECKING, Any, cast

from planact_server.sandbox.inside import timezones
from planact_server.sandbox.inside.attributes import adopt_class, getattr_in_plan, plan_classes
from planact_server.sandbox.inside.handles import LargeText

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Module:
    """Stands in for a module. Only what is listed is there, and nobody can change it."""

    def __init__(self, name: str, names: Mapping[str, Any]) -> None:
        self.__dict__["__name__"] = name
        self.__dict__.update(names)

    def __getattr__(self, name: str) -> Any:
        message = f"module {self.__dict__['__name__']!r} has no attribute {name!r} in a plan"
        raise AttributeError(message, name=name, obj=self)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("modules are read-only in a plan")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("modules are read-only in a plan")

    def __repr__(self) -> str:
        return f"<module {self.__dict__['__name__']!r}>"

    def __reduce_ex__(self, protocol: object) -> Any:
        raise TypeError("modules cannot be copied")


def _pick(module: Any, names: str, **extra: Any) -> Module:
    chosen = {name: getattr(module, name) for name in names.split() if hasattr(module, name)}
    return Module(module.__name__, chosen | extra)


# ---- functions that differ from the originals -----------------------------------------------------------------------


def _attrgetter(*names: str) -> Callable[[Any], Any]:
    def one(target: Any, name: str) -> Any:
        for step in name.split("."):
            target = getattr_in_plan(target, step)
        return target

    if len(names) == 1:
        return lambda target: one(target, names[0])
    return lambda target: tuple(one(target, name) for name in names)


def _methodcaller(name: str, /, *args: Any, **kwargs: Any) -> Callable[[Any], Any]:
    return lambda target: getattr_in_plan(target, name)(*args, **kwargs)


def _wraps(wrapped: Any, assigned: object = (), updated: object = ()) -> Callable[[Any], Any]:  # noqa: ARG001
    def dress(wrapper: Any) -> Any:
        if isinstance(wrapper, types.FunctionType):
            wrapper.__name__ = str(getattr(wrapped, "__name__", wrapper.__name__))
            wrapper.__doc__ = getattr(wrapped, "__doc__", None)
        return wrapper

    return dress


def _update_wrapper(wrapper: Any, wrapped: Any, assigned: object = (), updated: object = ()) -> Any:  # noqa: ARG001
    return _wraps(wrapped)(wrapper)


def _dataclass(cls: type | None = None, /, **options: Any) -> Any:
    def make(plain: type) -> type:
        if plain not in plan_classes:
            raise TypeError("@dataclass works on classes of your own.")
        made = cast("type", dataclasses.dataclass(**options)(plain))
        adopt_class(made)  # slots=True makes a new class
        return made

    return make if cls is None else make(cls)


def _json_loads(text: Any, **options: Any) -> Any:
    """`json.loads`. A value that is parsed already comes back as it is: tool results are."""
    if isinstance(text, LargeText):
        text = text.text()
    if not isinstance(text, str | bytes | bytearray):
        return text
    return json.loads(text, **options)


def _json_load(file: Any, **options: Any) -> Any:
    return _json_loads(file.read(), **options)


def _json_dump(value: Any, file: Any, **options: Any) -> None:
    file.write(json.dumps(value, **options))


def _pprint(value: Any, stream: Any = None, **options: Any) -> None:
    print(pprint.pformat(value, **options), file=stream)


def _localtime(seconds: float | None = None) -> time.struct_time:
    return time.localtime(seconds)


# ---- the modules -----------------------------------------------------------------------------------------------------

_URL = _pick(
    urllib.parse,
    "quote quote_plus quote_from_bytes unquote unquote_plus unquote_to_bytes urlparse urlunparse urlsplit urlunsplit "
    "urlencode parse_qs parse_qsl urljoin urldefrag ParseResult SplitResult",
)
_ABC = _pick(
    collections.abc,
    "Awaitable Coroutine AsyncIterable AsyncIterator AsyncGenerator Hashable Iterable Iterator Generator Reversible "
    "Sized Container Callable Collection Set MutableSet Mapping MutableMapping MappingView KeysView ItemsView "
    "ValuesView Sequence MutableSequence ByteString",
)


def _modules() -> dict[str, Module]:
    return {
        module.__dict__["__name__"]: module
        for module in (
            Module("math", _public(math)),
            Module("cmath", _public(cmath)),
            Module("itertools", _public(itertools)),
            Module("statistics", {name: getattr(statistics, name) for name in statistics.__all__}),
            Module("heapq", {name: getattr(heapq, name) for name in heapq.__all__}),
            Module("unicodedata", _public(unicodedata, without="ucd_3_2_0 UCD")),
            Module("operator", _public(operator) | {"attrgetter": _attrgetter, "methodcaller": _methodcaller}),
            Module("binascii", _public(binascii)),
            _pick(bisect, "bisect bisect_left bisect_right insort insort_left insort_right"),
            _pick(
                random,
                "random uniform triangular randint choice randrange sample shuffle choices normalvariate "
                "lognormvariate expovariate vonmisesvariate gammavariate gauss betavariate paretovariate "
                "weibullvariate seed getrandbits randbytes getstate setstate Random",
            ),
            _pick(dt, "date datetime time timedelta timezone tzinfo MINYEAR MAXYEAR UTC"),
            _pick(
                time,
                "time time_ns monotonic monotonic_ns perf_counter perf_counter_ns process_time process_time_ns sleep "
                "strftime strptime gmtime mktime asctime ctime struct_time timezone altzone daylight tzname",
                localtime=_localtime,
            ),
            _pick(
                calendar,
                "Calendar TextCalendar HTMLCalendar isleap leapdays weekday monthrange monthcalendar month calendar "
                "timegm setfirstweekday firstweekday day_name day_abbr month_name month_abbr MONDAY TUESDAY WEDNESDAY "
                "THURSDAY FRIDAY SATURDAY SUNDAY IllegalMonthError IllegalWeekdayError",
            ),
            Module(
                "zoneinfo",
                {
                    "ZoneInfo": zoneinfo.ZoneInfo,
                    "ZoneInfoNotFoundError": zoneinfo.ZoneInfoNotFoundError,
                    "available_timezones": timezones.available,
                },
            ),
            _pick(
                json,
                "dumps JSONDecodeError JSONEncoder JSONDecoder",
                loads=_json_loads,
                load=_json_load,
                dump=_json_dump,
            ),
            _pick(
                re,
                "match fullmatch search sub subn split findall finditer compile purge escape error Pattern Match "
                "RegexFlag A I L M S X U ASCII IGNORECASE LOCALE MULTILINE DOTALL VERBOSE UNICODE NOFLAG",
            ),
            _pick(
                string,
                "ascii_letters ascii_lowercase ascii_uppercase capwords digits hexdigits octdigits printable "
                "punctuation whitespace Template",
            ),
            _pick(textwrap, "TextWrapper wrap fill dedent indent shorten"),
            _pick(
                functools,
                "reduce partial lru_cache cache cmp_to_key total_ordering cached_property",
                wraps=_wraps,
                update_wrapper=_update_wrapper,
            ),
            _pick(
                collections,
                "Counter defaultdict deque OrderedDict namedtuple ChainMap UserDict UserList",
                abc=_ABC,
            ),
            Module("collections.abc", _ABC.__dict__),
            _pick(
                decimal,
                "Decimal Context DecimalTuple DefaultContext BasicContext ExtendedContext DecimalException Clamped "
                "InvalidOperation DivisionByZero Inexact Rounded Subnormal Overflow Underflow FloatOperation "
                "DivisionImpossible InvalidContext ConversionSyntax DivisionUndefined ROUND_DOWN ROUND_HALF_UP "
                "ROUND_HALF_EVEN ROUND_CEILING ROUND_FLOOR ROUND_UP ROUND_HALF_DOWN ROUND_05UP getcontext setcontext "
                "localcontext MAX_PREC MAX_EMAX MIN_EMIN",
            ),
            _pick(fractions, "Fraction"),
            _pick(enum, "Enum IntEnum StrEnum Flag IntFlag auto unique verify UNIQUE CONTINUOUS member nonmember"),
            _pick(
                dataclasses,
                "field fields asdict astuple replace is_dataclass Field InitVar KW_ONLY MISSING FrozenInstanceError",
                dataclass=_dataclass,
            ),
            _pick(
                typing,
                "Any Optional Union List Dict Set FrozenSet Tuple Type Callable Literal TypedDict NamedTuple Iterable "
                "Iterator Sequence Mapping MutableMapping MutableSequence Collection Generic TypeVar ParamSpec "
                "Protocol Final ClassVar Annotated Concatenate cast overload NoReturn Never Self Awaitable Coroutine "
                "AsyncIterator AsyncIterable AsyncGenerator Generator TYPE_CHECKING NewType DefaultDict Deque "
                "Counter OrderedDict ChainMap Required NotRequired TypeAlias TypeGuard Hashable Sized Text AnyStr "
                "SupportsInt SupportsFloat SupportsIndex SupportsAbs LiteralString runtime_checkable final override "
                "assert_never assert_type reveal_type Unpack TypeVarTuple Container Reversible AbstractSet KeysView "
                "ValuesView ItemsView Match Pattern",
            ),
            _pick(copy, "copy deepcopy error Error"),
            _pick(uuid, "UUID uuid3 uuid4 uuid5 NAMESPACE_DNS NAMESPACE_URL NAMESPACE_OID NAMESPACE_X500"),
            _pick(
                hashlib,
                "md5 sha1 sha224 sha256 sha384 sha512 sha3_224 sha3_256 sha3_384 sha3_512 shake_128 shake_256 "
                "blake2b blake2s new algorithms_available algorithms_guaranteed",
            ),
            _pick(hmac, "new digest compare_digest HMAC"),
            _pick(
                base64,
                "b64encode b64decode standard_b64encode standard_b64decode urlsafe_b64encode urlsafe_b64decode "
                "b32encode b32decode b32hexencode b32hexdecode b16encode b16decode a85encode a85decode b85encode "
                "b85decode encodebytes decodebytes",
            ),
            _pick(html, "escape unescape"),
            _URL,
            Module("urllib", {"parse": _URL}),
            _pick(
                csv,
                "reader writer DictReader DictWriter Dialect excel excel_tab unix_dialect Sniffer Error QUOTE_ALL "
                "QUOTE_MINIMAL QUOTE_NONNUMERIC QUOTE_NONE QUOTE_STRINGS QUOTE_NOTNULL list_dialects",
            ),
            _pick(io, "StringIO BytesIO SEEK_SET SEEK_CUR SEEK_END"),
            _pick(
                difflib,
                "SequenceMatcher Differ HtmlDiff get_close_matches unified_diff context_diff ndiff restore "
                "IS_LINE_JUNK IS_CHARACTER_JUNK",
            ),
            _pick(pprint, "pformat saferepr isreadable isrecursive", pprint=_pprint, pp=_pprint),
        )
    }


def _public(module: Any, *, without: str = "") -> dict[str, Any]:
    """All public names of a module written in C, whose names are all functions and numbers."""
    left_out = set(without.split())
    names = (name for name in dir(module) if not name.startswith("_") and name not in left_out)
    return {name: getattr(module, name) for name in names}


MODULES = _modules()

_INSTEAD = {
    "os": "Plans have no files, processes or environment; a connected tool may do it: search_tools('...').",
    "sys": "Plans have no interpreter access; print() writes to the output.",
    "pathlib": "Plans have no files; split paths as strings, or use a connected file tool.",
    "subprocess": "Plans start no processes; use a connected tool.",
    "requests": "Plans have no network; use a connected tool: search_tools('fetch').",
    "httpx": "Plans have no network; use a connected tool: search_tools('fetch').",
    "urllib.request": "Plans have no network; use a connected tool: search_tools('fetch').",
    "numpy": "Use lists with the modules math and statistics.",
    "pandas": "Use lists of dicts with the modules csv, collections and statistics.",
    "threading": "Use asyncio.gather or parallel().",
    "concurrent": "Use asyncio.gather or parallel().",
    "pickle": "Use json.",
    "abc": "Raise NotImplementedError in the base class.",
    "contextlib": "Write a class with __enter__ and __exit__, or try/finally.",
    "types": "Use a class or a dict of your own.",
    "traceback": "str(error) has the message; uncaught errors are reported with their line.",
    "inspect": "describe(tool) shows a tool's signature.",
}


def missing_module(name: str) -> tuple[str, str]:
    """Message and hint for an import that cannot work."""
    top = name.partition(".")[0]
    hint = _INSTEAD.get(name) or _INSTEAD.get(top)
    if hint is None:
        close = difflib.get_close_matches(name, MODULES, n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        hint += "Available: " + " ".join(sorted({known.partition(".")[0] for known in MODULES} | {"asyncio"})) + "."
    return f"No module named {name!r} in a plan.", hint
