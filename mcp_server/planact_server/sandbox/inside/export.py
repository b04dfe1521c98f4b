"""A session's data as JSON, within budgets.

Values that JSON has no word for follow the contract: tuples and sets are lists; dates, decimals, UUIDs and NaN are
text; everything else is `{"$type", "repr"}`. A plan's own `__repr__` is its code: it runs under a short deadline, and
what misbehaved once is not asked again.
"""

# A plan's values may be anything; narrowing them by isinstance leaves their contents unknown, which is the truth.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false

from __future__ import annotations

import collections
import datetime as dt
import decimal
import hashlib
import json
import math
import re
import types
import uuid
import zoneinfo
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from planact_server.sandbox.inside import handles, plain
from planact_server.sandbox.inside.attributes import kind_of
from planact_server.sandbox.inside.facades import Module
from planact_server.sandbox.inside.interrupts import PlanStopped
from planact_server.sandbox.inside.tools import AskModel, CallTool, Placeholder, Server, Tool
from planact_server.sandbox.inside.wire import HostGone

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from planact_server.sandbox.inside.interrupts import Interrupts

_MAX_DEPTH = 50
_MAX_NODES = 300_000
_SHOWN_NODES = 50_000
_MAX_REPR = 300
_REPR_SECONDS = 0.25
_MOST_SLOW = 8
"""So often a session's own code may run out of time here; then none of it is asked for a text any more."""

_SNAPSHOT_BYTES = 1 << 20
_SNAPSHOT_NODES = 50_000
_MAX_INT_BITS = 4096
_MARKER = "..."
"""Begins, or is the key of, whatever stands in the place of what was left out. ASCII: one other character doubles what
a text takes, and the frame that it goes into, when memory may be full."""

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
"""Where an object lies in memory is nobody's business, and differs from run to run."""

_ADDRESS_CHARACTERS = 40

_CODE = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.MethodWrapperType,
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
    type,
    Module,
    Tool,
    Server,
    CallTool,
    AskModel,
    Placeholder,
)
_SEQUENCES = (list, tuple, set, frozenset, collections.deque)
_EXACT = frozenset({str, dict, collections.OrderedDict, list, tuple, set, frozenset})
_RECAST = (str, int, float, dict, *_SEQUENCES)
"""What leaves as the built-in value that it also is. Of `_EXACT` nothing is lost by it, but that a set is a list."""

_TIME_ZONES = (type(None), dt.timezone, zoneinfo.ZoneInfo)


def is_code(value: object) -> bool:
    """True for functions, classes, modules and tools: what the state leaves out."""
    return isinstance(value, _CODE)


def is_plain_code(value: object) -> bool:
    """True for functions and classes of a plan, which are no tools."""
    return isinstance(value, types.FunctionType | type)


@dataclass(slots=True)
class Exported:
    """Variables and result, with what had to be cut."""

    values: dict[str, Any] = field(default_factory=dict[str, Any])
    truncated: dict[str, int] = field(default_factory=dict[str, int])
    """Name → full size: characters of text, items of a collection."""

    inexact: list[str] = field(default_factory=list[str])
    """Of which JSON says less than there is: a plan that was given it back would find something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One variable as it is now, for telling later whether it has changed."""

    value: Any
    digest: bytes
    whole: bool
    exact: bool
    used_bytes: int


def snapshots(values: Mapping[str, Any], representer: Representer) -> dict[str, Snapshot]:
    """Take a bounded picture of each variable. The bounds are fixed, so that equal data give equal pictures."""
    taken: dict[str, Snapshot] = {}
    for name, value in values.items():
        one = _Exporter(representer, max_bytes=_SNAPSHOT_BYTES, max_nodes=_SNAPSHOT_NODES)
        converted = one.export(value)
        print_of = (converted, size(value)) if one.cut else converted
        taken[name] = Snapshot(
            value=converted,
            digest=digest(print_of),
            whole=not one.cut,
            exact=one.exact,
            used_bytes=one.used_bytes,
        )
    return taken


def export(
    values: Mapping[str, Any], representer: Representer, *, max_bytes: int, known: Mapping[str, Snapshot]
) -> Exported:
    """Export all values within one budget: first an even share for each, then the rest for those that need more.

    `known` are fresh snapshots of some of them, used where they are whole.
    """
    exported = Exported()
    share = max(1000, max_bytes // max(1, len(values)))
    left, nodes = max_bytes, _MAX_NODES
    wanting: dict[str, _Exporter] = {}
    for name, value in values.items():
        snapshot = known.get(name)
        if snapshot is not None and snapshot.whole and snapshot.used_bytes <= min(share, left):
            exported.values[name] = snapshot.value
            left -= snapshot.used_bytes
            if not snapshot.exact:
                exported.inexact.append(name)
            continue
        one = _Exporter(representer, max_bytes=min(share, left), max_nodes=nodes)
        exported.values[name] = one.export(value)
        if not one.exact:
            exported.inexact.append(name)
        if one.cut:
            wanting[name] = one
        left -= one.used_bytes
        nodes = max(1000, nodes - one.used_nodes)
    for name, spent in wanting.items():
        left, nodes = left + spent.used_bytes, nodes + spent.used_nodes
        # What has too many values to be whole is shown in part, and that part must fit into the memory once more.
        most = min(nodes, _SHOWN_NODES) if spent.has_too_many_nodes else nodes
        one = _Exporter(representer, max_bytes=left, max_nodes=most)
        exported.values[name] = None  # the first try: memory may be short
        exported.values[name] = one.export(values[name])
        left -= one.used_bytes
        nodes = max(1000, nodes - one.used_nodes)
        if one.cut:
            exported.truncated[name] = size(values[name])
    return exported


def digest(value: Any) -> bytes:
    """A fingerprint of an exported value."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class Representer:
    """Bounded `repr` that never trusts what it looks at."""

    def __init__(self, interrupts: Interrupts) -> None:
        self._interrupts = interrupts
        self._distrusted: set[type] = set()
        self._slow = 0

    def handle(self, value: Any) -> dict[str, Any] | None:
        """Return what stands with the host for a handle, nothing for other values."""
        return handles.to_wire(value) if isinstance(value, handles.Handle | handles.LargeText) else None

    def text(self, value: Any, limit: int = _MAX_REPR) -> str:
        plain = _plain_repr(value, limit)
        if plain is not None:
            return plain[:limit]
        text = self.ask(value, lambda: repr(value))
        if text is None:
            return f"<{_kind(value)} object>"
        return _ADDRESS.sub("", text[: limit + _ADDRESS_CHARACTERS])[:limit]

    def ask(self, value: Any, make_text: Callable[[], str]) -> str | None:
        """Have a value make its text; nothing when its kind has failed to before."""
        kind = kind_of(value)
        if kind in self._distrusted:
            return None
        self._distrusted.add(kind)  # before the call: it may never return
        text = self.call(make_text, seconds=_REPR_SECONDS)
        if text is not None:
            self._distrusted.discard(kind)
        return text

    def call(self, make_text: Callable[[], str], *, seconds: float) -> str | None:
        """Call a plan's own code for a text. Nothing when it fails or takes too long."""
        if self._slow >= _MOST_SLOW:
            return None
        try:
            return str.__str__(self._interrupts.foreign(make_text, seconds=seconds))
        except PlanStopped:
            self._slow += 1
            return None
        except HostGone:
            raise
        except BaseException:  # noqa: BLE001 - a plan's __repr__ may raise anything, SystemExit too
            return None


def _plain_repr(value: Any, limit: int) -> str | None:
    """The repr of values whose own would be long: only as much as is shown."""
    kind = kind_of(value)
    if kind is str:
        return repr(value[:limit])
    if kind in (bytes, bytearray):
        return repr(bytes(value[:limit]))
    if kind is int and value.bit_length() > _MAX_INT_BITS:
        return f"<int of {value.bit_length()} bits>"
    if kind is list or kind is tuple or kind is dict:
        if len(value) <= 50 and all(type(part) in (int, float, bool, type(None)) for part in value):
            return None
        return _plain_collection(value, limit)
    return None


def _plain_collection(value: Any, limit: int) -> str | None:
    opening, closing = {list: "[]", tuple: "()", dict: "{}"}[type(value)]
    parts: list[str] = []
    length = 0
    entries: Any = value.items() if type(value) is dict else ((item, item) for item in value)
    for item, inner in entries:
        if isinstance(inner, list | tuple | dict):
            text = "[…]" if isinstance(inner, list) else "(…)" if isinstance(inner, tuple) else "{…}"
        elif type(inner) in (int, float, bool, type(None), str):
            text = _plain_repr(inner, 80) or repr(inner)
        else:
            text = f"<{_kind(inner)}>"
        if type(value) is dict:
            text = f"{item!r:.80}: {text}" if type(item) in (str, int, float) else f"<{_kind(item)}>: {text}"
        parts.append(text)
        length += len(text) + 2
        if length > limit:
            parts.append("…")
            break
    return opening + ", ".join(parts) + closing


class _Exporter:
    """One value's way out."""

    def __init__(self, representer: Representer, *, max_bytes: int, max_nodes: int) -> None:
        self._representer = representer
        self._max_bytes = max_bytes
        self._max_nodes = max_nodes
        self._open: set[int] = set()
        self.used_bytes = 0
        self.used_nodes = 0
        self.cut = False
        self.exact = True
        """Whether JSON says it all: not that 1 was a key, which is "1" now, nor that a text was a date."""

    @property
    def has_too_many_nodes(self) -> bool:
        """Whether it is for their number that some values were left out."""
        return self.cut and self.used_nodes >= self._max_nodes

    def export(self, value: Any) -> Any:
        """Convert a whole value; what is JSON already is copied ten times as fast."""
        nodes = plain.count(
            value,
            most_nodes=self._max_nodes,
            most_levels=_MAX_DEPTH,
            most_bits=_MAX_INT_BITS,
            most_characters=self._max_bytes,
        )
        copied = None if nodes is None else plain.copy(value, most_bytes=self._max_bytes)
        if nodes is None or copied is None:
            return self.convert(value, 0)
        self.used_nodes += nodes
        self.used_bytes += copied.size
        return copied.value

    def convert(self, value: Any, depth: int) -> Any:
        self.used_nodes += 1
        kind = kind_of(value)
        if value is None or kind is bool:
            self.used_bytes += 5
            return value
        if kind is int:
            return self._int(value)
        if kind is float:
            self.used_bytes += 20
            if math.isfinite(value):
                return value
            self.exact = False
            return repr(value)
        if kind not in _EXACT and isinstance(value, _RECAST):
            self.exact = False
        if isinstance(value, str):
            return self._text(str.__str__(value))
        if isinstance(value, dict):
            return self._nested(value, depth, self._object)
        if isinstance(value, _SEQUENCES):
            return self._nested(value, depth, self._list)
        if (handle := self._representer.handle(value)) is not None:
            self.used_bytes += 100
            return handle
        if isinstance(value, dt.date | dt.time):
            return self._own_text(value, lambda: value.isoformat())  # noqa: PLW0108 - a look-up may run code too
        if isinstance(value, decimal.Decimal | uuid.UUID):
            return self._own_text(value, lambda: str(value))
        if isinstance(value, int) and not _has_own_repr(kind):
            return self._int(int.__int__(value))
        if isinstance(value, float) and not _has_own_repr(kind):
            return self.convert(float.__float__(value), depth)
        return self._other(value)

    def _own_text(self, value: Any, make_text: Callable[[], str]) -> Any:
        """The text of a value that may be a plan's own variant of a library type."""
        self.exact = False
        text = make_text() if _is_from_library(value) else self._representer.ask(value, make_text)
        return self._other(value) if text is None else self._text(text)

    def _int(self, value: int) -> Any:
        if value.bit_length() > _MAX_INT_BITS:
            return self._other(value)
        self.used_bytes += 2 + value.bit_length() // 3
        return value

    def _text(self, text: str) -> str:
        room = max(0, self._max_bytes - self.used_bytes - 2)
        # No copy of the whole text: it may have filled the memory. Each character takes a byte at least.
        body = text[: room + 1].encode("utf-8", "replace")
        size = len(body)
        if size > room:
            self.cut = True
            kept = str(memoryview(body)[:room], "utf-8", "ignore")
            del body  # the memory may be full
            kept += f"{_MARKER} {len(text) - len(kept)} characters left out {_MARKER}"
            text, size = kept, room
        self.used_bytes += size + 2
        return text

    def _nested(self, value: Any, depth: int, convert: Callable[[Any, int], Any]) -> Any:
        if id(value) in self._open or depth >= _MAX_DEPTH:
            self.used_bytes += 40
            return {"$type": _kind(value), "repr": "{...}" if isinstance(value, dict) else "[...]"}
        self._open.add(id(value))
        self.used_bytes += 2
        try:
            return convert(value, depth)
        finally:
            self._open.discard(id(value))

    def _list(self, value: Any, depth: int) -> list[Any]:
        items: list[Any] = []
        whole = _items(value)
        for item in whole:
            if self._is_full():
                break
            items.append(self.convert(item, depth + 1))
            self.used_bytes += 1
            if self.cut and len(items) > 1:
                items.pop()  # a part of an item would be taken for one
                break
        if len(items) < len(whole):
            items.append(f"{_MARKER} {len(whole) - len(items)} more")
        return items

    def _object(self, value: dict[Any, Any], depth: int) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        items: list[tuple[Any, Any]] = list(dict.items(value))
        for key, item in items:
            if self._is_full():
                break
            name = self._text(self._key(key))
            fields[name] = self.convert(item, depth + 1)
            self.used_bytes += 2
        if self.cut and len(fields) < len(items):
            fields[_MARKER] = f"{len(items) - len(fields)} more"
        return fields

    def _key(self, key: Any) -> str:
        if isinstance(key, str):
            return str.__str__(key)
        self.exact = False
        if type(key) in (int, float, bool, type(None)):
            return str(key)
        if isinstance(key, dt.date | decimal.Decimal | uuid.UUID):
            text = str(key) if _is_from_library(key) else self._representer.ask(key, lambda: str(key))
            return text or self._representer.text(key)
        return self._representer.text(key)

    def _other(self, value: Any) -> dict[str, Any]:
        kind = _kind(value)
        text = self._representer.text(value)
        self.used_bytes += 30 + len(text.encode("utf-8", "replace"))
        return {"$type": kind, "repr": text}

    def _is_full(self) -> bool:
        if self.used_bytes < self._max_bytes and self.used_nodes < self._max_nodes:
            return False
        self.cut = True
        return True


def _items(value: Any) -> Sequence[Any]:
    """The items as the built-in class has them, whatever a subclass says."""
    for kind in _SEQUENCES:
        if isinstance(value, kind):
            return list(kind.__iter__(value))  # type: ignore[arg-type]
    return ()


def _has_own_repr(kind: type) -> bool:
    """An Enum member or a named number says more than its value."""
    own = kind.__repr__  # compared by identity: what a decorator has put there may have an `__eq__`
    return not any(own is known for known in (int.__repr__, float.__repr__, bool.__repr__))


def _is_from_library(value: Any) -> bool:
    """True when making its text runs no code of the plan, not even its time zone's."""
    if kind_of(value) in (dt.date, decimal.Decimal, uuid.UUID):
        return True
    return kind_of(value) in (dt.datetime, dt.time) and kind_of(value.tzinfo) in _TIME_ZONES


def _kind(value: object) -> str:
    """The name of a class, which a plan may make as long as it likes: `Enum("x" * 10**7, "A")`."""
    return kind_of(value).__name__[:_MAX_REPR]


def outline(value: Any) -> dict[str, str]:
    """What stands for a value that is too large to look into."""
    return {"$type": _kind(value), "repr": f"… {size(value):,} items"}


def size(value: Any) -> int:
    """The length as the built-in class has it, whatever a subclass says."""
    for kind in (str, dict, *_SEQUENCES):
        if isinstance(value, kind):
            return kind.__len__(value)  # type: ignore[arg-type]
    return 0
