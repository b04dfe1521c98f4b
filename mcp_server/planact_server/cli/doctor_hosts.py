"""What `planact doctor` says about the hosts on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planact_server.cli.finding import Finding
from planact_server.cli.hosts.listing import is_this_planact, look_at
from planact_server.cli.hosts.place import this_machine

if TYPE_CHECKING:
    from planact_bridge.hosts import Seen


def examine_hosts() -> list[Finding]:
    """Return a finding for each host that is on this machine, and for each file of the current folder."""
    from planact_bridge.hosts import HOSTS

    machine = this_machine()
    return [
        _finding(seen)
        for host in HOSTS
        for seen in look_at(host)
        if seen.exists or (seen.place.scope == "user" and host.is_on(machine))
    ]


def _finding(seen: Seen) -> Finding:
    place = seen.place
    subject = f"host {place.host.name}"
    command = f"planact hosts install {place.host.name}{' --scope project' if place.scope == 'project' else ''}"
    if seen.problem is not None:
        return Finding(level="note", subject=subject, text=seen.problem)
    if seen.planact is None:
        others = f", but {', '.join(seen.servers)}" if seen.servers else ""
        text = f"no Planact in {place.path}{others}"
        return Finding(level="note", subject=subject, text=text, advice=command)
    if not is_this_planact(seen):
        text = f"starts another Planact than this one: {place.path}"
        return Finding(level="note", subject=subject, text=text, advice=command)
    return Finding(level="ok", subject=subject, text=f"has Planact: {place.path}")
