"""A model's tokens: the bytes that each stands for, which ones end a text, and text to tokens."""

from __future__ import annotations

import ctypes
from bisect import bisect_left
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

_LONGEST_PIECE = 1024
_NO_TEXT = 256


class Starts:
    """The tokens that start with one of some bytes, and perhaps those that end a text."""

    def __init__(
        self, table: NDArray[np.bool_], first_bytes: NDArray[np.uint16], lists: Sequence[NDArray[np.intp]]
    ) -> None:
        self._table = table
        self._first_bytes = first_bytes
        self._lists: list[NDArray[np.intp]] = [lists[byte] for byte in np.flatnonzero(table).tolist()]
        self.count = sum(map(len, self._lists))

    def tokens(self) -> NDArray[np.intp]:
        """Return them in order."""
        return np.sort(np.concatenate(self._lists)) if self._lists else np.empty(0, dtype=np.intp)

    def among(self, tokens: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Return which of these they are."""
        return self._table[self._first_bytes[tokens]]


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

    def starts(self, first: NDArray[np.bool_], *, or_ends: bool) -> Starts:
        """Return the tokens that start with a byte of the table; what it says of number 256 is not looked at."""
        table = first.copy()
        table[_NO_TEXT] = or_ends
        return Starts(table, self._first_bytes, self._by_first_byte)

    @cached_property
    def _first_bytes(self) -> NDArray[np.uint16]:
        """The first byte of each token; 256 for those that end a text, or have none."""
        return np.array(
            [piece[0] if piece and token not in self.ends else _NO_TEXT for token, piece in enumerate(self.pieces)],
            dtype=np.uint16,
        )

    @cached_property
    def _by_first_byte(self) -> list[NDArray[np.intp]]:
        """The tokens by first byte; behind those, the ones that end a text."""
        order = np.argsort(self._first_bytes, kind="stable")
        lists = np.split(order, np.searchsorted(self._first_bytes[order], np.arange(1, _NO_TEXT + 1)))
        return [*lists[:_NO_TEXT], np.array(sorted(self.ends), dtype=np.intp)]

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
