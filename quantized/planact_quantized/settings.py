"""How a model is loaded: what `[model]` of a configuration comes to, for one model file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path

KVType: TypeAlias = Literal["f16", "q8_0", "q4_0"]
SplitMode: TypeAlias = Literal["none", "layer", "row"]
Drafting: TypeAlias = Literal["auto", "on", "off"]

ALL_LAYERS = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """Everything that decides how one model file is loaded and run.

    What cannot be done so is an error, never quietly something else.
    """

    model: Path
    name: str = ""
    """For people: a model's id; the file's name where it is empty."""

    context_tokens: int = 8192
    """Prompt and text together. Candidates written side by side have the prompt in common and share the rest."""

    gpu_layers: int = 0
    """Layers on the device; ALL_LAYERS for all of them, 0 for none."""

    device: str = "cpu"
    """`cpu`, or the name of a device as ggml gives it (`CUDA0`, `MTL0`), several separated by commas. With `cpu` no
    device is touched."""

    main_gpu: int = 0
    """Which of these is used, from 0, where `split_mode` is `none`; llama.cpp does not look at it otherwise."""

    tensor_split: tuple[float, ...] = ()
    split_mode: SplitMode = "layer"
    kv_type: KVType = "f16"
    flash_attention: Literal["auto", "on", "off"] = "auto"
    threads: int = 0
    """Of the CPU, for single tokens; 0: as many as there are cores."""

    batch_threads: int = 0
    """Of the CPU, for prompts; 0: as `threads`."""

    batch_tokens: int = 512
    """Most tokens that are evaluated at once."""

    candidates: int = 4
    """Most texts written side by side."""

    prefixes: Path | None = None
    """Folder for evaluated prompts; None: they are kept in memory only."""

    prefix_bytes: int = 2 * 1024**3
    """Most that this folder may hold; the least used ones go first."""

    forced_tokens: bool = True
    drafting: Drafting = "auto"
    load_seconds: float = 300.0
    idle_seconds: float = 600.0
    """A model that nobody has asked for so long is unloaded."""
