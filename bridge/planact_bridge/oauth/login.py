"""A login by a person in a browser: authorization code with PKCE, by the SDK's client.

Discovery of the authorization server, registration, the check of `state` and issuer, and the exchange of the code
are the SDK's; what is added is the answer on this machine, a deadline, and errors that say what to do.
"""

from __future__ import annotations

import ipaddress
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urljoin, urlsplit

import anyio
import httpx2
from mcp.client.auth import OAuthClientProvider, OAuthFlowError
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthToken,
)
from mcp_types.version import LATEST_HANDSHAKE_VERSION
from pydantic import AnyUrl

from planact_bridge.eras import client_info
from planact_bridge.errors import BridgeError
from planact_bridge.http_reasons import failed
from planact_bridge.oauth.bearer import token_request
from planact_bridge.oauth.credentials import Credentials
from planact_bridge.oauth.loopback import Loopback, open_loopback

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mcp.client.auth.oauth2 import OAuthContext

    from planact_bridge.specs import HttpSpec

LOGIN_SECONDS = 300.0
"""How long a person has."""

REQUEST_SECONDS = 30.0


class LoginError(BridgeError):
    """There is no login; the message says why and what to do."""


@dataclass(slots=True)
class _Memory:
    """The SDK's storage, for the time of one login."""

    client: OAuthClientInformationFull | None
    tokens: OAuthToken | None = field(default=None, repr=False)

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


async def log_in(spec: HttpSpec, *, send_to: Callable[[str], Awaitable[None]]) -> Credentials:
    """Have a person log in and return what came of it. Raises LoginError.

    `send_to` brings the person to a page: opens a browser, or shows the address.
    """
    # The SDK logs the traceback of what it raises, and it is all told by the error.
    logging.getLogger("mcp.client.auth").setLevel(logging.CRITICAL)
    try:
        async with open_loopback(spec.oauth.callback_port) as loopback:
            with anyio.fail_after(LOGIN_SECONDS):
                return await _log_in(spec, loopback, send_to)
    except TimeoutError:
        raise _error(spec, f"nobody logged in within {LOGIN_SECONDS / 60:g} minutes. Try again") from None
    except OAuthFlowError as error:
        raise _error(spec, str(error).rstrip(".")) from error
    except httpx2.TransportError as error:
        raise _error(spec, failed(_url_of(error, spec), error)) from error
    except OSError as error:
        raise _error(spec, f"the address for the browser's answer cannot be had: {error}") from error


async def log_out(credentials: Credentials) -> None:
    """Tell the authorization server that the tokens are not used any more, where it takes that. Never raises."""
    if credentials.revocation_endpoint is None:
        return
    data = {"token": credentials.refresh_token or credentials.access_token}
    try:
        async with httpx2.AsyncClient(timeout=REQUEST_SECONDS) as http:
            await http.send(token_request(credentials.revocation_endpoint, data, credentials))
    except httpx2.HTTPError:
        pass  # they end by themselves


async def _log_in(spec: HttpSpec, loopback: Loopback, send_to: Callable[[str], Awaitable[None]]) -> Credentials:
    async def redirect(url: str) -> None:
        _check_secure(spec, url)
        loopback.state = parse_qs(urlsplit(url).query)["state"][0]
        await send_to(url)

    async def callback() -> AuthorizationCodeResult:
        answer = await loopback.answer()
        if "code" not in answer:
            why = ": ".join(answer[key] for key in ("error", "error_description") if key in answer)
            raise OAuthFlowError(f"the authorization server refused: {why or 'it sent no code'}")
        return AuthorizationCodeResult(code=answer["code"], state=answer.get("state"), iss=answer.get("iss"))

    provider = OAuthClientProvider(
        spec.url,
        OAuthClientMetadata(
            client_name="Planact",
            redirect_uris=[AnyUrl(loopback.url)],
            token_endpoint_auth_method="none",  # noqa: S106  # a program on a person's machine keeps no secret
        ),
        _Memory(_registered(spec, loopback)),
        redirect_handler=redirect,
        callback_handler=callback,
        client_metadata_url=spec.oauth.client_metadata_url,
    )
    status = await _ask(spec, provider)
    if provider.context.current_tokens is None:
        raise _error(spec, f"it asks for no login (it answered HTTP {status})")
    return _credentials(spec, provider.context)


async def _ask(spec: HttpSpec, auth: httpx2.Auth) -> int:
    """Make the request that a server refuses to strangers; return what it says in the end."""
    headers = {**spec.headers, "accept": "application/json, text/event-stream"}
    async with httpx2.AsyncClient(auth=auth, headers=headers, timeout=REQUEST_SECONDS) as http:
        if spec.transport == "sse":
            asking = http.stream("GET", spec.url)
        else:
            hello = {
                "protocolVersion": LATEST_HANDSHAKE_VERSION,
                "capabilities": {},
                "clientInfo": client_info(),
            }
            message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
            # The revision tells the SDK to say which server the tokens are for.
            revision = {"mcp-protocol-version": LATEST_HANDSHAKE_VERSION}
            asking = http.stream("POST", spec.url, json=message, headers=revision)
        async with asking as response:
            return response.status_code


def _registered(spec: HttpSpec, loopback: Loopback) -> OAuthClientInformationFull | None:
    """Return the client that the entry names, where a server does not register new ones by itself."""
    if not spec.oauth.client_id:
        return None
    return OAuthClientInformationFull(
        client_id=spec.oauth.client_id,
        client_secret=spec.oauth.client_secret,
        redirect_uris=[AnyUrl(loopback.url)],
        token_endpoint_auth_method="client_secret_post" if spec.oauth.client_secret else "none",
    )


def _credentials(spec: HttpSpec, context: OAuthContext) -> Credentials:
    tokens, client, metadata = context.current_tokens, context.client_info, context.oauth_metadata
    if tokens is None or client is None:
        raise _error(spec, "the login ended without a token")
    endpoint = metadata.token_endpoint if metadata else urljoin(spec.url, "/token")
    revocation = metadata.revocation_endpoint if metadata else None
    _check_secure(spec, str(endpoint))
    return Credentials(
        access_token=tokens.access_token,
        refresh_token=tokens.refresh_token,
        expires_at=context.token_expiry_time,
        scope=tokens.scope,
        token_endpoint=str(endpoint),
        client_id=client.client_id,
        client_secret=client.client_secret,
        client_auth=client.token_endpoint_auth_method,
        resource=context.get_resource_url(),
        revocation_endpoint=None if revocation is None else str(revocation),
    )


def _check_secure(spec: HttpSpec, url: str) -> None:
    """Raise LoginError for an address that secrets would travel to in the clear."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not _is_here(parts.hostname or ""):
        raise _error(spec, f"its authorization server {parts.hostname!r} is not reached over https")


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _url_of(error: httpx2.TransportError, spec: HttpSpec) -> httpx2.URL:
    try:
        return error.request.url
    except RuntimeError:  # it has none
        return httpx2.URL(spec.url)


def _error(spec: HttpSpec, reason: str) -> LoginError:
    return LoginError(f"No login to server {spec.name!r}: {reason}.")
