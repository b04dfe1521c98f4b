"""The two protocol eras: which one a server speaks, how that is found out, and what each request must carry.

*handshake* (up to 2025-11-25): `initialize` once, then bare requests.
*stateless* (from 2026-07-28): `server/discover`, and every request says who asks.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from mcp.shared.inbound import (
    MCP_METHOD_HEADER,
    MCP_NAME_HEADER,
    MCP_PROTOCOL_VERSION_HEADER,
    NAME_BEARING_METHODS,
    encode_header_value,
    mcp_param_headers,
)
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    PROTOCOL_VERSION_META_KEY,
    SERVER_INFO_META_KEY,
    UNSUPPORTED_PROTOCOL_VERSION,
)
from mcp_types.version import (
    KNOWN_PROTOCOL_VERSIONS,
    LATEST_HANDSHAKE_VERSION,
    LATEST_MODERN_VERSION,
    MODERN_PROTOCOL_VERSIONS,
)

from planact_bridge.errors import RequestRefused
from planact_tools import JSONObject, JSONValue

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

logger = logging.getLogger(__name__)

Era: TypeAlias = Literal["handshake", "stateless"]

PROBE_SECONDS = 10.0
"""How long a server may be silent on `server/discover` before it counts as one of the older era."""

DISCOVER = "server/discover"
INITIALIZE = "initialize"


class NoCommonRevision(Exception):
    """The server knows no revision of the protocol that we know; the message lacks its name."""


class Eras:
    """Remembers which era a server speaks, so that a silent one costs its probe only once.

    `known` is what an earlier process learned; `learned` is told of everything new, to keep it.
    """

    def __init__(
        self, known: Mapping[str, Era] | None = None, *, learned: Callable[[str, Era], None] | None = None
    ) -> None:
        self._known: dict[str, Era] = dict(known or {})
        self._learned = learned

    def recall(self, identity: str) -> Era | None:
        return self._known.get(identity)

    def remember(self, identity: str, era: Era) -> None:
        if self._known.get(identity) == era:
            return
        self._known[identity] = era
        if self._learned is not None:
            self._learned(identity, era)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Who answered, and what requests to it must carry."""

    era: Era
    version: str
    name: str = ""
    release: str = ""
    capabilities: JSONObject = field(default_factory=dict[str, JSONValue])
    ours: JSONObject = field(default_factory=dict[str, JSONValue])
    """The capabilities that we declared."""

    @property
    def announces_changes(self) -> bool:
        tools = self.capabilities.get("tools")
        return isinstance(tools, dict) and tools.get("listChanged") is True

    def stamp(
        self, method: str, params: JSONObject, *, ours: JSONObject | None = None
    ) -> tuple[JSONObject, dict[str, str]]:
        """Return the parameters and HTTP headers of a request as this peer wants them.

        `ours` are the capabilities that hold for this one request, where the peer hears of them with each.
        """
        if self.era == "handshake":
            return params, {MCP_PROTOCOL_VERSION_HEADER: self.version}
        return _stateless_stamp(method, params, self.version, self.ours if ours is None else ours)


class Send(Protocol):
    """Sends one request and returns its raw result. Raises BridgeErrors."""

    def __call__(
        self, method: str, params: JSONObject, *, headers: dict[str, str], seconds: float
    ) -> Awaitable[JSONObject]: ...


async def discover(send: Send, *, ours: JSONObject, seconds: float) -> Peer | None:
    """Return the peer if it speaks the stateless era; None where it answers and gives no sign of that.

    Raises NoCommonRevision for a server that knows only revisions newer than ours, and RequestTimeout.
    """
    wanted = LATEST_MODERN_VERSION
    for _ in range(2):
        params, headers = _stateless_stamp(DISCOVER, {}, wanted, ours)
        try:
            result = await send(DISCOVER, params, headers=headers, seconds=seconds)
        except RequestRefused as error:
            if error.code != UNSUPPORTED_PROTOCOL_VERSION:
                return None
            supported = _supported_by(error)
            common = _common(supported)
            if common is None:
                if supported and not any(revision in KNOWN_PROTOCOL_VERSIONS for revision in supported):
                    raise NoCommonRevision(f"speaks only {', '.join(supported)}; Planact speaks {_ours()}") from error
                return None
            wanted = common
            continue
        chosen = _common(_texts(result.get("supportedVersions")))
        return None if chosen is None else _stateless_peer(result, chosen, ours)
    return None


async def initialize(send: Send, *, ours: JSONObject, seconds: float) -> Peer:
    """Shake hands in the older era; the caller sends `notifications/initialized`. Raises BridgeErrors."""
    params: JSONObject = {
        "protocolVersion": LATEST_HANDSHAKE_VERSION,
        "capabilities": ours,
        "clientInfo": client_info(),
    }
    result = await send(INITIALIZE, params, headers={}, seconds=seconds)
    spoken = result.get("protocolVersion")
    info = _object(result.get("serverInfo"))
    if spoken not in KNOWN_PROTOCOL_VERSIONS:
        # Newer and made-up revisions alike mostly work; refusing would lose the server for sure.
        logger.warning("server %r says it speaks %r", info.get("name"), spoken)
    return Peer(
        era="handshake",
        version=spoken if isinstance(spoken, str) else LATEST_HANDSHAKE_VERSION,
        name=_word(info.get("name")),
        release=_word(info.get("version")),
        capabilities=_object(result.get("capabilities")),
        ours=ours,
    )


def argument_headers(schema_map: Mapping[tuple[str, ...], str], arguments: Mapping[str, JSONValue]) -> dict[str, str]:
    """Return the HTTP headers that a tool's schema wants its arguments repeated in (`x-mcp-header`)."""
    return mcp_param_headers(schema_map, arguments) if schema_map else {}


@cache
def client_info() -> JSONObject:
    try:
        release = version("planact")
    except PackageNotFoundError:
        # Run from a copied folder: nothing is installed, and nothing depends on the number.
        release = "0"
    return {"name": "planact", "version": release}


def _stateless_stamp(
    method: str, params: JSONObject, revision: str, ours: JSONObject
) -> tuple[JSONObject, dict[str, str]]:
    meta: JSONObject = {
        PROTOCOL_VERSION_META_KEY: revision,
        CLIENT_INFO_META_KEY: client_info(),
        CLIENT_CAPABILITIES_META_KEY: ours,
    }
    headers = {MCP_PROTOCOL_VERSION_HEADER: revision, MCP_METHOD_HEADER: method}
    name = params.get(NAME_BEARING_METHODS.get(method, ""))
    if isinstance(name, str):
        headers[MCP_NAME_HEADER] = encode_header_value(name)
    return {**params, "_meta": {**_object(params.get("_meta")), **meta}}, headers


def _stateless_peer(result: JSONObject, revision: str, ours: JSONObject) -> Peer:
    info = _object(_object(result.get("_meta")).get(SERVER_INFO_META_KEY))
    return Peer(
        era="stateless",
        version=revision,
        name=_word(info.get("name")),
        release=_word(info.get("version")),
        capabilities=_object(result.get("capabilities")),
        ours=ours,
    )


def _supported_by(error: RequestRefused) -> list[str]:
    return _texts(_object(error.data).get("supported"))


def _common(revisions: list[str]) -> str | None:
    return next((revision for revision in reversed(MODERN_PROTOCOL_VERSIONS) if revision in revisions), None)


def _ours() -> str:
    return f"{KNOWN_PROTOCOL_VERSIONS[0]} to {KNOWN_PROTOCOL_VERSIONS[-1]}"


def _object(value: JSONValue) -> JSONObject:
    return value if isinstance(value, dict) else {}


def _texts(value: JSONValue) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _word(value: JSONValue) -> str:
    return value if isinstance(value, str) else ""
