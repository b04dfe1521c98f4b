"""The source of a session's functions, classes and imports, from which another worker makes them again.

Only what a statement of a plan defines by itself has a source: `def`, `class`, an import, a lambda that gets a name.
What a call has made (a function out of another one, a namedtuple) has none. Where a definition's own evaluation reads
data (a default, a decorator's argument, a class body), its source holds as long as those data are what they were.
"""

from __future__ import annotations

import ast
import re
import types
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from planact_server.sandbox.inside import scopes
from planact_server.sandbox.inside.attributes import kind_of
from planact_server.sandbox.inside.facades import Module

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from planact_server.sandbox.inside.source import Text

MOST_NAMES = 1_000
MOST_BYTES = 256 * 1024
"""What is kept of a session's definitions; the host refuses more. Those that find no room are lost with the worker."""

_LINES = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_DEFINING = (*_SCOPES, ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One statement that would bind a name to code."""

    name: str
    source: str
    code: tuple[str, str, int] | None = None
    """File, name and line of the function that comes of it, where that is what the name then holds."""

    module: bool = False
    sole: bool = False
    """Whether the plan binds the name nowhere else."""

    reads: frozenset[str] = frozenset()
    """What it reads when it is evaluated, and not when it is called."""

    evaluates: bool = False
    """Whether code of the plan runs in the course of that."""

    def made(self, value: Any) -> bool:
        """Say whether a value is certainly what this statement has made."""
        if self.code is not None:
            return kind_of(value) is types.FunctionType and _code_of(value) == self.code
        return self.sole or (self.module and kind_of(value) is Module)


def collect(tree: ast.Module, text: Text, names: scopes.Names) -> tuple[Found, ...]:
    """Return what a plan defines at module level. Before `policy` has used up the tree."""
    statements = [node for node in _statements(tree.body) if isinstance(node, _DEFINING)]
    if not statements:
        return ()
    lines: list[str] = _LINES.findall(text.source)
    found = [each for node in statements for each in _found(node, text, lines)]
    names_found = Counter(each.name for each in found)
    codes = Counter(each.code for each in found)
    changing = _changing(tree) if any(each.reads for each in found) else frozenset[str]()
    return tuple(
        replace(each, sole=each.name in names.defined and names_found[each.name] == 1) if each.code is None else each
        for each in found
        if (each.code is None or codes[each.code] == 1) and changing.isdisjoint(each.reads)
    )


def sole_definition(tree: ast.Module, text: Text, name: str) -> Found | None:
    """Return what a source defines that does nothing else than to define `name`."""
    body = tree.body
    match body:
        case [ast.If(test=ast.Constant(value=True), body=inner, orelse=[])]:
            body = inner
        case _:
            pass
    if len(body) != 1:
        return None
    found = collect(ast.Module(body, []), text, scopes.analyse(ast.Module(body, [])))
    return found[0] if len(found) == 1 and found[0].name == name else None


@dataclass(slots=True)
class _Record:
    source: str
    value: Any
    data: dict[str, bytes] = field(default_factory=dict[str, bytes])
    """Data that its evaluation read, as they were then."""


State: TypeAlias = "tuple[dict[str, _Record], list[tuple[str, str]]]"


class Definitions:
    """The sources of one session's code, in the order in which it was defined."""

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}
        self._told: list[tuple[str, str]] = []

    def told(
        self, found: Iterable[Found], variables: Mapping[str, Any], digests: Mapping[str, bytes], *, max_bytes: int
    ) -> dict[str, str] | None:
        """Return all sources as they are after a plan; nothing where the host has them already."""
        self._take(found, variables, digests)
        sources = list(self._within(digests, min(max_bytes, MOST_BYTES)))
        if sources == self._told:
            return None
        self._told = sources
        return dict(sources)

    def put_back(self, made: Mapping[str, tuple[Found, Any]], digests: Mapping[str, bytes]) -> None:
        """Take over what was made again in this worker. The host has the sources of the rest no more."""
        for name, (found, value) in made.items():
            self._note(name, found, value, digests)
        self._told = list(self._within(digests, MOST_BYTES))

    def state(self) -> State:
        """Return what `go_back` takes."""
        return dict(self._records), self._told

    def go_back(self, state: State) -> None:
        self._records, self._told = dict(state[0]), state[1]

    def _take(self, found: Iterable[Found], variables: Mapping[str, Any], digests: Mapping[str, bytes]) -> None:
        gone = [name for name, record in self._records.items() if variables.get(name) is not record.value]
        for name in gone:
            del self._records[name]
        for each in found:
            value = variables.get(each.name)
            if value is not None and each.name not in self._records and each.made(value):
                self._note(each.name, each, value, digests)

    def _note(self, name: str, found: Found, value: Any, digests: Mapping[str, bytes]) -> None:
        data = {read: digests[read] for read in found.reads if read in digests}
        self._records[name] = _Record(found.source, value, data)

    def _within(self, digests: Mapping[str, bytes], max_bytes: int) -> Iterator[tuple[str, str]]:
        left, names = max_bytes, 0
        for name, record in self._records.items():
            size = len(name) + len(record.source.encode())
            if size > left or names == MOST_NAMES:
                continue
            if all(digests.get(read) == digest for read, digest in record.data.items()):
                left -= size
                names += 1
                yield name, record.source


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of the module's own scope."""
    for node in body:
        yield node
        if isinstance(node, _SCOPES):
            continue
        for part in ("body", "orelse", "finalbody"):
            yield from _statements(getattr(node, part, ()))
        for part in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
            yield from _statements(part.body)


def _changing(tree: ast.Module) -> frozenset[str]:
    """Names that a plan assigns more than once: what a definition has read of them may not be what they end as."""
    times = Counter(
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)
    )
    return frozenset(name for name, count in times.items() if count > 1)


def _found(node: ast.stmt, text: Text, lines: list[str]) -> Iterator[Found]:
    match node:
        case ast.Import():
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                yield Found(name=name, source=ast.unparse(ast.Import([alias])), module=True)
        case ast.ImportFrom():
            for alias in node.names:
                alone = ast.ImportFrom(node.module, [alias], node.level)
                yield Found(name=alias.asname or alias.name, source=ast.unparse(alone))
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            plain = not node.decorator_list
            code = (text.filename, node.name, node.lineno) if plain else None
            yield _evaluated(node, node.name, _whole(node, lines), code, not plain or _has_defaults(node.args))
        case ast.ClassDef():
            yield _evaluated(node, node.name, _whole(node, lines), None, True)
        case (
            ast.Assign(targets=[ast.Name(id=name)], value=ast.Lambda() as made)
            | ast.AnnAssign(target=ast.Name(id=name), value=ast.Lambda() as made)
        ):
            code = (text.filename, "<lambda>", made.lineno)
            yield _evaluated(node, name, f"{name} = ({_part(made, lines)})", code, _has_defaults(made.args))
        case _:
            return


def _evaluated(node: ast.stmt, name: str, source: str, code: tuple[str, str, int] | None, evaluates: bool) -> Found:
    reads = frozenset[str]()
    if evaluates:
        names = scopes.analyse(ast.Module([node], []))
        reads = frozenset(name for name, found in names.read.items() if not names.read_in_functions.issuperset(found))
    return Found(name=name, source=source, code=code, reads=reads, evaluates=evaluates)


def _whole(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, lines: list[str]) -> str:
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    source = "".join(lines[first - 1 : node.end_lineno])
    return f"if True:\n{source}" if node.col_offset else source


def _part(node: ast.expr, lines: list[str]) -> str:
    part = [line.encode() for line in lines[node.lineno - 1 : node.end_lineno]]
    part[-1] = part[-1][: node.end_col_offset]
    part[0] = part[0][node.col_offset :]
    return b"".join(part).decode()


def _code_of(function: types.FunctionType) -> tuple[str, str, int]:
    code = function.__code__
    return code.co_filename, code.co_name, code.co_firstlineno


def _has_defaults(arguments: ast.arguments) -> bool:
    return bool(arguments.defaults) or any(arguments.kw_defaults)
