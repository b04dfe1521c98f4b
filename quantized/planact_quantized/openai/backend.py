"""Any server that speaks the OpenAI protocol as the planner's model: llama-server, Ollama, LM Studio, vLLM, others.

Only chat completions are needed. What a runtime has beyond that is asked for once (`extras.py`) and used where
it is there: exact token counts, grammars, the context's length.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
import httpx2

from planact_quantized.backend import BackendError, BackendInfo, Completion, Usage
from planact_quantized.openai.address import Address, read_address
from planact_quantized.openai.extras import PROBE_SECONDS, Extras, find_extras
from planact_quantized.openai.faults import Faults
from planact_quantized.openai.foreign_json import list_at, number_at, text_at
from planact_quantized.openai.pages import fetch
from planact_quantized.openai.writing import Patience, Writer, chat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planact_quantized.backend import GenerateRequest, Message, Watcher
    from planact_quantized.openai.writing import Written

MOST_CANDIDATES = 8
CHARS_PER_TOKEN = 3
"""Of plain ASCII, at least: code and prose have more, so the estimate is an upper one."""

TOKENS_PER_MESSAGE = 8
"""For what a chat template puts around a message."""

NAME_CHARS = 200
"""Of a model's name, as it is shown. Requests have the whole of it, whatever a server calls its models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Server:
    """A server that has answered."""

    info: BackendInfo
    model: str
    listed: tuple[str, ...]
    base: str
    extras: Extras
    faults: Faults


@dataclass(slots=True, kw_only=True)
class OpenAIBackend:
    """Writes texts through a model server. Nothing is sent before `start`, `count_tokens` or `generate`."""

    base_url: str
    model: str = ""
    """Empty: the one that is loaded there, or the first that it lists."""

    api_key: str | None = field(default=None, repr=False)
    patience: Patience = field(default_factory=Patience)
    _http: httpx2.AsyncClient | None = field(default=None, init=False, repr=False)
    _server: _Server | None = field(default=None, init=False, repr=False)
    _writer: Writer | None = field(default=None, init=False, repr=False)
    _starting: anyio.Lock = field(default_factory=anyio.Lock, init=False, repr=False)

    async def start(self) -> BackendInfo:
        """Reach the server, choose the model and find out what the server can do. Raises BackendError."""
        return (await self._reached()).info

    async def models(self) -> tuple[str, ...]:
        """Return the names of the models that the server lists; none where it has no list. Raises BackendError."""
        return (await self._reached()).listed

    async def count_tokens(self, messages: Sequence[Message]) -> int:
        """Return how many tokens the messages take: counted by the server where it can, else an upper estimate."""
        server = await self._reached()
        counted = 0
        if server.extras.runtime == "llama-server":
            prompt = text_at(await self._page("/apply-template", {"messages": chat(messages)}), "prompt")
            if prompt:
                body = {"content": prompt, "add_special": True, "parse_special": True}
                counted = len(list_at(await self._page("/tokenize", body), "tokens"))
        elif server.extras.runtime == "vLLM":
            body = {"model": server.model, "messages": chat(messages)}
            counted = number_at(await self._page("/tokenize", body), "count")
        return counted or estimate(messages)

    async def generate(self, request: GenerateRequest, *, watch: Watcher | None = None) -> Completion:
        """Write texts, all candidates at once. Raises BackendError; cancelling the await closes the connections."""
        started = anyio.current_time()
        server = await self._reached()
        writer = self._writing(server)
        turns = anyio.Semaphore(1 if server.extras.one_at_a_time else MOST_CANDIDATES)
        texts: dict[int, Written] = {}
        failed: list[Exception] = []

        async def write(number: int) -> None:
            try:
                async with turns:
                    texts[number] = await writer.write(request, number, watch)
            except Exception as error:  # noqa: BLE001 - raised below, by itself: `watch` may raise anything
                failed.append(error)
                tasks.cancel_scope.cancel()  # one request, one answer: the others would be thrown away

        async with anyio.create_task_group() as tasks:
            for number in range(max(request.candidates, 1)):
                tasks.start_soon(write, number)
        if failed:
            raise failed[0]
        written = [texts[number] for number in sorted(texts)]
        return Completion(
            candidates=tuple(each.candidate for each in written),
            usage=_usage(written, request.messages, seconds=anyio.current_time() - started),
        )

    async def aclose(self) -> None:
        """Close all connections. May be called twice; a later request opens new ones."""
        http, self._http, self._server, self._writer = self._http, None, None, None
        if http is not None:
            await http.aclose()

    async def _reached(self) -> _Server:
        async with self._starting:
            if self._server is None:
                self._server = await self._reach()
            return self._server

    async def _reach(self) -> _Server:
        try:
            address = read_address(self.base_url)
        except ValueError as error:
            raise BackendError(f"`base_url` in [planner]: {error}.", fault="refused") from None
        http = self._client(address)
        faults = Faults(server=address.shown, key=self.api_key, model=self.model)
        try:
            base, models = await self._models(http, address, faults)
        except httpx2.RequestError as error:
            raise faults.transport(error) from error
        extras = await find_extras(http, address.root, models, self.model)
        listed = tuple(filter(None, (text_at(each, "id") for each in list_at(models, "data"))))
        model = self.model or extras.model or next(iter(listed), "")
        if not model:
            raise faults.no_model()
        info = BackendInfo(
            kind="openai",
            model=_shown(model),
            device=address.host,
            context_tokens=extras.context_tokens,
            candidates=MOST_CANDIDATES,
            grammar=extras.grammar,
            local=address.local,
            extras=dict(extras.facts),
        )
        names = tuple(map(_shown, listed))
        known = Faults(server=address.shown, key=self.api_key, model=_shown(model), models=names)
        return _Server(info=info, model=model, listed=listed, base=base, extras=extras, faults=known)

    async def _models(self, http: httpx2.AsyncClient, address: Address, faults: Faults) -> tuple[str, object]:
        """Find where the API begins, and read its list of models; servers without one are taken as they are."""
        try:
            with anyio.fail_after(self.patience.models):
                for base in address.bases:
                    page = await fetch(http, f"{base}/models")
                    if page.status in (401, 403):
                        raise faults.status(page.status, page.text, page.headers)
                    if (models := page.json()) is not None:
                        return base, models
        except TimeoutError:
            raise faults.late("no list of models", self.patience.models) from None
        return address.bases[0], None

    def _client(self, address: Address) -> httpx2.AsyncClient:
        if self._http is None:
            headers = {"authorization": f"Bearer {self.api_key}"} if self.api_key else {}
            try:
                self._http = httpx2.AsyncClient(
                    headers=headers,
                    timeout=httpx2.Timeout(self.patience.connect, read=None, pool=None),
                    limits=httpx2.Limits(max_connections=None, max_keepalive_connections=MOST_CANDIDATES),
                    verify=address.root.startswith("https:"),  # reading the certificates takes longer than a request
                    trust_env=not address.local,  # a proxy cannot reach this machine's own servers
                )
            except UnicodeEncodeError:
                raise BackendError(
                    "`api_key` in [planner] holds characters that no key has.", fault="refused"
                ) from None
        return self._http

    def _writing(self, server: _Server) -> Writer:
        if self._writer is None:
            assert self._http is not None  # noqa: S101 - whoever has reached a server has a client
            self._writer = Writer(
                http=self._http,
                base=server.base,
                root=read_address(self.base_url).root,
                model=server.model,
                takes_grammar=server.extras.grammar,
                faults=server.faults,
                patience=self.patience,
            )
        return self._writer

    async def _page(self, path: str, body: object) -> object:
        """Ask one of a runtime's own pages; None when it does not answer."""
        http, root = self._http, read_address(self.base_url).root
        if http is None:
            return None
        try:
            with anyio.fail_after(max(PROBE_SECONDS, self.patience.connect)):
                return (await fetch(http, f"{root}{path}", body)).json()
        except (TimeoutError, httpx2.HTTPError):
            return None


def estimate(messages: Sequence[Message]) -> int:
    """Return an upper estimate of the tokens that messages take."""
    text = "".join(message.content for message in messages)
    ascii_chars = sum(char.isascii() for char in text)
    rare = 2 * (len(text) - ascii_chars)
    return -(-ascii_chars // CHARS_PER_TOKEN) + rare + TOKENS_PER_MESSAGE * len(messages)


def _shown(name: str) -> str:
    return name if len(name) <= NAME_CHARS else f"{name[: NAME_CHARS - 1]}…"


def _usage(written: Sequence[Written], messages: Sequence[Message], *, seconds: float) -> Usage:
    """Add up what the server said; what it left out is estimated, and the whole is marked so."""
    told = max(each.prompt_tokens for each in written)
    prompts = [each.prompt_tokens or told or estimate(messages) for each in written]
    return Usage(
        prompt_tokens=max(prompts),
        evaluated_tokens=sum(
            max(prompt - each.cached_tokens, 0) for prompt, each in zip(prompts, written, strict=True)
        ),
        generated_tokens=sum(each.candidate.tokens for each in written),
        estimated=any(not each.counted or not each.prompt_tokens for each in written),
        seconds_to_first_token=min(each.seconds_to_first_token for each in written),
        seconds=seconds,
    )


__all__ = ["OpenAIBackend", "Patience"]
