"""Models that tests make for themselves: random weights, a real architecture, a real tokenizer.

`make_gguf` writes a Qwen2 GGUF. With the byte vocabulary (256 bytes, two merges for the code fence, three
special tokens: 261) the default one has about 220 kB and loads in milliseconds.
"""

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
NEVER = -20.0


@dataclass(frozen=True, kw_only=True)
class Leaning:
    """What a model with random weights likes to write all the same."""

    words: Sequence[str] = ()
    """Tokens beside those of the byte vocabulary."""

    logit: Callable[[str], float]
    """Added to that of a token: by its text, a character of Latin-1 for each byte."""


def make_gguf(
    path: Path,
    *,
    width: int = 64,
    layers: int = 2,
    feed_forward: int = 128,
    heads: int = 4,
    kv_heads: int = 2,
    head_width: int | None = None,
    context: int = 4096,
    vocabulary: Path | None = None,
    leaning: Leaning | None = None,
    seed: int = 0,
    scale: float = 0.02,
    template: str = CHATML,
    omit: Collection[str] = (),
    architecture: str = "qwen2",
    tensors: bool = True,
    dtype: type[np.floating] = np.float16,
) -> Path:
    """Write a model with random weights and return its path.

    `vocabulary` is a GGUF to take the tokenizer from; None: the byte vocabulary. `omit` names metadata to leave out
    ("tokenizer", "template", "context", "merges"); `head_width` is a head size that does not follow from `width`
    (llama.cpp wants `architecture="llama"` for it); `tensors=False` makes the vocabulary-only kind of file. With
    `leaning` (and the byte vocabulary) some tokens are likelier than others, and a letter hardly follows a letter.
    """
    words = () if leaning is None else leaning.words
    tokens, types, merges = _byte_vocabulary(words) if vocabulary is None else _vocabulary_of(vocabulary)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("tiny random model")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32 if dtype is np.float32 else gguf.LlamaFileType.MOSTLY_F16)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    if "context" not in omit:
        writer.add_context_length(context)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(feed_forward)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    if head_width is not None:
        writer.add_key_length(head_width)
        writer.add_value_length(head_width)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(1e6)
    if "tokenizer" not in omit:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("qwen2")
        writer.add_token_list(tokens)
        writer.add_token_types(types)
        if "merges" not in omit:
            writer.add_token_merges(merges)
        writer.add_bos_token_id(tokens.index("<|endoftext|>"))
        writer.add_eos_token_id(tokens.index("<|im_end|>"))
        writer.add_pad_token_id(tokens.index("<|endoftext|>"))
        writer.add_add_bos_token(False)
    if "template" not in omit:
        writer.add_chat_template(template)
    if tensors:
        head = head_width or width // heads
        _add_tensors(
            writer,
            len(tokens),
            width,
            layers,
            feed_forward,
            heads * head,
            kv_heads * head,
            seed,
            scale,
            dtype,
            _leanings(leaning),
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def spoil(path: Path) -> None:
    """Make a file unreadable as a model; its size and time stay, so no record of it tells."""
    times = path.stat()
    with path.open("r+b") as file:
        file.write(b"JUNK")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@dataclass(frozen=True)
class Leanings:
    """A leaning as weights."""

    bias: NDArray[np.float32]
    first_columns: dict[str, NDArray[np.float32]]
    """A direction of its own says whether the last token ended with a letter: whatever begins with one is shy of it."""


def _add_tensors(
    writer: gguf.GGUFWriter,
    vocabulary: int,
    width: int,
    layers: int,
    feed_forward: int,
    query_width: int,
    kv_width: int,
    seed: int,
    scale: float,
    dtype: type[np.floating],
    leanings: Leanings | None,
) -> None:
    random = np.random.default_rng(seed)

    def matrix(name: str, rows: int, columns: int) -> None:
        values = random.standard_normal((rows, columns), dtype=np.float32) * scale
        if leanings is not None and name in leanings.first_columns:
            values[:, 0] = leanings.first_columns[name]
        writer.add_tensor(name, values.astype(dtype))

    def vector(name: str, size: int, value: float) -> None:
        writer.add_tensor(name, np.full(size, value, np.float32))

    matrix("token_embd.weight", vocabulary, width)
    for layer in range(layers):
        block = f"blk.{layer}"
        vector(f"{block}.attn_norm.weight", width, 1)
        vector(f"{block}.ffn_norm.weight", width, 1)
        for name, rows in (("q", query_width), ("k", kv_width), ("v", kv_width)):
            matrix(f"{block}.attn_{name}.weight", rows, width)
            vector(f"{block}.attn_{name}.bias", rows, 0)
        matrix(f"{block}.attn_output.weight", width, query_width)
        matrix(f"{block}.ffn_gate.weight", feed_forward, width)
        matrix(f"{block}.ffn_up.weight", feed_forward, width)
        matrix(f"{block}.ffn_down.weight", width, feed_forward)
    vector("output_norm.weight", width, 1)
    matrix("output.weight", vocabulary, width)
    if leanings is not None:
        writer.add_tensor("output.bias", leanings.bias)


def _leanings(leaning: Leaning | None) -> Leanings | None:
    if leaning is None:
        return None
    texts = [*map(chr, range(256)), "``", "```", *leaning.words]
    ends, begins = ([_is_word(text[at]) for text in texts] + [False] * len(SPECIAL) for at in (-1, 0))
    bias = [leaning.logit(text) for text in texts] + [NEVER] * len(SPECIAL)
    return Leanings(
        np.array(bias, np.float32),
        {
            "token_embd.weight": np.array(ends, np.float32) * 0.4,
            "output.weight": np.array(begins, np.float32) * -3.0,
        },
    )


def _is_word(character: str) -> bool:
    return character.isascii() and (character.isalnum() or character == "_")


def _byte_vocabulary(words: Sequence[str]) -> tuple[list[str], list[int], list[str]]:
    spelled = _byte_spellings()
    tick = spelled[ord("`")]
    added = ["".join(spelled[byte] for byte in word.encode()) for word in words]
    tokens = [spelled[byte] for byte in range(256)] + [tick * 2, tick * 3, *added, *SPECIAL]
    types = [gguf.TokenType.NORMAL] * (258 + len(added)) + [gguf.TokenType.CONTROL] * 3
    return tokens, [int(each) for each in types], [f"{tick} {tick}", f"{tick * 2} {tick}"]


def _byte_spellings() -> dict[int, str]:
    """Return byte → the visible character that byte-level BPE writes for it (GPT-2's table)."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {byte: chr(byte) for byte in visible} | {byte: chr(256 + index) for index, byte in enumerate(hidden)}


def _vocabulary_of(path: Path) -> tuple[list[str], list[int], list[str]]:
    fields = gguf.GGUFReader(path).fields

    def strings(key: str) -> list[str]:
        field = fields[key]
        return [bytes(field.parts[index]).decode() for index in field.data]

    field = fields["tokenizer.ggml.token_type"]
    types = [int(field.parts[index][0]) for index in field.data]
    return strings("tokenizer.ggml.tokens"), types, strings("tokenizer.ggml.merges")
