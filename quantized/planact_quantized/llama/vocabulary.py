"""A model's tokens: the bytes that each stands for, which ones end a text, and text to tokens."""

from __future__ import annotations

import ctypes
from bisect import bisect_left
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

MANY_BYTES = 16
"""From so many first bytes on, looking at every token is faster than putting lists together."""

_LONGEST_PIECE = 1024


class Vocabulary:
    """The tokens of a loaded model. Reading them takes about 3 µs for each, once."""

    def __init__(self, api: Any, model: Any) -> None:
        self._api = api
        self._pointer = api.llama_model_get_vocab(model)
        self.size = int(api.llama_vocab_n_tokens(self._pointer))
        buffer = ctypes.create_string_buffer(_LONGEST_PIECE)
        self.pieces: list[bytes] = [self._piece(token, buffer) for token in range(self.size)]
        """The bytes of each token; none for control tokens. May be half a character."""

        self.ends = frozenset(token for token in range(self.size) if api.llama_vocab_is_eog(self._pointer, token))
        """Tokens that end a text."""

        self.unwritable: NDArray[np.intp] = np.array(
            [token for token, piece in enumerate(self.pieces) if not piece and token not in self.ends], dtype=np.intp
        )
        """Tokens that would add nothing to a text and not end it either, such as the start of a turn."""

        adds_first = bool(api.llama_vocab_get_add_bos(self._pointer))
        self.first = [int(api.llama_vocab_bos(self._pointer))] if adds_first else list[int]()
        """What every prompt of this model begins with."""

    def _piece(self, token: int, buffer: Any) -> bytes:
        length = self._api.llama_token_to_piece(self._pointer, token, buffer, _LONGEST_PIECE, 0, False)
        return buffer.raw[:length] if length > 0 else b""

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        """Return the tokens of a text. Only with `special`, `<|im_end|>` and its like become the tokens they name."""
        data = text.encode("utf-8", "replace")
        room = len(data) + 8
        tokens = (ctypes.c_int32 * room)()
        count = self._api.llama_tokenize(self._pointer, data, len(data), tokens, room, False, special)
        if count < 0:
            tokens = (ctypes.c_int32 * -count)()
            count = self._api.llama_tokenize(self._pointer, data, len(data), tokens, -count, False, special)
        return list(tokens[:count])

    def control(self, text: str) -> int | None:
        """Return the control token of this spelling, if there is one."""
        tokens = self.tokenize(text, special=True)
        is_one = len(tokens) == 1 and self._api.llama_vocab_is_control(self._pointer, tokens[0])
        return tokens[0] if is_one else None

    @cached_property
    def first_bytes(self) -> NDArray[np.uint16]:
        """The first byte of each token; 256 for tokens without text."""
        return np.array([piece[0] if piece else 256 for piece in self.pieces], dtype=np.uint16)

    @cached_property
    def _by_first_byte(self) -> list[NDArray[np.intp]]:
        order = np.argsort(self.first_bytes, kind="stable")
        return np.split(order, np.searchsorted(self.first_bytes[order], np.arange(1, 257)))

    def starting_with(self, first: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Return the tokens that start with a byte of the table (257 entries, the last one False), in order."""
        wanted = np.flatnonzero(first)
        if len(wanted) > MANY_BYTES:
            return np.flatnonzero(first[self.first_bytes])
        return np.sort(np.concatenate([self._by_first_byte[byte] for byte in wanted])) if len(wanted) else wanted

    @cached_property
    def end_tokens(self) -> NDArray[np.intp]:
        return np.array(sorted(self.ends), dtype=np.intp)

    @cached_property
    def _sorted(self) -> list[bytes]:
        return sorted({piece for piece in self.pieces if piece})

    def longer(self, piece: bytes) -> Iterator[bytes]:
        """Yield what the tokens that begin with `piece` and go on have after it."""
        at = bisect_left(self._sorted, piece)
        while at < len(self._sorted) and self._sorted[at].startswith(piece):
            if len(self._sorted[at]) > len(piece):
                yield self._sorted[at][len(piece) :]
            at += 1
