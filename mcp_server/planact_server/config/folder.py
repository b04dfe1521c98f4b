"""The files of the current folder: everything once it is trusted, only restrictions before.

Nothing that an untrusted folder brings may keep Planact from starting or loosen what the user has decided.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from planact_server.config.reading import ConfigError, Layer, checked_layer, read_toml
from planact_server.toml_text import parse_toml
from planact_server.trust import (
    SERVERS_NAME,
    SETTINGS_NAME,
    FolderFiles,
    TrustError,
    changes,
    examine,
)

TrustRecord = Callable[[Path], Mapping[str, str] | None]
"""Looks up what was trusted in a folder."""

ADDING_KEYS = frozenset({"packs", "policy.trust", "policy.allow", "policy.ask", "policy.deny", "results.raw"})
"""Lists of a folder that are added to the user's own, which stay in force."""

_RESTRICTIONS = frozenset({"ask", "deny"})
_OWN_SECTIONS = ("sandbox", "privacy", "search")
_OWN_KEYS = frozenset({"policy.approve_without_terminal", "planner.backend", "planner.base_url", "planner.api_key"})
"""Whether, and to whom, tasks and data leave the device is the user's to say, as is what nobody may approve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderSettings:
    """What the current folder contributes."""

    layer: Layer | None = None
    """Its planact.toml, when the folder is trusted."""

    servers: Path | None = None
    """Its mcp.json, when the folder is trusted."""

    servers_content: bytes = b""
    """What that file held when it was compared with what was trusted."""

    also_ask: tuple[str, ...] = ()
    also_deny: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


def folder_settings(folder: Path, trusted: TrustRecord) -> FolderSettings:
    """Read what `folder` may contribute. Raises ConfigError only for a trusted file that is wrong."""
    files = examine(folder)
    if files is None:
        return FolderSettings()
    record = trusted(files.folder)
    reason = _why_untrusted(files, record)
    if reason is not None:
        return _restrictions(files, reason)
    return _everything(files)


def _why_untrusted(files: FolderFiles, record: Mapping[str, str] | None) -> str | None:
    if files.problem is not None:
        return files.problem
    if record is None:
        return "they are not trusted." if len(files.names) > 1 else "it is not trusted."
    try:
        changed = changes(files, record)
    except TrustError as error:
        return str(error)
    return f"they are no longer what was trusted: {', '.join(changed)}." if changed else None


def _everything(files: FolderFiles) -> FolderSettings:
    servers, content = files.folder / SERVERS_NAME if files.servers is not None else None, files.servers or b""
    if files.settings is None:
        return FolderSettings(servers=servers, servers_content=content)
    layer, refused = _without_own_decisions(read_toml(files.settings, files.folder / SETTINGS_NAME))
    notices = tuple(f"{layer.origin}: {what} is left out: only your own configuration may set it." for what in refused)
    return FolderSettings(layer=layer, servers=servers, servers_content=content, notices=notices)


def _without_own_decisions(layer: Layer) -> tuple[Layer, tuple[str, ...]]:
    """Return the layer without what only the user decides, and what that was."""
    values = dict(layer.values)
    refused: list[str] = []
    for key in layer.values:
        section, _, name = key.rpartition(".")
        if section in _OWN_SECTIONS or key in _OWN_KEYS:
            refused.append(f"[{section}] {name}")
            del values[key]
    if values.get("policy.default") == "allow":
        refused.append('[policy] default = "allow"')
        del values["policy.default"]
    for name in ("trust", "allow"):
        # `allow = ["*"]` is `default = "allow"` in other words.
        key = f"policy.{name}"
        patterns = cast("tuple[str, ...]", values.get(key, ()))
        sweeping = [pattern for pattern in patterns if not pattern.strip("*.")]
        if sweeping:
            refused += [f'[policy] {name} = ["{pattern}"]' for pattern in sweeping]
            values[key] = tuple(pattern for pattern in patterns if pattern not in sweeping)
    return replace(layer, values=values), tuple(refused)


def _restrictions(files: FolderFiles, reason: str) -> FolderSettings:
    """Take only `ask` and `deny` from a folder that is not trusted, and say so."""
    own = f"Only `ask` and `deny` of its {SETTINGS_NAME} hold"
    hold = own if files.settings else "No server that it names is started"
    notice = (
        f"The folder {str(files.folder)!r} has its own {' and '.join(files.names)}; {reason} {hold}."
        f" Read the files, then: planact trust {shlex.quote(str(files.folder))}"
    )
    path = files.folder / SETTINGS_NAME
    try:
        policy = parse_toml(files.settings or b"").get("policy", {})
        wanted = {key: value for key, value in cast("dict[str, object]", policy).items() if key in _RESTRICTIONS}
        values = checked_layer({"policy": wanted}, origin=str(path), base=files.folder).values
    except (ValueError, AttributeError, ConfigError) as error:
        broken = f"{path}: its `ask` and `deny` cannot be read, so they do not hold: {error}"
        return FolderSettings(notices=(notice, broken))
    return FolderSettings(
        also_ask=cast("tuple[str, ...]", values.get("policy.ask", ())),
        also_deny=cast("tuple[str, ...]", values.get("policy.deny", ())),
        notices=(notice,),
    )
