"""Quantizing with llama.cpp itself, in the process that may die of it."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from planact_quantized import launching
from planact_quantized.models import large_files
from planact_quantized.models import quantize as quantizing
from planact_quantized.models.checks import check_model
from planact_quantized.models.gguf import GGUFError, read_header
from planact_quantized.models.large_files import NoSpaceError
from planact_quantized.models.quantization_types import TYPES
from planact_quantized.models.quantize import Fallback, Plan, QuantizeError, plan_quantization, quantize
from quantized.tiny_gguf import make_gguf  # noqa: TID251 - a folder of tests

pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")

WHOLE_ROWS = {"width": 256, "feed_forward": 512, "heads": 4, "kv_heads": 1}
ODD_ROWS = {"width": 320, "feed_forward": 512, "heads": 5, "kv_heads": 1}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gguf(tmp_path_factory.mktemp("models") / "tiny.F16.gguf", **WHOLE_ROWS)


@pytest.fixture(scope="module")
def to_q8(source: Path) -> Plan:
    return plan_quantization(source, "Q8_0")


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_K_M"])
def test_a_model_becomes_smaller_and_stays_one(source: Path, tmp_path: Path, kind: str) -> None:
    target, told = tmp_path / "out.gguf", list[tuple[int, int | None]]()
    plan = plan_quantization(source, kind)
    made = quantize(plan, target, report=lambda done, total: told.append((done, total)))
    assert check_model(read_header(target)) == ()
    assert made.header.quantization == kind
    assert made.header.file_bytes == plan.bytes < source.stat().st_size
    assert plan.fallbacks == ()
    assert told[0][0] == 0
    assert told[-1] == (plan.header.weight_bytes, plan.header.weight_bytes)
    assert [path.name for path in tmp_path.iterdir()] == ["out.gguf"]


@pytest.mark.check
@pytest.mark.parametrize("kind", TYPES)
def test_every_type_that_is_offered_can_be_made(tmp_path: Path, kind: str) -> None:
    source = make_gguf(tmp_path / "tiny.F32.gguf", dtype=np.float32, **WHOLE_ROWS)
    plan = plan_quantization(source, kind)
    made = quantize(plan, tmp_path / "out.gguf")
    assert (made.header.quantization, made.header.file_bytes) == (kind, plan.bytes)


def test_rows_that_do_not_fit_are_named_with_what_becomes_of_them(tmp_path: Path) -> None:
    source = make_gguf(tmp_path / "odd.gguf", **ODD_ROWS)
    plan = plan_quantization(source, "Q4_K_M")
    assert plan.fallbacks[0] == Fallback(tensor="token_embd.weight", row=320, block=256, wanted="Q4_K", got="Q5_0")
    assert {each.row for each in plan.fallbacks} == {320}
    made = quantize(plan, tmp_path / "out.gguf")
    assert made.header.file_bytes == plan.bytes
    kinds = {tensor.name: tensor.type for tensor in made.header.tensors}
    assert {each.tensor: each.got for each in plan.fallbacks}.items() <= kinds.items()


def test_working_it_out_writes_nothing(source: Path) -> None:
    before = sorted(source.parent.iterdir())
    plan_quantization(source, "Q4_K_M")
    assert sorted(source.parent.iterdir()) == before


@pytest.mark.check
def test_what_is_quantized_already_is_taken_only_when_told_to(to_q8: Plan, tmp_path: Path) -> None:
    smaller = tmp_path / "q8.gguf"
    quantize(to_q8, smaller)
    with pytest.raises(QuantizeError, match=r"quantized already \(Q8_0\).*--allow-requantize"):
        plan_quantization(smaller, "Q4_K_M")
    again = quantize(plan_quantization(smaller, "Q4_K_M", allow_requantize=True), tmp_path / "q4.gguf")
    assert again.header.quantization == "Q4_K_M"


@pytest.mark.parametrize(("kind", "said"), [("F16", "is F16 already"), ("Q9", "'Q9' is no type that can be made")])
def test_what_makes_no_sense_is_refused(source: Path, kind: str, said: str) -> None:
    with pytest.raises(QuantizeError, match=said):
        plan_quantization(source, kind)


def test_a_file_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GGUFError, match="no weights"):
        plan_quantization(make_gguf(tmp_path / "m.gguf", tensors=False), "Q8_0")


def test_a_file_that_is_there_is_overwritten_only_by_force(to_q8: Plan, tmp_path: Path) -> None:
    target = tmp_path / "out.gguf"
    target.write_text("precious")
    with pytest.raises(QuantizeError, match=r"already there. --force overwrites it"):
        quantize(to_q8, target)
    assert target.read_text() == "precious"
    quantize(to_q8, target, force=True)
    assert read_header(target).quantization == "Q8_0"


def test_the_model_itself_is_never_overwritten(source: Path, to_q8: Plan, tmp_path: Path) -> None:
    other_name = tmp_path / "link.gguf"
    other_name.symlink_to(source)
    with pytest.raises(QuantizeError, match="is the model itself"):
        quantize(to_q8, other_name, force=True)


def test_a_folder_that_is_not_there_is_named(to_q8: Plan, tmp_path: Path) -> None:
    with pytest.raises(QuantizeError, match="There is no folder"):
        quantize(to_q8, tmp_path / "no" / "out.gguf")


def test_room_is_looked_for_first(to_q8: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_files, "free_bytes", lambda folder: large_files.SPARE_BYTES)
    with pytest.raises(NoSpaceError, match=r"'out.gguf' needs"):
        quantize(to_q8, tmp_path / "out.gguf")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Large enough to be interrupted on the way."""
    folder = tmp_path_factory.mktemp("large")
    return make_gguf(folder / "large.gguf", width=512, feed_forward=2048, heads=8, layers=6)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[str]]:
    """The processes that are started, in order."""
    processes: list[subprocess.Popen[str]] = []

    class Recorded(subprocess.Popen):
        def __init__(self, *args: object, **options: object) -> None:
            super().__init__(*args, **options)
            processes.append(self)

    monkeypatch.setattr(quantizing.subprocess, "Popen", Recorded)
    return processes


def test_an_interrupted_one_leaves_no_process_and_no_file(
    large: Path, tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    """As Ctrl-C: in the middle of it, with the file half written."""
    plan, partial = plan_quantization(large, "IQ4_XS"), list[str]()

    def interrupt(done: int, total: int | None) -> None:
        if done:
            partial.extend(path.name for path in tmp_path.iterdir())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quantize(plan, tmp_path / "out.gguf", report=interrupt)
    assert len(partial) == 1
    assert list(tmp_path.iterdir()) == []
    assert started[-1].returncode == -signal.SIGKILL


def test_a_child_that_is_killed_is_an_error_with_the_signal(
    large: Path, tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    plan = plan_quantization(large, "IQ4_XS")
    with pytest.raises(QuantizeError, match=r"was ended by SIGKILL while it quantized 'large.gguf'. The system may"):
        quantize(plan, tmp_path / "out.gguf", report=lambda done, total: started[-1].kill() if done else None)
    assert list(tmp_path.iterdir()) == []


def test_a_child_whose_parent_is_gone_ends_and_leaves_nothing(large: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.gguf"
    request = f'{{"source": "{large}", "target": "{target}", "file_type": 30, "threads": 1, "allow_requantize": false}}'
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "planact_quantized.models.quantize_child", request],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=launching.environment(),
    ) as child:
        overdue = threading.Timer(30, child.kill)
        overdue.start()
        while b"[   1/" not in child.stdout.readline():
            pass
        child.stdin.close()
        assert child.wait(30) == 1
        overdue.cancel()
    assert not target.exists()


def test_a_file_that_llama_cpp_cannot_read_is_an_error_in_its_words(tmp_path: Path) -> None:
    path = make_gguf(tmp_path / "m.gguf", architecture="nonsense")
    with pytest.raises(QuantizeError, match=r"could not quantize 'm.gguf': unknown model architecture: 'nonsense'"):
        plan_quantization(path, "Q8_0")


def test_without_llama_cpp_the_way_to_it_is_named(
    source: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "llama_cpp.py").write_text("raise ImportError('no library')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(QuantizeError, match=r"cannot be loaded \(no library\). `planact models setup`"):
        plan_quantization(source, "Q8_0")
