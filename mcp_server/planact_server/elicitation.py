"""Questions as hosts know them: `elicitation/create` in the older era, a result that asks for more in the newer one."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import anyio
import mcp.types as types
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from planact_bridge import QuestionRefused
from planact_server.questions import EXPIRY_SECONDS, NO_HOST, Begun, Host

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mcp.server.context import ServerRequestContext
    from mcp.server.session import ServerSession

    from planact_server.questions import Mode, Question
    from planact_tools import JSONObject

MOST_ROUNDS = 8
"""How often one request may come back with questions; what is open after that is in its answer."""

TOLD_SECONDS = 1.0
"""How long a host may take to read that a page was visited: whoever tells it has more to do."""


class _AsksAtOnce:
    """A host of the older era: it is asked while its request waits."""

    in_turns = False

    def __init__(
        self, session: ServerSession, request_id: types.RequestId | None, modes: frozenset[Mode], owner: str | None
    ) -> None:
        self.modes = modes
        self.owner = owner
        self._session = session
        self._request_id = request_id

    def leave(self) -> None:
        self._request_id = None

    async def ask(self, question: Question) -> JSONObject:
        try:
            if question.url is not None:
                result = await self._session.elicit_url(question.text, question.url, question.ticket, self._request_id)
            else:
                result = await self._session.elicit_form(question.text, question.schema or {}, self._request_id)
        except MCPError as error:
            raise QuestionRefused(f"The host could not ask a person: {error.error.message}") from error
        except ValidationError as error:
            raise QuestionRefused("The host's answer cannot be read: it is no answer to a form.") from error
        return cast("JSONObject", result.model_dump(mode="json", include={"action", "content"}))

    async def completed(self, question: Question) -> None:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError), anyio.move_on_after(TOLD_SECONDS):
            await self._session.send_elicit_complete(question.ticket, self._request_id)


@dataclass(frozen=True, slots=True)
class _AsksInTurns:
    """A host of the newer era: its request ends with the questions, and comes again with the answers."""

    modes: frozenset[Mode]
    owner: str | None
    in_turns = True

    async def ask(self, question: Question) -> JSONObject:
        raise QuestionRefused(f"{question.id} is asked in the answer.")

    async def completed(self, question: Question) -> None:
        """In this era the host learns of it by the answer to its request."""

    def leave(self) -> None:
        """It never was tied to a request."""


def host_of(context: ServerRequestContext[dict[str, Any]], *, rounds: int, owner: str | None) -> Host:
    """Return who can bring questions to a person; `rounds` are those that the request has had.

    `owner`: who that is, where one client can be told from another.
    """
    offered = context.session.client_capabilities
    elicits = offered.elicitation if offered is not None else None
    if elicits is None:
        return NO_HOST
    # Before there was a choice, a host that could ask could show a form.
    modes: set[Mode] = {"url"} if elicits.url is not None else set()
    if elicits.form is not None or not modes:
        modes.add("form")
    if context.protocol_version in MODERN_PROTOCOL_VERSIONS:
        return _AsksInTurns(frozenset(modes), owner) if rounds < MOST_ROUNDS else NO_HOST
    return _AsksAtOnce(context.session, context.request_id, frozenset(modes), owner)


def begun(params: types.CallToolRequestParams) -> Begun | None:
    """Read what a request that comes again brings; None for one that comes for the first time."""
    if params.request_state is None:
        return None
    state = json.loads(params.request_state)  # sealed by us, and opened before it came here
    answers = {
        key: cast("JSONObject", response.model_dump(mode="json", include={"action", "content"}))
        for key, response in (params.input_responses or {}).items()
        if isinstance(response, types.ElicitResult)
    }
    return Begun(run=state["run"], rounds=state["rounds"], answers=answers)


def asking(run: str, questions: Sequence[Question], *, rounds: int) -> types.InputRequiredResult:
    """Return the result that ends one round of a request with questions."""
    state = json.dumps({"run": run, "rounds": rounds + 1})
    return types.InputRequiredResult(
        input_requests={each.id: _request(each) for each in questions}, request_state=state
    )


def _request(question: Question) -> types.ElicitRequest:
    if question.url is not None:
        url = types.ElicitRequestURLParams(message=question.text, url=question.url)
        return types.ElicitRequest(params=url)
    form = types.ElicitRequestFormParams(message=question.text, requested_schema=question.schema or {})
    return types.ElicitRequest(params=form)


def sealing(client_of: Callable[[ServerRequestContext[dict[str, Any]]], str]) -> RequestStateBoundary:
    """Return what seals the state of a round: for this process, this client, these arguments, and a day."""
    security = RequestStateSecurity.ephemeral(ttl=EXPIRY_SECONDS)
    security.bind_principal = cast("Any", client_of)
    return RequestStateBoundary(security, default_audience="planact")
