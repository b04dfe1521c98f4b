"""What a `base_url` says: where the API is, where a runtime's own pages are, and whether that is this machine.

Pure: a string in, an `Address` out. People write these by hand, so a missing scheme, a missing `/v1`, a slash too
many and the whole path of an endpoint are all read as they were meant.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit, urlunsplit

_VERSION = re.compile(r"/v\d+$")
_ENDPOINTS = ("/chat/completions", "/completions", "/models")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a model server is."""

    bases: tuple[str, ...]
    """Where its API may begin, the likeliest first; none ends in a slash."""

    root: str
    """Where the runtime's own pages begin: the same without `/v1`."""

    shown: str
    """As people may see it: without a password."""

    host: str
    local: bool
    """Whether what is sent there stays on this machine."""


def read_address(base_url: str) -> Address:
    """Read a base URL. Raises ValueError with what is wrong about it."""
    text = base_url.strip()
    parts = urlsplit(text if "://" in text else f"http://{text}")
    host = parts.hostname
    if parts.scheme not in ("http", "https") or not host or not text.isprintable():
        raise ValueError(f"{base_url!r} is no address of a server: it looks like http://127.0.0.1:8080/v1")
    _ = parts.port  # raises ValueError for one that is no number
    path = parts.path.rstrip("/")
    for endpoint in _ENDPOINTS:
        path = path.removesuffix(endpoint)
    return Address(
        bases=tuple(_url(parts, each) for each in _paths(path)),
        root=_url(parts, _VERSION.sub("", path)),
        shown=_url(parts._replace(netloc=parts.netloc.rpartition("@")[2]), _paths(path)[0]),
        host=host,
        local=_is_this_machine(host),
    )


def _paths(path: str) -> tuple[str, ...]:
    if _VERSION.search(path):
        return (path,)
    # A bare host hardly ever has its API at the root; a path that somebody wrote is probably the whole of it.
    return (f"{path}/v1", path) if not path else (path, f"{path}/v1")


def _url(parts: SplitResult, path: str) -> str:
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def _is_this_machine(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
