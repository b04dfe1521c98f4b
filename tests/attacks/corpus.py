"""The attacks of this project: what each tries, which rule stops it, and how it may end.

A class of attacks is a TOML file in `corpus/`; the README beside this file says what its fields mean.
"""

from __future__ import annotations

import ast
import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).with_name("corpus")
LANGUAGE_CLASSES = ("attributes", "bindings", "carriers")
CLASSES = (*LANGUAGE_CLASSES, "protocol", "resources")
"""Attribute reads that are no Attribute node, bindings that are no Name node, objects that carry a frame or a module,
abuse of the protocol, abuse of resources."""

MARKER = "ESCAPED"
ENDS = frozenset({"refused", "error", "limit", "timeout", "killed", "harmless"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One snippet."""

    id: str
    kind: str
    """The class, which is the name of its file."""

    code: str
    written: str
    """The code as it stands in its file: for a text of 200 kB an expression that makes it."""

    guards: tuple[str, ...]
    """The rules that stop it. Without them it reaches its target; several where one stands behind another."""

    reaches: str
    """How one sees that: "marker", "runs on", or a quantity that goes past its limit."""

    ends: frozenset[str]
    """How it may end on the engines that run Python. Monty speaks less of the language and may end it earlier."""

    harmless_on_monty: str | None = None
    """Why it may come to its end there: its target means nothing to Monty."""

    before: str = ""
    """A plan that runs first in the same session."""

    times: int = 1
    """How often the code runs, one plan after the other in one session, as long as it ends well."""

    native: bool = False
    """Whether it is no plan but code of a worker that has been taken over, and runs without the language policy."""


def load(kind: str) -> list[Attack]:
    """Return the attacks of one class."""
    path = CORPUS / f"{kind}.toml"
    entries: dict[str, dict[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return [_attack(name, kind, entry) for name, entry in entries.items()]


def everything() -> list[Attack]:
    """Return the whole corpus, containment aside."""
    return [attack for kind in CLASSES for attack in load(kind)]


def _attack(name: str, kind: str, entry: dict[str, Any]) -> Attack:
    unknown = entry.keys() - {"code", "source", "guard", "reaches", "expectation", "monty", "native", "before", "times"}
    if unknown:
        raise ValueError(f"The attack {name!r} in {kind!r} has the unknown fields {sorted(unknown)}.")
    guard: str | list[str] = entry.get("guard", [])
    written: str = (entry.get("code") or entry["source"]).lstrip("\n")
    return Attack(
        id=name,
        kind=kind,
        code=written if "code" in entry else eval(written),
        written=written,
        guards=(guard,) if isinstance(guard, str) else tuple(guard),
        reaches=entry.get("reaches", "marker"),
        ends=frozenset(entry["expectation"].split("|")),
        harmless_on_monty=entry.get("monty"),
        before=entry.get("before", ""),
        times=entry.get("times", 1),
        native=entry.get("native", False),
    )


_SHARED_ENDS = {
    "refused": frozenset({"refused", "error"}),
    "contained": ENDS,
    "killed": ENDS,
}
"""That collection expects an attack to be killed where ours also ends it with an exception, or by its deadline."""


def load_shared(path: Path) -> list[Attack]:
    """Return the attacks of a collection from elsewhere: one JSON object a line."""
    entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        Attack(
            id=entry["id"],
            kind=entry["category"],
            code=entry["code"],
            written=entry["code"],
            guards=(),
            reaches="marker",
            ends=_SHARED_ENDS[entry["expectation"]],
            native=entry["category"] == "containment",
        )
        for entry in entries
    ]


def essence(attack: Attack) -> str:
    """Return what an attack is, names and constants aside. One that is made from an expression is that expression."""
    return normalised(attack.code) if attack.code == attack.written else re.sub(r"[\d_]+", "0", attack.written)


def normalised(code: str) -> str:
    """Return what an attack is once its names and its constants are taken away: two that agree are one attack twice.

    Names that the attack binds itself are numbered, those that it finds are kept: they are what it attacks. Constants
    become their types, except for strings that name an attribute or another part of the attacked object.
    """
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return re.sub(r"\s+", " ", re.sub(r"\d+", "0", code))
    return ast.dump(_Normaliser(_bound(tree)).visit(tree))


def _bound(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                names.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.alias(name=name, asname=other):
                names.add(other or name)
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                names.add(name)
            case ast.MatchMapping(rest=str(name)):
                names.add(name)
            case _:
                pass
    return {name for name in names if not name.startswith("_")}


_TELLING = re.compile(r"_\w*_\Z|_\w+\Z|\w{1,2}_\w+\Z|\$\w+\Z")
"""Strings like "__class__", "_os", "gi_frame" and "$planact" are what an attack is about."""


class _Normaliser(ast.NodeTransformer):
    def __init__(self, own: set[str]) -> None:
        self._own = own
        self._numbers: dict[str, str] = {}

    def visit(self, node: ast.AST) -> Any:
        for field, value in ast.iter_fields(node):
            if isinstance(value, str) and field in {"id", "arg", "name", "asname", "rest"} and value in self._own:
                setattr(node, field, self._numbers.setdefault(value, f"n{len(self._numbers)}"))
        return super().visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, str) and _TELLING.match(node.value):
            return node
        return ast.Constant(type(node.value).__name__)
