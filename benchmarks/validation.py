"""What checking a call costs, and what it catches: python benchmarks/validation.py

Mutated gold calls by class, and times for building a catalog, searching it and binding a call, on the
recorded catalogs that lie in the folder `shared` beside the checkout.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT / "tests"))

from catalog.bfcl import gold_calls  # noqa: E402 - the tests' helpers are no package of their own
from catalog.mutations import CLASSES, figures, table  # noqa: E402
from catalog.recorded import livemcpbench, recorded_servers  # noqa: E402
from planact_server.catalog.catalog import Catalog  # noqa: E402
from planact_server.catalog.search import rank  # noqa: E402
from planact_server.catalog.validation import ArgumentsError, bind  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

WORDS = "list the commits of a repository"


def main() -> int:
    data = CHECKOUT.parent / "shared" / "data"
    if not data.is_dir():
        print(f"No reference data beside the checkout ({data.name!r} in {data.parent.name!r}).", file=sys.stderr)
        return 2
    gold = gold_calls(data / "bfcl_v4")
    right = [call for call in gold if _is_accepted(call)]
    print(f"gold calls: {len(right)} of {len(gold)} accepted; the others contradict their own schema\n")
    print(f"{len(CLASSES)} classes of mutated calls")
    print(table(figures([call for call in right if not call.positional])), end="\n\n")

    small, large = livemcpbench(data), recorded_servers(data)
    large = {**small, **large, **{f"{name}-again": tools for name, tools in small.items()}}
    for servers in (small, large):
        catalog = Catalog.build(servers)
        print(f"build, {len(catalog)} tools: {_milliseconds(lambda servers=servers: Catalog.build(servers), 9):.0f} ms")
    print(f"first search, imports and index included: {_milliseconds(lambda: rank(catalog, WORDS), 1):.0f} ms")
    print(f"search, {len(catalog)} tools: {_milliseconds(lambda: rank(catalog, WORDS), 99):.2f} ms")
    print(f"did you mean, {len(catalog)} tools: {_milliseconds(lambda: catalog.closest('git_lgo'), 9):.1f} ms")
    calls = [(call.catalog.by_raw(call.function, None), call.positional, call.keywords) for call in right]
    took = sorted(_milliseconds(lambda call=call: bind(*call), 3) * 1000 for call in calls)
    print(f"bind: median {statistics.median(took):.0f} µs, 99 % below {took[len(took) * 99 // 100]:.0f} µs")
    return 0


def _is_accepted(call) -> bool:
    try:
        bind(call.catalog.by_raw(call.function, None), call.positional, call.keywords)
    except ArgumentsError:
        return False
    return True


def _milliseconds(work: Callable[[], object], times: int) -> float:
    def once() -> float:
        start = time.perf_counter()
        work()
        return (time.perf_counter() - start) * 1000

    return statistics.median(once() for _ in range(times))


if __name__ == "__main__":
    sys.exit(main())
