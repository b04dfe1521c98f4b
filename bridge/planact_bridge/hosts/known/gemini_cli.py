"""Gemini CLI."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planact_bridge.hosts.dialect import Dialect, Plain, read_common
from planact_bridge.hosts.host import Host
from planact_bridge.hosts.references import SHELL
from planact_bridge.hosts.texts import JSON

if TYPE_CHECKING:
    from pathlib import Path

    from planact_bridge.hosts.machine import Machine
    from planact_tools import JSONObject


def _file(machine: Machine) -> Path:
    return (machine.folder("GEMINI_CLI_HOME") or machine.home) / ".gemini" / "settings.json"


def _read(raw: JSONObject) -> Plain:
    plain = read_common(raw)
    entry = dict(plain.entry)
    if raw.get("httpUrl"):
        entry["type"] = "http"
    milliseconds = raw.get("timeout")
    if isinstance(milliseconds, int | float) and not isinstance(milliseconds, bool) and milliseconds > 0:
        entry["timeout"] = milliseconds / 1000
    return Plain(entry=entry, rest=plain.rest)


HOST = Host(
    name="gemini-cli",
    title="Gemini CLI",
    user=_file,
    project=lambda folder: folder / ".gemini" / "settings.json",
    dialect=Dialect(syntax=JSON, keys=("mcpServers",), read=_read, references=SHELL),
    reread="Start Gemini CLI again; `/mcp` shows its servers.",
)
