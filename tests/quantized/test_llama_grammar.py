"""Texts under a grammar: held to it, forced where there is no choice, drafted, and always the same text."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from planact_quantized import BackendError, Grammar
from planact_quantized.llama.loaded_model import LoadedModel
from quantized.llama_testing import load_model, only, request, texts, write  # noqa: TID251 - a folder of tests
from quantized.tiny_gguf import make_gguf  # noqa: TID251 - a folder of tests

pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")

CALLS = r"""
root ::= "begin\n" line{2,3} "end"
line ::= "result" [0-9] " = " call "\n"
call ::= "check_availability(day=" text ", start=" text ")" | "make_appointment(title=" text ")" | "note(text=" text ")"
text ::= "\"" [a-zäöü ]{0,4} "\""
"""
"""No code fence: this vocabulary has one token for it, and forced tokens are the usual ones where a random model may
have spelled it otherwise, and gone on otherwise from there."""

IS_CALLS = re.compile(
    r'begin\n(result\d = (check_availability\(day="[a-zäöü ]{0,4}", start="[a-zäöü ]{0,4}"\)'
    r'|make_appointment\(title="[a-zäöü ]{0,4}"\)|note\(text="[a-zäöü ]{0,4}"\))\n){2,3}end'
)
PROMPT = 'result1 = check_availability(day="monday", start="nine")\nresult2 = note(text="abc")\n'


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gguf(tmp_path_factory.mktemp("models") / "tiny.gguf", scale=0.3, seed=2)


@pytest.fixture(scope="module")
def plain(file: Path) -> Iterator[LoadedModel]:
    model = load_model(file)
    yield model
    model.close()


@pytest.fixture(scope="module", params=["forced", "drafted", "both"])
def quick(file: Path, request: pytest.FixtureRequest) -> Iterator[LoadedModel]:
    model = load_model(
        file, forced_tokens=request.param != "drafted", drafting="off" if request.param == "forced" else "on"
    )
    yield model
    model.close()


TEXTS = ["three", "eight", "note", "monday"]
"""Requests whose greedy text has no choice between tokens that are all but equally likely: evaluating several tokens
at once adds numbers up in another order, which moves logits by up to 0.01 in models as rough as these."""


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("most", [9, 400])
def test_forcing_and_drafting_give_the_same_text(plain: LoadedModel, quick: LoadedModel, text: str, most: int) -> None:
    asked = request(text, grammar=Grammar(text=CALLS), max_tokens=most)
    [slow], [fast] = write(plain, asked).candidates, write(quick, asked).candidates
    assert (fast.text, fast.stop, fast.tokens) == (slow.text, slow.stop, slow.tokens)
    assert most == 9 or IS_CALLS.fullmatch(slow.text)


def test_drafting_as_measured_gives_the_same_text(plain: LoadedModel, file: Path) -> None:
    model = load_model(file, drafting="auto")
    asked = request("eight", grammar=Grammar(text=CALLS), max_tokens=400)
    assert only(write(model, asked)) == only(write(plain, asked))
    model.close()


def test_texts_by_chance_are_held_to_the_grammar_and_come_again_with_their_seed(quick: LoadedModel) -> None:
    asked = request("by chance", grammar=Grammar(text=CALLS), max_tokens=400, temperature=1.2, seed=5, candidates=3)
    written = texts(write(quick, asked))
    assert all(IS_CALLS.fullmatch(text) for text in written)
    assert texts(write(quick, asked)) == written
    assert texts(write(quick, replace(asked, seed=6)))[1:] != written[1:]


def test_most_of_a_plan_is_forced_and_counted(file: Path) -> None:
    model = load_model(file, forced_tokens=True)
    done = write(model, request("four", grammar=Grammar(text=CALLS), max_tokens=400))
    [candidate] = done.candidates
    assert candidate.tokens > candidate.forced_tokens > candidate.tokens // 3
    assert done.usage.rejected_tokens <= candidate.tokens - candidate.forced_tokens
    assert done.usage.grammar_seconds > 0
    model.close()


def test_drafts_that_come_true_are_counted_and_save_steps(file: Path) -> None:
    model = load_model(file, drafting="on")
    again = Grammar(text=r'root ::= ("check_availability(day=\"" [a-c] "\")\n"){6}')
    [candidate] = write(model, request("five", grammar=again, max_tokens=400)).candidates
    assert candidate.drafted_tokens > candidate.tokens // 2
    model.close()


def test_a_late_grammar_holds_from_the_character_behind_its_trigger(plain: LoadedModel, quick: LoadedModel) -> None:
    free = request("six", max_tokens=60)
    prose = only(write(plain, free))
    trigger = next(character for character in prose[4:] if character.isascii())
    asked = replace(free, grammar=Grammar(text=CALLS, trigger=trigger), max_tokens=400)
    before, found, after = only(write(plain, asked)).partition(trigger)
    assert prose.startswith(before + found)
    assert IS_CALLS.fullmatch(after)
    assert only(write(quick, asked)) == before + found + after


def test_a_late_grammar_that_is_never_triggered_leaves_the_text_as_it_is(plain: LoadedModel) -> None:
    free = request("seven", max_tokens=30)
    late = replace(free, grammar=Grammar(text=CALLS, trigger="this will not come"))
    assert write(plain, late).candidates == write(plain, free).candidates


def test_characters_of_several_bytes_are_held_to_the_grammar(plain: LoadedModel, quick: LoadedModel) -> None:
    asked = request("eight", grammar=Grammar(text='root ::= ([ä-ü€] | "日本" | [^ -~\\n]){3} "ende"'), max_tokens=100)
    text = only(write(plain, asked))
    assert text.endswith("ende")
    assert text.isprintable() or "\ufffd" not in text
    assert only(write(quick, asked)) == text


def test_a_grammar_without_any_choice_needs_no_step(file: Path) -> None:
    model = load_model(file, forced_tokens=True)
    done = write(model, request("nine", grammar=Grammar(text='root ::= "exactly this"')))
    [candidate] = done.candidates
    assert (candidate.text, candidate.stop, candidate.tokens) == ("exactly this", "end", 12)
    assert candidate.forced_tokens == 12
    model.close()


BAD = {
    "undefined rule": ("root ::= foo", "'foo' is used and not defined"),
    "no root": ('start ::= "a"', "no rule 'root'"),
    "empty": ("", "no rule 'root'"),
    "unfinished text": ('root ::= "a', "ends within"),
    "unfinished class": ("root ::= [a", "ends within"),
    "direct left recursion": ('root ::= root "a" | "b"', "left-recursive"),
    "hidden left recursion": ('root ::= maybe root "a" | "b"\nmaybe ::= "x"?', "left-recursive"),
    "mutual left recursion": ('root ::= b "x" | "y"\nb ::= root "z"', "left-recursive"),
    "endless": ('root ::= "a" root', "can never end"),
    "endless elsewhere": ('root ::= "a"\nb ::= "x" b', "can never end"),
    "twice": ('root ::= "a"\nroot ::= "b"', "defined twice"),
    "empty class": ("root ::= []", "no character matches"),
    "backwards": ("root ::= [z-a]", "before it begins"),
    "nothing to repeat": ("root ::= * [a]", "nothing to repeat"),
    "too often": ('root ::= "a"{1,999999999999}', "the most"),
    "too large": ('root ::= "' + "a" * 1000 + '"{2000}', "more than 500000 elements"),
    "unknown escape": (r'root ::= "\q"', "unknown escape"),
    "open group": ('root ::= ("a"', "expected"),
    "deep": ("root ::= " + "(" * 5000 + '"a"' + ")" * 5000, "nested deeper"),
    "underscore": ('root ::= my_rule\nmy_rule ::= "a"', "expected"),
    "token": ("root ::= <think>", "not supported"),
    "nul": (r'root ::= "\x00"', "is in no text"),
    "junk": ("this is no grammar", "expected"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_grammar_is_an_error_that_says_why_and_nothing_else(plain: LoadedModel, name: str) -> None:
    text, why = BAD[name]
    with pytest.raises(BackendError, match=why) as caught:
        plain.check_grammar(Grammar(text=text))
    assert caught.value.fault == "grammar"
    with pytest.raises(BackendError, match=why):
        write(plain, request(grammar=Grammar(text=text)))


def test_grammars_of_the_kinds_that_llama_cpp_ships_are_understood(plain: LoadedModel) -> None:
    plain.check_grammar(
        Grammar(
            text=r"""
            # a comment
            root   ::= object
            value  ::= object | array | string | number | ("true" | "false" | "null") ws

            object ::= "{" ws (
                        string ":" ws value
                ("," ws string ":" ws value)*
              )? "}" ws
            array  ::= "[" ws (value ("," ws value)*)? "]" ws
            string ::= "\"" ([^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}))* "\"" ws
            number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
            ws ::= | " " | "\n" [ \t]{0,20}
            """
        )
    )
