"""How well and how fast tools are found by what they do: python benchmarks/retrieval.py

Recall of the tools that a request needs, reported apart for the everyday requests that the ranker was made with
and for livemcpbench and BFCL, which it is judged by; and what a search of more than a thousand tools costs. Both
beside a named baseline in the same run: BM25 (`bm25s`, k1 1.5, b 0.75) over the lower-case words of names and
descriptions. The data lies in the folder `shared` beside the checkout.

Times are processor time of this process: on a shared machine the clock measures the others.
"""

from __future__ import annotations

import logging
import re
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import bm25s

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT / "tests"))

from catalog.recorded import livemcpbench, recorded_servers  # noqa: E402 - the tests' helpers are no package
from catalog.retrieval import bfcl_requests, everyday_requests, live_requests, quality  # noqa: E402
from planact_server.catalog.catalog import Catalog  # noqa: E402
from planact_server.catalog.search import rank  # noqa: E402
from planact_server.description import describe_tool  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from catalog.retrieval import Collection, Ranking
    from planact_server.catalog.catalog import CatalogTool
    from planact_tools import ToolDefinition


def main() -> int:
    data = CHECKOUT.parent / "shared" / "data"
    if not data.is_dir():
        print(f"No reference data beside the checkout ({data.name!r} in {data.parent.name!r}).", file=sys.stderr)
        return 2
    live = live_requests(data)
    for collection in (everyday_requests(data), live, bfcl_requests(data)):
        _report(collection)
    small = livemcpbench(data)
    _cost({**small, **recorded_servers(data), **{f"{name}-again": tools for name, tools in small.items()}}, live)
    return 0


def _report(collection: Collection) -> None:
    needed = sum(len(request.needed) for request in collection.requests)
    asked = len(collection.requests)
    print(f"{collection.name}: {len(collection.catalog)} tools, {asked} requests, {needed} tools needed")
    print(f"  {'':32} {'recall@5':>9} {'@10':>6} {'(95 of 100 samples)':>20} {'@20':>6} {'MRR':>6}")
    rankings: dict[str, Ranking] = {
        "BM25, names and descriptions": Baseline(list(collection.catalog)).rank,
        "Planact": lambda text: rank(collection.catalog, text, limit=len(collection.catalog)),
    }
    for name, ranking in rankings.items():
        found = quality(ranking, collection)
        five, ten, twenty = found.recall.values()
        low, high = found.interval
        samples = f"({low:.3f} to {high:.3f})"
        print(f"  {name:32} {five:9.3f} {ten:6.3f} {samples:>20} {twenty:6.3f} {found.reciprocal_rank:6.3f}")
    print()


def _cost(servers: Mapping[str, Sequence[ToolDefinition]], asked: Collection) -> None:
    catalog = Catalog.build(servers)
    print(f"{len(catalog)} tools, milliseconds of processor time")
    print(f"  {'build the catalog':48} {_median(lambda: Catalog.build(servers), 9):9.1f}")
    changed = {**servers, "git": servers["git"][1:]}
    print(f"  {'build it again, one server changed':48} {_median(lambda: _again(changed, catalog), 9):9.1f}")

    print(f"  {'index, Planact':48} {_once(lambda: rank(catalog, 'anything')):9.1f}")
    later = [_again(changed, catalog) for _ in range(5)]
    indexing = statistics.median(_once(lambda one=one: rank(one, "anything")) for one in later)
    print(f"  {'index again, one server changed':48} {indexing:9.1f}")
    baseline: list[Baseline] = []
    print(f"  {'index, BM25':48} {_once(lambda: baseline.append(Baseline(list(catalog)))):9.1f}")

    texts = [request.text for request in asked.requests]
    words = ["list commits", "send an email", "weather in Rome", "convert docx to pdf", "latest news"] * 10
    for name, ranking in (("Planact", lambda text: rank(catalog, text)), ("BM25", baseline[0].rank)):
        for kind, questions in (("words", words), ("requests", texts)):
            took = sorted(_once(lambda text=text, ranking=ranking: ranking(text)) for text in questions)
            row = f"search, {name}, {kind}: median, 19 of 20 below"
            print(f"  {row:48} {statistics.median(took):9.1f} {took[len(took) * 19 // 20]:6.1f}")
    description = describe_tool(catalog)
    print(
        f"\ndescription of the tool: {len(description)} characters, {len(description) / 4:.0f} tokens at 4 characters"
    )


class Baseline:
    """Textbook BM25."""

    def __init__(self, tools: Sequence[CatalogTool]) -> None:
        logging.getLogger("bm25s").setLevel(logging.WARNING)
        self._tools = tools
        self._index = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
        texts = [_words(f"{tool.definition.name} {tool.definition.description}") for tool in tools]
        self._index.index(texts, show_progress=False)

    def rank(self, text: str) -> list[CatalogTool]:
        words = _words(text)
        if not words:
            return []
        scores = self._index.get_scores(words).tolist()
        found = [place for place, score in enumerate(scores) if score > 0]
        return [self._tools[place] for place in sorted(found, key=scores.__getitem__, reverse=True)]


def _words(text: str) -> list[str]:
    return re.findall("[a-z0-9]+", text.lower())


def _again(servers: Mapping[str, Sequence[ToolDefinition]], previous: Catalog) -> Catalog:
    return Catalog.build(servers, generation=previous.generation + 1, previous=previous)


def _median(work: Callable[[], object], times: int) -> float:
    return statistics.median(_once(work) for _ in range(times))


def _once(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return (time.process_time() - start) * 1000


if __name__ == "__main__":
    sys.exit(main())
