"""Questions that servers have for a person in the course of a run: open, brought to the host, answered.

A plan waits at the call that led to the question. Whoever asks is named in it, and what comes back is held to the form
that was asked for.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, cast

import anyio

from planact_bridge import QuestionRefused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Hashable, Iterator, Mapping

    from planact_tools import JSONObject, JSONValue

logger = logging.getLogger(__name__)

Mode: TypeAlias = Literal["form", "url"]

EXPIRY_SECONDS = 24 * 3600.0
MOST_QUESTIONS = 100
"""Questions of one run."""

MOST_CHARS = 10_000
"""Of a question's text, and of its form."""

ASKED_AGAIN_SECONDS = 300.0
"""How long a question stays with one request of a host: it may have lost it."""

_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]|[\ud800-\udfff]|\N{ZERO WIDTH SPACE}"
)
"""What a person does not see, or what turns what they see around."""

_ADDRESS = re.compile(
    r"(?i:https?)://[^\s/?#@\\\x00-\x20\x7f-\x9f\u200b-\u202e]+(?:[/?#][^\s\x00-\x20\x7f-\x9f\u200b-\u202e]*)?"
)
"""With a host, and without a name and password before it."""

_CHOICES = frozenset({"enum", "oneOf", "anyOf"})
_NOT_PLAIN = frozenset({"properties", "items", "$ref", "allOf", "not"})
_PRIMITIVES = frozenset({"string", "number", "integer", "boolean"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What one server wants to know of a person."""

    id: str
    server: str
    function: str
    """The tool that was called when it asked."""

    mode: Mode
    message: str
    schema: JSONObject | None = None
    """The form, in form mode: an object of plain values."""

    url: str | None = None
    """Where the person is to go, in URL mode."""

    page: str | None = None
    """What the server calls that page."""

    ticket: str = field(default_factory=lambda: secrets.token_hex(8))
    """What the host is told it is called: no other question of this process has it."""

    @property
    def text(self) -> str:
        """What the person reads. It says who asks: a server could call itself anything in its message."""
        return f"The server {self.server!r} asks, called by {self.function}: {self.message}"

    def pending(self, run: str) -> JSONObject:
        """Return it as an entry of the answer's `pending`."""
        what: JSONObject = {"schema": self.schema} if self.mode == "form" else {"url": self.url}
        how = f'A person answers it: send {{"run": "{run}"}} and the host is asked again.'
        return {
            "question": self.id,
            "server": self.server,
            "function": self.function,
            "message": self.message,
            **what,
            "how": how,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """What a request that comes again says of its run."""

    run: str
    rounds: int
    answers: Mapping[str, JSONObject]
    """By the questions' ids."""


class Host(Protocol):
    """Whoever sent a request, as far as they can bring a question to a person."""

    @property
    def owner(self) -> Hashable | None:
        """Return who is asked there: equal for the same person. None where they cannot be told from others."""
        ...

    @property
    def modes(self) -> frozenset[Mode]:
        """Return what they can ask; nothing for one that cannot."""
        ...

    @property
    def in_turns(self) -> bool:
        """Whether the request ends with the questions, and comes again with the answers."""
        ...

    async def ask(self, question: Question) -> JSONObject:
        """Return the person's answer, as the protocol's result. Raises QuestionRefused."""
        ...

    async def completed(self, question: Question) -> None:
        """Hear that the page of a question was visited to the end."""
        ...

    def leave(self) -> None:
        """The request is answered: what comes later belongs to no request."""
        ...


class _NoHost:
    owner = None
    modes: frozenset[Mode] = frozenset()
    in_turns = False

    async def ask(self, question: Question) -> JSONObject:
        raise QuestionRefused(f"Nobody is there to be asked by {question.server!r}.")

    async def completed(self, question: Question) -> None:
        """Nobody was sent there."""

    def leave(self) -> None:
        """Nobody was there."""


NO_HOST: Host = _NoHost()


class Questions:
    """The questions of one run."""

    def __init__(self, *, told: Callable[[], None]) -> None:
        """`told` is called when there is a new one."""
        self.owner: Hashable = id(self)
        """Whose run it is."""

        self.modes: frozenset[Mode] = frozenset()
        """What the run's host can ask."""

        self.hold: Callable[[Collection[int]], Awaitable[None]] | None = None
        """Told which calls of the plan wait for an answer, whenever they are others."""

        self._told = told
        self._numbers = itertools.count(1)
        self._open: dict[str, tuple[Question, asyncio.Future[JSONObject]]] = {}
        self._calls: dict[str, int] = {}
        """By question: the call that waits."""

        self._since: dict[str, float] = {}
        self._asking: dict[str, tuple[asyncio.Task[None], float]] = {}
        """By question: who asks it, and since when."""

        self._pages: dict[tuple[str, str], tuple[Question, Host]] = {}
        """By the server and its name for it: a page, and who has sent the person there."""

    @property
    def open(self) -> tuple[Question, ...]:
        """Return those that have no answer yet."""
        return tuple(question for question, waiting in self._open.values() if not waiting.done())

    @property
    def since(self) -> float | None:
        """Return when the oldest that is open was asked, on the loop's clock; None where none is."""
        return next(iter(self._since[each.id] for each in self.open), None)

    def refuse_all(self, why: str) -> None:
        """Refuse what is open, in place of whoever might answer."""
        for _, waiting in self._open.values():
            if not waiting.done():
                waiting.set_exception(QuestionRefused(why))

    @property
    def unasked(self) -> tuple[Question, ...]:
        """Return those that no host has been given."""
        return tuple(question for question in self.open if question.id not in self._asking)

    def answer(self, id: str, result: JSONObject) -> None:
        """Take an answer; one that nobody waits for any more is for nobody."""
        _, waiting = self._open.get(id, (None, None))
        if waiting is not None and not waiting.done():
            waiting.set_result(result)

    def bring_to(self, host: Host) -> None:
        """Have a host ask what no other is asking; it may take as long as it likes."""
        for question in self.unasked:
            task = asyncio.create_task(self._bring(question, host), name=f"question {question.id}")
            self._asking[question.id] = task, asyncio.get_running_loop().time()

    def take_back(self, *, older_than: float = 0.0) -> None:
        """Let the next request ask what has been with another for so many seconds.

        Not at once: a form that somebody is filling in would vanish.
        """
        latest = asyncio.get_running_loop().time() - older_than
        for question, (task, since) in list(self._asking.items()):
            if since <= latest:
                task.cancel()
                del self._asking[question]

    async def visited(self, server: str, page: str) -> None:
        """Tell the host that a page which it has sent a person to was visited to the end."""
        if (sent := self._pages.pop((server, page), None)) is not None:
            question, host = sent
            await host.completed(question)

    async def ask(self, server: str, function: str, params: JSONObject, *, call: int = 0) -> JSONObject:
        """Return the result of one `elicitation/create` of a server, for a call. Raises QuestionRefused."""
        number = next(self._numbers)
        question = _read(params, id=f"q_{number}", server=server, function=function)
        if number > MOST_QUESTIONS:
            raise QuestionRefused(f"The plan's servers have asked {MOST_QUESTIONS} questions; that is enough.")
        if question.mode not in self.modes:
            raise QuestionRefused(_nobody_for(question.mode, self.modes))
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[JSONObject] = loop.create_future()
        self._open[question.id] = question, waiting
        self._calls[question.id], self._since[question.id] = call, loop.time()
        try:
            await self._tell_calls()
            self._told()
            async with asyncio.timeout(EXPIRY_SECONDS):
                return _checked(question, await waiting)
        except TimeoutError:
            raise QuestionRefused("Nobody has answered for a day.") from None
        finally:
            del self._open[question.id], self._calls[question.id], self._since[question.id]
            if (asking := self._asking.pop(question.id, None)) is not None:
                asking[0].cancel()
            with anyio.CancelScope(shield=True):  # a call that is given up gives the plan its clock back
                await self._tell_calls()

    async def _tell_calls(self) -> None:
        if self.hold is not None:
            await self.hold(frozenset(self._calls.values()))

    async def _bring(self, question: Question, host: Host) -> None:
        if question.page is not None:
            self._pages[question.server, question.page] = question, host
        try:
            self.answer(question.id, await host.ask(question))
        except QuestionRefused as refusal:
            self._refuse(question, refusal)
        except Exception as error:
            logger.exception("a host's answer to %s cannot be used", question.id)
            self._refuse(question, QuestionRefused(f"The host's answer cannot be used: {type(error).__name__}."))

    def _refuse(self, question: Question, refusal: QuestionRefused) -> None:
        _, waiting = self._open.get(question.id, (None, None))
        if waiting is not None and not waiting.done():
            waiting.set_exception(refusal)


@dataclass(frozen=True, slots=True)
class Asked:
    """The person that one call of a run may have questions for; a `planact_bridge.Person`."""

    questions: Questions
    function: str
    call: int
    """Its number in the plan."""

    @property
    def key(self) -> Hashable:
        return self.questions.owner

    @property
    def capabilities(self) -> JSONObject:
        modes: JSONObject = {mode: {} for mode in sorted(self.questions.modes)}
        return {"elicitation": modes} if modes else {}

    async def ask(self, server: str, params: JSONObject, *, alone: bool = True) -> JSONObject:
        function = self.function if alone else f"{self.function} or another of its tools"
        return await self.questions.ask(server, function, params, call=self.call)

    async def visited(self, server: str, page: str) -> None:
        await self.questions.visited(server, page)


def _nobody_for(mode: Mode, modes: frozenset[Mode]) -> str:
    if modes:
        return f"The host can ask a person in {' and '.join(sorted(modes))} mode only, not in {mode} mode."
    return "Nobody can be asked: neither a host without elicitation nor a terminal brings questions to a person."


def _read(params: JSONObject, *, id: str, server: str, function: str) -> Question:
    """Read a question as leniently as can be. Raises QuestionRefused for what no host could show."""
    given = params.get("message")
    if not isinstance(given, str) or len(given) > MOST_CHARS:
        raise QuestionRefused(f"A question is a text of at most {MOST_CHARS:,} characters.")
    message = _HIDDEN.sub("\N{REPLACEMENT CHARACTER}", given)
    if params.get("mode") not in (None, "form", "url"):
        raise QuestionRefused("A question is a form or an address: its mode is 'form' or 'url'.")
    if params.get("mode") == "url":
        url = params.get("url")
        if not isinstance(url, str) or len(url) > MOST_CHARS or not _ADDRESS.fullmatch(url):
            raise QuestionRefused(
                "A question in URL mode names an address that begins with https:// or http:// and a host."
            )
        page = params.get("elicitationId")
        named = page if isinstance(page, str) and len(page) <= MOST_CHARS else None
        return Question(id=id, server=server, function=function, mode="url", message=message, url=url, page=named)
    schema = _form(params.get("requestedSchema"))
    return Question(id=id, server=server, function=function, mode="form", message=message, schema=schema)


def _form(schema: JSONValue) -> JSONObject:
    """Return a schema that a form can be made of. Raises QuestionRefused."""
    if schema is None:
        return {"type": "object", "properties": {}}
    properties = schema.get("properties", {}) if isinstance(schema, dict) else None
    if not isinstance(schema, dict) or not isinstance(properties, dict) or len(json.dumps(schema)) > MOST_CHARS:
        raise QuestionRefused(f"A form is an object schema of at most {MOST_CHARS:,} characters.")
    if any(map(_HIDDEN.search, _texts(schema))):
        raise QuestionRefused("The form holds characters that nobody can see.")
    fields: JSONObject = {}
    for name, value in properties.items():
        if (plain := _field(value)) is None:
            raise QuestionRefused(f"A form has plain values only, and {name!r} is none: a text, a number, a choice.")
        fields[name] = plain
    required = schema.get("required")
    listed = required if isinstance(required, list) else []
    names = [name for name in listed if isinstance(name, str) and name in properties]
    needed: JSONObject = {"required": cast("list[JSONValue]", names)} if names else {}
    return {"type": "object", "properties": fields, **needed}


def _texts(value: JSONValue) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            yield from value
            for item in value.values():
                yield from _texts(item)
        case list():
            for item in value:
                yield from _texts(item)
        case _:
            pass


def _field(schema: JSONValue) -> JSONObject | None:
    """Return the schema of one field, or None for what no form can show.

    A field that may be left out is often written as one that may be null: forms know only the former.
    """
    if not isinstance(schema, dict):
        return None
    schema = _without_null(schema)
    choice = _choice(schema)
    kind = schema.get("type", "string" if choice and all(isinstance(each, str) for each in choice) else None)
    if kind == "array":
        items = schema.get("items")
        return schema if isinstance(items, dict) and _choice(items) else None
    if not isinstance(kind, str) or kind not in _PRIMITIVES or schema.keys() & _NOT_PLAIN:
        return None
    return {**schema, "type": kind} if choice or not schema.keys() & _CHOICES else None


def _without_null(schema: JSONObject) -> JSONObject:
    for key in ("anyOf", "oneOf"):
        given = schema.get(key)
        others = [each for each in given if each != {"type": "null"}] if isinstance(given, list) else []
        if len(others) == 1 and others != given and isinstance(others[0], dict):
            rest = {name: value for name, value in schema.items() if name != key}
            return _without_null({**others[0], **rest})
    kinds = schema.get("type")
    if isinstance(kinds, list):
        named = [kind for kind in kinds if kind != "null"]
        schema = {**schema, "type": named[0] if len(named) == 1 else kinds}
    return {name: value for name, value in schema.items() if not (name == "default" and value is None)}


def _choice(schema: JSONObject) -> list[JSONValue] | None:
    """Return the few texts or numbers that may be chosen: listed, or each with a title."""
    for key in ("oneOf", "anyOf", "enum"):
        given = schema.get(key)
        if isinstance(given, list):
            values = [each.get("const") if isinstance(each, dict) and key != "enum" else each for each in given]
            return values if all(isinstance(value, str | int | float) for value in values) else None
    return None


def _checked(question: Question, result: JSONObject) -> JSONObject:
    """Return what goes back to the server. Raises QuestionRefused for an answer that does not fit its form."""
    action = result.get("action")
    if action not in ("accept", "decline", "cancel"):
        raise QuestionRefused("The host's answer is none of accept, decline and cancel.")
    if action != "accept" or question.schema is None:
        return {"action": action}
    content = result.get("content")
    given = content if isinstance(content, dict) else {}
    # Checking takes a library that a server starts without.
    from planact_server.catalog.checker import Checker  # noqa: PLC0415
    from planact_server.catalog.schemas import clean  # noqa: PLC0415

    error = Checker(clean(question.schema)).first_error(given)
    if error is not None:
        place = ".".join(map(str, error.path)) or "the form"
        raise QuestionRefused(f"The answer does not fit the form: {place}: {error.message[:200]}.")
    return {"action": "accept", "content": given}
