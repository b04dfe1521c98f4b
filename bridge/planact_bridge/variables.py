"""`${VAR}` in the texts of a server entry.

Pure: the environment is an argument.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_VARIABLE = re.compile(r"\$\{([^{}]*)\}")
_NAME = re.compile(r"(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


class VariableError(Exception):
    """A text names a variable that has no value here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variables:
    """What `${…}` can stand for: `${VAR}`, `${VAR:-default}`, `${env:VAR}` and `${workspaceFolder}`."""

    environ: Mapping[str, str]
    workspace: Path | None = None

    def expand(self, text: str) -> str:
        """Return the text with every variable replaced. Raises VariableError naming the first that is not set."""
        return _VARIABLE.sub(lambda match: self._value(match[1]), text)

    def _value(self, inner: str) -> str:
        if inner == "workspaceFolder":
            if self.workspace is None:
                raise VariableError("${workspaceFolder} has no value: no folder is open")
            return str(self.workspace)
        match = _NAME.fullmatch(inner)
        if match is None:
            raise VariableError(
                f"${{{inner}}} is not understood; "
                "write ${VAR}, ${VAR:-default}, ${env:VAR} or ${workspaceFolder}"
            )
        name, default = match[1], match[2]
        value = self.environ.get(name)
        if value is None and default is None:
            raise VariableError(f"the variable {name} is not set; set it, or give a default: ${{{name}:-…}}")
        # As in a shell, `:-` also covers a variable that is set to nothing.
        return value or default or ""
