"""How often the search finds what requests to real catalogs need: floors below what benchmarks/retrieval.py prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from catalog.retrieval import Collection, Half, bfcl_requests, live_requests, quality
from planact_server.catalog.search import rank

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(
    ("read", "depth", "tuned_on", "other", "all_of_it"),
    [(live_requests, 10, 0.62, 0.52, 0.59), (bfcl_requests, 20, 0.95, 0.95, 0.95)],
    ids=["livemcpbench", "bfcl"],
)
def test_most_of_what_a_request_needs_is_found(
    shared: Path,
    read: Callable[[Path], Collection],
    depth: int,
    tuned_on: float,
    other: float,
    all_of_it: float,
) -> None:
    collection = read(shared / "data")

    def recall(half: Half) -> float:
        found = quality(lambda text: rank(collection.catalog, text, limit=20), collection.part(half))
        return found.recall[depth]

    assert recall("development") >= tuned_on
    assert recall("other") >= other
    assert recall("all") >= all_of_it
