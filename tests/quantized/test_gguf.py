"""Reading a header from a file that nobody vouches for."""

import contextlib
import ctypes
import hashlib
import os
import struct
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planact_quantized.models.checks import check_model
from planact_quantized.models.ggml_types import FILE_TYPES, TENSOR_TYPES
from planact_quantized.models.gguf import GGUFError, TensorInfo, read_header
from quantized.tiny_gguf import CHATML, make_gguf  # noqa: TID251 - a folder of tests

MOST_MEMORY = 8 << 20
STRING, ARRAY, U32 = 8, 9, 4


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


def refused(path: Path) -> str:
    """Return why a file cannot be used as a model."""
    with pytest.raises(GGUFError) as raised:
        check_model(read_header(path))
    assert path.name in str(raised.value)
    return str(raised.value)


def raw(path: Path, *parts: bytes, version: int = 3, tensors: int = 0, keys: int = 0) -> Path:
    """Write a file that begins like a GGUF."""
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", version, tensors, keys) + b"".join(parts))
    return path


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def test_a_header_says_what_the_model_is(tiny: Path) -> None:
    header = read_header(tiny)
    assert (header.architecture, header.name, header.quantization) == ("qwen2", "tiny random model", "F16")
    assert (header.layers, header.width, header.heads, header.kv_heads, header.feed_forward) == (2, 64, 4, 2, 128)
    assert (header.key_length, header.value_length) == (16, 16)
    assert (header.context_tokens, header.vocabulary) == (4096, 261)
    assert (header.tokenizer, header.tokenizer_rules) == ("gpt2", "qwen2")
    assert header.chat_template == CHATML
    assert header.template_sha256 == hashlib.sha256(CHATML.encode()).hexdigest()
    assert (header.tied, header.split_count, header.missing_bytes) == (False, 1, 0)
    assert header.expected_bytes == header.file_bytes == tiny.stat().st_size
    assert header.tensors[0] == TensorInfo(
        name="token_embd.weight", shape=(64, 261), type="F16", offset=0, bytes=2 * 64 * 261
    )
    assert header.parameters == sum(tensor.values for tensor in header.tensors)
    assert check_model(header) == ()


def test_it_agrees_with_the_reference_reader(tiny: Path) -> None:
    from gguf import GGUFReader

    header, reference = read_header(tiny), GGUFReader(tiny)
    assert [
        (tensor.name, list(tensor.shape), tensor.type, header.data_offset + tensor.offset, tensor.bytes)
        for tensor in header.tensors
    ] == [
        (tensor.name, tensor.shape.tolist(), tensor.tensor_type.name, tensor.data_offset, tensor.n_bytes)
        for tensor in reference.tensors
    ]


def test_the_types_are_those_of_ggml() -> None:
    ggml = pytest.importorskip("llama_cpp._ggml", reason="llama-cpp-python is not installed").libggml
    ggml.ggml_type_size.restype, ggml.ggml_blck_size.restype = ctypes.c_size_t, ctypes.c_int64
    ggml.ggml_type_name.restype = ctypes.c_char_p
    for number, kind in TENSOR_TYPES.items():
        name, values, size = (
            function(number) for function in (ggml.ggml_type_name, ggml.ggml_blck_size, ggml.ggml_type_size)
        )
        assert (kind.name.lower(), kind.values, kind.bytes) == (name.decode().lower(), values, size)
    lib = pytest.importorskip("llama_cpp")
    for number, name in FILE_TYPES.items():
        spelled = {"F32": "ALL_F32"}.get(name, f"MOSTLY_{name}")
        assert getattr(lib, f"LLAMA_FTYPE_{spelled}", number) == number


def test_a_file_without_weights_is_refused_and_the_way_out_named(tmp_path: Path) -> None:
    """The 5.93 MB files that some repositories hold in place of a model."""
    path = make_gguf(tmp_path / "Dria-Agent-a-7B.f16.gguf", tensors=False)
    assert "a vocabulary and no weights at all (0 tensors" in refused(path)
    assert "Fetch another quantization" in refused(path)


@pytest.mark.parametrize("missing", [1, 1000, 200_000])
def test_a_file_that_is_cut_off_is_refused_with_what_is_missing(tiny: Path, tmp_path: Path, missing: int) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(tiny.read_bytes()[:-missing])
    assert f"{missing:,} of {tiny.stat().st_size:,} bytes are missing" in refused(path)


@pytest.mark.parametrize("size", [5, 23, 24, 100, 3000])
def test_a_file_that_ends_within_its_header_is_refused(tiny: Path, tmp_path: Path, size: int) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(tiny.read_bytes()[:size])
    assert "cut off or damaged" in refused(path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"omit": ["tokenizer"]}, "no tokenizer"),
        ({"omit": ["merges"]}, "tokenizer without merges"),
        ({"omit": ["context"]}, "does not say its qwen2.context_length"),
        ({"architecture": "bert"}, "an embedding model (bert)"),
    ],
)
def test_what_cannot_write_text_is_refused(tmp_path: Path, options: dict[str, object], said: str) -> None:
    assert said in refused(make_gguf(tmp_path / "m.gguf", **options))


def test_a_part_of_a_model_is_refused_with_the_command_that_joins_them(tiny: Path) -> None:
    header = replace(read_header(tiny), metadata={"split.count": 3})
    with pytest.raises(GGUFError, match=r"one of 3 parts of a model.*llama-gguf-split --merge"):
        check_model(header)


def test_a_missing_template_and_an_unusual_architecture_are_notes(tmp_path: Path) -> None:
    notes = check_model(read_header(make_gguf(tmp_path / "m.gguf", omit=["template"], architecture="llama")))
    assert [note.partition(";")[0] for note in notes] == ["It has no chat template", "Its architecture is llama"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (struct.pack("<Q", 80) + b'{"__metadata__":{}}', "looks like safetensors"),
        (b"PK\x03\x04", "zip archive"),
        (b"tjgg\x03\x00\x00\x00", "old GGJT format"),
        (b"\x00\x01\x02\x03", "is not a GGUF file: it begins with b'\\x00\\x01\\x02\\x03'"),
    ],
)
def test_other_kinds_of_files_are_told_apart(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    assert said in refused(path)


@pytest.mark.parametrize(
    ("version", "said"), [(1, "is GGUF version 1"), (4, "is GGUF version 4"), (0x03000000, "big-endian")]
)
def test_other_versions_are_refused(tmp_path: Path, version: int, said: str) -> None:
    assert said in refused(raw(tmp_path / "m.gguf", version=version))


@pytest.mark.parametrize(
    "path",
    [
        pytest.param({"tensors": 1 << 40}, id="tensors"),
        pytest.param({"keys": 1 << 62}, id="keys"),
    ],
)
def test_absurd_counts_are_refused_before_anything_is_kept(tmp_path: Path, path: dict[str, int]) -> None:
    assert "are plausible" in refused(raw(tmp_path / "m.gguf", **path))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(struct.pack("<I", STRING) + struct.pack("<Q", 1 << 60), id="text"),
        pytest.param(struct.pack("<IIQ", ARRAY, STRING, 1 << 60), id="texts"),
        pytest.param(struct.pack("<IIQ", ARRAY, STRING, 1 << 20), id="texts that are not there"),
        pytest.param(struct.pack("<IIQ", ARRAY, STRING, 1) + struct.pack("<Q", 1 << 63), id="text in texts"),
        pytest.param(struct.pack("<IIQ", ARRAY, U32, 1 << 24), id="numbers"),
        pytest.param(struct.pack("<IIQ", ARRAY, ARRAY, 1), id="arrays"),
        pytest.param(struct.pack("<I", 99), id="unknown"),
    ],
)
def test_absurd_values_are_refused_before_anything_is_kept(tmp_path: Path, value: bytes) -> None:
    path = raw(tmp_path / "m.gguf", text(b"key"), value, bytes(100), keys=1)
    tracemalloc.start()
    try:
        refused(path)
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()


def test_many_long_texts_are_not_kept(tmp_path: Path) -> None:
    """A sparse file may announce gigabytes of texts and really have them."""
    path = raw(tmp_path / "m.gguf", keys=100)
    with path.open("r+b") as file:
        position = 24
        for number in range(100):
            file.seek(position)
            file.write(text(b"key%d" % number) + struct.pack("<IQ", STRING, 4 << 20))
            position = file.tell() + (4 << 20)
        file.truncate(position)
    assert "texts come to more than" in refused(path)


@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        (text(b"x" * 64), "text of 64 bytes"),
        (text(b"t") + struct.pack("<I", 5), "has 5 dimensions"),
        (text(b"t") + struct.pack("<IQQ", 2, 1 << 40, 1 << 40), "impossible shape"),
        (text(b"t") + struct.pack("<IQIQ", 1, 32, 999, 0), "type 999"),
        (text(b"t") + struct.pack("<IQIQ", 1, 33, 8, 0), "rows of 33 values"),
        (text(b"t") + struct.pack("<IQIQ", 1, 32, 8, 7), "at 7 instead of 0"),
    ],
)
def test_impossible_tensors_are_refused(tmp_path: Path, tensor: bytes, said: str) -> None:
    assert said in refused(raw(tmp_path / "m.gguf", tensor, tensors=1))


def test_a_newer_tensor_type_is_no_damage(tmp_path: Path) -> None:
    tensor = text(b"t") + struct.pack("<IQIQ", 1, 32, 999, 0)
    assert "update Planact" in refused(raw(tmp_path / "m.gguf", tensor, tensors=1))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "is not a file" in refused(tmp_path / "pipe")
    assert "is not a file" in refused(tmp_path)
    assert "No such file" in refused(tmp_path / "nothing")


@given(st.binary(max_size=400))
def test_whatever_follows_the_magic_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, rest: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "random.gguf"
    path.write_bytes(b"GGUF" + rest)
    _read_or_refuse(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_header_with_some_bytes_changed_is_read_or_refused(tiny: Path, data: st.DataObject) -> None:
    content = bytearray(tiny.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        position = data.draw(st.integers(4, 6240))
        width = data.draw(st.sampled_from([1, 4, 8]))
        content[position : position + width] = data.draw(st.binary(min_size=width, max_size=width))
    path = tiny.with_name("mutated.gguf")
    path.write_bytes(content[: data.draw(st.integers(24, len(content)))])
    _read_or_refuse(path)


def _read_or_refuse(path: Path) -> None:
    tracemalloc.start()
    try:
        with contextlib.suppress(GGUFError):
            check_model(read_header(path))
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()
