"""llama.cpp's own reading of a grammar: whether a text is one of its texts.

Over a byte vocabulary every byte is a token, so nothing depends on how a text is cut into tokens.
"""

import ctypes
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import llama_cpp as _llama_cpp

from quantized.tiny_gguf import make_gguf  # noqa: TID251 - a folder of tests

llama_cpp: Any = _llama_cpp  # its types are those of ctypes, and not of use

FREE = 1e30


class RealGrammar:
    """One grammar, ready to read texts."""

    def __init__(self, vocabulary: Any, text: str) -> None:
        self._tokens = _byte_tokens(vocabulary)
        self._sampler = llama_cpp.llama_sampler_init_grammar(vocabulary, text.encode(), b"root")
        if not self._sampler:
            raise ValueError("llama.cpp does not take this grammar")
        self._end = llama_cpp.llama_vocab_eos(vocabulary)
        self._candidate = (llama_cpp.llama_token_data * 1)()

    def rejected_at(self, text: str) -> int | None:
        """Return how many bytes of a text are accepted when it is not one of the grammar's; None when it is."""
        llama_cpp.llama_sampler_reset(self._sampler)
        data = text.encode()
        for position, byte in enumerate(data):
            token = self._tokens[byte]
            if not self._allows(token):
                return position
            llama_cpp.llama_sampler_accept(self._sampler, token)
        return None if self._allows(self._end) else len(data)

    def close(self) -> None:
        llama_cpp.llama_sampler_free(self._sampler)

    def _allows(self, token: int) -> bool:
        self._candidate[0] = llama_cpp.llama_token_data(id=token, logit=1.0, p=0.0)
        array = llama_cpp.llama_token_data_array(data=self._candidate, size=1, selected=-1, sorted=False)
        llama_cpp.llama_sampler_apply(self._sampler, ctypes.byref(array))
        return self._candidate[0].logit > -FREE


@contextmanager
def byte_vocabulary(folder: Path) -> Generator[Any]:
    """Load a vocabulary in which every byte is a token."""
    path = make_gguf(folder / "bytes.gguf")
    llama_cpp.llama_backend_init()
    parameters = llama_cpp.llama_model_default_params()
    parameters.vocab_only = True
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)
    assert model, "the vocabulary does not load"
    try:
        yield llama_cpp.llama_model_get_vocab(model)
    finally:
        llama_cpp.llama_model_free(model)


def _byte_tokens(vocabulary: Any) -> list[int]:
    buffer = ctypes.create_string_buffer(16)
    found: dict[int, int] = {}
    for token in range(llama_cpp.llama_vocab_n_tokens(vocabulary)):
        size = llama_cpp.llama_token_to_piece(vocabulary, token, buffer, len(buffer), 0, False)
        if size == 1:
            found[buffer.raw[0]] = token
    return [found[byte] for byte in range(256)]
