"""`run_python_actions` over streamable HTTP at /mcp: loopback by default, a bearer token anywhere else."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import signal
import socket
from typing import TYPE_CHECKING

import uvicorn
from mcp.server.transport_security import TransportSecuritySettings

from planact_server.http_guard import BoundedProtocol, Guard

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import FrameType

    from starlette.types import ASGIApp

    from planact_server.server import PlanactServer

logger = logging.getLogger(__name__)

PATH = "/mcp"
SHUTDOWN_SECONDS = 1
"""How long answers may take to leave once every run has ended."""

MOST_SESSIONS = 1_000
"""Sessions of the older protocol at one time. One that nobody uses ends after half an hour."""


class AddressError(Exception):
    """The address cannot be served; the message says why and what to do."""


def parse_address(text: str) -> tuple[str, int]:
    """Read HOST:PORT, [V6]:PORT or PORT. Raises AddressError."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    if not port.isdecimal() or int(port) > 65_535:
        raise AddressError(f"{text!r} is no address: use HOST:PORT, for example 127.0.0.1:8931.")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Say whether only this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def serve_http(
    server: PlanactServer,
    *,
    host: str,
    port: int,
    token: str | None,
    announce: Callable[[str], None],
    stop: Callable[[], Awaitable[None]],
) -> int | None:
    """Serve until a signal comes, and return its number.

    `announce` is told the URL once requests are answered. `stop` ends what keeps requests from being answered.
    Raises AddressError without a token where others can reach the address.
    """
    token = _checked(token)
    if not is_loopback(host) and not token:
        raise AddressError(
            f"{host!r} can be reached from other machines: set PLANACT_HTTP_TOKEN to a secret that clients send as"
            " 'Authorization: Bearer …', or serve on 127.0.0.1."
        )
    app: ASGIApp = server.mcp.streamable_http_app(
        streamable_http_path=PATH, host=host, transport_security=_security(host), max_sessions=MOST_SESSIONS
    )
    settings = uvicorn.Config(
        Guard(app, token),
        http=BoundedProtocol,
        ws="none",
        log_level="warning",
        lifespan="on",
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    with _listening(host, port) as listener:
        shown = f"[{host}]" if ":" in host else host
        url = f"http://{shown}:{listener.getsockname()[1]}{PATH}"
        web = _OrderlyServer(settings, lambda: announce(url), stop)
        await web.serve(sockets=[listener])
        return web.ended_by


class _OrderlyServer(uvicorn.Server):
    """Says when it has started: from then on the first signal ends it in order."""

    def __init__(
        self, config: uvicorn.Config, announce: Callable[[], None], stop: Callable[[], Awaitable[None]]
    ) -> None:
        super().__init__(config)
        self._announce = announce
        self._stop = stop
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Task[None] | None = None
        self.ended_by: int | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.started:
            self._announce()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as uvicorn calls it
        if self.ended_by is not None:
            signal.signal(sig, signal.SIG_DFL)
            signal.raise_signal(sig)
        self.ended_by = sig
        if self._loop is None:
            self.should_exit = True
        else:
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        self._ending = asyncio.create_task(self._end_in_order(), name="ending")

    async def _end_in_order(self) -> None:
        # Before uvicorn knows: half a second later the streams are cut through which hosts get their answers.
        try:
            await self._stop()
        finally:
            self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._stop()
        # What is open now (a host that listens for news) is cut off on purpose: that is no error.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        await super().shutdown(sockets)


def _listening(host: str, port: int) -> socket.socket:
    # Bound here, because uvicorn ends the process when it cannot bind.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        bound = socket.create_server((host, port), family=family).detach()
        # asyncio sends small parts at once only on sockets that say that they are TCP: a head and a body of its own
        # would wait 40 ms for each other.
        return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=bound)
    except OSError as error:
        raise AddressError(f"Cannot serve on {host}:{port}: {error.strerror or error}. Choose another port.") from None


def _checked(token: str | None) -> str | None:
    """Return a token as it can be sent. Raises AddressError."""
    token = (token or "").strip()
    if not token.isascii() or not token.isprintable():
        raise AddressError("PLANACT_HTTP_TOKEN has characters that cannot be sent in a header: use letters and digits.")
    return token or None


def _is_everywhere(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _security(host: str) -> TransportSecuritySettings:
    if _is_everywhere(host):
        # Which names lead here is unknown; the token, which no web page has, is what keeps browsers out.
        return TransportSecuritySettings(enable_dns_rebinding_protection=False)
    names = {"127.0.0.1", "localhost", "[::1]", f"[{host}]" if ":" in host else host.lower()}
    # A page in a browser may reach loopback; it gives itself away by its Origin, or by the Host it was tricked into.
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=[pattern for name in names for pattern in (name, f"{name}:*")],
        allowed_origins=[
            f"{scheme}://{name}{port}" for name in names for scheme in ("http", "https") for port in ("", ":*")
        ],
    )
