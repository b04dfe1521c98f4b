"""A llama.cpp context: tokens in, logits out, and a memory of several sequences.

Thin: it knows positions and sequences, and nothing of texts.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from planact_quantized.backend import BackendError
from planact_quantized.llama.native import flag_reader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from planact_quantized.llama.native import Library

_ABORTED, _NO_ROOM = 2, 1


class Aborted(Exception):
    """The flag was set while llama.cpp computed. What the memory holds then has to be trimmed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Tokens that follow each other in one sequence."""

    sequence: int
    position: int
    """Of the first one."""

    tokens: Sequence[int]
    outputs: int
    """How many of them, from the last one backwards, are to have logits."""


class Context:
    """Owns the context; the model lives longer than it does."""

    def __init__(self, native: Library, pointer: Any, *, vocabulary_size: int, batch_tokens: int, outputs: int) -> None:
        self._api = native.api
        self._log = native.log
        self._pointer = pointer
        self._vocabulary_size = vocabulary_size
        self.batch_tokens = batch_tokens
        self.outputs = outputs
        """Most logits from one decode; llama.cpp reserves memory for them, and ends the process above it."""

        self.cells = int(self._api.llama_n_ctx(pointer))
        self._memory = self._api.llama_get_memory(pointer)
        self._batch = _Batch(self._api, batch_tokens)
        self._abort = ctypes.cast(flag_reader(), self._api.ggml_abort_callback)

    def watch(self, flag: ctypes.Array[ctypes.c_char] | None) -> None:
        """Let a decode end when the first byte of `flag` is set; a second byte of 0 must follow it."""
        callback = self._abort if flag is not None else self._api.ggml_abort_callback()
        data = None if flag is None else ctypes.cast(flag, ctypes.c_void_p)
        self._api.llama_set_abort_callback(self._pointer, callback, data)

    def decode(self, runs: Sequence[Run]) -> None:
        """Evaluate all runs in one batch of at most `batch_tokens`. Raises Aborted, BackendError."""
        batch = self._batch.fill(runs)
        code = int(self._api.llama_decode(self._pointer, batch))
        if code == _ABORTED:
            raise Aborted
        if code == _NO_ROOM:
            raise BackendError(
                f"The context of {self.cells} tokens is full. Raise `n_ctx`, or ask for fewer candidates.",
                fault="too_long",
            )
        if code != 0:
            raise BackendError(
                f"llama.cpp could not evaluate tokens (code {code}): {self._log.reason()}", fault="model"
            )

    def logits(self, index: int) -> NDArray[np.float32]:
        """Return the logits of the batch's token at `index`: a view that the next decode overwrites."""
        pointer = self._api.llama_get_logits_ith(self._pointer, index)
        return np.ctypeslib.as_array(pointer, shape=(self._vocabulary_size,))

    def synchronize(self) -> None:
        """Wait for the device; only measuring needs it."""
        self._api.llama_synchronize(self._pointer)

    def trim(self, sequence: int, length: int) -> None:
        """Keep the first `length` tokens of a sequence."""
        if not self._api.llama_memory_seq_rm(self._memory, sequence, length, -1):
            raise BackendError("This model's memory cannot be cut back, so it cannot be used here.", fault="model")

    def share(self, source: int, target: int) -> None:
        """Give `target` what `source` holds, without copying it. `target` must be empty."""
        self._api.llama_memory_seq_cp(self._memory, source, target, -1, -1)

    def forget(self) -> None:
        """Empty all sequences."""
        self._api.llama_memory_clear(self._memory, False)

    def state(self, sequence: int) -> bytes:
        """Return what a sequence holds, for `restore` in a context with the same parameters."""
        size = int(self._api.llama_state_seq_get_size(self._pointer, sequence))
        buffer = np.empty(size, dtype=np.uint8)
        written = self._api.llama_state_seq_get_data(
            self._pointer, buffer.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8)), size, sequence
        )
        return buffer[:written].tobytes()

    def restore(self, sequence: int, state: bytes) -> bool:
        """Fill an empty sequence; return whether llama.cpp took it. Give it only what `state` has returned."""
        buffer = (ctypes.c_uint8 * len(state)).from_buffer_copy(state)
        return int(self._api.llama_state_seq_set_data(self._pointer, buffer, len(state), sequence)) == len(state)

    def close(self) -> None:
        if self._pointer is not None:
            self._api.llama_free(self._pointer)
            self._pointer = None


class _Batch:
    """A llama_batch over arrays of numpy, so that a prompt is filled in by slices."""

    def __init__(self, api: Any, capacity: int) -> None:
        self._capacity = capacity
        self._tokens = np.zeros(capacity, np.int32)
        self._positions = np.zeros(capacity, np.int32)
        self._sequences = np.zeros(capacity, np.int32)
        self._counts = np.ones(capacity, np.int32)
        self._outputs = np.zeros(capacity, np.int8)
        address = self._sequences.ctypes.data
        self._rows = np.arange(address, address + 4 * capacity, 4, dtype=np.uintp)
        fields = {name: kind for name, kind, *_ in api.llama_batch._fields_}

        def pointer(name: str, array: NDArray[Any]) -> Any:
            return array.ctypes.data_as(fields[name])

        self._batch = api.llama_batch(
            n_tokens=0,
            token=pointer("token", self._tokens),
            embd=None,
            pos=pointer("pos", self._positions),
            n_seq_id=pointer("n_seq_id", self._counts),
            seq_id=pointer("seq_id", self._rows),
            logits=pointer("logits", self._outputs),
        )

    def fill(self, runs: Sequence[Run]) -> Any:
        at = 0
        for run in runs:
            end = at + len(run.tokens)
            if end > self._capacity:
                raise ValueError(f"{end} tokens in a batch of {self._capacity}")
            self._tokens[at:end] = run.tokens
            self._positions[at:end] = np.arange(run.position, run.position + len(run.tokens))
            self._sequences[at:end] = run.sequence
            self._outputs[at:end] = 0
            self._outputs[end - run.outputs : end] = 1
            at = end
        self._batch.n_tokens = at
        return self._batch
