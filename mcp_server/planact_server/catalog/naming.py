"""Python spellings for the names of servers, tools and parameters.

A spelling depends on nothing but the raw name and the names beside it, never on their order, and each raw
name has its own: a table of spellings can be read both ways. Pure.
"""

from __future__ import annotations

import builtins
import hashlib
import keyword
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

HELPERS = frozenset(
    {"search_tools", "describe", "progress", "call_tool", "parallel", "ask_model", "read_resource", "ToolError"}
)
"""What every plan has without asking."""

# `site` adds a few to the interpreter's own, but not in every process: named here so that spellings never differ.
BUILTINS = frozenset(dir(builtins)) | {"copyright", "credits", "exit", "help", "license", "quit"}

# The plan language keeps these for itself: https://restrictedpython.readthedocs.io/en/latest/usage/policy.html
REFUSED_NAMES = frozenset({"printed", "builtins"})
REFUSED_ATTRIBUTES = frozenset(
    {
        *("ag_await", "ag_code", "ag_frame", "co_code", "cr_await", "cr_code", "cr_frame", "cr_origin"),
        *("f_back", "f_builtins", "f_code", "f_generator", "f_globals", "f_locals", "f_trace"),
        *("gi_code", "gi_frame", "gi_yieldfrom", "tb_frame", "tb_next"),
    }
)
RESERVED = BUILTINS | HELPERS | REFUSED_NAMES
"""Names that neither a server nor a plain function may take."""

LONGEST = 160
"""Longer names are cut; a digest keeps them apart."""


def server_names(raw_names: Iterable[str]) -> dict[str, str]:
    """Return raw server name → Python spelling."""
    return spell(raw_names, reserved=RESERVED, kind="server")


def tool_names(raw_names: Iterable[str]) -> dict[str, str]:
    """Return raw tool name → Python spelling, for the tools of one server. They are attributes: builtins are free."""
    return spell(raw_names, reserved=REFUSED_ATTRIBUTES, kind="tool")


def parameter_names(raw_names: Iterable[str]) -> dict[str, str]:
    """Return raw parameter name → Python spelling, for the parameters of one tool."""
    return spell(raw_names, reserved=frozenset(), kind="arg")


def spell(raw_names: Iterable[str], *, reserved: Collection[str], kind: str) -> dict[str, str]:
    """Return raw name → spelling. Where several raw names want one spelling, the one that *is* it keeps it.

    The others get a digest of their raw name as suffix, so that a name never passes from one tool to another
    when a third appears.
    """
    raws = list(dict.fromkeys(raw_names))
    wanted = {raw: identifier(raw, reserved=reserved, kind=kind) for raw in raws}
    rivals: dict[str, list[str]] = {}
    for raw, name in wanted.items():
        rivals.setdefault(name, []).append(raw)
    taken = {*raws, *wanted.values()}
    spelled = {raw: wanted[raw] for raw in raws if len(rivals[wanted[raw]]) == 1 or wanted[raw] == raw}
    for raw in sorted(set(raws) - set(spelled)):
        spelled[raw] = _suffixed(wanted[raw], raw, taken)
        taken.add(spelled[raw])
    return {raw: spelled[raw] for raw in raws}


def identifier(raw: str, *, reserved: Collection[str] = frozenset(), kind: str = "name") -> str:
    """Return the spelling of a name that nothing else competes for.

    No leading underscore (the plan language refuses those), not a keyword, not `reserved`, and in the normal
    form that Python's parser turns names into: otherwise a plan could never say it.
    """
    name = _normal("".join(char if _continues(char) else "_" for char in unicodedata.normalize("NFKC", raw)))
    name = name.lstrip("_")
    if not name:
        name = kind
    elif not name.isidentifier():
        name = _normal(f"{kind}_{name}")
    if len(name) > LONGEST:
        # Cutting may leave half of a composed letter's context behind; ASCII at the seam keeps the form normal.
        name = f"{name[:100]}_{_digest(raw)[:8]}"
    while keyword.iskeyword(name) or name in reserved or name.endswith("__roles__"):
        name += "_"
    return name


def _continues(char: str) -> bool:
    return f"a{char}".isidentifier()


def _normal(name: str) -> str:
    """Normalise until nothing moves: taking characters out can bring others together."""
    while (normal := unicodedata.normalize("NFKC", name)) != name:
        name = normal
    return name


def _suffixed(name: str, raw: str, taken: Collection[str]) -> str:
    digest = _digest(raw)
    stem = name if name.endswith("_") else f"{name}_"
    candidates = (f"{stem}{digest[:length]}" for length in range(4, len(digest) + 1))
    return next(candidate for candidate in candidates if candidate not in taken)


def _digest(raw: str) -> str:
    # A raw name may hold half a surrogate pair, which JSON can carry and UTF-8 cannot.
    return hashlib.sha256(raw.encode("utf-8", "surrogatepass")).hexdigest()
