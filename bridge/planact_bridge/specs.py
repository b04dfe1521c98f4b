"""How a server is reached: a command to start, or a URL to call. Values only."""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

CALL_SECONDS = 300.0
"""Longest that one call may take where nobody says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StdioSpec:
    """A server that is started as a child process and spoken to through its pipes."""

    name: str
    command: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    """Added to the few variables that every child inherits."""

    cwd: str | None = None
    origin: str = ""
    """The file that the entry came from."""

    disabled: bool = False
    timeout: float | None = None
    """Seconds that one call may take; None where the entry does not say."""

    written: str | None = None
    """The command line as the file spells it, where that differs: variables unexpanded, so no secret in it."""

    @property
    def identity(self) -> str:
        """What decisions bind to. Neither the name nor `env` is part of it."""
        where = f" in {self.cwd}" if self.cwd else ""
        return _identity(shlex.join((self.command, *self.args)) + where, written=self.written, origin=self.origin)


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthClient:
    """Who we are at a server's authorization server. By default it registers us itself."""

    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    client_metadata_url: str | None = None
    """Where the authorization server can read who we are."""

    callback_port: int = 0
    """Where a browser is sent to at the end of a login; 0: any free port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSpec:
    """A server that is spoken to over HTTP."""

    name: str
    url: str
    transport: Literal["streamable", "sse"] = "streamable"
    """`sse`: the older transport. A server that turns out to know only that is spoken to in it anyway."""

    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    oauth: OAuthClient = OAuthClient()
    origin: str = ""
    """The file that the entry came from."""

    disabled: bool = False
    timeout: float | None = None
    """Seconds that one call may take; None where the entry does not say."""

    written: str | None = None
    """The URL as the file spells it, where that differs: variables unexpanded, so no secret in it."""

    @property
    def brings_credentials(self) -> bool:
        """Say whether the entry itself says who is calling, so that no login is needed."""
        return any(name.lower() == "authorization" for name in self.headers)

    @property
    def identity(self) -> str:
        """What decisions bind to. Neither the name nor `headers` is part of it."""
        return _identity(self.url, written=self.written, origin=self.origin)


ServerSpec: TypeAlias = StdioSpec | HttpSpec


def _identity(reached: str, *, written: str | None, origin: str) -> str:
    # People read identities and files keep them, so an expanded variable shows only as a digest:
    # another value is another identity, and the value itself stays out of sight.
    shown = reached if written is None else f"{written} #{hashlib.sha256(reached.encode()).hexdigest()[:12]}"
    return f"{shown} ({origin})" if origin else shown
