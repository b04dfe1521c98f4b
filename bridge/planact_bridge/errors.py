"""Why a downstream server could not be used. Messages name the server; `downstream` turns them into ToolErrors."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planact_tools import JSONValue

UNDELIVERED = "planact: the server never saw this request"
LOST = "planact: the server may have seen this request"
"""Data of the errors that our transports raise for a request that was not sent, and for one that got no answer."""


UNREADABLE = "planact: the answer cannot be read"
"""Data of the errors that stand for an answer of which nothing can be told: something before the server may have given
it, or it is damaged."""


class BridgeError(Exception):
    """A server could not be used; the message is a whole sentence."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class StartError(BridgeError):
    """The server could not be started or spoken to at all."""


class ConnectionLost(BridgeError):
    """The connection ended while a request was open: whether the server acted on it is unknown."""


class NotDelivered(ConnectionLost):
    """The connection ended, and it is certain that the server never saw this request: it may be sent again."""


class RequestTimeout(BridgeError):
    """The server did not answer in time and was told to stop: whether it acted is unknown."""


class RequestRefused(BridgeError):
    """The server answered with an error."""

    def __init__(
        self, message: str, *, code: int, reason: str, data: JSONValue = None, unreadable: bool = False
    ) -> None:
        super().__init__(message)
        self.unreadable = unreadable
        """Whether the answer says nothing about what the server did: whether it acted is unknown."""

        self.code = code
        self.reason = reason
        """The server's own words."""
        self.data = data
