"""Continue: a list in YAML for the user, JSON of the shared shape in a project."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planact_bridge.hosts.dialect import Dialect, Plain, read_common, texts_of
from planact_bridge.hosts.host import Host
from planact_bridge.hosts.references import CONTINUE
from planact_bridge.hosts.texts import JSON, YAML
from planact_bridge.hosts.texts.syntax import LISTED

if TYPE_CHECKING:
    from pathlib import Path

    from planact_bridge.hosts.machine import Machine
    from planact_tools import JSONObject


def _file(machine: Machine) -> Path:
    return (machine.folder("CONTINUE_GLOBAL_DIR") or machine.home / ".continue") / "config.yaml"


def _read(raw: JSONObject) -> Plain:
    options = raw.get("requestOptions")
    headers = texts_of(options, "headers") if isinstance(options, dict) else {}
    plain = read_common({**raw, "headers": {**texts_of(raw, "headers"), **headers}})
    rest = [key for key in plain.rest if key not in ("requestOptions", "connectionTimeout")]
    return Plain(entry=plain.entry, rest=tuple(rest))


HOST = Host(
    name="continue",
    title="Continue",
    user=_file,
    project=lambda folder: folder / ".continue" / "mcpServers" / "mcp.json",
    dialect=Dialect(syntax=YAML, keys=("mcpServers", LISTED), read=_read, references=CONTINUE),
    project_dialect=Dialect(syntax=JSON, keys=("mcpServers",), references=CONTINUE),
    reread="Continue notices by itself.",
    found="It uses tools in its agent mode.",
)
