"""Requests with the token of a login, renewed when it ends. Never asks a person anything.

The SDK's own client is for the login itself: it renews only what it got in the same process, and answers every
refusal by sending a person to a browser.
"""

from __future__ import annotations

import base64
import json
import logging
import time
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

import anyio
import anyio.to_thread
import httpx2

from planact_bridge.http_reasons import failed
from planact_bridge.oauth.alone import alone

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from planact_bridge.oauth.credentials import Credentials
    from planact_bridge.oauth.kept import KeptLogin
    from planact_tools import JSONValue

logger = logging.getLogger(__name__)

RENEWAL_SECONDS = 15.0


class Bearer(httpx2.Auth):
    """Puts the token of a kept login on requests; a refusal has it renewed and the request made once more."""

    def __init__(self, login: KeptLogin) -> None:
        self._login = login
        self._credentials: Credentials | None = None
        self._read = False
        # All requests share one renewal: the token that renews often works only once.
        self._renewing = anyio.Lock()

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        async with self._renewing:
            if not self._read:
                await self._reread()
            if self._credentials is not None and self._credentials.expired:
                await self._renew(self._credentials)
        sent = self._credentials
        response = yield _with_token(request, sent)
        if response.status_code != HTTPStatus.UNAUTHORIZED:
            return
        async with self._renewing:
            if self._credentials == sent:
                # A login just made, or a renewal by another process.
                await self._reread()
            if sent is not None and self._credentials == sent:
                await self._renew(sent)
        if self._credentials not in (sent, None):
            yield _with_token(request, self._credentials)

    async def _reread(self) -> None:
        self._credentials = await anyio.to_thread.run_sync(self._login.load)
        self._read = True

    async def _renew(self, before: Credentials) -> None:
        """Exchange the token that renews for new ones, and keep them; where that fails, nothing is changed."""
        if before.refresh_token is None:
            return
        # Whoever waits for the request may give up, but not here: the old token is spent, the new one not yet kept.
        with anyio.CancelScope(shield=True):
            try:
                # The token that renews often works once, and a server that sees it twice may end the whole login.
                async with alone(self._login.files.renewing, stale_seconds=2 * RENEWAL_SECONDS):
                    await self._reread()
                    if self._credentials != before:
                        return
                    renewed = await _renewed(before, self._login.files.name)
                    if renewed is not None:
                        self._credentials = renewed
                        await anyio.to_thread.run_sync(self._login.save, renewed)
            except OSError as error:
                logger.warning("the login of server %r is not kept: %s", self._login.files.name, error)


async def _renewed(before: Credentials, server: str) -> Credentials | None:
    data = {"grant_type": "refresh_token", "refresh_token": before.refresh_token or ""}
    if before.resource is not None:
        data["resource"] = before.resource
    request = token_request(before.token_endpoint, data, before)
    try:
        # A client of its own: what is sent to the server itself is not for its authorization server.
        async with httpx2.AsyncClient(timeout=RENEWAL_SECONDS) as http:
            response = await http.send(request)
    except httpx2.HTTPError as error:
        logger.warning("the login of server %r was not renewed: %s", server, failed(request.url, error))
        return None
    renewed = renewed_from(before, response.status_code, response.content)
    if renewed is None:
        logger.warning("the login of server %r was not renewed: HTTP %d", server, response.status_code)
    return renewed


def token_request(endpoint: str, data: dict[str, str], client: Credentials) -> httpx2.Request:
    """Return a request to a token or revocation endpoint, with who the client is."""
    headers = {"accept": "application/json"}
    if client.client_secret is not None and client.client_auth == "client_secret_basic":
        pair = f"{quote(client.client_id, safe='')}:{quote(client.client_secret, safe='')}"
        headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    else:
        data = {**data, "client_id": client.client_id}
        if client.client_secret is not None:
            data["client_secret"] = client.client_secret
    return httpx2.Request("POST", endpoint, data=data, headers=headers)


def renewed_from(before: Credentials, status: int, body: bytes) -> Credentials | None:
    """Return the login after a renewal; None where there was none. Pure but for the clock."""
    if status != HTTPStatus.OK:
        return None
    try:
        answer = cast("JSONValue", json.loads(body))
    except ValueError:
        return None
    token = _text(answer.get("access_token")) if isinstance(answer, dict) else None
    if token is None or not isinstance(answer, dict):
        return None
    seconds = answer.get("expires_in")
    # What an answer leaves out is as before (RFC 6749, section 6).
    return replace(
        before,
        access_token=token,
        refresh_token=_text(answer.get("refresh_token")) or before.refresh_token,
        scope=_text(answer.get("scope")) or before.scope,
        expires_at=time.time() + float(seconds) if isinstance(seconds, int | float) else None,
    )


def _text(value: JSONValue) -> str | None:
    return value if isinstance(value, str) and value else None


def _with_token(request: httpx2.Request, credentials: Credentials | None) -> httpx2.Request:
    if credentials is not None:
        request.headers["authorization"] = f"Bearer {credentials.access_token}"
    return request
