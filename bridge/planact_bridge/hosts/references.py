"""How hosts spell a value that is looked up when a server starts, and what Planact writes for it.

A secret that a host looks up is looked up by Planact, too: it is never written out on the way.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from planact_bridge.variables import VariableError, Variables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from planact_bridge.hosts.machine import Machine

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"

OWN_PREFIX = "PLANACT_"
"""Variables that configure Planact itself: an entry from elsewhere must not set them."""


class NotAdoptable(Exception):
    """The entry means something that Planact cannot do; the message says what."""


class NotAServer(NotAdoptable):
    """The entry is something of the host itself; the message says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """One spelling."""

    pattern: re.Pattern[str] | None = None
    """Finds references; its group `name` is the variable, `default` what holds where that is not set."""

    variable: Callable[[re.Match[str]], str] = lambda match: match["name"]
    """A reference → the variable that Planact looks up for it."""

    fixed: Callable[[Machine], Mapping[str, str]] = lambda _: {}
    """What stands for a text that is known now."""

    def translate(self, text: str, machine: Machine) -> tuple[str, dict[str, str]]:
        """Return the text as Planact spells it, and variable → the reference in the host's spelling.

        Raises NotAdoptable.
        """
        for spelled, value in self.fixed(machine).items():
            text = text.replace(spelled, value)
        passes: dict[str, str] = {}

        def spell(match: re.Match[str]) -> str:
            name = self.variable(match)
            if name.upper().startswith(OWN_PREFIX):
                raise NotAdoptable(f"it uses {match[0]}, and variables that begin with {OWN_PREFIX} are Planact's own")
            passes[name] = match[0]
            default = match.groupdict().get("default")
            return f"${{{name}}}" if default is None else f"${{{name}:-{default}}}"

        translated = self.pattern.sub(spell, text) if self.pattern is not None else text
        try:
            Variables(environ=_Anything(), workspace=Path()).expand(translated)
        except VariableError as error:
            raise NotAdoptable(str(error)) from None
        return translated, passes


def as_variable(name: str) -> str:
    """Return the name of a variable for any name: `github-token` → `GITHUB_TOKEN`."""
    spelled = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_").upper()
    return spelled if spelled and not spelled[0].isdigit() else f"_{spelled}"


def _editor_folders(machine: Machine) -> Mapping[str, str]:
    return {"${userHome}": str(machine.home), "${pathSeparator}": os.sep, "${/}": os.sep}


LITERAL = References()
"""What stands in an entry is what the server gets."""

BRACED = References(pattern=re.compile(rf"\$\{{(?P<name>{_NAME})(?::-(?P<default>[^{{}}]*))?\}}"))
"""`${NAME}` and `${NAME:-default}`"""

SHELL = References(pattern=re.compile(rf"\$(?P<brace>\{{)?(?P<name>{_NAME})(?(brace)(?::-(?P<default>[^{{}}]*))?\}})"))
"""`$NAME` as well"""

EDITOR = References(pattern=re.compile(rf"\$\{{env:(?P<name>{_NAME})\}}"), fixed=_editor_folders)
"""`${env:NAME}`"""

VSCODE = References(
    pattern=re.compile(r"\$\{(?P<kind>env|input):(?P<name>[^{}]+)\}"),
    variable=lambda match: as_variable(match["name"]) if match["kind"] == "input" else match["name"],
    fixed=_editor_folders,
)
"""`${env:NAME}`, and `${input:id}`, which VS Code asks the user for"""

OPENCODE = References(pattern=re.compile(rf"\{{env:(?P<name>{_NAME})\}}"))
"""`{env:NAME}`"""

CONTINUE = References(
    pattern=re.compile(r"\$\{\{\s*(?:secrets|inputs)\.(?P<name>[\w./-]+)\s*\}\}"),
    variable=lambda match: as_variable(match["name"]),
)
"""`${{ secrets.NAME }}`"""


class _Anything(Mapping[str, str]):
    """An environment in which every variable is set."""

    def __getitem__(self, key: str) -> str:
        return key

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0
