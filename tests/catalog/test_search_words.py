"""Text as the words that a search compares."""

from __future__ import annotations

import pytest

from planact_server.catalog.question import MOST_PARTS, read
from planact_server.catalog.related import related
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


@pytest.mark.parametrize(
    ("text", "writes"),
    [("and save it in /tmp/a.md", True), ("written to notes.txt", True), ("save money", False), ("read a.txt", False)],
)
def test_saving_to_a_place_asks_for_something_that_writes_files(text: str, writes: bool) -> None:
    parts = [list(part.words) for part in read(text).parts]
    assert (list(tokens("write file")) in parts) is writes


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("a short Word handout, please make it", ["create word document", "add paragraph text document"]),
        ("put it into ~/a/lease.docx", ["create word document", "add heading document"]),
        ("prepare slides about whales", ["create presentation", "add slide presentation", "save presentation"]),
        ("give me a spreadsheet of it", ["create workbook"]),
        ("keep the list in todo.txt", ["write file"]),
    ],
)
def test_who_wants_something_made_is_understood_to_need_its_steps(text: str, steps: list[str]) -> None:
    parts = [list(part.words) for part in read(text).parts]
    assert [step for step in steps if list(tokens(step)) not in parts] == []


@pytest.mark.parametrize("text", ["read /srv/lease.docx", "how many slides has talk.pptx", "in other words"])
def test_who_only_reads_makes_nothing(text: str) -> None:
    assert read(text).parts == ()
