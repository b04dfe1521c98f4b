"""What a server may ask in the middle of a call, whom it asks, and the refusal it gets where nobody can answer."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import anyio
from mcp_types import INVALID_REQUEST, METHOD_NOT_FOUND

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Hashable, Mapping

    from planact_tools import JSONObject

ELICITATION = "elicitation/create"
_NAMES = {ELICITATION: "questions to the user", "sampling/createMessage": "sampling", "roots/list": "roots"}

GIVEN_UP_SECONDS = 30.0
"""How long a server may take to notice that a call was given up: until then it may ask for it."""

LEFT_ALONE_SECONDS = 600.0
"""A question that has been open for so long gives way to one for somebody else: whoever had it may have gone."""

OFFERED: JSONObject = {"elicitation": {"form": {}, "url": {}}}
"""What servers of the older era are told when they connect: who will call is not known by then."""


class QuestionRefused(Exception):
    """Nobody will answer; code and message go back to the server."""

    def __init__(self, message: str, *, code: int = INVALID_REQUEST) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class Person(Protocol):
    """Whoever is there to be asked in the course of one call."""

    @property
    def key(self) -> Hashable:
        """Equal for calls on behalf of the same person."""
        ...

    @property
    def capabilities(self) -> JSONObject:
        """Return what may be asked, as the protocol's client capabilities."""
        ...

    async def ask(self, server: str, params: JSONObject, *, alone: bool = True) -> JSONObject:
        """Return the result of one `elicitation/create`. Raises QuestionRefused.

        `alone`: it can only be about this call, and not about another one for the same person.
        """
        ...

    async def visited(self, server: str, page: str) -> None:
        """Hear that a server's page was visited to the end, by the id that its question in URL mode gave it."""
        ...


class _Nobody:
    """Nobody is there: every question is refused."""

    key = None

    @property
    def capabilities(self) -> JSONObject:
        return {}

    async def ask(self, server: str, params: JSONObject, *, alone: bool = True) -> JSONObject:  # noqa: ARG002 - the seam's
        raise refused(ELICITATION)

    async def visited(self, server: str, page: str) -> None:
        """Nobody was sent there."""


NOBODY: Person = _Nobody()


def refused(method: str) -> QuestionRefused:
    """Return the refusal of what Planact offers to nobody, or to nobody in this call."""
    what = _NAMES.get(method, f"{method!r}")
    code = INVALID_REQUEST if method == ELICITATION else METHOD_NOT_FOUND
    return QuestionRefused(f"Planact does not offer {what}.", code=code)


async def ask_together(server: str, requests: Mapping[str, JSONObject], person: Person) -> dict[str, JSONObject]:
    """Have everything asked that a server asks at once. Raises QuestionRefused as soon as something is refused."""
    answers: dict[str, JSONObject] = {}
    refusals: list[QuestionRefused] = []

    async def ask(key: str, request: JSONObject) -> None:
        method, params = request.get("method"), request.get("params")
        try:
            if method != ELICITATION:
                raise refused(str(method))
            answers[key] = await person.ask(server, params if isinstance(params, dict) else {})
        except QuestionRefused as refusal:
            refusals.append(refusal)
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for key, request in requests.items():
            tasks.start_soon(ask, key, request)
    for refusal in refusals:
        raise refusal
    return answers


@dataclass(eq=False, slots=True)
class _OpenCall:
    person: Person
    deadline: anyio.CancelScope
    holds: int = 0
    left: float = 0.0
    left_alone: bool = False


@dataclass(eq=False, slots=True)
class _OpenQuestion:
    calls: set[_OpenCall]
    scope: anyio.CancelScope
    since: float


class OpenCalls:
    """The calls that are under way on one connection: a question of the older era does not say which it is about."""

    def __init__(self, *, sent: Callable[[JSONObject, Person], None]) -> None:
        """`sent` is told of every question that somebody is about to be asked, and whom."""
        self._sent = sent
        self._open: list[_OpenCall] = []
        self._questions: list[_OpenQuestion] = []
        self._given_up: list[tuple[Person, float]] = []
        """For whom a call was given up, and until when the server may still be asking for it."""

    @contextmanager
    def during(self, person: Person, deadline: anyio.CancelScope) -> Generator[None]:
        """A call is under way for `person`, as long as `deadline` allows."""
        call = _OpenCall(person, deadline)
        self._open.append(call)
        try:
            yield
        except anyio.get_cancelled_exc_class():
            now = anyio.current_time()
            self._given_up = [*self._still_given_up(now), (person, now + GIVEN_UP_SECONDS)]
            raise
        finally:
            self._open.remove(call)
            for question in self._questions:
                question.calls.discard(call)
                if not question.calls:  # not every server takes back what it asked for a call that is over
                    question.scope.cancel()

    async def ask(self, server: str, method: str, params: JSONObject) -> JSONObject:
        """Have the person asked whom a question can only be meant for. Raises QuestionRefused.

        Time that they take is not the calls': their deadlines stand still meanwhile.
        """
        if method != ELICITATION:
            raise refused(method)
        if not self._open:
            raise refused(method)
        others = [person for person, _ in self._still_given_up(anyio.current_time())]
        asked = self._asked_for(others)
        if not asked:
            raise QuestionRefused(
                "Planact is calling this server for several clients at once, and the question does not say for which."
            )
        # Whose question has no answer yet is hardly the one that asks again.
        new = next((call for call in reversed(asked) if not call.holds), asked[-1])
        _hold(asked)
        with anyio.CancelScope() as scope:
            question = _OpenQuestion(set(asked), scope, anyio.current_time())
            self._questions.append(question)
            try:
                self._sent(params, new.person)
                return await new.person.ask(server, params, alone=len(asked) + len(others) == 1)
            finally:
                self._questions.remove(question)
                _release(asked)
        raise QuestionRefused("The call in which it was asked is over.")

    def _asked_for(self, others: list[Person]) -> list[_OpenCall]:
        """Return the calls that a question may be about, all for one person; none where it may be for another."""
        for give_way in (False, True):
            if give_way:
                self._give_way()
            asked = [call for call in self._open if not call.left_alone]
            if len({person.key for person in (*(call.person for call in asked), *others)}) == 1:
                return asked
        return []

    def _give_way(self) -> None:
        """Refuse what has been open for long: whoever it was brought to has had their time."""
        for question in self._questions:
            if anyio.current_time() - question.since >= LEFT_ALONE_SECONDS:
                question.scope.cancel()
                for call in question.calls:
                    call.left_alone = True

    def _still_given_up(self, now: float) -> list[tuple[Person, float]]:
        return [(person, until) for person, until in self._given_up if until > now]


def _hold(calls: list[_OpenCall]) -> None:
    for call in calls:
        if not call.holds:
            call.left = call.deadline.deadline - anyio.current_time()
            call.deadline.deadline = float("inf")
        call.holds += 1


def _release(calls: list[_OpenCall]) -> None:
    for call in calls:
        call.holds -= 1
        if not call.holds:
            call.deadline.deadline = anyio.current_time() + call.left
