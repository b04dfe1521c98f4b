"""A model in this process: messages in, text out, one request at a time.

For the child process only: a fault of llama.cpp ends the process that it is in. llama.cpp itself is loaded by
`LoadedModel.load`, not by importing this.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from planact_quantized.backend import BackendError, Completion, Usage
from planact_quantized.grammar.automaton import Automaton
from planact_quantized.grammar.gbnf import parse
from planact_quantized.grammar.gbnf_rules import GrammarError
from planact_quantized.llama.chat import ChatFormat
from planact_quantized.llama.constraint import Free
from planact_quantized.llama.context import Aborted
from planact_quantized.llama.decoding import step_costs, write
from planact_quantized.llama.drafting import Policy
from planact_quantized.llama.forcing import Forcing
from planact_quantized.llama.loading import Loaded, load
from planact_quantized.llama.prefixes import MemoryPrefixes, PrefixFolder
from planact_quantized.llama.sampling import GrammarCost, Sampler
from planact_quantized.llama.sequences import Sequences
from planact_quantized.llama.writing import Writing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from planact_quantized.backend import BackendInfo, GenerateRequest, Grammar, Message
    from planact_quantized.llama.constraint import Constraint
    from planact_quantized.settings import EngineSettings

MOST_GRAMMARS = 4
MOST_STATES = 200_000
"""Of one grammar, before its tables are made anew: about 100 MiB."""


class Cancelled(Exception):
    """`Control.cancel` took effect. The model is usable afterwards."""


class Control:
    """Ends a request, or candidates of it, from another thread. For one request."""

    def __init__(self) -> None:
        # Read by C code while it computes: one byte that says it, and a 0 that is never set.
        self._flag = ctypes.create_string_buffer(2)
        self._lock = threading.Lock()
        self._stopped: set[int] = set()

    def cancel(self) -> None:
        """End everything: between two tokens, or within one on devices where llama.cpp looks."""
        self._flag[0] = b"\x01"

    def stop(self, candidate: int) -> None:
        """End this candidate before its next token; its reason is `watched`."""
        with self._lock:
            self._stopped.add(candidate)

    @property
    def cancelled(self) -> bool:
        return self._flag[0] != b"\0"

    @property
    def stopped(self) -> frozenset[int]:
        """The candidates that were ended."""
        with self._lock:
            return frozenset(self._stopped)

    @property
    def flag(self) -> ctypes.Array[ctypes.c_char]:
        return self._flag


class LoadedModel:
    """A model with its context. Not for several threads; only a `Control` is."""

    def __init__(self, loaded: Loaded, settings: EngineSettings) -> None:
        self.info: BackendInfo = loaded.info
        self._loaded = loaded
        self._settings = settings
        self._chat = ChatFormat(loaded.native.api, loaded.vocabulary, template=loaded.template)
        prefixes = (
            MemoryPrefixes()
            if settings.prefixes is None
            else PrefixFolder(settings.prefixes, most_bytes=settings.prefix_bytes)
        )
        self._sequences = Sequences(loaded.context, prefixes, identity=loaded.identity, count=settings.candidates + 1)
        self._grammars: OrderedDict[str, Forcing] = OrderedDict()
        measured = settings.drafting == "auto"
        costs = step_costs(loaded.context, min(loaded.vocabulary.ends, default=0)) if measured else None
        self._policy = Policy(settings.drafting, costs=costs)

    @classmethod
    def load(cls, settings: EngineSettings, *, on_progress: Callable[[float], bool]) -> LoadedModel:
        """Load the file and get ready. Raises BackendError: `model`, `memory`, `unavailable`.

        `on_progress` is called with 0…1; returning False aborts.
        """
        loaded = load(settings, on_progress=on_progress)
        try:
            return cls(loaded, settings)
        except BaseException:
            loaded.close()
            raise

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Return how many tokens the messages take as a prompt."""
        return len(self._chat.prompt(messages, stable_messages=0).tokens)

    def check_grammar(self, grammar: Grammar) -> None:
        """Raise BackendError (`grammar`) where a request with it would."""
        self._forcing(grammar)

    def generate(
        self, request: GenerateRequest, *, on_text: Callable[[int, str], None], control: Control
    ) -> Completion:
        """Write. `on_text` gets (candidate, text) as it comes, in whole characters; joined they are the texts.

        Raises BackendError, Cancelled.
        """
        started = time.perf_counter()
        forcing = None if request.grammar is None else self._forcing(request.grammar)
        prompt = self._chat.prompt(request.messages, stable_messages=request.stable_messages)
        room = self.info.context_tokens
        self._check_size(request, len(prompt.tokens), room)
        cost = GrammarCost()
        first_token = 0.0

        def show(candidate: int, text: str) -> None:
            nonlocal first_token
            first_token = first_token or time.perf_counter()
            on_text(candidate, text)

        def between() -> None:
            if control.cancelled:
                raise Cancelled
            for index in control.stopped:
                if index < len(writings):
                    writings[index].end("watched")

        writings: list[Writing] = []
        context = self._loaded.context
        context.watch(control.flag)
        try:
            evaluated = self._sequences.prepare(prompt.tokens, stable=prompt.stable, between=between)
            self._sequences.share(request.candidates)
            writings += [
                self._writing(index, request, prompt.tokens, forcing, cost, show) for index in range(request.candidates)
            ]
            for each in writings:
                each.force()
            write(context, writings, shared=len(prompt.tokens) - 1, room=room, policy=self._policy, between=between)
            for each in writings:
                self._sequences.remember(each.sequence, each.tokens[: each.evaluated])
        except (Aborted, Cancelled):
            self._drop_candidates()
            raise Cancelled from None
        except BaseException:
            self._sequences.forget()
            raise
        finally:
            context.watch(None)
        ended = time.perf_counter()
        return Completion(
            candidates=tuple(each.result() for each in writings),
            usage=Usage(
                prompt_tokens=len(prompt.tokens),
                evaluated_tokens=evaluated + 1,
                generated_tokens=sum(each.written for each in writings),
                rejected_tokens=cost.rejected,
                seconds_to_first_token=(first_token or ended) - started,
                seconds=ended - started,
                grammar_seconds=cost.seconds,
            ),
        )

    def close(self) -> None:
        """Free the memory. Nothing else may be called afterwards."""
        self._loaded.close()

    def _check_size(self, request: GenerateRequest, prompt_tokens: int, room: int) -> None:
        if not 1 <= request.candidates <= self._settings.candidates:
            raise BackendError(
                f"{request.candidates} candidates were asked for; this model was loaded for 1 to "
                f"{self._settings.candidates}.",
                fault="model",
            )
        if prompt_tokens >= room:
            raise BackendError(
                f"The prompt takes {prompt_tokens} tokens and the context has {room}, which leaves none to write. "
                "Offer fewer tools, or raise `n_ctx`.",
                fault="too_long",
            )

    def _writing(
        self,
        index: int,
        request: GenerateRequest,
        prompt: list[int],
        forcing: Forcing | None,
        cost: GrammarCost,
        on_text: Callable[[int, str], None],
    ) -> Writing:
        temperature = 0.0 if index == 0 and request.candidates > 1 else request.temperature
        vocabulary = self._loaded.vocabulary
        return Writing(
            index,
            prompt=prompt,
            vocabulary=vocabulary,
            sampler=Sampler(vocabulary, cost, temperature=temperature, seed=(request.seed & 0xFFFFFFFF, index)),
            constraint=_start(request.grammar, forcing),
            stops=request.stop,
            max_tokens=request.max_tokens,
            forcing=forcing if self._settings.forced_tokens else None,
            on_text=on_text,
        )

    def _drop_candidates(self) -> None:
        """Drop what the candidates wrote; the prompt stays as far as it was evaluated."""
        for sequence in range(1, self._settings.candidates + 1):
            self._sequences.remember(sequence, ())

    def _forcing(self, grammar: Grammar) -> Forcing:
        """Return the grammar, ready to be held to. Raises BackendError (`grammar`)."""
        ready = self._grammars.pop(grammar.text, None)
        if ready is None or ready.automaton.size > MOST_STATES:
            try:
                ready = Forcing(Automaton(parse(grammar.text)), self._loaded.vocabulary)
            except GrammarError as error:
                raise BackendError(f"The grammar cannot be used. {error}", fault="grammar") from None
        # Kept in order of use: the planner asks again and again with the grammar of the same tools.
        self._grammars[grammar.text] = ready
        while len(self._grammars) > MOST_GRAMMARS:
            self._grammars.popitem(last=False)
        return ready


def _start(grammar: Grammar | None, forcing: Forcing | None) -> Constraint | None:
    if grammar is None or forcing is None:
        return None
    start = forcing.automaton.start
    return Free(grammar.trigger.encode(), start) if grammar.trigger else start
