"""A model with random weights that writes plans most of which end: by what it leans to, not by what it is told.

Letters alone would make names that nobody has, and texts that go on for ever. So its vocabulary has whole words, and
it likes tools, the ends of lines and brackets, and the fence.
"""

from __future__ import annotations

import re

from quantized.tiny_gguf import NEVER, Leaning  # noqa: TID251 - a folder of tests

NAMES = ("a", "b", "f", "rows")
TOOLS = ("get_weather(", "list_cities(", "send_message(", "git.log(", "git.status(", "list_cities")
KEYWORDS = ("city=", "unit=", "days=", "country=", "to=", "text=", "repo_path=", "max_count=")
STARTS = ("if ", "elif ", "else:", "for ", "try:", "except:", "finally:", "with ", "pass\n", "break\n", "await ")
VALUES = ("not ", "True", "None", '"Rome"', "'celsius'", 'f"{a} "', "[", "{", "(", *"0123")
BETWEEN = (" in ", " if ", " else ", " and ", " as ", "\n    ", "\n        ", " = ", ".", ":", "+", "*", "-", " < ")
FENCE = "```python\n"

_LIKED = {
    **dict.fromkeys(STARTS, 1.5),
    **dict.fromkeys(VALUES, 1.2),
    **dict.fromkeys(BETWEEN, -0.2),
    **dict.fromkeys(NAMES, 1.5),
    **dict.fromkeys(TOOLS, 1.5),
    **dict.fromkeys(KEYWORDS, 1.0),
    **dict.fromkeys("+*-[{(.:", -1.0),
    **dict.fromkeys(")]}", 3.5),
    ",": 1.0,
    "\n": 2.5,
    "```": 3.5,
    FENCE: 4.5,
}
READS = (*NAMES, *(each.rstrip("=") for each in KEYWORDS))
"""The variables that its plans read."""

WORDS = tuple(text for text in _LIKED if len(text) > 1 and text != "```")
_SHUNNED = re.compile(r"[^\n -~]|[A-Za-z_#\\`\"';@]|``", re.DOTALL)


def likes(text: str) -> float:
    """Return what a token's logit has beside the random part."""
    return _LIKED.get(text, NEVER if _SHUNNED.fullmatch(text) else -2.0)


LEANING = Leaning(words=WORDS, logit=likes)
