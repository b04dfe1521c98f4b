"""Our reading of GBNF and llama.cpp's, side by side on random grammars: the same tokens at every step."""

import ctypes
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from planact_quantized.grammar.automaton import Automaton
from planact_quantized.grammar.gbnf import parse
from planact_quantized.llama.constraint import Constraint
from planact_quantized.llama.vocabulary import Vocabulary
from quantized.tiny_gguf import make_gguf  # noqa: TID251 - a folder of tests

if TYPE_CHECKING:
    from pathlib import Path

llama_cpp: Any = pytest.importorskip("llama_cpp", reason="needs llama-cpp-python")

ROUNDS = 48
LETTERS = "abcä€\n"


class Theirs:
    """llama.cpp's grammar, asked for every token of the vocabulary."""

    def __init__(self, vocabulary: Vocabulary, text: str) -> None:
        self._size = vocabulary.size
        self._pointer = llama_cpp.llama_sampler_init_grammar(vocabulary._pointer, text.encode(), b"root")
        assert self._pointer, text

    def allowed(self) -> set[int]:
        data = (llama_cpp.llama_token_data * self._size)()
        view = np.frombuffer(data, dtype=[("id", "i4"), ("logit", "f4"), ("p", "f4")])
        view["id"] = np.arange(self._size)
        array = llama_cpp.llama_token_data_array(data=data, size=self._size, selected=-1, sorted=False)
        llama_cpp.llama_sampler_apply(self._pointer, ctypes.byref(array))
        return set(map(int, view["id"][view["logit"] > -np.inf]))

    def accept(self, token: int) -> None:
        llama_cpp.llama_sampler_accept(self._pointer, token)

    def free(self) -> None:
        llama_cpp.llama_sampler_free(self._pointer)


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vocabulary]:
    path: Path = make_gguf(tmp_path_factory.mktemp("models") / "tiny.gguf")
    parameters = llama_cpp.llama_model_default_params()
    parameters.vocab_only = True
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)
    yield Vocabulary(llama_cpp, model)
    llama_cpp.llama_model_free(model)


def ours(vocabulary: Vocabulary, state: Constraint) -> set[int]:
    return {
        token
        for token, piece in enumerate(vocabulary.pieces)
        if (state.may_end if token in vocabulary.ends else piece not in (b"", b"\0") and state.step(piece) is not None)
    }


def is_text(vocabulary: Vocabulary, so_far: bytes, token: int) -> bool:
    text = so_far + vocabulary.pieces[token]
    endings = [byte * count for byte in (b"\x80", b"\xbf") for count in range(4)]
    return (token in vocabulary.ends or len(text) > len(so_far)) and any(is_utf8(text + ending) for ending in endings)


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def random_grammar(chance: random.Random) -> str:
    names = ["root", *(f"r{number}" for number in range(chance.randrange(4)))]
    return "\n".join(f"{name} ::= {choice(chance, names[at + 1 :], 2)}" for at, name in enumerate(names))


def choice(chance: random.Random, later: list[str], depth: int) -> str:
    return " | ".join(sequence(chance, later, depth) for _ in range(chance.randrange(1, 4)))


def sequence(chance: random.Random, later: list[str], depth: int) -> str:
    return " ".join(repeated(chance, later, depth) for _ in range(chance.randrange(1, 4)))


def repeated(chance: random.Random, later: list[str], depth: int) -> str:
    sign = chance.choice(["", "", "", "*", "+", "?", "{2}", "{0,2}", "{1,}", "{1,3}"])
    return item(chance, later, depth) + sign


def item(chance: random.Random, later: list[str], depth: int) -> str:
    kind = chance.randrange(6)
    letters = "".join(chance.choices(LETTERS, k=chance.randrange(1, 4))).replace("\n", "\\n")
    if kind == 0:
        return f"[{letters}]"
    if kind == 1:
        # Of ASCII only: llama.cpp refuses every character that begins with the same byte as one of the others.
        return f"[^{chance.choice(['a', 'bc', 'c-z', 'a b'])}]"
    if kind == 2:
        return chance.choice([".", "[a-c]", "[ -z]", "[à-ÿ]", "[\\u4e00-\\u9fff]", '[^"\\\\\\x7F\\x00-\\x1F]'])
    if kind == 3 and depth:
        return f"({choice(chance, later, depth - 1)})"
    if kind == 4 and later:
        return chance.choice(later)
    return f'"{letters}"'


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.check) for seed in range(1, 4))])
def test_random_grammars_allow_the_same_tokens_at_every_step_as_llama_cpp_does(
    vocabulary: Vocabulary, seed: int
) -> None:
    chance = random.Random(seed)
    for _ in range(ROUNDS // 4):
        text = random_grammar(chance)
        theirs, state = Theirs(vocabulary, text), Automaton(parse(text)).start
        compare(vocabulary, text, theirs, state, chance)
        theirs.free()


def compare(vocabulary: Vocabulary, text: str, theirs: Theirs, state: Constraint, chance: random.Random) -> None:
    so_far = b""
    for _ in range(12):
        allowed = ours(vocabulary, state)
        # llama.cpp also lets through what is no UTF-8, and control tokens by their names; nobody wants either.
        assert allowed == {token for token in theirs.allowed() if is_text(vocabulary, so_far, token)}, (text, so_far)
        going_on = sorted(allowed - vocabulary.ends)
        assert state.complete == (bool(allowed) and not going_on)
        if not going_on:
            return
        token = chance.choice(going_on)
        after = state.step(vocabulary.pieces[token])
        assert after is not None
        state = after
        theirs.accept(token)
        so_far += vocabulary.pieces[token]


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.check) for seed in range(1, 3))])
def test_what_is_forced_is_the_only_way_on_character_by_character(vocabulary: Vocabulary, seed: int) -> None:
    chance = random.Random(100 + seed)
    for _ in range(40):
        state: Constraint = Automaton(parse(random_grammar(chance))).start
        for _ in range(8):
            forced = state.forced
            for byte in forced:
                assert not state.may_end
                going_on = [each for each in range(1, 256) if state.step(bytes([each])) is not None]
                assert going_on == [byte]
                after = state.step(bytes([byte]))
                assert after is not None
                state = after
            going_on = [each for each in range(1, 256) if state.step(bytes([each])) is not None]
            if not going_on:
                break
            after = state.step(bytes([chance.choice(going_on)]))
            assert after is not None
            state = after
