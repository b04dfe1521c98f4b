"""Choose the weights of the search, on the everyday requests alone: python benchmarks/retrieval_weights.py

A mechanical rule, so that nobody's knowledge of other requests can have a part in it. From a neutral start (each
field counts 1, each share is a half, BM25 has its textbook values) the weights are gone through in a fixed order;
each is halved and doubled, and the better is kept if the mean of recall@5, @10 and @20 grows by 0.003, half a
request, or more. Rounds are gone until one changes nothing. What is printed is what the code has; what
`retrieval.py` judges by is not looked at.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any, NamedTuple

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT / "tests"))

from catalog.retrieval import everyday_requests, quality  # noqa: E402 - the tests' helpers are no package
from planact_server.catalog import index, question, related, search  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from catalog.retrieval import Collection

LEAST_GAIN = 0.003


class Weight(NamedTuple):
    """A number that ranking hangs on, where it stands, and the neutral value that it starts from."""

    place: dict[str, Any]
    name: str
    start: float
    most: float = 8.0


WEIGHTS = (
    Weight(vars(index), "SATURATION", 1.2),
    Weight(vars(index), "BY_LENGTH", 0.75, most=1.0),
    *(Weight(vars(index)["_FIELDS"], name, 1.0) for name in vars(index)["_FIELDS"]),
    Weight(vars(index), "NAME_SHARE", 0.5),
    Weight(vars(index), "SERVER_SHARE", 0.5),
    Weight(vars(index), "COMPOUND_WEIGHT", 0.5, most=1.0),
    Weight(vars(related), "RELATED", 0.5, most=1.0),
    Weight(vars(related), "TRANSLATED", 0.5, most=1.0),
    Weight(vars(question), "NUMBER_WEIGHT", 0.5, most=1.0),
    Weight(vars(question), "PART_WEIGHT", 0.5),
    Weight(vars(question), "MAKING_WEIGHT", 0.5),
    Weight(vars(search), "SUPPLIER_SHARE", 0.5, most=1.0),
)


def main() -> int:
    asked = requests()
    in_force = {weight.name: weight.place[weight.name] for weight in WEIGHTS}
    print(f"{'as the code has them':32} {_quality(asked):6.4f}")
    for weight in WEIGHTS:
        weight.place[weight.name] = weight.start
    _forget_words()
    best = _quality(asked)
    print(f"{'neutral':32} {best:6.4f}")
    better = True
    while better:
        better = False
        for weight in WEIGHTS:
            before = weight.place[weight.name]
            tried = {value: _with(weight, value, asked) for value in (before / 2, min(before * 2, weight.most))}
            value = max(tried, key=tried.__getitem__)
            if tried[value] >= best + LEAST_GAIN:
                best, better = tried[value], True
                weight.place[weight.name] = value
                _forget_words()
                print(f"  {weight.name:30} {best:6.4f}  {before:g} to {value:g}", flush=True)
    print()
    for weight in WEIGHTS:
        chosen, now = weight.place[weight.name], in_force[weight.name]
        print(f"  {weight.name:30} {chosen:6g}" + ("" if chosen == now else f"   (the code has {now:g})"))
    return 0


def requests() -> Collection:
    """Return the everyday requests. Raises SystemExit where the catalogs that they are put to are missing."""
    data = CHECKOUT.parent / "shared" / "data"
    if not data.is_dir():
        print(f"No reference data beside the checkout ({data.name!r} in {data.parent.name!r}).", file=sys.stderr)
        raise SystemExit(2)
    return everyday_requests(data)


def recall(asked: Collection) -> Mapping[int, float]:
    """Return recall by depth with the weights and words as they are now."""
    vars(search)["_searches"].clear()
    return quality(lambda text: search.rank(asked.catalog, text, limit=20), asked).recall


@contextmanager
def changed(place: dict[str, Any], name: str, value: object) -> Generator[None]:
    """Let a weight, or the words, be another for a while."""
    before, place[name] = place[name], value
    try:
        _forget_words()
        yield
    finally:
        place[name] = before
        _forget_words()


def _forget_words() -> None:
    forget = getattr(vars(related)["_table"], "cache_clear", None)
    if forget is not None:
        forget()


def _quality(asked: Collection) -> float:
    return mean(recall(asked).values())


def _with(weight: Weight, value: float, asked: Collection) -> float:
    with changed(weight.place, weight.name, value):
        return _quality(asked)


if __name__ == "__main__":
    sys.exit(main())
