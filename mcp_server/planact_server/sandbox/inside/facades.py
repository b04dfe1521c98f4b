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
import typing
import unicodedata
import urllib.parse
import uuid
import zoneinfo
from typing import TYPE_CHECKING, Any

from planact_server.sandbox.inside import attributes, classes, sealed, timezones
from planact_server.sandbox.inside.attributes import getattr_in_plan
from planact_server.sandbox.inside.handles import LargeText
from planact_server.sandbox.inside.sealed import Sealed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Module(metaclass=Sealed):
    """Stands in for a module. Only what is listed is there, and nobody can change it."""

    def __init__(self, name: str, names: Mapping[str, Any]) -> None:
        vars(self)["__name__"] = name
        vars(self).update(names)

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


def make_module(name: str, names: Mapping[str, Any]) -> Module:
    sealed.as_called(names)
    return sealed.make(Module, name, names)


def _pick(module: Any, names: str, **extra: Any) -> Module:
    chosen = {name: getattr(module, name) for name in names.split() if hasattr(module, name)}
    return make_module(module.__name__, chosen | extra)


# ---- functions that differ from the originals -----------------------------------------------------------------------


def _attrgetter(name: str, /, *more: str) -> Callable[[Any], Any]:
    def one(target: Any, name: str) -> Any:
        for step in name.split("."):
            target = getattr_in_plan(target, step)
        return target

    if not more:
        return lambda target: one(target, name)
    return lambda target: tuple(one(target, each) for each in (name, *more))


def _methodcaller(name: str, /, *args: Any, **kwargs: Any) -> Callable[[Any], Any]:
    return lambda target: getattr_in_plan(target, name)(*args, **kwargs)


def _wraps(wrapped: Any, assigned: object = (), updated: object = ()) -> Callable[[Any], Any]:  # noqa: ARG001
    def dress(wrapper: Any) -> Any:
        if attributes.is_plan_function(wrapper):
            wrapper.__name__ = str(getattr(wrapped, "__name__", wrapper.__name__))
            wrapper.__doc__ = getattr(wrapped, "__doc__", None)
        return wrapper

    return dress


def _lru_cache(maxsize: Any = 128, typed: bool = False) -> Any:
    """`functools.lru_cache`."""
    if callable(maxsize):
        return functools.lru_cache(128, typed)(_without_parts(maxsize))

    def decorate(function: Any) -> Any:
        return functools.lru_cache(maxsize, typed)(_without_parts(function))

    return decorate


def _cache(function: Any, /) -> Any:
    return functools.lru_cache(None)(_without_parts(function))


def _without_parts(function: Any) -> Any:
    """A function to be cached: the cache copies the dict of what it is given, which of a class are its methods."""
    if attributes.is_plan_function(function):
        return function

    def call(*args: Any, **options: Any) -> Any:
        return function(*args, **options)

    call.__name__ = str(getattr(function, "__name__", call.__name__))
    return call


def _update_wrapper(wrapper: Any, wrapped: Any, assigned: object = (), updated: object = ()) -> Any:  # noqa: ARG001
    return _wraps(wrapped)(wrapper)


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
            _pick(
                math,
                "acos acosh asin asinh atan atan2 atanh cbrt ceil comb copysign cos cosh degrees dist e erf erfc "
                "exp exp2 expm1 fabs factorial floor fma fmod frexp fsum gamma gcd hypot inf isclose isfinite isinf "
                "isnan isqrt lcm ldexp lgamma log log10 log1p log2 modf nan nextafter perm pi pow prod radians "
                "remainder sin sinh sqrt sumprod tan tanh tau trunc ulp",
            ),
            _pick(
                cmath,
                "acos acosh asin asinh atan atanh cos cosh e exp inf infj isclose isfinite isinf isnan log log10 "
                "nan nanj phase pi polar rect sin sinh sqrt tan tanh tau",
            ),
            _pick(
                itertools,
                "accumulate batched chain combinations combinations_with_replacement compress count cycle dropwhile "
                "filterfalse groupby islice pairwise permutations product repeat starmap takewhile tee zip_longest",
            ),
            _pick(
                statistics,
                "NormalDist StatisticsError correlation covariance fmean geometric_mean harmonic_mean kde "
                "kde_random linear_regression mean median median_grouped median_high median_low mode multimode "
                "pstdev pvariance quantiles stdev variance",
            ),
            _pick(
                heapq,
                "heapify heappop heappush heappushpop heapreplace merge nlargest nsmallest",
            ),
            _pick(
                unicodedata,
                "bidirectional category combining decimal decomposition digit east_asian_width is_normalized lookup "
                "mirrored name normalize numeric unidata_version",
            ),
            _pick(
                operator,
                "abs add and_ call concat contains countOf delitem eq floordiv ge getitem gt iadd iand iconcat "
                "ifloordiv ilshift imatmul imod imul index indexOf inv invert ior ipow irshift is_ is_not isub "
                "itemgetter itruediv ixor le length_hint lshift lt matmul mod mul ne neg not_ or_ pos pow rshift "
                "setitem sub truediv truth xor",
                attrgetter=_attrgetter,
                methodcaller=_methodcaller,
            ),
            _pick(
                binascii,
                "Error Incomplete a2b_base64 a2b_hex a2b_qp a2b_uu b2a_base64 b2a_hex b2a_qp b2a_uu crc32 crc_hqx "
                "hexlify unhexlify",
            ),
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
            make_module(
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
                "reduce partial cmp_to_key cached_property",
                lru_cache=_lru_cache,
                cache=_cache,
                total_ordering=classes.total_ordering,
                wraps=_wraps,
                update_wrapper=_update_wrapper,
            ),
            _pick(
                collections,
                "Counter defaultdict deque OrderedDict namedtuple ChainMap UserDict UserList",
                abc=_ABC,
            ),
            make_module("collections.abc", _ABC.__dict__),
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
                dataclass=classes.dataclass,
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
            make_module("urllib", {"parse": _URL}),
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
            _pick(pprint, "pformat saferepr isreadable isrecursive", pp=_pprint, pprint=_pprint),
        )
    }


MODULES = _modules()
