"""Keywords of a schema that refuse more where something below them goes unchecked, and what to do with them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping

    from planact_tools import JSONObject, JSONValue

EXACT = {"oneOf": (), "not": (), "if": ("then", "else"), "contains": ("minContains", "maxContains")}
"""Such keywords → what means nothing without them. All others accept the more, the less is checked below them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exact:
    """Such a keyword where it stands."""

    schema: JSONObject
    keyword: str
    path: str
    is_broken: bool
    """Whether something goes unchecked right below it, no reference in between."""

    def is_inexact(self, loose: Container[str]) -> bool:
        """Say whether anything below it goes unchecked, given the references to what does so."""
        return self.is_broken or any(ref in loose for ref in _references(self.schema[self.keyword]))

    def loosen(self) -> None:
        """Take it out of its schema; of alternatives, any will do."""
        below = self.schema.pop(self.keyword)
        for dependent in EXACT[self.keyword]:
            self.schema.pop(dependent, None)
        if self.keyword == "oneOf":
            alternatives: JSONObject = {"anyOf": below}
            if "anyOf" not in self.schema:
                self.schema.update(alternatives)
            else:
                both = self.schema.get("allOf")
                self.schema["allOf"] = [*both, alternatives] if isinstance(both, list) else [alternatives]


def leading_to(loose: set[str], schemas: Mapping[str, JSONValue]) -> set[str]:
    """Return these references and all others whose schemas refer to one of them, however indirectly."""
    users: dict[str, list[str]] = {}
    for name, schema in schemas.items() if loose else ():
        for ref in _references(schema):
            users.setdefault(ref, []).append(name)
    found, waiting = set(loose), list(loose)
    while waiting:
        new = set(users.get(waiting.pop(), ())) - found
        found |= new
        waiting += new
    return found


def _references(schema: JSONValue) -> Iterator[str]:
    """Yield what is referred to anywhere in a schema."""
    if isinstance(schema, dict):
        ref = schema.get("$ref")
        if isinstance(ref, str):
            yield ref
    inner = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    for each in inner:
        yield from _references(each)
