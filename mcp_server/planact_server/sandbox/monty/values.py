"""Values from a plan → JSON, by the rules of the other engines. What comes is counted before it is walked through.

Monty sends each object once, however often it is contained: a few hundred bytes may unfold to millions of values.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from pydantic_monty import ClassInstance, MontyClassProxy

from planact_server.sandbox.inside import arguments, export

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from planact_server.sandbox.inside.interrupts import Interrupts
    from planact_tools import JSONValue

MAX_NODES = 1_000_000
MAX_DEPTH = 100
ALL_BYTES = 8 * 1024 * 1024
_INT_BITS = 4096
_ITEM_BYTES = 2
_LONG = 64 * 1024
_REPR_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Unreadable:
    """In place of a value that a plan can make and Python cannot, such as a set of what has no hash."""

    why: str

    def __repr__(self) -> str:
        return f"<a value that cannot be shown: {self.why}>"


def taken(take: Callable[[], Any]) -> Any:
    """Return what Monty's client makes of a value that came, or an Unreadable."""
    try:
        return take()
    except Exception as error:  # noqa: BLE001 - it builds Python objects of whatever the plan has made up
        return Unreadable(str(error)[:200])


def argument(value: object, parameter: str, *, max_bytes: int) -> JSONValue:
    """Convert one argument of a call. Raises TypeError or ValueError naming the parameter."""
    _bound(value, parameter, max_bytes=max_bytes)
    return cast("JSONValue", arguments.to_json(_handed_back(value), parameter))


def exported(values: Mapping[str, Any], *, max_bytes: int) -> export.Exported:
    """Export variables within a budget of bytes; what had to be cut is named."""
    return export.export({name: _shown(value) for name, value in values.items()}, _REPR, max_bytes=max_bytes, known={})


def digests(values: Mapping[str, JSONValue]) -> dict[str, bytes]:
    """Return a fingerprint of each exported variable, for telling whether it has changed."""
    return {name: export.digest(value) for name, value in values.items()}


def shown(value: object) -> str:
    """A bounded repr."""
    return _REPR.text(_shown(value), 200)


@dataclass(frozen=True, slots=True, kw_only=True)
class Handle:
    """An image, a sound or a file that stays with the host."""

    kind: str
    id: str
    mime: str
    size: int

    def wire(self) -> dict[str, JSONValue]:
        return {"$planact": self.kind, "id": self.id, "mime": self.mime, "size": self.size}

    def __repr__(self) -> str:
        return f"<{self.kind} {self.mime}, {self.size} bytes>"


def sent(value: JSONValue) -> Any:
    """Return what a plan gets for a value of the host's: handles have attributes."""
    if isinstance(value, dict):
        handle = _handle(value)
        return ClassInstance(handle, eager_attrs="all") if handle is not None else _each(value)
    if isinstance(value, str):
        return text(value)
    return [sent(item) for item in value] if isinstance(value, list) else value


def text(value: str) -> str:
    """Return text without half characters (lone surrogates), as the other engines write them."""
    return value.encode("utf-8", "replace").decode("utf-8")


def _each(value: dict[str, JSONValue]) -> dict[str, Any]:
    return {text(key): sent(item) for key, item in value.items()}


def _handle(value: dict[str, JSONValue]) -> Handle | None:
    match value:
        case {"$planact": "image" | "audio" | "blob" as kind, "id": str(id), "mime": str(mime), "size": int(size)}:
            return Handle(kind=kind, id=id, mime=mime, size=size)
        case _:
            return None


def _handed_back(value: Any) -> Any:
    """What a plan gives back, with its handles as the host knows them."""
    if (handle := _wire(value)) is not None:
        return handle
    if isinstance(value, dict):
        return {key: _handed_back(item) for key, item in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_handed_back(item) for item in cast("Iterable[Any]", value)]
    return value


def _wire(value: Any) -> dict[str, JSONValue] | None:
    """A handle as the host knows it; nothing for other values."""
    if isinstance(value, MontyClassProxy) and value.name == "Handle":  # after the session has moved
        facts = value.attributes
        value = _handle({"$planact": facts.get("kind"), **{name: facts.get(name) for name in ("id", "mime", "size")}})
    return value.wire() if isinstance(value, Handle) else None


class _Representer(export.Representer):
    """Texts of values that have no code of a plan in them."""

    def __init__(self) -> None:
        super().__init__(cast("Interrupts", self))

    def handle(self, value: Any) -> dict[str, Any] | None:
        return _wire(value)

    def foreign(self, make_text: Callable[[], str], *, seconds: float) -> str:
        del seconds
        return make_text()

    def text(self, value: Any, limit: int = 300) -> str:
        return _instance(value)[:limit] if isinstance(value, MontyClassProxy) else super().text(value, limit)


_REPR = _Representer()


def _instance(value: MontyClassProxy) -> str:
    """The text of a plan's own instance. Not what is in its instances: that may unfold without an end."""
    if not value.is_dataclass:
        return f"<{value.name} object>"
    fields = (
        f"{key}={f'<{item.name} object>' if isinstance(item, MontyClassProxy) else _REPR.text(item, 80)}"
        for key, item in value.attributes.items()
    )
    return f"{value.name}({', '.join(fields)})"


def _shown(value: Any) -> Any:
    """Name a plan's own instance after its class, at the top; deeper ones stay as they came."""
    if isinstance(value, MontyClassProxy) and _wire(value) is None:
        return {"$type": value.name, "repr": _instance(value)[:_REPR_CHARACTERS]}
    return value


def _bound(value: object, parameter: str, *, max_bytes: int) -> None:
    """Raise ValueError for what is too much to be sent on. Iterative, one level at a time."""
    level: list[Any] = [value]
    used = nodes = 0
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for part in level:
            used += _bytes(part)
            nodes += 1
            if isinstance(part, dict | list | tuple | set | frozenset):
                nodes += len(cast("list[Any]", part))
                if nodes > MAX_NODES or used > max_bytes:
                    break
                inner += _children(part)
        if nodes > MAX_NODES or used > max_bytes:
            raise ValueError(f"Argument {parameter!r} is too large: {max_bytes:,} bytes can be sent at once.")
        if not inner:
            return
        level = inner
    raise ValueError(f"Argument {parameter!r} is nested more than {MAX_DEPTH} levels deep, or contains itself.")


def _children(part: Any) -> list[Any]:
    if isinstance(part, dict):
        pairs = cast("dict[Any, Any]", part)
        return [*pairs.keys(), *pairs.values()]
    return list(cast("Iterable[Any]", part))


def _bytes(part: object) -> int:
    if isinstance(part, str):
        # What a frame holds of a long text may be several times its characters.
        return len(part) if len(part) < _LONG else len(json.dumps(part, ensure_ascii=False).encode("utf-8", "replace"))
    if isinstance(part, int) and part.bit_length() > _INT_BITS:
        raise ValueError("A number of more than 1,200 digits cannot be sent.")
    return _ITEM_BYTES
