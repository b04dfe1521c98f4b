"""One edit of a host's text, checked: the result has to mean what the text meant, with the named entries different.

Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from planact_bridge.hosts.errors import SyntaxProblem, UneditableError
from planact_bridge.hosts.texts.syntax import LISTED, Keys, Syntax

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from planact_tools import JSONObject, JSONValue


def servers_in(value: JSONValue, keys: Keys) -> dict[str, JSONValue]:
    """Return name → entry of the servers at these keys. Raises UneditableError where something else stands there."""
    for key in _names(keys):
        if not isinstance(value, dict):
            raise UneditableError("there is no object where the servers belong")
        value = value.get(key)
        if value is None:
            return {}
    if LISTED in keys:
        if not isinstance(value, list):
            raise UneditableError(f"{keys[0]!r} is no list of servers")
        return {str(item.get("name")): item for item in value if isinstance(item, dict)}
    if not isinstance(value, dict):
        raise UneditableError(f"{'.'.join(keys)!r} is no object of servers")
    return value


def edit(
    syntax: Syntax,
    text: str,
    keys: Keys,
    entries: Mapping[str, JSONObject | None],
    *,
    drop_empty: Iterable[Keys] = (),
) -> str:
    """Return the text with these entries put in, or taken out where there is None.

    `drop_empty` are ways to what goes when nothing is left in it, the innermost first. Raises SyntaxProblem where the
    text cannot be read, UneditableError where it is written in a way that no edit keeps.
    """
    before = syntax.parse(text)
    there = servers_in(before, keys)
    expected = before
    for name, entry in entries.items():
        if entry is not None and there.get(name) == _as_listed(keys, name, entry):
            continue
        text = syntax.drop(text, keys, name) if entry is None else syntax.put(text, keys, name, entry)
        expected = _changed(expected, keys, name, entry)
    for emptied in drop_empty:
        *above, last = emptied
        place = _at(expected, above)
        if isinstance(place, dict) and place.get(last) in ({}, [], None):
            text = syntax.drop(text, above, last)
            expected = _changed(expected, above, last, None)
    _check(syntax, text, expected, keys)
    return text


def _check(syntax: Syntax, text: str, expected: JSONValue, keys: Keys) -> None:
    try:
        after = syntax.parse(text)
    except SyntaxProblem as problem:
        raise UneditableError(f"the edit would have broken it{problem.where}: {problem.reason}") from None
    if _without_emptied(after, keys) != _without_emptied(expected, keys):
        raise UneditableError("the edit would have changed more than the entry")


def _changed(value: JSONValue, keys: Keys, name: str, entry: JSONObject | None) -> JSONValue:
    """Return the value with one entry different; the servers are made where an entry needs them.

    What is not on the way to the entry is shared with the old value. The way is not: what YAML aliases changes once.
    """
    if keys and keys[0] != LISTED:
        place = dict(cast("JSONObject", value))
        inner: JSONValue = place.get(keys[0])
        if inner is None:
            if entry is None:
                return value
            inner = [] if LISTED in keys[1:2] else {}
        return {**place, keys[0]: _changed(inner, keys[1:], name, entry)}
    if isinstance(value, list):
        others = [item for item in value if not (isinstance(item, dict) and item.get("name") == name)]
        return others if entry is None else [*others, {"name": name, **entry}]
    others = {key: item for key, item in cast("JSONObject", value).items() if key != name}
    return others if entry is None else {**others, name: entry}


def _without_emptied(value: JSONValue, keys: Keys) -> JSONValue:
    """Return the value without servers that are an empty object: TOML has no tables that nobody wrote."""
    names = _names(keys)
    for depth in range(len(names), 0, -1):
        place = _at(value, names[: depth - 1])
        if isinstance(place, dict) and place.get(names[depth - 1]) in ({}, [], None):
            value = _changed(value, names[: depth - 1], names[depth - 1], None)
    return value


def _at(value: JSONValue, names: Keys) -> JSONValue:
    """Return what is at the end of a way; None where it ends early."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _as_listed(keys: Keys, name: str, entry: JSONObject) -> JSONObject:
    return {"name": name, **entry} if LISTED in keys else entry


def _names(keys: Keys) -> list[str]:
    return [key for key in keys if key != LISTED]
