"""The header of a GGUF file: what a model is and what it needs, read without touching its weights.

The file may come from anywhere, so every count and length is checked before anything is read or kept, and all that
goes wrong is one error, GGUFError. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import hashlib
import stat
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from planact_quantized.models.ggml_types import FILE_TYPES, TENSOR_TYPES
from planact_quantized.models.gguf_reading import FormatError, Reader

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from planact_quantized.models.gguf_reading import Scalar

MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)
MOST_KEYS: Final = 4_096
MOST_TENSORS: Final = 65_536
MOST_DIMENSIONS: Final = 4
LONGEST_TENSOR_NAME: Final = 63
"""As in ggml (GGML_MAX_NAME)."""

LONGEST_KEY: Final = 65_535
DEFAULT_ALIGNMENT: Final = 32
LARGEST_ALIGNMENT: Final = 1 << 20
MOST_VALUES: Final = 1 << 48
"""Of one tensor: what is larger is no tensor but a broken file."""

_NOT_GGUF: Final = (
    (b"<", "is a web page, not a model: the download link was not the one of the file itself"),
    (b"version https://git-lfs", "is a Git LFS pointer: `git lfs pull` fetches the file that it stands for"),
    (b"PK", "is a zip archive (PyTorch weights, perhaps), not GGUF"),
    (b"lmgg", "is in the old GGML format, which llama.cpp no longer reads; fetch the model as GGUF"),
    (b"tjgg", "is in the old GGJT format, which llama.cpp no longer reads; fetch the model as GGUF"),
    (b"FUGG", "is a big-endian GGUF; Planact reads little-endian ones"),
)


class GGUFError(Exception):
    """A file cannot be used as a model. The message names the file, the reason, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorInfo:
    """One tensor as the header announces it."""

    name: str
    shape: tuple[int, ...]
    """Row length first, as ggml has it."""

    type: str
    """`F16`, `Q4_K`, …"""

    offset: int
    """Bytes from `GGUFHeader.data_offset`."""

    bytes: int

    @property
    def values(self) -> int:
        count = 1
        for extent in self.shape:
            count *= extent
        return count


@dataclass(frozen=True, kw_only=True)
class GGUFHeader:
    """What a GGUF file says about itself. A number that it does not give is 0, a text ''."""

    path: Path
    version: int
    file_bytes: int
    architecture: str
    name: str
    quantization: str
    """What most tensors are, as the file says: `Q4_K_M`, `F16`; '' when it does not."""

    layers: int
    context_tokens: int
    """What the model was trained for."""

    width: int
    """Length of the vector that stands for one token (embedding length)."""

    heads: int
    kv_heads: int
    key_length: int
    """Values of one head's key; `value_length` of its value."""

    value_length: int
    feed_forward: int
    vocabulary: int
    tokenizer: str
    """`gpt2`, `llama`, …"""

    tokenizer_rules: str
    """How text is cut before it is looked up (`tokenizer.ggml.pre`)."""

    chat_template: str | None = field(repr=False)
    alignment: int
    data_offset: int
    tensors: tuple[TensorInfo, ...] = field(repr=False)
    metadata: Mapping[str, Scalar] = field(repr=False)
    """Every value that is no array."""

    array_lengths: Mapping[str, int] = field(repr=False)

    @cached_property
    def template_sha256(self) -> str | None:
        if self.chat_template is None:
            return None
        return hashlib.sha256(self.chat_template.encode()).hexdigest()

    @cached_property
    def weight_bytes(self) -> int:
        """Return the bytes of all tensors, without padding."""
        return sum(tensor.bytes for tensor in self.tensors)

    @cached_property
    def parameters(self) -> int:
        return sum(tensor.values for tensor in self.tensors)

    @cached_property
    def expected_bytes(self) -> int:
        """Return the least size of a file that holds all the tensors."""
        if not self.tensors:
            return self.file_bytes
        return self.data_offset + max(tensor.offset + tensor.bytes for tensor in self.tensors)

    @property
    def missing_bytes(self) -> int:
        """Return how much of the file's end is not there; 0 for a whole one."""
        return max(0, self.expected_bytes - self.file_bytes)

    @property
    def tied(self) -> bool:
        """Whether the output layer is the token table itself."""
        return all(tensor.name != "output.weight" for tensor in self.tensors)

    @property
    def split_count(self) -> int:
        """Return in how many files the model is; 1 for an ordinary one."""
        count = self.metadata.get("split.count", 1)
        return count if isinstance(count, int) and count > 1 else 1


def read_header(path: Path) -> GGUFHeader:
    """Read the header of a GGUF file. Raises GGUFError.

    What it says is well-formed; whether it can be used as a model is `check_model`'s question.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise GGUFError(f"{str(path)!r} is not a file.")
        with path.open("rb") as file:
            return _read(path, Reader(file, size=path.stat().st_size))
    except OSError as error:
        raise GGUFError(f"{str(path)!r} cannot be read: {error.strerror or error}.") from error
    except FormatError as error:
        raise GGUFError(f"{path.name!r} is no usable GGUF file: {error}. {error.advice}.") from None


def check_beginning(name: str, beginning: bytes) -> None:
    """Raise GGUFError where a file of this name does not begin like a GGUF, and say what it is instead."""
    if beginning.startswith(MAGIC):
        return
    if not beginning:
        raise GGUFError(f"{name!r} is empty. The download did not begin; fetch it again.")
    for start, what in _NOT_GGUF:
        if beginning.lstrip().startswith(start):
            raise GGUFError(f"{name!r} {what}.")
    if beginning[8:9] == b"{":
        raise GGUFError(
            f"{name!r} looks like safetensors, not GGUF. llama.cpp's convert_hf_to_gguf.py turns a folder of "
            f"such files into one GGUF file, which `planact models quantize` makes small."
        )
    raise GGUFError(f"{name!r} is not a GGUF file: it begins with {beginning[:4]!r} instead of {MAGIC!r}.")


def _read(path: Path, reader: Reader) -> GGUFHeader:
    check_beginning(path.name, reader.peek(32))
    reader.take(len(MAGIC))
    version = reader.unsigned(4)
    if version not in VERSIONS:
        raise GGUFError(_wrong_version(path, version))
    tensor_count = reader.count("tensors", most=MOST_TENSORS)
    key_count = reader.count("metadata keys", most=MOST_KEYS)
    values: dict[str, Any] = {}
    lengths: dict[str, int] = {}
    for _ in range(key_count):
        key = reader.string(most=LONGEST_KEY)
        if not key or key in values or key in lengths:
            raise FormatError(f"the metadata key {key[:80]!r} is empty or there twice")
        value = reader.value()
        if isinstance(value, tuple):
            lengths[key], largest = value
            if largest is not None:
                values[key] = largest
        else:
            values[key] = value
    alignment = values.get("general.alignment", DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or not 0 < alignment <= LARGEST_ALIGNMENT or alignment & (alignment - 1):
        raise FormatError(f"an alignment of {alignment!r} is no power of two")
    tensors = _read_tensors(reader, tensor_count, alignment)
    return _header(path, reader, version, tensors, values, lengths, alignment)


def _read_tensors(reader: Reader, count: int, alignment: int) -> tuple[TensorInfo, ...]:
    tensors: list[TensorInfo] = []
    seen: set[str] = set()
    offset = 0
    for _ in range(count):
        tensor = _read_tensor(reader)
        if tensor.name in seen:
            raise FormatError(f"the tensor {tensor.name!r} is there twice")
        # llama.cpp demands the same: one behind the other, in this order.
        if tensor.offset != offset:
            raise FormatError(f"the tensor {tensor.name!r} is said to be at {tensor.offset} instead of {offset}")
        seen.add(tensor.name)
        tensors.append(tensor)
        offset = _aligned(offset + tensor.bytes, alignment)
    return tuple(tensors)


def _read_tensor(reader: Reader) -> TensorInfo:
    name = reader.string(most=LONGEST_TENSOR_NAME)
    dimensions = reader.unsigned(4)
    if dimensions > MOST_DIMENSIONS:
        raise FormatError(f"the tensor {name!r} has {dimensions} dimensions")
    shape = tuple(reader.unsigned(8) for _ in range(dimensions))
    count = 1
    for extent in shape:
        count *= extent
        if count > MOST_VALUES:
            raise FormatError(f"the tensor {name!r} has the impossible shape {shape}")
    number = reader.unsigned(4)
    kind = TENSOR_TYPES.get(number)
    if kind is None:
        raise FormatError(
            f"the tensor {name!r} is of type {number}, which this version does not know",
            advice="If the file is whole, it was made by a newer llama.cpp: update Planact",
        )
    try:
        size = kind.size(shape)
    except ValueError as error:
        raise FormatError(f"the tensor {name!r} is broken: {error}") from None
    return TensorInfo(name=name, shape=shape, type=kind.name, offset=reader.unsigned(8), bytes=size)


def _header(
    path: Path,
    reader: Reader,
    version: int,
    tensors: tuple[TensorInfo, ...],
    values: dict[str, Any],
    lengths: dict[str, int],
    alignment: int,
) -> GGUFHeader:
    architecture = _text(values, "general.architecture")
    width, heads = (_number(values, f"{architecture}.{key}") for key in ("embedding_length", "attention.head_count"))
    head_length = width // heads if heads else 0
    file_type = values.get("general.file_type")
    return GGUFHeader(
        path=path,
        version=version,
        file_bytes=reader.size,
        architecture=architecture,
        name=_text(values, "general.name"),
        quantization=FILE_TYPES.get(file_type, "") if isinstance(file_type, int) else "",
        layers=_number(values, f"{architecture}.block_count"),
        context_tokens=_number(values, f"{architecture}.context_length"),
        width=width,
        heads=heads,
        kv_heads=_number(values, f"{architecture}.attention.head_count_kv") or heads,
        key_length=_number(values, f"{architecture}.attention.key_length") or head_length,
        value_length=_number(values, f"{architecture}.attention.value_length") or head_length,
        feed_forward=_number(values, f"{architecture}.feed_forward_length"),
        vocabulary=lengths.get("tokenizer.ggml.tokens") or _number(values, f"{architecture}.vocab_size"),
        tokenizer=_text(values, "tokenizer.ggml.model"),
        tokenizer_rules=_text(values, "tokenizer.ggml.pre"),
        chat_template=_text(values, "tokenizer.chat_template") or None,
        alignment=alignment,
        data_offset=_aligned(reader.position, alignment),
        tensors=tensors,
        metadata=values,
        array_lengths=lengths,
    )


def _wrong_version(path: Path, version: int) -> str:
    if version & 0xFFFF == 0:
        return (
            f"{path.name!r} is a big-endian GGUF; Planact reads little-endian ones. Fetch it for this kind of machine."
        )
    known = " and ".join(map(str, VERSIONS))
    return f"{path.name!r} is GGUF version {version}; Planact reads {known}. Fetch a newer file, or update Planact."


def _aligned(position: int, alignment: int) -> int:
    return (position + alignment - 1) // alignment * alignment


def _text(values: Mapping[str, object], key: str) -> str:
    value = values.get(key)
    return value if isinstance(value, str) else ""


def _number(values: Mapping[str, object], key: str) -> int:
    value = values.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
