"""What tools return that do not say so: learned from the results of real calls, and kept between starts.

Types and keys only, no values. A tool whose definition changes is learned anew.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary

from planact_server.catalog.schemas import clean
from planact_server.catalog.shapes import joined, shape_of
from planact_server.catalog.signatures import Learned
from planact_server.database import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from planact_server.catalog.catalog import CatalogTool
    from planact_server.catalog.schemas import CleanSchema
    from planact_tools import JSONObject, JSONValue, ToolDefinition

logger = logging.getLogger(__name__)

SETTLED = 20
"""After so many results without news only one in `SETTLED` is looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedShape:
    """What the results of one tool have looked like."""

    definition_hash: str
    shape: JSONObject
    results: int
    """How many results it comes from."""


def combined(kept: LearnedShape, fresh: LearnedShape) -> LearnedShape:
    """Return what is known from the results of both; what is of another definition counts no more."""
    if kept.definition_hash != fresh.definition_hash:
        return fresh
    shape = joined(kept.shape, fresh.shape)
    return LearnedShape(definition_hash=fresh.definition_hash, shape=shape, results=kept.results + fresh.results)


class LearnedStore(Protocol):
    """Where shapes are kept, by the server's identity and the tool's raw name."""

    def learned_shape(self, identity: str, tool: str) -> LearnedShape | None: ...

    def add_learned_shape(self, identity: str, tool: str, learned: LearnedShape) -> LearnedShape:
        """Add what was learned from some results, and return what is known now: others may have added to it."""
        ...


class LearnedTypes:
    """The return types of tools without an output schema."""

    def __init__(self, *, identity_of: Callable[[CatalogTool], str], store: LearnedStore | None = None) -> None:
        self._identity_of = identity_of
        self._store = store
        self._shapes: dict[tuple[str, str], LearnedShape] = {}
        self._looked_up: set[tuple[str, str]] = set()
        self._quiet: dict[tuple[str, str], int] = {}
        self._unsaved: dict[tuple[str, str], int] = {}
        """Results that the shapes do not count yet."""

        self._hashes: WeakKeyDictionary[CatalogTool, str] = WeakKeyDictionary()
        self._shown: WeakKeyDictionary[CatalogTool, tuple[JSONObject, CleanSchema]] = WeakKeyDictionary()

    def returns(self, tool: CatalogTool) -> Learned | None:
        """Return what is known of a tool's results; None for one that declares them."""
        known = self._known(tool)
        if known is None:
            return None
        shown = self._shown.get(tool)
        if shown is None or shown[0] is not known.shape:
            shown = self._shown[tool] = known.shape, clean(known.shape)
        return Learned(schema=shown[1], results=known.results + self._unsaved.get(self._key(tool), 0))

    def observe(self, tool: CatalogTool, value: JSONValue) -> None:
        """Learn from one result, as the plan sees it."""
        if tool.returns is not None:
            return
        key = self._key(tool)
        known = self._known(tool)
        quiet = self._quiet[key] = self._quiet.get(key, 0) + 1
        self._unsaved[key] = unsaved = self._unsaved.get(key, 0) + 1
        if known is not None and quiet > SETTLED and quiet % SETTLED:
            return
        seen = shape_of(value)
        shape = seen if known is None else joined(known.shape, seen)
        if known is None or shape != known.shape:
            self._quiet[key] = 0
        elif unsaved < known.results:
            return  # not news; how many results there are is told whenever it has doubled
        self._add(key, LearnedShape(definition_hash=self._hash(tool), shape=shape, results=unsaved), known)

    def _key(self, tool: CatalogTool) -> tuple[str, str]:
        return self._identity_of(tool), tool.definition.name

    def _add(self, key: tuple[str, str], fresh: LearnedShape, known: LearnedShape | None) -> None:
        before = known.results if known is not None else 0
        self._unsaved[key] = 0
        self._shapes[key] = replace(fresh, results=before + fresh.results)
        if self._store is None:
            return
        try:
            kept = self._store.add_learned_shape(*key, fresh)
        except StoreError as error:  # a full disk: it holds until the process ends
            logger.warning("what %s returns is not kept: %s", key[1], error)
            return
        # What is the same stays the same object: much is made from it.
        same = known is not None and kept.shape == known.shape
        self._shapes[key] = replace(kept, shape=known.shape) if same and known is not None else kept

    def _known(self, tool: CatalogTool) -> LearnedShape | None:
        if tool.returns is not None:
            return None
        key = self._key(tool)
        if key not in self._looked_up:  # once: a search wants to know of every tool
            stored = self._load(key) if key not in self._shapes else None
            if stored is not None:
                self._shapes.setdefault(key, stored)  # searches run in threads: a result may have come meanwhile
            self._looked_up.add(key)
        known = self._shapes.get(key)
        return known if known is not None and known.definition_hash == self._hash(tool) else None

    def _hash(self, tool: CatalogTool) -> str:
        if tool not in self._hashes:
            self._hashes[tool] = definition_hash(tool.definition)
        return self._hashes[tool]

    def _load(self, key: tuple[str, str]) -> LearnedShape | None:
        try:
            return self._store.learned_shape(*key) if self._store is not None else None
        except StoreError as error:
            logger.warning("what %s returns cannot be read: %s", key[1], error)
            return None


def definition_hash(definition: ToolDefinition) -> str:
    """Return a fingerprint of everything that a server says about a tool, but for how it looks."""
    known = asdict(definition)
    del known["defects"]
    said = json.dumps({**known, "icons": None}, sort_keys=True, default=str)
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:32]
