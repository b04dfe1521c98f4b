"""The programs that start MCP servers: where their files are, and Planact in and out of them."""

from planact_bridge.hosts.changes import Applied, Change, Edit, Journal, Record, apply, undoing
from planact_bridge.hosts.dialect import Launch
from planact_bridge.hosts.errors import HostError
from planact_bridge.hosts.host import ENTRY, Host, Place, Scope, places
from planact_bridge.hosts.importing import Import, Importing, importing
from planact_bridge.hosts.installing import Seen, installing, look, read, shown, starts, uninstalling
from planact_bridge.hosts.known import HOSTS
from planact_bridge.hosts.machine import Machine, Platform

__all__ = [
    "ENTRY",
    "HOSTS",
    "Applied",
    "Change",
    "Edit",
    "Host",
    "HostError",
    "Import",
    "Importing",
    "Journal",
    "Launch",
    "Machine",
    "Place",
    "Platform",
    "Record",
    "Scope",
    "Seen",
    "apply",
    "importing",
    "installing",
    "look",
    "places",
    "read",
    "shown",
    "starts",
    "undoing",
    "uninstalling",
]
