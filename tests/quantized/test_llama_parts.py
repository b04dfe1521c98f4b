"""The pieces of writing that need no model: drafts, sampling under a grammar, text streams, late grammars."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from example_counts import examples
from planact_quantized.grammar.automaton import Automaton
from planact_quantized.grammar.gbnf import parse
from planact_quantized.grammar.gbnf_rules import GrammarError
from planact_quantized.llama.constraint import Constraint, Free
from planact_quantized.llama.drafting import DRAFTS, Lookup, Policy
from planact_quantized.llama.forcing import Forcing
from planact_quantized.llama.sampling import MIN_SHARE, MOST_CHOICES, DeadEnd, GrammarCost, Sampler, descending
from planact_quantized.llama.text_stream import TextStream
from planact_quantized.llama.vocabulary import Vocabulary
from planact_quantized.llama.writing import Writing

PIECES = [b"a", b"b", b"ab", b"abc", b"c", b"\xe2\x82", b"\xac", b"", b""]
END, CONTROL = 7, 8


class SmallVocabulary(Vocabulary):
    """A vocabulary of these pieces, without a model."""

    def __init__(self, pieces: Sequence[bytes] = PIECES, *, ends: Sequence[int] = (END,)) -> None:
        self.pieces = list(pieces)
        self.size = len(pieces)
        self.ends = frozenset(ends)
        self.unwritable = np.array(
            [token for token, piece in enumerate(pieces) if not piece and token not in ends], dtype=np.intp
        )


vocabulary = SmallVocabulary


def start(text: str) -> Constraint:
    return Automaton(parse(text)).start


def allowed(state: Constraint) -> set[int]:
    return {
        token
        for token, piece in enumerate(PIECES)
        if (state.may_end if token == END else bool(piece) and state.step(piece) is not None)
    }


def whole_vocabulary_first(logits: np.ndarray[Any, Any], state: Constraint) -> np.ndarray[Any, Any]:
    """Return the logits with everything masked that the grammar does not allow."""
    masked = np.full_like(logits, -np.inf)
    tokens = sorted(allowed(state))
    masked[tokens] = logits[tokens]
    return masked


@pytest.mark.parametrize("grammar", ['root ::= "ab" [ac]*', "root ::= [b€]+", 'root ::= "abc"? "c"', 'root ::= ""'])
def test_asking_for_one_token_first_chooses_what_masking_all_would(grammar: str) -> None:
    random = np.random.default_rng(1)
    for _ in range(200):
        logits = random.normal(size=len(PIECES)).astype(np.float32).round(1)  # rounded: equal ones do happen
        state, cost = start(grammar), GrammarCost()
        choice = Sampler(vocabulary(), cost, temperature=0, seed=(0, 0)).choose(logits.copy(), state)
        assert choice.token == whole_vocabulary_first(logits, state).argmax()
        logits[CONTROL] = -np.inf
        assert cost.rejected == (int(logits.argmax()) not in allowed(state))


def test_by_chance_the_allowed_tokens_come_as_often_as_they_should() -> None:
    logits = np.array([1.0, 2.0, 1.5, 0.5, 2.5, -9, -9, 0.8, 9], np.float32)
    state = start('root ::= "a" | "ab" | "c"')
    sampler = Sampler(vocabulary(), GrammarCost(), temperature=0.7, seed=(3, 1))
    drawn = Counter(sampler.choose(logits.copy(), state).token for _ in range(4000))
    tokens = [token for token in allowed(state) if logits[token] >= logits[4] + np.log(MIN_SHARE)]
    weights = np.exp(logits[tokens] / 0.7)
    for token, share in zip(tokens, weights / weights.sum(), strict=True):
        assert drawn[token] / 4000 == pytest.approx(share, abs=0.03)
    assert set(drawn) == set(tokens)


def many_pieces(count: int) -> list[bytes]:
    """Return an end of text, a control token, and pieces of one to six letters, halves of characters among them."""
    random = np.random.default_rng(5)
    letters = [b"a", b"b", b"c", b"x", b"1", b" ", b"(", "€".encode(), b"\xe2\x82", b"\xac"]
    return [b"", b"", *(b"".join(random.choice(letters, random.integers(1, 7)).tolist()) for _ in range(count))]


@pytest.fixture(scope="module")
def large() -> Vocabulary:
    return SmallVocabulary(many_pieces(40_000), ends=[0])


GRAMMARS = {
    "few may start it": r'root ::= "c" ("a" | "b" [a-c]*)',
    "any may start it": r"root ::= [a-c€]+ [1x] | [^a]",
    "it may be over": r'root ::= "ab"?',
    "one alone": r'root ::= "ab"',
    "spaces before it": r'root ::= " " ("a" | "€") [a-c€ ]*',
}


DRAWS = 250


def by_full_filter(
    vocabulary: Vocabulary, logits: np.ndarray[Any, Any], state: Constraint | None, temperature: float
) -> dict[int, float]:
    """Return the chances of all tokens that may be chosen, with the grammar asked about every one of them."""

    def is_allowed(token: int, piece: bytes) -> bool:
        if token in vocabulary.ends:
            return state is None or state.may_end
        return bool(piece) and (state is None or state.step(piece) is not None)

    allowed = [token for token, piece in enumerate(vocabulary.pieces) if is_allowed(token, piece)]
    likeliest = sorted(allowed, key=lambda token: (-logits[token], token))[: MOST_CHOICES if temperature else 1]
    limit = logits[likeliest[0]] + np.log(MIN_SHARE)
    kept = [token for token in likeliest if logits[token] >= limit]
    weights = np.exp(logits[kept].astype(float) / (temperature or 1))
    return dict(zip(kept, (weights / weights.sum()).tolist(), strict=True))


def assert_drawn_as_by_full_filter(
    vocabulary: Vocabulary, logits: np.ndarray[Any, Any], state: Constraint | None, *, draws: int
) -> Sampler:
    """Compare how often each token is drawn with its chances, by chi-squared."""
    chances = by_full_filter(vocabulary, logits, state, 0.9)
    sampler = Sampler(vocabulary, GrammarCost(), temperature=0.9, seed=(1, 1))
    drawn = Counter(sampler.choose(logits.copy(), state).token for _ in range(draws))
    assert set(drawn) <= set(chances)
    distance = sum((drawn[token] - draws * chance) ** 2 / (draws * chance) for token, chance in chances.items())
    freedom = len(chances) - 1
    assert distance <= freedom + 4 * (2 * freedom) ** 0.5 + 8
    return sampler


@pytest.mark.parametrize("spread", [0.1, 6.0])
@pytest.mark.parametrize("name", GRAMMARS)
def test_the_likeliest_allowed_token_is_that_of_the_whole_vocabulary(
    large: Vocabulary, name: str, spread: float
) -> None:
    random = np.random.default_rng(2)
    state = start(GRAMMARS[name])
    sampler = Sampler(large, GrammarCost(), temperature=0, seed=(0, 0))
    for digits in (1, 7):  # rounded: many are equal
        logits = random.normal(scale=spread, size=large.size).astype(np.float32).round(digits)
        assert sampler.choose(logits.copy(), state).token == next(iter(by_full_filter(large, logits, state, 0)))


@pytest.mark.parametrize("spread", [0.1, 1.0, 6.0])
@pytest.mark.parametrize("name", [*GRAMMARS, ""])
def test_by_chance_tokens_come_with_the_chances_of_the_whole_vocabulary(
    large: Vocabulary, name: str, spread: float
) -> None:
    random = np.random.default_rng(3)
    logits = random.normal(scale=spread, size=large.size).astype(np.float32).round(2)
    assert_drawn_as_by_full_filter(large, logits, start(GRAMMARS[name]) if name else None, draws=DRAWS)


@pytest.mark.parametrize("wanted", [-2.0, 1.0, 4.0, 60.0])
def test_a_token_that_is_refused_does_not_change_the_chances_of_the_others(wanted: float) -> None:
    """Not even of those that are too unlikely beside it: they are not too unlikely among the allowed ones."""
    random = np.random.default_rng(6)
    letters = [bytes([code]) for code in range(ord("a"), ord("z") + 1)]
    logits = random.normal(scale=0.7, size=2 * len(letters)).astype(np.float32)
    logits[-1] = wanted
    few = SmallVocabulary([*letters, *(b"!" + letter for letter in letters)], ends=())
    sampler = assert_drawn_as_by_full_filter(few, logits, start("root ::= [a-z]"), draws=4_000)
    assert sampler.cost.rejected in (0, 4_000)


@pytest.mark.parametrize("size", [1, 300, 5_000, 60_000])
def test_tokens_come_in_the_order_of_their_logits_and_none_twice(size: int) -> None:
    random = np.random.default_rng(size)
    for logits in (
        random.normal(size=size).astype(np.float32),
        random.integers(0, 3, size=size).astype(np.float32),
        np.where(random.random(size) < 0.99, -np.inf, random.normal(size=size)).astype(np.float32),
        np.full(size, -np.inf, np.float32),
    ):
        possible = np.count_nonzero(logits > -np.inf)
        order = np.concatenate(list(descending(logits)))
        assert order.tolist() == np.argsort(-logits, kind="stable")[:possible].tolist()


def test_a_grammar_that_no_token_can_spell_is_a_dead_end() -> None:
    with pytest.raises(DeadEnd):
        Sampler(vocabulary(), GrammarCost(), temperature=0, seed=(0, 0)).choose(
            np.zeros(len(PIECES), np.float32), start('root ::= "z"')
        )


def steps(state: Constraint | None, *pieces: str) -> Constraint | None:
    for piece in pieces:
        if state is None:
            return None
        state = state.step(piece.encode())
    return state


def test_the_tail_of_the_token_that_ends_a_trigger_is_held_to_the_grammar() -> None:
    late = Free(b"```python\n", start('root ::= "x = " [0-9]'))
    assert late.may_end
    inside = steps(late, "Some `` and ```", "pyth", "on\nx = ")
    assert inside is not None
    assert not inside.may_end
    assert allowed_characters(inside) == set("0123456789")
    assert steps(late, "```", "python\ny") is None
    assert steps(late, "```python", "\nx = 1") is not None
    assert steps(late, "```python\n", "x = 1", "2") is None
    assert isinstance(steps(late, "```pytho", "\n"), Free)


def allowed_characters(state: Constraint) -> set[str]:
    return {chr(code) for code in range(1, 128) if state.step(bytes([code])) is not None}


def test_what_a_grammar_forces_ends_where_there_is_a_choice() -> None:
    state = start('root ::= "call(" ("a" | "b") ")" "\\n"?')
    assert state.forced == b"call("
    after = steps(state, "call(", "a")
    assert after is not None
    assert (after.forced, after.may_end) == (b")", False)
    end = steps(after, ")")
    assert end is not None
    assert (end.forced, end.may_end, end.complete) == (b"", True, False)
    last = steps(end, "\n")
    assert last is not None
    assert last.complete


def forced_tokens(grammar: str) -> list[int]:
    automaton = Automaton(parse(grammar))
    spelling = SimpleNamespace(
        pieces=PIECES,
        tokenize=lambda text: [PIECES.index(character.encode()) for character in text],
        longer=lambda piece: (each[len(piece) :] for each in PIECES if each.startswith(piece) and each != piece),
    )
    return [token for token, _ in Forcing(automaton, cast(Any, spelling)).tokens(automaton.start)]


def test_a_forced_token_that_could_be_a_longer_one_is_left_to_the_model() -> None:
    assert forced_tokens('root ::= "ca" ("b" | "c")') == [4]  # "ab" is a token, and may follow
    assert forced_tokens('root ::= "ca" ("a" | "c")') == [4, 0]
    assert forced_tokens('root ::= "ca"') == [4, 0]
    assert forced_tokens('root ::= "a" | "b"') == []


@settings(deadline=None, max_examples=examples(2), derandomize=True)
@given(st.text(alphabet='abr"[](){}|*+?.^-:=#, 0123456789\\\n<>!', max_size=60))
def test_any_text_is_a_grammar_or_a_grammar_error(text: str) -> None:
    for grammar in (text, f"root ::= {text}", f'root ::= a "x" | {text}\na ::= [ab] {text}'):
        with suppress(GrammarError):
            start = Automaton(parse(grammar)).start
            assert start.complete or start.may_end or bool(np.any(start.first_bytes))


def test_text_comes_in_whole_characters_and_stops_before_a_stop_text() -> None:
    stream = TextStream(["END", "\n\n"])
    shown = [stream.push(data) for data in (b"a\xe2\x82", b"\xac EN", b"E", b"\n", b"b\n", b"\nrest")]
    assert shown == ["a", "€ ", "EN", "E", "\nb", ""]
    assert (stream.stopped, stream.finish()) == (True, "")


def test_what_was_held_back_is_text_when_nothing_more_comes() -> None:
    stream = TextStream(["END"])
    assert [stream.push(b"an EN"), stream.push(b"\xe2\x82"), stream.finish()] == ["an ", "", "EN\ufffd"]


def test_a_draft_is_what_followed_the_longest_run_last_time() -> None:
    lookup = Lookup([1, 2, 3, 4, 9, 2, 3, 5, 6, 1, 2, 3])
    assert lookup.draft(3) == [4, 9, 2]
    lookup.add(5)
    assert lookup.draft(5) == [6, 1, 2, 3, 5]
    assert Lookup([1, 2, 3]).draft(4) == []
    assert Lookup([]).draft(4) == []


def test_a_text_that_goes_round_is_guessed_to_go_on_round() -> None:
    assert Lookup([9, 1, 2, 3, 1, 2, 3]).draft(8) == [1, 2, 3, 1, 2, 3, 1, 2]
    assert Lookup([5, 5, 5, 5]).draft(3) == [5, 5, 5]


@pytest.mark.parametrize(
    ("grammar", "draft"), [(r"root ::= [a-c]+", [0, 1, 3]), ('root ::= "ab" [a-c]', [0, 1]), ("", None)]
)
def test_only_what_the_grammar_allows_is_guessed(grammar: str, draft: list[int] | None) -> None:
    before = [0, 1, 3, END, 4]  # a, b, abc, the end of a text, c
    held = start(grammar) if grammar else None
    writing = Writing(
        0,
        prompt=before * 2,
        vocabulary=vocabulary(),
        sampler=Sampler(vocabulary(), GrammarCost(), temperature=0, seed=(0, 0)),
        constraint=held,
        stops=(),
        max_tokens=9,
        forcing=None,
        on_text=lambda *_: None,
    )
    assert writing.draft(9) == (draft or [*before, *before][:9])
    assert writing.draft(0) == []


def test_drafting_stops_where_it_does_not_pay_and_is_tried_again() -> None:
    short, long = DRAFTS
    dear = Policy("auto", costs={short: 2.0, long: 4.0})
    for _ in range(40):
        if most := dear.most():
            dear.learn(0, most)
    tries = [dear.most() for _ in range(100)]
    assert 1 <= sum(map(bool, tries)) <= 10
    assert Policy("off").most() == 0
    stubborn = Policy("on", costs={short: 50, long: 50})
    stubborn.learn(0, long)
    assert stubborn.most() in DRAFTS


def test_drafts_are_as_long_as_pays() -> None:
    short, long = DRAFTS
    policy = Policy("auto", costs={short: 1.5, long: 3.0})
    for _ in range(40):
        policy.learn(2, policy.most())
    assert policy.most() == short
    for _ in range(40):
        policy.learn(policy.most(), policy.most())
    assert policy.most() == long


def test_states_are_made_once() -> None:
    automaton = Automaton(parse('root ::= line+\nline ::= [a-z]+ "\\n"'))
    second_line = cast(Any, automaton.start).step(b"abc\n").step(b"xyz\n")
    size = automaton.size
    assert second_line.step(b"xyz\nxyz\n") is second_line
    assert automaton.size == size


LAYERED = [
    'root ::= maybe maybe "x" | maybe list\nmaybe ::= "a"? | "b"*\nlist ::= "[" (root ("," root)*)? "]"',
    'root ::= a b c\na ::= "x"?\nb ::= a a\nc ::= b | [0-9] c',
    'root ::= a | "y"\na ::= b | "x"\nb ::= a | ""',
    'root ::= "abc" | "abd" root | ""',
]


@pytest.mark.parametrize("grammar", LAYERED)
def test_a_state_says_of_itself_what_its_steps_say(grammar: str) -> None:
    random = np.random.default_rng(4)
    for _ in range(30):
        state = start(grammar)
        for _ in range(12):
            characters = sorted(allowed_characters(state))
            assert sorted(map(chr, np.flatnonzero(cast(Any, state.first_bytes)))) == characters
            assert state.complete == (state.may_end and not characters)
            assert state.forced[:1].decode() == (characters[0] if len(characters) == 1 and not state.may_end else "")
            if not characters:
                break
            state = cast(Constraint, state.step(random.choice(characters).encode()))
