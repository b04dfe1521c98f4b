"""How much memory a model takes, part by part, and where each part has to be.

Pure arithmetic over the numbers of a GGUF header, or of the catalogue for a file that is not here yet. The formula
for the compute buffer is an upper bound for dense transformers of the Qwen2 and Llama kind; the tests hold it
against what llama.cpp itself reserves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planact_quantized.models.gguf import GGUFHeader
    from planact_quantized.models.known import KnownModel
    from planact_quantized.settings import KVType

CELL_STEP = 256
"""llama.cpp rounds a context up to a multiple of this."""

VOCABULARY_BYTES = 6_000_000
"""Of a file that hold the tokenizer (151,936 tokens and their merges), not weights."""

BYTES_PER_POSITION = 64
"""Of a batch: ids, positions and indices of each token."""

TABLE_BYTES_PER_VALUE = 6.5625 / 8
"""Files of mixed types keep the token table in Q6_K or better."""

KV_BYTES: Mapping[KVType, float] = {"f16": 2.0, "q8_0": 34 / 32, "q4_0": 18 / 32}
"""Per value: q8_0 and q4_0 have a 2-byte scale for 32 values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """The parts of a model that take memory. All in bytes unless the name says otherwise."""

    name: str
    """For people: an id or a file's name."""

    layer_bytes: tuple[int, ...]
    input_bytes: int
    """The token table. It stays on the host, whatever goes to a device."""

    output_bytes: int
    """Output layer and last norm: on the device as soon as any layer is. A copy of the table where they are tied."""

    tied: bool
    width: int
    feed_forward: int
    heads: int
    vocabulary: int
    kv_values: int
    """Values of keys and values that one token takes in one layer."""

    trained_tokens: int
    """The longest context that the model was made for; 0 when unknown."""

    exact: bool
    """Read from the file itself; False: worked out from the catalogue's rounded size."""

    @property
    def layers(self) -> int:
        return len(self.layer_bytes)

    @property
    def weight_bytes(self) -> int:
        """Return what the weights take once, as in the file."""
        return self.input_bytes + sum(self.layer_bytes) + (0 if self.tied else self.output_bytes)

    def kv_bytes(self, *, layers: int, cells: int, kv_type: KVType) -> int:
        """Return what the KV cache of so many layers takes."""
        return int(layers * cells * self.kv_values * KV_BYTES[kv_type])

    def compute_bytes(self, *, cells: int, batch_tokens: int, outputs: int, flash_attention: bool) -> int:
        """Return an upper bound for llama.cpp's compute buffer, and for the logits that it hands out."""
        activations = 4 * batch_tokens * (3 * self.feed_forward + 4 * self.width)
        # The mask is f16 with flash attention; without, it is f32 and every head has its scores for every cell.
        attention = batch_tokens * cells * (2 if flash_attention else 4 + 4 * self.heads)
        return activations + attention + 2 * 4 * outputs * self.vocabulary + BYTES_PER_POSITION * batch_tokens


def cells_of(context_tokens: int) -> int:
    """Return the cells that llama.cpp makes for a context."""
    return -(-context_tokens // CELL_STEP) * CELL_STEP


def footprint_of_file(header: GGUFHeader, *, name: str = "") -> Footprint:
    """Return the footprint of a model whose header has been read."""
    layers = [0] * header.layers
    table = output = 0
    for tensor in header.tensors:
        part, _, rest = tensor.name.partition(".")
        number = rest.partition(".")[0]
        if part == "blk" and number.isdecimal() and int(number) < len(layers):
            layers[int(number)] += tensor.bytes
        elif part == "token_embd":
            table += tensor.bytes
        else:
            output += tensor.bytes
    return Footprint(
        name=name or header.path.name,
        layer_bytes=tuple(layers),
        input_bytes=table,
        output_bytes=output + (table if header.tied else 0),
        tied=header.tied,
        width=header.width,
        feed_forward=header.feed_forward,
        heads=header.heads,
        vocabulary=header.vocabulary,
        kv_values=header.kv_heads * (header.key_length + header.value_length),
        trained_tokens=header.context_tokens,
        exact=True,
    )


def footprint_of_known(model: KnownModel) -> Footprint:
    """Return about what a model of the catalogue takes, from its shape and the rounded size of its file."""
    shape = model.shape
    weights = max(0, model.approximate_bytes - VOCABULARY_BYTES)
    kv_values = 2 * shape.kv_heads * (shape.width // shape.heads)
    table_values = shape.vocabulary * shape.width
    layer_values = shape.width * (2 * shape.width + kv_values + 3 * shape.feed_forward)
    tables = 1 if shape.tied else 2
    average = weights / (shape.layers * layer_values + tables * table_values)
    table = min(int(table_values * max(average, TABLE_BYTES_PER_VALUE)), weights // (tables + 1))
    return Footprint(
        name=model.id,
        layer_bytes=((weights - tables * table) // shape.layers,) * shape.layers,
        input_bytes=table,
        output_bytes=table,
        tied=shape.tied,
        width=shape.width,
        feed_forward=shape.feed_forward,
        heads=shape.heads,
        vocabulary=shape.vocabulary,
        kv_values=kv_values,
        trained_tokens=model.context_tokens,
        exact=False,
    )
