"""Text as the words that a search compares."""

from __future__ import annotations

import re

import pytest

from planact_server.catalog.question import MAKING_WEIGHT, MOST_PARTS, read
from planact_server.catalog.related import PATH, related
from planact_server.catalog.words import stem, tokens


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("getHTTPResponse2", ["get", "http", "respons", "2"]),
        ("list_pull-requests.v3", ["list", "pull", "request", "v", "3"]),
        ("the categories of a class, status", ["categori", "class", "status"]),
        ("Öffnungszeiten für Café", ["öffnungszeiten", "für", "café"]),
        ("東京の天気 today", ["東京", "京の", "の天", "天気", "todai"]),
        ("ﬁles", ["fil"]),
        ("", []),
    ],
)
def test_text_is_split_into_words(text: str, words: list[str]) -> None:
    assert list(tokens(text)) == words


@pytest.mark.parametrize(
    "forms",
    [
        ("create", "creates", "created", "creating", "creation", "creator"),
        ("convert", "converts", "converting", "converter"),
        ("calculate", "calculator", "calculation"),
        ("stop", "stops", "stopped", "stopping"),
        ("query", "queries"),
        ("box", "boxes"),
        ("available", "availability"),
    ],
)
def test_the_forms_of_a_word_have_one_stem(forms: tuple[str, ...]) -> None:
    assert len({stem(form) for form in forms}) == 1


def test_different_words_keep_different_stems() -> None:
    words = ["note", "news", "new", "bus", "string", "thing", "paper", "pay", "date", "data", "rate", "ring"]
    assert len({stem(word) for word in words}) == len(words)


def test_related_words_find_each_other_and_no_third_one() -> None:
    assert related(stem("delete"))[stem("erase")] == related(stem("erase"))[stem("delete")]
    assert stem("forget") in related(stem("delete"))
    assert stem("forget") not in related(stem("erase"))
    assert dict(related("nonsense")) == {}


def test_no_word_is_related_to_itself() -> None:
    for word in ("create", "delete", "chart", "train", "weather"):
        assert stem(word) not in related(stem(word))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("open /srv/Report.PDF", ["open", "pdf", "document", "file"]),
        ("look into ~/pictures", ["look", "directory", "folder", "path"]),
        (r"look into C:\music\old", ["look", "directory", "folder", "path"]),
        ("summarize notes.md", ["summarize", "markdown", "text", "file"]),
        ("get https://www.youtube.com/watch?v=arj7oStGLkU", ["get", "url", "youtube"]),
        (f"what is {'Qk1' * 40}=", ["what", "is"]),
        ("and/or 1/2", ["and", "or", "1", "2"]),
    ],
)
def test_what_only_a_reader_understands_is_read(text: str, words: list[str]) -> None:
    assert list(read(text).words) == list(dict.fromkeys(tokens(" ".join(words))))


def test_a_request_of_one_piece_has_no_parts() -> None:
    assert read("weather of a city").parts == ()


def test_a_longer_request_has_the_parts_that_say_something() -> None:
    question = read("Find good hotels in Rome, then, by 8, book a table and convert 300 euros")
    assert [list(part.words) for part in question.parts] == [
        list(tokens(text)) for text in ("find good hotels rome", "book table", "convert 300 euros")
    ]
    assert question.words["300"] < question.words["rom"]


def test_a_text_of_many_sentences_has_few_parts() -> None:
    assert len(read("Send the letter. " * 50).parts) == MOST_PARTS


WANTED = {
    "a short Word handout, please make it": ["create word document", "add paragraph text document"],
    "put it into ~/a/lease.docx": ["create word document", "add heading document"],
    "a Word report at ~/a/lease.docx would be nice": ["create word document"],
    "prepare slides about whales": ["create presentation", "add slide presentation", "save presentation"],
    "make a spreadsheet of it": ["create workbook", "write data excel worksheet"],
    "and save it in ~/a.md": ["write file"],
    "written to notes.txt": ["write file"],
    "keep it in todo.txt": ["write file"],
    "write the key into ~/app/.env": ["write file"],
    "put it in ~/notes/today": ["write file"],
    "save it as report.pdf": ["write file"],
}
NOT_WANTED = [
    "save money",
    "read a.txt",
    "read /srv/lease.docx",
    "how many slides has talk.pptx",
    "in other words",
    "give me the text of the slides in talk.pptx",
    "what does draft.docx say",
    "the output of app.py is wrong",
    "give me feedback on my presentation",
    "open https://example.com/catalog.log",
    "make tea, then tell me what is in notes.txt",
]


def steps_of(text: str) -> list[list[str]]:
    return [list(part.words) for part in read(text).parts if part.weight == MAKING_WEIGHT]


@pytest.mark.parametrize(("text", "steps"), WANTED.items(), ids=WANTED)
def test_who_wants_something_made_is_understood_to_need_its_steps(text: str, steps: list[str]) -> None:
    assert [step for step in steps if list(tokens(step)) not in steps_of(text)] == []


@pytest.mark.parametrize("text", NOT_WANTED)
def test_who_only_reads_makes_nothing(text: str) -> None:
    assert steps_of(text) == []


ORDINARY = """
    list show save set plan run move check head board box row train state direct file account share index log job close
    zip remove flow route wait play box note write read create edit version build test test branch commit merge issue
    ticket page block message channel thread user team group role query table column schema order invoice charge
"""


def test_no_word_of_the_table_is_taken_for_an_ordinary_word_of_tools() -> None:
    """Words that have nothing to do with each other may have one stem: `shower` and `show`."""
    written = {word for line in PATH.read_text("utf-8").splitlines() for word in re.findall(r"[a-z]+", line)}
    for word in ORDINARY.split():
        same = {each for each in written if stem(each) == stem(word)}
        assert same <= forms(word), word


def forms(word: str) -> set[str]:
    root, doubled = word.removesuffix("e"), word + word[-1]
    ends = ("", "s", "es", "d", "ed", "ing", "ion", "ions", "ment", "ments")
    return {stem + end for stem in (word, root, doubled) for end in ends} | {word.removesuffix("y") + "ies"}
