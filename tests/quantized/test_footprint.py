"""The arithmetic of memory, held against what llama.cpp itself reserves."""

import ctypes
import re
from functools import cache
from pathlib import Path

import pytest

from planact_quantized.fitting.footprint import Footprint, cells_of, footprint_of_file, footprint_of_known
from planact_quantized.models.gguf import read_header
from planact_quantized.models.known import known_models
from quantized.tiny_gguf import make_gguf  # noqa: TID251 - a folder of tests

MIB = 1024**2
SHAPE = {"width": 256, "layers": 3, "feed_forward": 704, "heads": 8, "kv_heads": 2}


def test_a_file_is_taken_apart_by_its_header(tmp_path: Path) -> None:
    header = read_header(make_gguf(tmp_path / "m.gguf"))
    found = footprint_of_file(header, name="m")
    table, layer = 261 * 64 * 2, 2 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 64 * 128) + 4 * (2 * 64 + 64 + 2 * 32)
    assert found == Footprint(
        name="m",
        layer_bytes=(layer, layer),
        input_bytes=table,
        output_bytes=table + 4 * 64,
        tied=False,
        width=64,
        feed_forward=128,
        heads=4,
        vocabulary=261,
        kv_values=2 * 2 * 16,
        trained_tokens=4096,
        exact=True,
    )
    assert found.weight_bytes == header.weight_bytes


@pytest.mark.parametrize("model", known_models(), ids=lambda model: model.id)
def test_what_is_guessed_for_the_catalogue_adds_up_to_the_file(model) -> None:
    guess = footprint_of_known(model)
    assert guess.weight_bytes == pytest.approx(model.approximate_bytes, rel=0.02)
    assert guess.layers == model.shape.layers
    assert guess.input_bytes > 0
    assert not guess.exact


@pytest.mark.parametrize(("tokens", "cells"), [(1, 256), (256, 256), (257, 512), (8192, 8192)])
def test_a_context_is_made_of_whole_steps(tokens: int, cells: int) -> None:
    assert cells_of(tokens) == cells


@pytest.mark.parametrize("context", [512, 4096])
@pytest.mark.parametrize("kv_type", ["f16", "q8_0", "q4_0"])
@pytest.mark.parametrize("flash", [True, False])
def test_llama_cpp_reserves_what_we_say_and_no_more(tmp_path: Path, context: int, kv_type, flash: bool) -> None:
    if kv_type != "f16" and not flash:
        pytest.skip("llama.cpp has no such cache")
    found = footprint_of_file(read_header(make_gguf(tmp_path / "m.gguf", **SHAPE)))
    reserved = _reserved(tmp_path / "m.gguf", context, kv_type, flash)
    # Its log has two decimals.
    assert found.kv_bytes(layers=3, cells=context, kv_type=kv_type) / MIB == pytest.approx(reserved["KV"], abs=0.006)
    guess = found.compute_bytes(cells=context, batch_tokens=512, outputs=1, flash_attention=flash) / MIB
    assert reserved["compute"] <= guess + 0.01
    assert guess <= reserved["compute"] * 1.4 + 1


def _reserved(model: Path, context: int, kv_type: str, flash: bool) -> dict[str, float]:
    """Return what llama.cpp says that it reserves, in MiB."""
    llama = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    lines: list[str] = []
    log = llama.llama_log_callback(lambda level, text, data: lines.append(text.decode(errors="replace")))
    llama.llama_log_set(log, ctypes.c_void_p(0))
    try:
        loaded = llama.llama_model_load_from_file(str(model).encode(), llama.llama_model_default_params())
        params = llama.llama_context_default_params()
        params.n_ctx = context
        params.n_batch = params.n_ubatch = 512
        params.n_outputs_max = 1
        params.flash_attn_type = int(flash)
        params.type_k = params.type_v = {"f16": 1, "q8_0": 8, "q4_0": 2}[kv_type]
        made = llama.llama_init_from_model(loaded, params)
        assert made, lines
        llama.llama_free(made)
        llama.llama_model_free(loaded)
    finally:
        llama.llama_log_set(_quiet_log(llama), ctypes.c_void_p(0))
    text = "".join(lines)
    return {
        what: sum(float(size) for size in re.findall(rf"{what} buffer size = +([\d.]+) MiB", text))
        for what in ("KV", "compute")
    }


@cache
def _quiet_log(llama):
    """Return a log that says nothing and lives as long as the process: llama.cpp keeps the pointer."""
    return llama.llama_log_callback(lambda level, text, data: None)
