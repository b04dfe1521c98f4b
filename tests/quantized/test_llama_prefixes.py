"""Evaluated prompts on disk: read back exactly, never trusted, never more than allowed."""

import os
from pathlib import Path

import pytest

from planact_quantized import Completion
from planact_quantized.llama.prefixes import MAGIC, MemoryPrefixes, PrefixFolder, prefix_key
from quantized.llama_testing import load_model, only, request, write  # noqa: TID251 - a folder of tests
from quantized.tiny_gguf import make_gguf  # noqa: TID251 - a folder of tests

pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gguf(tmp_path_factory.mktemp("models") / "tiny.gguf", scale=0.3)


def asked_anew(file: Path, text: str, folder: Path | None, **settings: object) -> Completion:
    """Ask a model that has just been loaded: as a new process would."""
    model = load_model(file, prefixes=folder, **settings)
    done = write(model, request(text))
    model.close()
    return done


def kept(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


@pytest.mark.parametrize("kv_type", ["f16", "q8_0"])
def test_a_new_process_reads_the_stable_part_and_writes_the_same(tmp_path: Path, kv_type: str) -> None:
    # Quantized caches need rows of 32 values in each head.
    wide = make_gguf(tmp_path / "wide.gguf", scale=0.3, width=128)
    folder = tmp_path / "prefixes"
    first = asked_anew(wide, "one", folder, kv_type=kv_type)
    second = asked_anew(wide, "one", folder, kv_type=kv_type)
    other = asked_anew(wide, "two", folder, kv_type=kv_type)
    assert first.usage.evaluated_tokens == first.usage.prompt_tokens
    # Of "user", the request and the start of the answer every byte is a token.
    assert second.usage.evaluated_tokens == len("user\none") + len("\n") + len("assistant\n") + 3
    assert only(second) == only(first)
    assert only(other) == only(asked_anew(wide, "two", None, kv_type=kv_type))
    assert len(kept(folder)) == 1


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "garbage", "swapped"])
def test_a_file_that_is_not_right_is_evaluated_again(file: Path, tmp_path: Path, damage: str) -> None:
    first = asked_anew(file, "one", tmp_path)
    [stored] = kept(tmp_path)
    content = stored.read_bytes()
    other = PrefixFolder(tmp_path / "other", most_bytes=10**6)
    other.save("another key", b"state of something else")
    [foreign] = kept(tmp_path / "other")
    damaged = {
        "empty": b"",
        "cut": content[: len(content) // 2],
        "flipped": content[:-100] + bytes([content[-100] ^ 1]) + content[-99:],
        "garbage": MAGIC + os.urandom(5000),
        "swapped": foreign.read_bytes(),
    }
    foreign.unlink()
    foreign.parent.rmdir()
    stored.write_bytes(damaged[damage])
    again = asked_anew(file, "one", tmp_path)
    assert again.usage.evaluated_tokens == again.usage.prompt_tokens
    assert only(again) == only(first)
    assert stored.read_bytes() == content
    assert kept(tmp_path) == [stored]


def test_another_model_or_cache_type_does_not_read_it(file: Path, tmp_path: Path) -> None:
    asked_anew(file, "one", tmp_path / "prefixes")
    other = make_gguf(tmp_path / "other.gguf", seed=9)
    done = asked_anew(other, "one", tmp_path / "prefixes")
    assert done.usage.evaluated_tokens == done.usage.prompt_tokens
    without = asked_anew(file, "one", tmp_path / "prefixes", flash_attention="off")
    assert without.usage.evaluated_tokens == without.usage.prompt_tokens
    assert len(kept(tmp_path / "prefixes")) == 3


def test_a_state_that_llama_cpp_refuses_is_dropped(file: Path, tmp_path: Path) -> None:
    first = asked_anew(file, "one", tmp_path)
    [stored] = kept(tmp_path)
    PrefixFolder(tmp_path, most_bytes=10**8).save(stored.stem, b"\0" * 64)
    again = asked_anew(file, "one", tmp_path)
    assert only(again) == only(first)
    assert again.usage.evaluated_tokens == again.usage.prompt_tokens


def test_the_folder_holds_no_more_than_it_may_and_the_least_used_go_first(tmp_path: Path) -> None:
    folder = PrefixFolder(tmp_path, most_bytes=35_000)
    state = bytes(10_000)
    for age, key in enumerate(("a", "b", "c")):
        folder.save(key, state)
        os.utime(tmp_path / f"{key}.prefix", (1000 + age, 1000 + age))
    (tmp_path / ".torn.prefix.1.part").write_bytes(bytes(4000))
    os.utime(tmp_path / ".torn.prefix.1.part", (500, 500))
    assert folder.load("a") == state
    folder.save("d", state)
    assert [path.name for path in kept(tmp_path)] == ["a.prefix", "c.prefix", "d.prefix"]
    folder.save("too large", bytes(40_000))
    assert folder.load("too large") is None
    assert folder.load("d") == state


def test_a_folder_that_cannot_be_written_costs_only_time(file: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    first = asked_anew(file, "one", tmp_path / "file" / "prefixes")
    assert only(first) == only(asked_anew(file, "one", None))


def test_without_a_folder_a_prompt_comes_back_from_memory_after_another(file: Path) -> None:
    model = load_model(file)
    write(model, request("one"))
    write(model, request("else", system="Something quite different. " * 5))
    back = write(model, request("two"))
    assert back.usage.evaluated_tokens < 40 < back.usage.prompt_tokens
    assert only(back) == only(asked_anew(file, "two", None))
    model.close()


def test_what_is_too_large_for_memory_drives_nothing_out() -> None:
    memory = MemoryPrefixes(most_bytes=100)
    memory.save("small", bytes(50))
    memory.save("large", bytes(101))
    assert (memory.load("small"), memory.load("large")) == (bytes(50), None)


def test_memory_keeps_the_last_ones() -> None:
    memory = MemoryPrefixes(most_bytes=100)
    for key in "abc":
        memory.save(key, bytes(40))
    memory.load("b")
    memory.save("d", bytes(40))
    assert [key for key in "abcd" if memory.load(key) is not None] == ["b", "d"]


def test_a_key_tells_models_and_tokens_apart() -> None:
    keys = {prefix_key("one", [1, 2]), prefix_key("two", [1, 2]), prefix_key("one", [2, 1]), prefix_key("one", [1])}
    assert len(keys) == 4
