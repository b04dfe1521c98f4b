"""`[policy]` of the user's own planact.toml as it would be with more trust, ready to be pasted over what is there.

Pure.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from planact_server.config.schema import PolicyTable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def trusting(own_files: Mapping[Path, Mapping[str, object]], servers: Sequence[str]) -> str:
    """Return which of the user's files to edit, and the whole table that it needs, what it says now included.

    Later files win.
    """
    # A list in a later file replaces this one, so it must not begin to be there.
    setting = [path for path, values in own_files.items() if "policy.trust" in values]
    path = (setting or [*own_files])[-1]
    return f"[policy] in {path} becomes:\n[policy]\n{_table(own_files[path], servers)}"


def _table(values: Mapping[str, object], servers: Sequence[str]) -> str:
    trust = [*dict.fromkeys((*cast("tuple[str, ...]", values.get("policy.trust", ())), *servers))]
    table: dict[str, object] = {key: values.get(f"policy.{key}") for key in PolicyTable.model_fields} | {"trust": trust}
    return "\n".join(f"{key} = {_value(value)}" for key, value in table.items() if value is not None)


def _value(value: object) -> str:
    """Return texts, lists of texts and truth values as TOML, which JSON's are, with nothing in them to be hidden."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)
