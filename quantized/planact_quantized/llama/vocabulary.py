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

    from planact_quantized.llama.constraint import Constraint

_LONGEST_PIECE = 1024
_SPACE = 0x20
_NO_TEXT = 256
_CLASSES = 513


class Starts:
    """The tokens of some classes: those that may come, as far as their beginning tells."""

    def __init__(
        self, table: NDArray[np.bool_], classes: NDArray[np.uint16], lists: Sequence[NDArray[np.intp]]
    ) -> None:
        self._table = table
        self._classes = classes
        self._lists: list[NDArray[np.intp]] = [lists[each] for each in np.flatnonzero(table).tolist()]
        self.count = sum(map(len, self._lists))

    def tokens(self) -> NDArray[np.intp]:
        """Return them, in any order."""
        return np.concatenate(self._lists) if self._lists else np.empty(0, dtype=np.intp)

    def among(self, tokens: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Return which of these they are."""
        return self._table[self._classes[tokens]]


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

    def starts(self, constraint: Constraint) -> Starts | None:
        """Return the tokens that may come, as far as their beginning tells; None where it tells nothing."""
        first = constraint.first_bytes
        if first is None:
            return None
        table = np.zeros(_CLASSES, dtype=np.bool_)
        table[:_NO_TEXT] = first[:_NO_TEXT]
        table[_NO_TEXT] = constraint.may_end
        behind = constraint.step(b" ") if first[_SPACE] else None
        if behind is not None:
            second = behind.first_bytes
            table[_NO_TEXT + 1 :] = True if second is None else second[:_NO_TEXT]
        return Starts(table, self._classes, self._by_class)

    @cached_property
    def _classes(self) -> NDArray[np.uint16]:
        """The first byte of each token; 256 for those that end a text, or have none.

        A third of all tokens begin with a space: from 257 on, those that go on have classes by their second byte.
        """
        return np.array([self._class(token, piece) for token, piece in enumerate(self.pieces)], dtype=np.uint16)

    def _class(self, token: int, piece: bytes) -> int:
        if not piece or token in self.ends:
            return _NO_TEXT
        return _NO_TEXT + 1 + piece[1] if piece[0] == _SPACE and len(piece) > 1 else piece[0]

    @cached_property
    def _by_class(self) -> list[NDArray[np.intp]]:
        order = np.argsort(self._classes, kind="stable")
        lists = np.split(order, np.searchsorted(self._classes[order], np.arange(1, _CLASSES)))
        lists[_NO_TEXT] = np.array(sorted(self.ends), dtype=np.intp)
        return lists

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
