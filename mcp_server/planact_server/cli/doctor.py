"""`planact doctor`: what is in force, what does not work, and what to do about it."""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from planact_server.cli.doctor_hosts import examine_hosts
from planact_server.cli.doctor_isolation import engine_name, examine_isolation
from planact_server.cli.doctor_model import examine_model
from planact_server.cli.entries import files_of
from planact_server.cli.finding import Finding
from planact_server.cli.place import as_usable, host_entry
from planact_server.cli.terminal import (
    ConfigOption,
    JSONOption,
    UsageError,
    console,
    examples,
    log_to_stderr,
    print_json,
    read_config,
    visible,
)
from planact_server.cli.tools import with_app
from planact_server.config import user_folder
from planact_server.policy_text import trusting
from planact_tools import JSONObject

if TYPE_CHECKING:
    from planact_server.app import App
    from planact_server.config import Config

MOST_DEFECTS = 5
"""Of one server; `planact servers --json` has all."""


def register(app: typer.Typer) -> None:
    app.command("doctor", epilog=examples("planact doctor", "planact doctor --json"))(doctor)


def doctor(config: ConfigOption = None, as_json: JSONOption = False) -> int:
    """Check installation, configuration, servers and planner.

    Says what is in force, what is broken, and what to do about it. Exit code 1 when something is broken, 2 when it is
    the configuration itself.
    """
    log_to_stderr(verbose=False)
    report: JSONObject = {"python": platform.python_version()}
    try:
        findings, more = with_app(read_config(config, quietly=True), _examine)
    except UsageError as error:
        findings, more = _without_configuration(error), None
    report |= more or {}
    if as_json:
        report["findings"] = [_as_json(finding) for finding in findings]
        print_json(report)
    else:
        _print(findings)
    if more is None:
        return 2
    return 1 if any(finding.level == "problem" for finding in findings) else 0


async def _examine(app: App) -> tuple[list[Finding], JSONObject]:
    layers = await app.probe_layers()
    # Asks drivers, which may take a second; the servers' connections go on meanwhile.
    planner, about_planner = await asyncio.to_thread(examine_model, app.config)
    jail = examine_isolation(layers, engine=app.engine.name, weaker=app.engine.warning is not None)
    findings = [*_machine(), *_configuration(app), *jail, *_servers(app), *planner, *examine_hosts()]
    report: JSONObject = {
        "platform": platform.platform(),
        "files": [str(path) for path in (*app.config.files, *app.config.mcp_files)],
        "origins": dict(app.config.origins),
        "state": str(app.config.state),
        "engine": engine_name(app.engine.name),
        "layers": layers,
        "security_boundary": "worker" not in layers and app.engine.warning is None,
        "servers": [*app.server_reports()],
        "planner": about_planner,
        "undecided": [server.server for server in app.undecided()],
    }
    return findings, report


def _without_configuration(error: UsageError) -> list[Finding]:
    """Return what can be said where the configuration cannot be read."""
    advice = "Mend it; what depends on it (servers, packs, policy, planner) was not looked at."
    broken = Finding(level="problem", subject="configuration", text=str(error), advice=advice)
    return [*_machine(), broken, *examine_hosts()]


def _machine() -> list[Finding]:
    return [
        Finding(level="ok", subject="python", text=f"{platform.python_version()} at {sys.executable}"),
        Finding(level="ok", subject="for a host", text=host_entry()),
    ]


def _configuration(app: App) -> list[Finding]:
    config = app.config
    files = [str(path) for path in (*config.files, *config.mcp_files)]
    found = [Finding(level="ok", subject="configuration", text=", ".join(files))] if files else []
    if not files:
        folder = user_folder(os.environ)
        found.append(
            Finding(
                level="note",
                subject="configuration",
                text="none yet",
                advice=f"Put a planact.toml and an mcp.json into {folder}.",
            )
        )
    found += [Finding(level="ok", subject="configuration", text=text) for text in _in_force(config)]
    found += [Finding(level="note", subject="configuration", text=notice) for notice in config.notices]
    found += [
        Finding(
            level="note",
            subject="policy",
            text=f"{pattern!r} covers no tool",
            advice="Misspelt, or its server is gone?",
        )
        for pattern in app.unmatched_patterns()
    ]
    found += [Finding(level="problem", subject="configuration", text=problem) for problem in app.problems]
    return found


def _in_force(config: Config) -> list[str]:
    """Return which keys are set, by what sets them; all others are at their defaults."""
    by_origin: dict[str, list[str]] = {}
    for key, origin in config.origins.items():
        by_origin.setdefault(origin, []).append(key)
    return [f"{', '.join(keys)} set by {origin}" for origin, keys in by_origin.items()]


def _servers(app: App) -> list[Finding]:
    found: list[Finding] = []
    for report in app.server_reports():
        name, error = str(report["name"]), report["error"]
        if report["state"] == "unusable":
            continue  # what is wrong with its file says so already
        if report["state"] in ("pending", "cached"):
            seconds = app.config.servers.start_timeout_seconds
            error = f"It has not answered within {seconds:g} s ([servers] start_timeout_seconds)."
        if error:
            found.append(Finding(level="problem", subject=f"server {name}", text=str(error), advice=_fix(app, name)))
        else:
            found.append(Finding(level="ok", subject=f"server {name}", text=_in_order(report)))
        found += [
            Finding(
                level="note",
                subject=f"server {name}",
                text=f"skipped {text}",
                advice="Plans cannot call it; its server has to list it otherwise.",
            )
            for text in _listed(report, "skipped")
        ]
        found += _defects(name, _listed(report, "defects"))
    return found + _undecided(app)


def _undecided(app: App) -> list[Finding]:
    """Return what is to be decided, and once what to write so that all of it is."""
    undecided = app.undecided()
    found = [Finding(level="note", subject=f"server {server.server}", text=str(server)) for server in undecided]
    if servers := [server.pattern for server in undecided if server.pattern]:
        text = f"to trust the read-only marks of {', '.join(servers)}"
        advice = trusting(app.config.own_files, servers)
        found.append(Finding(level="note", subject="policy", text=text, advice=advice))
    return found


def _listed(report: JSONObject, key: str) -> list[str]:
    listed = report.get(key)
    return [str(text) for text in listed] if isinstance(listed, list) else []


def _defects(server: str, defects: list[str]) -> list[Finding]:
    """Return one finding for all that a server says of its tools and that cannot be read."""
    if not defects:
        return []
    shown = defects[:MOST_DEFECTS]
    if len(defects) > len(shown):
        shown.append(f"… `planact servers --json` has all {len(defects)}")
    shown.append("These tools work all the same: what cannot be read is not checked before a call.")
    text = "describes tools in a way that cannot be read whole"
    return [Finding(level="note", subject=f"server {server}", text=text, advice="\n".join(shown))]


def _in_order(report: JSONObject) -> str:
    """Return what there is to say of a server that works: a pack has no connection to speak of."""
    health = report["health"]
    tools = f"{report['tools']} tools"
    if not isinstance(health, dict):
        return f"{tools}, a pack"
    took = f", there after {health['start_ms']:,} ms" if isinstance(health["start_ms"], int) else ""
    release = f", {health['server']}" if health["server"] else ""
    return f"{tools}{release}, revision {health['protocol']} ({health['era']}){took}"


def _fix(app: App, name: str) -> str:
    # Only what was started here has a standard error that is kept.
    logs = f"`planact servers logs {name}` has what it said. " if files_of(app.config, name).log.exists() else ""
    return f"{logs}Mend its entry in mcp.json, or take {name!r} out of there."


def _as_json(finding: Finding) -> JSONObject:
    return {key: value for key, value in asdict(finding).items() if value}


def _print(findings: list[Finding]) -> None:
    out = console()
    marks = {"ok": "[green]✓[/green]", "note": "[yellow]•[/yellow]", "problem": "[red]✗[/red]"}
    for finding in findings:
        out.print(marks[finding.level], end=" ")
        out.print(visible(finding.subject), markup=False, style="bold", end=" ")
        # Whole lines: paths and entries are copied from here.
        out.print(visible(as_usable(finding.text)), markup=False, soft_wrap=True)
        for line in as_usable(finding.advice).splitlines():
            out.print(f"    {visible(line)}", markup=False, style="dim", soft_wrap=True)
