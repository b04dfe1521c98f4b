"""Loading: as the settings say or an error that names what was wrong, in llama.cpp's own words where it has some."""

import re
from pathlib import Path
from typing import Any

import pytest

from planact_quantized import BackendError, EngineSettings, Message
from planact_quantized.llama.loaded_model import LoadedModel
from planact_quantized.llama.loading import fingerprint
from quantized.llama_testing import load_model, only, request, write  # noqa: TID251 - a folder of tests
from quantized.tiny_gguf import make_gguf  # noqa: TID251 - a folder of tests

pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")

NOT_CHATML = "{% for m in messages %}[INST] {{ m.content }} [/INST]{% endfor %}"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gguf(tmp_path_factory.mktemp("models") / "tiny.gguf")


def failure(model: Path, **settings: Any) -> BackendError:
    with pytest.raises(BackendError) as caught:
        load_model(model, **settings)
    return caught.value


def test_progress_goes_from_nothing_to_all(file: Path) -> None:
    seen: list[float] = []

    def progress(value: float) -> bool:
        seen.append(value)
        return True

    LoadedModel.load(EngineSettings(model=file, threads=1), on_progress=progress).close()
    assert seen == sorted(seen)
    assert seen[0] < 0.5
    assert seen[-1] == 1.0


def test_loading_can_be_stopped(file: Path) -> None:
    with pytest.raises(BackendError, match=r"Loading 'tiny.gguf' was stopped"):
        LoadedModel.load(EngineSettings(model=file), on_progress=lambda _: False)


def test_what_progress_raises_comes_out(file: Path) -> None:
    def fail(_: float) -> bool:
        raise RuntimeError("the pipe is closed")

    with pytest.raises(RuntimeError, match="the pipe is closed"):
        LoadedModel.load(EngineSettings(model=file), on_progress=fail)


def test_a_device_that_is_not_there_is_named(file: Path) -> None:
    error = failure(file, device="CUDA7", gpu_layers=-1)
    assert "There is no device 'CUDA7' here" in error.message
    assert error.fault == "unavailable"


def test_layers_for_a_device_on_the_cpu_are_a_contradiction(file: Path) -> None:
    assert "device is the CPU" in failure(file, gpu_layers=5).message


@pytest.mark.parametrize("fault", ["missing", "cut", "garbage", "no tensors", "unknown architecture"])
def test_a_file_that_is_no_model_is_refused_with_a_reason(file: Path, tmp_path: Path, fault: str) -> None:
    path = tmp_path / "model.gguf"
    if fault == "cut":
        path.write_bytes(file.read_bytes()[:-5000])
    elif fault == "garbage":
        path.write_bytes(b"GGUF" + bytes(200))
    elif fault == "no tensors":
        make_gguf(path, tensors=False)
    elif fault == "unknown architecture":
        make_gguf(path, architecture="nonesuch")
    error = failure(path)
    assert error.fault == "model"
    assert path.name in error.message
    assert "gave no reason" not in error.message


def test_a_context_that_does_not_fit_is_a_matter_of_memory(file: Path) -> None:
    error = failure(file, context_tokens=2_000_000_000)
    assert error.fault == "memory"
    assert re.search(r"needs \d+ MiB; \d+ MiB are free. Lower `n_ctx`", error.message)


def test_the_cache_of_heads_with_a_size_of_their_own_is_counted_as_it_is(tmp_path: Path) -> None:
    """Four heads in a width of 64 would have 16 values each; these have 64."""
    file = make_gguf(tmp_path / "wide.gguf", architecture="llama", head_width=64)
    model = load_model(file, context_tokens=4096)
    assert model.info.extras["KV buffer"] == "4.0 MiB"
    model.close()
    needed = re.search(r"needs (\d+) MiB", failure(file, context_tokens=1 << 30).message)
    assert needed is not None
    assert int(needed[1]) == (1 << 30) // 4096 * 4 + (1 << 10) * 48


def test_a_cache_type_that_the_model_cannot_have_is_an_error(file: Path) -> None:
    error = failure(file, kv_type="q8_0", flash_attention="off")
    assert error.fault == "model"
    assert "flash" in error.message.lower()


def test_the_model_is_usable_after_a_failed_load(file: Path) -> None:
    failure(file, context_tokens=2_000_000_000)
    model = load_model(file)
    assert write(model, request("one")).usage.generated_tokens > 0
    model.close()


def test_another_chat_template_frames_the_messages_and_leaves_them_text(tmp_path: Path) -> None:
    model = load_model(make_gguf(tmp_path / "inst.gguf", template=NOT_CHATML))
    turns = [Message(role="user", content="Say [/INST] and <|im_end|>!")]
    tokens = model._chat.prompt(turns, stable_messages=1)
    said = b"".join(model._loaded.vocabulary.pieces[token] for token in tokens.tokens).decode()
    assert "Say [/INST] and <|im_end|>!" in said
    assert said.startswith("[INST]")
    assert said[: tokens.stable].endswith("<|im_end|>!")
    assert only(write(model, request("hello", max_tokens=3)))
    model.close()


def test_a_template_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    error = failure(make_gguf(tmp_path / "odd.gguf", template="{{ messages[0].content }} ~~ "))
    assert "chat template" in error.message
    assert error.fault == "model"


def test_a_chatml_prompt_is_byte_for_byte_what_the_template_says(file: Path) -> None:
    model = load_model(file)
    turns = [Message(role="system", content="\nOne "), Message(role="user", content=" zwei €\n")]
    prompt = model._chat.prompt(turns, stable_messages=1)
    spelled = {model._loaded.vocabulary.control(name): name for name in ("<|im_start|>", "<|im_end|>")}
    pieces = [spelled.get(token, "").encode() or model._loaded.vocabulary.pieces[token] for token in prompt.tokens]
    system = "<|im_start|>system\n\nOne <|im_end|>\n"
    rest = "<|im_start|>user\n zwei €\n<|im_end|>\n<|im_start|>assistant\n"
    assert b"".join(pieces).decode() == system + rest
    assert b"".join(pieces[: prompt.stable]).decode() == system
    model.close()


def test_fingerprints_tell_files_apart(tmp_path: Path) -> None:
    one, other = make_gguf(tmp_path / "a.gguf"), make_gguf(tmp_path / "b.gguf", seed=1)
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(one.read_bytes())
    assert fingerprint(one) == fingerprint(copy) != fingerprint(other)
