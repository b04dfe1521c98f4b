"""What each part of the search contributes, on the everyday requests: python benchmarks/retrieval_parts.py

Recall@10 with one part left out, or with one weight halved or doubled, and how much more that is. What
`retrieval.py` judges by is not looked at.
"""

from __future__ import annotations

import re
import sys

from retrieval_weights import WEIGHTS, changed, recall, requests  # makes the tests' helpers importable

from planact_server.catalog import index, question, related, search

OFF = (
    *((question, "PART_WEIGHT"), (question, "MAKING_WEIGHT"), (index, "SERVER_SHARE"), (index, "NAME_SHARE")),
    (search, "SUPPLIER_SHARE"),
)


def main() -> int:
    asked = requests()
    whole = recall(asked)[10]
    print(f"{'everyday requests, recall@10':48} {whole:6.3f}")

    def report(what: str) -> None:
        found = recall(asked)[10]
        print(f"  {what:46} {found:6.3f} {found - whole:+7.3f}", flush=True)

    *english, translations = re.split(r"(?m)^(?=# (?:How people|Kinds:|Some servers))", related.PATH.read_text("utf-8"))
    general, names, kinds = english
    for what, kept in (
        ("no related words", ()),
        ("without the general ones", (names, kinds)),
        ("without how people say names", (general, kinds)),
        ("without kinds", (general, names)),
    ):
        with changed(vars(related), "_table", lambda kept=kept: related.table_of("".join((*kept, translations)))):
            report(what)
    for module, name in OFF:
        with changed(vars(module), name, 0.0):
            report(f"{name} 0")
    for place, name, *_ in WEIGHTS:
        for factor in (0.5, 2.0):
            with changed(place, name, place[name] * factor):
                report(f"{name} times {factor:g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
