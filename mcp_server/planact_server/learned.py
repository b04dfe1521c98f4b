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


class LearnedStore(Protocol):
    """Where shapes are kept, by the server's identity and the tool's raw name."""

    def learned_shape(self, identity: str, tool: str) -> LearnedShape | None: ...

    def save_learned_shape(self, identity: str, tool: str, learned: LearnedShape) -> None: ...


class LearnedTypes:
    """The return types of tools without an output schema."""

    def __init__(self, *, identity_of: Callable[[CatalogTool], str], store: LearnedStore | None = None) -> None:
        self._identity_of = identity_of
        self._store = store
        self._shapes: dict[tuple[str, str], LearnedShape] = {}
        self._looked_up: set[tuple[str, str]] = set()
        self._quiet: dict[tuple[str, str], int] = {}
        self._hashes: WeakKeyDictionary[CatalogTool, str] = WeakKeyDictionary()
        self._shown: WeakKeyDictionary[CatalogTool, tuple[LearnedShape, Learned]] = WeakKeyDictionary()

    def returns(self, tool: CatalogTool) -> Learned | None:
        """Return what is known of a tool's results; None for one that declares them."""
        shape = self._known(tool)
        if shape is None:
            return None
        shown = self._shown.get(tool)
        if shown is None or shown[0] is not shape:
            shown = shape, Learned(schema=clean(shape.shape), results=shape.results)
            self._shown[tool] = shown
        return shown[1]

    def observe(self, tool: CatalogTool, value: JSONValue) -> None:
        """Learn from one result, as the plan sees it."""
        if tool.returns is not None:
            return
        key = self._identity_of(tool), tool.definition.name
        known = self._known(tool)
        quiet = self._quiet[key] = self._quiet.get(key, 0) + 1
        if known is not None and quiet > SETTLED and quiet % SETTLED:
            return
        seen = shape_of(value)
        shape = seen if known is None else joined(known.shape, seen)
        results = 1 if known is None else known.results + 1
        learned = LearnedShape(definition_hash=self._hash(tool), shape=shape, results=results)
        if known is not None and shape == known.shape:
            # Not news: the number of results is told again with the next news.
            self._shapes[key] = replace(known, results=results)
            return
        self._quiet[key] = 0
        self._shapes[key] = learned
        self._save(key, learned)

    def _known(self, tool: CatalogTool) -> LearnedShape | None:
        if tool.returns is not None:
            return None
        key = self._identity_of(tool), tool.definition.name
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

    def _save(self, key: tuple[str, str], learned: LearnedShape) -> None:
        if self._store is None:
            return
        try:
            self._store.save_learned_shape(*key, learned)
        except StoreError as error:  # a full disk: it holds until the process ends
            logger.warning("what %s returns is not kept: %s", key[1], error)


def definition_hash(definition: ToolDefinition) -> str:
    """Return a fingerprint of everything that a server says about a tool, but for how it looks."""
    said = json.dumps({**asdict(definition), "icons": None}, sort_keys=True, default=str)
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:32]
