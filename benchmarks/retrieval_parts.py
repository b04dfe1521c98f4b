"""What each part of the search contributes, on the everyday requests: python benchmarks/retrieval_parts.py

Recall@10 with one part left out, or with one weight halved or doubled, and how much more that is. Weights and words
are chosen by it; what `retrieval.py` judges by is not looked at.
"""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT / "tests"))

from catalog.retrieval import everyday_requests, quality  # noqa: E402 - the tests' helpers are no package
from planact_server.catalog import index, question, related, search  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Generator

    from catalog.retrieval import Collection

WEIGHTS = (
    *((related, "RELATED"), (question, "PART_WEIGHT"), (question, "MAKING_WEIGHT"), (question, "NUMBER_WEIGHT")),
    *((index, "SERVER_SHARE"), (index, "NAME_SHARE"), (index, "SATURATION"), (index, "BY_LENGTH")),
    *((index, "COMPOUND_WEIGHT"), (search, "SUPPLIER_SHARE")),
)
OFF = (
    *((question, "PART_WEIGHT"), (question, "MAKING_WEIGHT"), (index, "SERVER_SHARE"), (index, "NAME_SHARE")),
    (search, "SUPPLIER_SHARE"),
)


def main() -> int:
    data = CHECKOUT.parent / "shared" / "data"
    if not data.is_dir():
        print(f"No reference data beside the checkout ({data.name!r} in {data.parent.name!r}).", file=sys.stderr)
        return 2
    asked = everyday_requests(data)
    whole = _recall(asked)
    print(f"{'everyday requests, recall@10':48} {whole:6.3f}")

    def report(what: str) -> None:
        found = _recall(asked)
        print(f"  {what:46} {found:6.3f} {found - whole:+7.3f}", flush=True)

    *english, translations = re.split(r"(?m)^(?=# (?:How people|Kinds:|Some servers))", related.PATH.read_text("utf-8"))
    general, names, kinds = english
    for what, kept in (
        ("no related words", ()),
        ("without the general ones", (names, kinds)),
        ("without how people say names", (general, kinds)),
        ("without kinds", (general, names)),
    ):
        with _set(vars(related), "_table", lambda kept=kept: related.table_of("".join((*kept, translations)))):
            report(what)
    for module, name in OFF:
        with _set(vars(module), name, 0.0):
            report(f"{name} 0")
    for module, name in WEIGHTS:
        for factor in (0.5, 2.0):
            with _set(vars(module), name, vars(module)[name] * factor):
                report(f"{name} times {factor:g}")
    fields: dict[str, Any] = vars(index)["_FIELDS"]
    for name, weight in list(fields.items()):
        for factor in (0.5, 2.0):
            with _set(fields, name, weight * factor):
                report(f"the field {name!r} times {factor:g}")
    return 0


def _recall(asked: Collection) -> float:
    vars(search)["_searches"].clear()
    return quality(lambda text: search.rank(asked.catalog, text, limit=20), asked).recall[10]


@contextmanager
def _set(names: dict[str, Any], name: str, value: object) -> Generator[None]:
    before, names[name] = names[name], value
    table = vars(related)["_table"]
    forget = getattr(table, "cache_clear", None) if name == "RELATED" else None
    try:
        if forget is not None:
            forget()
        yield
    finally:
        names[name] = before
        if forget is not None:
            forget()


if __name__ == "__main__":
    sys.exit(main())
