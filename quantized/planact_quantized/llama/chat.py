"""Messages to the tokens that a model was trained on.

Only the frame of a conversation becomes control tokens. What people and tools wrote is plain text, whatever it
spells: a file that contains `<|im_end|>` cannot end a turn.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from planact_quantized.backend import BackendError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planact_quantized.backend import Message
    from planact_quantized.llama.vocabulary import Vocabulary

START, END = "<|im_start|>", "<|im_end|>"
_PLACE = "\ue0f0{}\ue0f1"
"""Stands for a message while llama.cpp lays out the frame; private characters that no template has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A conversation up to where the model writes on."""

    tokens: list[int]
    stable: int
    """How many leading tokens belong to the messages that stay the same."""


class ChatFormat:
    """How one model wants its conversations. Raises BackendError (`model`) where that is not known."""

    def __init__(self, api: Any, vocabulary: Vocabulary, *, template: str | None) -> None:
        self._api = api
        self._vocabulary = vocabulary
        self._template = template
        start, end = vocabulary.control(START), vocabulary.control(END)
        has_tokens = start is not None and end is not None
        self._chatml = (start, end) if has_tokens and (template is None or START in template) else None
        if self._chatml is None and self._frame([("user", _PLACE.format(0))]) is None:
            raise BackendError(
                "The model's chat template is not one that llama.cpp knows, and not ChatML, so it cannot be asked "
                "anything. Use a model with a known template, such as Qwen2.5 or the Dria-Agent models.",
                fault="model",
            )

    def prompt(self, messages: Sequence[Message], *, stable_messages: int) -> Prompt:
        """Return the tokens of the messages and of the start of the answer."""
        if self._chatml is not None:
            return self._by_chatml(messages, stable_messages, *self._chatml)
        return self._by_template(messages, stable_messages)

    def _by_chatml(self, messages: Sequence[Message], stable_messages: int, start: Any, end: Any) -> Prompt:
        plain = self._vocabulary.tokenize
        newline = plain("\n")
        tokens, stable = list(self._vocabulary.first), 0
        for index, message in enumerate(messages):
            # The role and the text are one piece to the tokenizer: a text that begins with a line break must come out
            # as it did in training.
            tokens += [start, *plain(f"{message.role}\n{message.content}"), end, *newline]
            if index < stable_messages:
                stable = len(tokens)
        tokens += [start, *plain("assistant\n")]
        return Prompt(tokens=tokens, stable=stable)

    def _by_template(self, messages: Sequence[Message], stable_messages: int) -> Prompt:
        frame = self._frame([(message.role, _PLACE.format(index)) for index, message in enumerate(messages)])
        tokens, stable, rest = list(self._vocabulary.first), 0, frame or ""
        for index, message in enumerate(messages):
            before, place, rest = rest.partition(_PLACE.format(index))
            if not place:
                raise BackendError(
                    f"The model's chat template has no place for a message of role {message.role!r} there.",
                    fault="model",
                )
            tokens += self._vocabulary.tokenize(before, special=True)
            tokens += self._vocabulary.tokenize(message.content)
            if index < stable_messages:
                stable = len(tokens)
        tokens += self._vocabulary.tokenize(rest, special=True)
        return Prompt(tokens=tokens, stable=stable)

    def _frame(self, turns: Sequence[tuple[str, str]]) -> str | None:
        """Return llama.cpp's layout of the turns; None where it does not know the template."""
        if self._template is None:
            return None
        chat = (self._api.llama_chat_message * len(turns))()
        for slot, (role, content) in zip(chat, turns, strict=True):
            slot.role, slot.content = role.encode(), content.encode()
        room = 1024 + 256 * len(turns)
        buffer = ctypes.create_string_buffer(room)
        length = self._api.llama_chat_apply_template(self._template.encode(), chat, len(turns), True, buffer, room)
        return buffer.raw[:length].decode() if 0 <= length <= room else None
