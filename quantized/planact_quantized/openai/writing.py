"""One text from a model server: the request, the stream, its deadlines, and what to do when a field is refused."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
import httpx2

from planact_quantized.backend import Candidate
from planact_quantized.openai.faults import words
from planact_quantized.openai.foreign_json import text_at
from planact_quantized.openai.grammar import grammar_fields
from planact_quantized.openai.pages import fetch, read_page
from planact_quantized.openai.stream import EventReader, UnreadableError, read_chunk
from planact_quantized.openai.text import GrowingText

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from planact_quantized.backend import GenerateRequest, Message, StopReason, Watcher
    from planact_quantized.openai.faults import Faults
    from planact_quantized.openai.pages import Page
    from planact_quantized.openai.stream import Chunk

STOPS = 4
"""Most stop texts that every server takes. `GrowingText` looks for all of them as well."""

BUSY = (429, 503)
REFUSED = (400, 422, 501)
"""What servers answer to a field that they do not know, or do not want."""

DISPENSABLE = ("stream_options", "cache_prompt", "seed", "temperature", "stream")
"""Fields that a request can do without; a refusal names them. The longer name before the one that it holds."""

TAIL_SECONDS = 5.0
"""For what may follow the end of a text: its cost, and the end of the stream, which frees the connection."""

DEFAULT_WAIT_SECONDS = 1.0
"""Before asking a busy server again that does not say when."""

LEAST_WAIT_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a model server may take, in seconds."""

    connect: float = 10.0
    models: float = 10.0
    """For the list of models, the first thing that is asked for; nothing has to be computed for it."""

    first_token: float = 300.0
    """From the request to the first of the text. A long prompt on a CPU takes minutes."""

    between: float = 60.0
    """From one piece of the text to the next."""

    whole: float = 1800.0
    busy: float = 60.0
    """Altogether, waiting for a server that is busy or still loading its model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One text and what it cost."""

    candidate: Candidate
    prompt_tokens: int = 0
    """0: the server did not say."""

    cached_tokens: int = 0
    counted: bool = True
    """The server said how many tokens the text has. Otherwise they are the pieces in which it came."""

    seconds_to_first_token: float = 0.0


_HANG_UPS = (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError)


class _AgainError(Exception):
    """The request has to be sent once more."""


@dataclass(slots=True, kw_only=True)
class Writer:
    """Asks one model of one server for texts, and remembers what the server does not take."""

    http: httpx2.AsyncClient
    base: str
    root: str
    model: str
    takes_grammar: bool
    faults: Faults
    patience: Patience
    _refused: set[str] = field(default_factory=set[str], init=False)
    _budget: str = field(default="max_tokens", init=False)
    """How the server calls the limit of a text."""

    async def write(self, request: GenerateRequest, number: int, watch: Watcher | None) -> Written:
        """Write candidate `number`. Raises BackendError."""
        try:
            with anyio.fail_after(self.patience.whole):
                return await self._write(request, number, watch)
        except TimeoutError:
            raise self.faults.late("no whole answer", self.patience.whole) from None

    async def _write(self, request: GenerateRequest, number: int, watch: Watcher | None) -> Written:
        patient_until = anyio.current_time() + self.patience.busy
        hung_up = False
        while True:
            attempt = _Attempt(self, request, number, watch, patient_until)
            try:
                return await attempt.write()
            except _AgainError:
                continue
            except _HANG_UPS as error:
                # A kept connection that the server has just closed: the request has not reached anybody.
                if hung_up or attempt.answered:
                    raise self.faults.transport(error) from error
                hung_up = True
            except httpx2.RequestError as error:
                raise self.faults.transport(error) from error

    async def request(self, request: GenerateRequest, number: int) -> tuple[str, dict[str, object], bool]:
        """Return URL and body for one text, and whether it will be held to the request's grammar."""
        common: dict[str, object] = {
            "model": self.model,
            "stream": True,
            "seed": request.seed + number,
            "temperature": 0.0 if number == 0 and request.candidates > 1 else request.temperature,
        }
        messages = chat(request.messages)
        if request.grammar is not None and self.takes_grammar and (prompt := await self._prompt(messages)):
            fields = {"prompt": prompt, "n_predict": request.max_tokens, "cache_prompt": True}
            stops = {"stop": list(request.stop)} if request.stop else {}
            body = {**common, **fields, **stops, **grammar_fields(request.grammar)}
            return f"{self.root}/completion", self._without_refused(body), True
        body = {
            **common,
            "messages": messages,
            self._budget: request.max_tokens,
            "stream_options": {"include_usage": True},
            **({"stop": list(request.stop)[:STOPS]} if request.stop else {}),
        }
        return f"{self.base}/chat/completions", self._without_refused(body), False

    def _without_refused(self, body: Mapping[str, object]) -> dict[str, object]:
        refused = set(self._refused)
        if "stream" in refused:
            refused.add("stream_options")
        return {name: value for name, value in body.items() if name not in refused}

    async def _prompt(self, messages: object) -> str:
        """Return the messages as the server's own template writes them; nothing where it does not say."""
        return text_at((await fetch(self.http, f"{self.root}/apply-template", {"messages": messages})).json(), "prompt")

    def learn(self, body: Mapping[str, object], said: str) -> bool:
        """Take a refusal to heart: leave a field out from now on. False when it is about something else."""
        lowered = said.lower()
        if "max_completion_tokens" in lowered and self._budget in body and self._budget != "max_completion_tokens":
            self._budget = "max_completion_tokens"
            return True
        for name in DISPENSABLE:
            if name in body and name in lowered:
                self._refused.add(name)
                return True
        return False


class _Attempt:
    """One request and its answer."""

    def __init__(
        self, writer: Writer, request: GenerateRequest, number: int, watch: Watcher | None, patient_until: float
    ) -> None:
        self._writer = writer
        self._request = request
        self._number = number
        self._watch = watch
        self._text = GrowingText(request, number, watch)
        self._patient_until = patient_until
        self._started = anyio.current_time()
        self.answered = False
        """Whether the server has begun to answer."""

        self._first: float | None = None
        self._ending: StopReason | None = None
        self._prompt_tokens = self._cached_tokens = self._generated_tokens = 0

    async def write(self) -> Written:
        """Send, read to the end. Raises BackendError, _AgainError, TransportError."""
        writer, faults = self._writer, self._writer.faults
        with anyio.move_on_after(writer.patience.first_token) as patience:
            url, body, held = await writer.request(self._request, self._number)
            outgoing = writer.http.build_request("POST", url, json=body)
            response = await writer.http.send(outgoing, stream=True)
            self.answered = True
            try:
                if response.status_code != 200:
                    page = await read_page(response)
                    await response.aclose()
                    await self._refuse(page, body, held=held)
                # From here on every piece of the text has a deadline of its own.
                await self._read(response, patience)
            except UnreadableError as error:
                raise faults.unreadable(str(error)) from None
            finally:
                await response.aclose()
        if patience.cancelled_caught and self._ending is None:
            what = "no text" if self._first is None else "no more text"
            waited = writer.patience.first_token if self._first is None else writer.patience.between
            raise faults.late(what, waited)
        return self._written()

    async def _read(self, response: httpx2.Response, patience: anyio.CancelScope) -> None:
        events = EventReader()
        async for data in response.aiter_bytes():
            if self._take(events.feed(data), patience):
                return  # leaving closes the connection, and the server stops writing
            if events.done:
                self._over("end", patience)
        if self._take(events.finish(), patience):
            return
        if self._ending is None and not events.done:
            raise self._writer.faults.half()

    def _take(self, events: Sequence[object], patience: anyio.CancelScope) -> bool:
        """Take what has arrived; return whether nothing more is wanted."""
        for event in events:
            chunk = read_chunk(event)
            if chunk.error is not None:
                raise self._writer.faults.in_stream(chunk.error)
            self._count(chunk)
            if self._ending is not None:
                continue  # the text is over: what follows is its cost, and has a deadline already
            if chunk.text or chunk.thinking:
                self._progress(patience)
            if chunk.text and self._text.add(chunk.text):
                self._ending = self._text.stop
                return True
            if chunk.ending is not None:
                self._over(chunk.ending, patience)
        return False

    def _over(self, ending: StopReason, patience: anyio.CancelScope) -> None:
        """Note the end of the text; the deadline for what follows is set once."""
        if self._ending is None:
            self._ending = ending
            patience.deadline = anyio.current_time() + TAIL_SECONDS

    def _progress(self, patience: anyio.CancelScope) -> None:
        now = anyio.current_time()
        if self._first is None:
            self._first = now - self._started
        patience.deadline = now + self._writer.patience.between

    def _count(self, chunk: Chunk) -> None:
        self._prompt_tokens = chunk.prompt_tokens or self._prompt_tokens
        self._cached_tokens = chunk.cached_tokens or self._cached_tokens
        self._generated_tokens = chunk.generated_tokens or self._generated_tokens

    async def _refuse(self, page: Page, body: Mapping[str, object], *, held: bool) -> None:
        """Do something about a status that is not 200, or raise what it means."""
        faults, status, said = self._writer.faults, page.status, page.text
        if status in BUSY:
            wait = _wait_seconds(page.headers)
            if anyio.current_time() + wait > self._patient_until:
                raise faults.status(status, said, page.headers)
            await anyio.sleep(wait)
            raise _AgainError
        if held and "grammar" in said.lower():
            raise faults.grammar(said)
        if status in REFUSED and self._writer.learn(body, words(said)):
            raise _AgainError
        raise faults.status(status, said, page.headers)

    def _written(self) -> Written:
        return Written(
            candidate=Candidate(
                text=self._text.text, stop=self._ending or "end", tokens=self._generated_tokens or self._text.pieces
            ),
            prompt_tokens=self._prompt_tokens,
            cached_tokens=self._cached_tokens,
            counted=self._generated_tokens > 0,
            seconds_to_first_token=self._first or 0.0,
        )


def chat(messages: Sequence[Message]) -> list[dict[str, str]]:
    """Return messages as the protocol writes them."""
    return [{"role": message.role, "content": message.content} for message in messages]


def _wait_seconds(headers: Mapping[str, str]) -> float:
    """Return how long the server asks to wait. It may also name a date, which no model server does.

    Never shorter than `LEAST_WAIT_SECONDS`: a busy server that says 0 is not to be asked a thousand times a second.
    """
    try:
        wait = float(headers.get("retry-after", ""))
    except ValueError:
        return DEFAULT_WAIT_SECONDS
    return DEFAULT_WAIT_SECONDS if math.isnan(wait) else max(wait, LEAST_WAIT_SECONDS)
