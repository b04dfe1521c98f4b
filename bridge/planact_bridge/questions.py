"""What a server may ask us in the middle of a call, and the refusal it gets where nobody can answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mcp_types import INVALID_REQUEST, METHOD_NOT_FOUND

if TYPE_CHECKING:
    from planact_tools import JSONObject

ELICITATION = "elicitation/create"
_NAMES = {ELICITATION: "questions to the user", "sampling/createMessage": "sampling", "roots/list": "roots"}


class QuestionRefused(Exception):
    """Nobody will answer; code and message go back to the server."""

    def __init__(self, message: str, *, code: int = INVALID_REQUEST) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class Questions(Protocol):
    """Whoever can bring a server's question to a person and the answer back."""

    @property
    def capabilities(self) -> JSONObject:
        """Return what we tell servers that they may ask, in the protocol's shape."""
        ...

    async def ask(self, server: str, method: str, params: JSONObject) -> JSONObject:
        """Return the answer to one question. Raises QuestionRefused."""
        ...


class NoQuestions:
    """Nobody is there: every question is refused, and servers are told so when they connect."""

    @property
    def capabilities(self) -> JSONObject:
        return {}

    async def ask(self, server: str, method: str, params: JSONObject) -> JSONObject:  # noqa: ARG002  # the seam's
        what = _NAMES.get(method, f"{method!r}")
        code = INVALID_REQUEST if method == ELICITATION else METHOD_NOT_FOUND
        raise QuestionRefused(f"Planact does not offer {what}.", code=code)
