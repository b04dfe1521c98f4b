"""The seam between a planner and whatever writes text for it.

A `Backend` turns messages into text: the engine (llama.cpp in a child process) or any server that speaks the
OpenAI protocol. What is above this seam does not ask which; what is below it knows nothing of tools or plans.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

Role: TypeAlias = Literal["system", "user", "assistant"]
StopReason: TypeAlias = Literal["end", "length", "watched", "repetition"]
"""Why a text ended: the model was done, `max_tokens`, a `Watcher` said so, or it went round in circles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """What a text must look like, as GBNF (llama.cpp, grammars/README.md)."""

    text: str
    """Rules; the first one to hold is `root`."""

    trigger: str | None = None
    """The text is free until it contains this, and held to `root` from the character behind it on (a *late*
    grammar). None: `root` holds from the first token. Either way the text is over where `root` is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateRequest:
    """What a backend is asked to write."""

    messages: Sequence[Message]
    stable_messages: int = 1
    """How many leading messages stay the same between requests; a backend may keep them evaluated."""

    grammar: Grammar | None = None
    """A backend that cannot hold to one ignores it and says so in `BackendInfo.grammar`."""

    max_tokens: int = 1024
    temperature: float = 0.0
    """0: greedy, the same text every time."""

    seed: int = 0
    candidates: int = 1
    """How many texts, written side by side over one evaluated prompt. With more than one, `temperature` should
    not be 0; the first candidate is greedy whatever it is."""

    priority: int = 0
    """Higher ones are served first among those that wait; equal ones in order of arrival."""

    stop: Sequence[str] = ()
    """Texts that end a candidate; they are not part of it."""


Watcher: TypeAlias = Callable[[int, str], bool]
"""Called with (candidate, piece of text) while the text is being written; returns True to end that candidate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One text."""

    text: str
    stop: StopReason
    tokens: int
    forced_tokens: int = 0
    """Tokens that the grammar left no choice about, and that were therefore not sampled."""

    drafted_tokens: int = 0
    """Tokens that a guess from the prompt got right, each a decoding step saved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a request cost. Times in seconds; a backend that cannot tell leaves 0."""

    prompt_tokens: int = 0
    evaluated_tokens: int = 0
    """Of the prompt: what was not there already, from an earlier request or a file."""

    generated_tokens: int = 0
    estimated: bool = False
    """The backend was not told, and counts of tokens are guesses: characters of the prompt, pieces of the text."""

    rejected_tokens: int = 0
    """How often the grammar did not allow the token that the model wanted most."""

    seconds_queued: float = 0.0
    seconds_to_first_token: float = 0.0
    seconds: float = 0.0
    grammar_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """The candidates in order; at least one."""

    candidates: tuple[Candidate, ...]
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendInfo:
    """What answers: for `planact doctor`, and for a planner that adapts to it."""

    kind: Literal["local", "openai"]
    model: str
    """A name for people: a model's id or file name."""

    device: str = ""
    """Where it runs: "CPU", "CUDA0: NVIDIA …", or the host of a `base_url`."""

    context_tokens: int = 0
    """Longest prompt and text together; 0 when unknown."""

    layers: int = 0
    offloaded_layers: int = 0
    candidates: int = 1
    """Most candidates in one request."""

    grammar: bool = False
    """It holds texts to a grammar while writing them."""

    local: bool = True
    """False when the text leaves this machine."""

    extras: dict[str, str] = field(default_factory=dict[str, str])
    """What else is known, for people: quantization, flash attention, a server's version."""


class Backend(Protocol):
    """Something that writes text. Every method may raise BackendError."""

    async def start(self) -> BackendInfo:
        """Get ready (load the model, reach the server) if that has not happened yet, and say what answers."""
        ...

    async def count_tokens(self, messages: Sequence[Message]) -> int:
        """Return how many tokens the messages take as a prompt; an upper estimate where a backend cannot count."""
        ...

    async def generate(self, request: GenerateRequest, *, watch: Watcher | None = None) -> Completion:
        """Write text. Cancelling the await stops the writing; nothing goes on in the background."""
        ...

    async def aclose(self) -> None: ...


BackendFault: TypeAlias = Literal[
    "unavailable",  # nothing is installed, configured or reachable
    "model",  # the model file cannot be used
    "memory",  # it does not fit
    "crashed",  # the process ended while it worked
    "grammar",  # the grammar is not one
    "too_long",  # the prompt does not fit the context
    "timeout",  # no answer in time
    "protocol",  # an answer that cannot be read
    "refused",  # the server said no: authorization, unknown model, overload
]


class BackendError(Exception):
    """No text can be had. The message says what happened, names the thing, and says what to do."""

    def __init__(self, message: str, *, fault: BackendFault) -> None:
        super().__init__(message)
        self.message = message
        self.fault: BackendFault = fault
