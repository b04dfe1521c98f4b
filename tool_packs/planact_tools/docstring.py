"""Reading a Google-style docstring: what belongs to the tool, and what to each parameter. Pure."""

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_HEADINGS = frozenset({"Args:", "Arguments:", "Parameters:"})
_ENTRY = re.compile(r"(?P<name>\w+)\s*(\([^)]*\))?\s*:\s*(?P<text>.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Docstring:
    """A docstring, taken apart."""

    text: str
    """Everything but the section on parameters."""

    parameters: Mapping[str, str]
    """Parameter → description on one line, as far as the docstring speaks of it."""


def parse_docstring(docstring: str | None) -> Docstring:
    """Take a docstring apart; without one, everything is empty."""
    lines = inspect.cleandoc(docstring or "").splitlines()
    start = next((number for number, line in enumerate(lines) if line.rstrip() in _HEADINGS), len(lines))
    end = next((number for number in range(start + 1, len(lines)) if lines[number][:1].strip()), len(lines))
    text = "\n".join([*lines[:start], *lines[end:]])
    return Docstring(
        text=re.sub(r"\n{3,}", "\n\n", text).strip(),
        parameters=_parameters([line.rstrip() for line in lines[start + 1 : end] if line.strip()]),
    )


def _parameters(lines: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    name = None
    indent = _indent(lines[0]) if lines else 0
    for line in lines:
        entry = _ENTRY.fullmatch(line.strip()) if _indent(line) == indent else None
        if entry is not None:
            name = entry["name"]
            found[name] = entry["text"]
        elif name is not None:
            found[name] = f"{found[name]} {line.strip()}".strip()
    return found


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
