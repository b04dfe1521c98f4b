"""What somebody looks for, read from what they wrote: the words that count, and the parts of a longer request. Pure.

A request says much that no description of a tool says: a path is somebody's file, and its ending is the kind of
tool that opens it; an address is a web page; a long run of letters is data.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from planact_server.catalog.words import tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

QUESTION_CHARS = 4_000
"""How much of a request is read."""

MOST_PARTS = 6
"""Parts that are looked for on their own. A text with more of them is no list of steps any more."""

NUMBER_WEIGHT = 0.5
"""How much a number counts beside a word: few tools are about a certain one."""

PART_WEIGHT = 0.25
"""How much what a part finds counts beside what the whole request finds."""

MAKING_WEIGHT = 0.5
"""The same for each step of making a file, where a request wants one."""

_WORDS_OF_FORMATS = {
    "text file": "txt log",
    "markdown text file": "md markdown",
    "pdf document file": "pdf",
    "word document": "doc docx",
    "excel spreadsheet sheet workbook": "xls xlsx",
    "csv table data file": "csv",
    "powerpoint presentation slide": "ppt pptx",
    "image file": "png jpg jpeg gif webp",
    "svg image file": "svg",
    "audio music file": "mp3 wav flac",
    "video file": "mp4 mov",
    "html page file": "html",
    "json file": "json",
    "xml file": "xml",
    "archive file": "zip",
    "python code file": "py",
    "javascript code file": "js",
}
_FORMATS = {ending: words for words, endings in _WORDS_OF_FORMATS.items() for ending in endings.split()}

_MAKING = re.compile(
    r"\b(?:sav(?:e[sd]?|ing)|writ(?:es?|ten|ing)|stor(?:es?|ed|ing)|export(?:s|ed)?|put|mak(?:es?|ing)|build"
    r"|creat(?:es?|ing)|generat(?:es?|ing)|prepar(?:es?|ing)|produc(?:es?|ing)|compos(?:es?|ing)|compil(?:es?|ing)"
    r"|(?:keep|stick|lay|turn|note) (?:it|them|this|that))\b",
    re.IGNORECASE,
)
_TO = r"\b(?:to|into|as|at|under|called|named) [^\s,;]*"
_STEPS_OF_MAKING = tuple(
    (
        re.compile(rf"\.(?:{endings})\b|\b(?:{names})\b", re.IGNORECASE),
        re.compile(rf"{_TO}\.(?:{endings})\b|\b(?:an?|as|in|into) (?:[\w'-]+ ){{0,3}}(?:{names})\b", re.IGNORECASE),
        steps,
    )
    for endings, names, steps in (
        (
            "docx?",
            r"word (?:doc\w*|file|format|handout|memo|report|table)|(?<=in )word",
            ("create word document", "add heading document", "add paragraph text document"),
        ),
        (
            "pptx?",
            r"power ?point|slide ?(?:deck|show)|slides|presentation|deck",
            ("create presentation", "add slide presentation", "save presentation"),
        ),
        ("xlsx?", "excel|spreadsheet|workbook", ("create workbook", "write data excel worksheet")),
        (r"(?!docx?\b|pptx?\b|xlsx?\b)[a-z]\w{0,7}", "(?!)", ("write file",)),
    )
)
"""How a request speaks of something of a kind; how it does so without a word for making it, which it may leave out
("a Word report at …"); and what has to be done to make one."""

_DATA = re.compile(r"[A-Za-z0-9+/=]{60,}")
_ADDRESS = re.compile(r"https?://(?:www\.)?(\S{1,2000})|\bwww\.(\S{1,2000})")
_PATH = re.compile(r"(?<![\w/:.])(?:~|\.{1,2}|[A-Za-z]:)?[/\\][\w.\-]+(?:[/\\][\w.\-]*)*")
_FILE_NAME = re.compile(rf"\b[\w\-]{{1,100}}\.({'|'.join(_FORMATS)})\b", re.IGNORECASE)
_BREAK = re.compile(
    r"[.;!?\n]+(?:\s|$)|,\s*(?:and |then |but )?|\b(?:and|then|also|after that|finally|by|including|with)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Something to look for on its own."""

    words: Mapping[str, float]
    """Stem → how much it counts, in the order of the text."""

    weight: float
    """How much the part counts; all of the request counts 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A request, read."""

    words: Mapping[str, float]
    """Of all of it: stem → how much it counts, in the order of the text."""

    parts: tuple[Part, ...]
    """What else to look for; empty where the request is of one piece."""


def read(text: str) -> Question:
    """Read a request. Nothing in it is an error; there may be no words."""
    text = text[:QUESTION_CHARS]
    plain = _in_words(text)
    steps = [words for piece in _BREAK.split(plain) if len(words := _weighted(piece)) > 1]
    parts = [Part(words=words, weight=PART_WEIGHT) for words in steps[:MOST_PARTS]] if len(steps) > 1 else []
    implied = dict.fromkeys(step for piece in _BREAK.split(_ADDRESS.sub(" ", text)) for step in _implied(piece))
    parts += [Part(words=_weighted(step), weight=MAKING_WEIGHT) for step in implied]
    return Question(words=_weighted(plain), parts=tuple(parts))


def _implied(piece: str) -> Iterator[str]:
    """Give the steps that a piece of a request asks for without saying so."""
    makes = _MAKING.search(piece) is not None
    for mentioned, wanted, steps in _STEPS_OF_MAKING:
        if wanted.search(piece) or (makes and mentioned.search(piece)):
            yield from steps
    if makes and _PATH.search(piece) and not _FILE_NAME.search(piece):
        yield "write file"


def _weighted(text: str) -> dict[str, float]:
    return {word: NUMBER_WEIGHT if word.isdigit() else 1.0 for word in tokens(text)}


def _in_words(text: str) -> str:
    """Put words in place of what only a reader understands."""
    text = _DATA.sub(" ", text)
    text = _ADDRESS.sub(lambda found: f" url {' '.join(_names(found[1] or found[2]))} ", text)
    text = _PATH.sub(lambda found: f" {_kind(found[0])} ", text)
    return _FILE_NAME.sub(lambda found: f" {_FORMATS[found[1].lower()]} ", text)


def _names(address: str) -> Iterator[str]:
    """Give the parts of a host's name, as far as they are a name: `youtube` of `m.youtube.com/watch`."""
    yield from address.partition("/")[0].split(".")[:-1]


def _kind(path: str) -> str:
    name = re.split(r"[/\\]", path)[-1]
    _, dot, ending = name.rpartition(".")
    return _FORMATS.get(ending.lower(), "file") if dot else "directory folder path"
