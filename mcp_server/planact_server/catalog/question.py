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

NUMBER_WEIGHT = 0.4
"""How much a number counts beside a word: few tools are about a certain one."""

PART_WEIGHT = 0.2
"""How much what a part finds counts beside what the whole request finds."""

WRITING_WEIGHT = 0.3
"""The same for what writes a file, where a request names one to save something in."""

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

_DATA = re.compile(r"[A-Za-z0-9+/=]{60,}")
_ADDRESS = re.compile(r"https?://(?:www\.)?(\S{1,2000})|\bwww\.(\S{1,2000})")
_PATH = re.compile(r"(?<![\w/:.])(?:~|\.{1,2}|[A-Za-z]:)?[/\\][\w.\-]+(?:[/\\][\w.\-]*)*")
_FILE_NAME = re.compile(rf"\b[\w\-]{{1,100}}\.({'|'.join(_FORMATS)})\b", re.IGNORECASE)
_SAVING = re.compile(r"\b(?:save[sd]?|saving|writ(?:e|ten|ing)|stored?|export|put|output)\b", re.IGNORECASE)
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
    if _SAVING.search(text) and (_PATH.search(text) or _FILE_NAME.search(text)):
        parts.append(Part(words=_weighted("write file"), weight=WRITING_WEIGHT))
    return Question(words=_weighted(plain), parts=tuple(parts))


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
