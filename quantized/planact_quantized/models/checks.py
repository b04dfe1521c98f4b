"""Whether a file whose header was read can be used as a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from planact_quantized.models.gguf import GGUFError

if TYPE_CHECKING:
    from planact_quantized.models.gguf import GGUFHeader

NO_TEXT: Final = {
    "clip": "an image encoder",
    "mmproj": "an image encoder",
    "bert": "an embedding model",
    "modern-bert": "an embedding model",
    "nomic-bert": "an embedding model",
    "nomic-bert-moe": "an embedding model",
    "neo-bert": "an embedding model",
    "jina-bert-v2": "an embedding model",
    "jina-bert-v3": "an embedding model",
    "eurobert": "an embedding model",
    "gemma-embedding": "an embedding model",
    "llama-embed": "an embedding model",
    "t5": "an encoder-decoder model",
    "t5encoder": "an encoder",
    "wavtokenizer-dec": "a sound decoder",
    "qwen3tts": "a speech model",
    "pockettts": "a speech model",
    "dream": "a diffusion model",
    "llada": "a diffusion model",
    "llada-moe": "a diffusion model",
    "rnd1": "a diffusion model",
    "eagle3": "a draft model",
    "dflash": "a draft model",
}
"""Architectures of llama.cpp that do not write text from left to right on their own."""

PROVEN: Final = "qwen2"
"""The architecture of the models that Planact is made for and tested with."""


def check_model(header: GGUFHeader) -> tuple[str, ...]:
    """Return what a user should know about a model that can be used. Raises GGUFError for one that cannot."""
    name = header.path.name
    _refuse_no_weights(header, name)
    _refuse_part(header, name)
    _refuse_other_kinds(header, name)
    _refuse_incomplete(header, name)
    return tuple(_notes(header))


def _refuse_no_weights(header: GGUFHeader, name: str) -> None:
    if header.tensors:
        return
    if header.vocabulary:
        raise GGUFError(
            f"{name!r} holds a vocabulary and no weights at all (0 tensors, {header.file_bytes / 1e6:.2f} MB). Some "
            f"repositories offer such files of 5.93 MB in place of the model. Fetch another quantization, or the "
            f"same one from another repository; `planact models list` has working ones."
        )
    raise GGUFError(f"{name!r} holds no weights (0 tensors). Fetch the model's own file.")


def _refuse_part(header: GGUFHeader, name: str) -> None:
    if header.split_count > 1:
        raise GGUFError(
            f"{name!r} is one of {header.split_count} parts of a model. Join them first: "
            f"`llama-gguf-split --merge FIRST_PART OUT.gguf` (llama.cpp has it), then add OUT.gguf."
        )
    if header.missing_bytes:
        raise GGUFError(
            f"{name!r} is cut off: {header.missing_bytes:,} of {header.expected_bytes:,} bytes are missing. "
            f"Fetch it again, or let the download go on."
        )


def _refuse_other_kinds(header: GGUFHeader, name: str) -> None:
    kind = header.metadata.get("general.type", "model")
    if kind != "model":
        raise GGUFError(f"{name!r} is no model by itself but a file of the kind {kind!r}. Fetch the model's own file.")
    if not header.architecture:
        raise GGUFError(f"{name!r} does not say what architecture it is. It was not converted properly.")
    other = NO_TEXT.get(header.architecture)
    if other is not None:
        raise GGUFError(
            f"{name!r} is {other} ({header.architecture}); it does not write text. Planact is made for {PROVEN} models."
        )


def _refuse_incomplete(header: GGUFHeader, name: str) -> None:
    tokens = header.array_lengths.get("tokenizer.ggml.tokens", 0)
    if not header.tokenizer or not tokens:
        raise GGUFError(f"{name!r} has no tokenizer: nothing can be read or written with it. Fetch another file.")
    if header.tokenizer == "gpt2" and not header.array_lengths.get("tokenizer.ggml.merges"):
        raise GGUFError(f"{name!r} has a tokenizer without merges: llama.cpp cannot use it. Fetch another file.")
    numbers = {
        "block_count": header.layers,
        "context_length": header.context_tokens,
        "embedding_length": header.width,
        "attention.head_count": header.heads,
    }
    lost = [f"{header.architecture}.{key}" for key, value in numbers.items() if not value]
    if lost and header.architecture == PROVEN:
        raise GGUFError(f"{name!r} does not say its {', '.join(lost)}. It was not converted properly.")
    table = next((tensor for tensor in header.tensors if tensor.name == "token_embd.weight"), None)
    if table is None:
        raise GGUFError(f"{name!r} has no token table (token_embd.weight). It was not converted properly.")
    if table.shape[1:2] != (tokens,):
        raise GGUFError(f"{name!r} has {tokens} tokens but a token table of shape {table.shape}. It is damaged.")


def _notes(header: GGUFHeader) -> list[str]:
    notes: list[str] = []
    if header.chat_template is None:
        notes.append("It has no chat template; ChatML is assumed, as the models that Planact is made for have it.")
    if header.architecture != PROVEN:
        notes.append(f"Its architecture is {header.architecture}; Planact is made for and tested with {PROVEN}.")
    return notes
