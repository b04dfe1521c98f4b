"""How often the search finds what requests to real catalogs need: floors below what benchmarks/retrieval.py prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from catalog.retrieval import Collection, bfcl_requests, everyday_requests, live_requests, quality
from planact_server.catalog.search import rank

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(
    ("read", "depth", "least"),
    [(everyday_requests, 10, 0.73), (live_requests, 10, 0.64), (bfcl_requests, 20, 0.96)],
    ids=["everyday", "livemcpbench", "bfcl"],
)
def test_most_of_what_a_request_needs_is_found(
    shared: Path, read: Callable[[Path], Collection], depth: int, least: float
) -> None:
    collection = read(shared / "data")
    found = quality(lambda text: rank(collection.catalog, text, limit=20), collection)
    assert found.recall[depth] >= least


def test_every_tool_that_everyday_requests_need_is_there(shared: Path) -> None:
    collection = everyday_requests(shared / "data")
    there = {collection.called(tool) for tool in collection.catalog}
    needed = {name for request in collection.requests for names in request.needed for name in names}
    assert needed - there == set()
