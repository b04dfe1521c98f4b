"""What failed HTTP requests mean, in words. Pure."""

from __future__ import annotations

from http import HTTPStatus
from http.client import responses
from typing import TYPE_CHECKING

import httpx2

if TYPE_CHECKING:
    from planact_bridge.specs import HttpSpec

NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
"""Errors after which it is certain that the server saw nothing."""


def failed(url: httpx2.URL, error: httpx2.HTTPError) -> str:
    """Return how far a request came that got no whole answer."""
    reason = str(error).rstrip(".") or type(error).__name__
    if isinstance(error, NEVER_SENT):
        return f"{origin(url)} cannot be reached: {reason}"
    if isinstance(error, httpx2.DecodingError):
        return f"the answer of {origin(url)} does not unpack: {reason}"
    return f"the exchange with {origin(url)} broke off: {reason}"


def refused(status: int, spec: HttpSpec) -> str:
    """Return what a status of 400 or above says, and what to do about it."""
    said = f"HTTP {status} {responses.get(status, '')}".rstrip()
    if status not in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return said
    if spec.brings_credentials:
        return f"{said}; check 'headers'"
    if status == HTTPStatus.UNAUTHORIZED:
        return f"{said}; log in with `planact servers login {spec.name}`, or give 'headers'"
    return f"{said}; check 'headers', or log in anew with `planact servers login {spec.name}`"


def origin(url: httpx2.URL) -> str:
    """Return scheme, host and port: the rest may hold secrets."""
    return str(url.copy_with(userinfo=b"", path="/", query=None, fragment=None)).rstrip("/")
