"""A late grammar in the words of llama-server.

Its own `/completion` page holds a text to a grammar from a trigger on; the chat page overwrites the fields for that.
There the grammar has to describe the trigger too, so `root` gets a new first rule. The trigger is a pattern that
must be the end of what was written: a token that begins in the trigger and ends behind it leaves the text free, where
a grammar that does not allow its rest would take the whole server down.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planact_quantized.backend import Grammar

# Literals, classes and comments may hold anything; only names outside of them are rules.
_TOKENS = re.compile(r'"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]|#[^\n]*|[A-Za-z0-9-]+')

_BEHIND = "behind-the-trigger"
_PATTERN = 2  # llama.cpp's number for triggers that are regular expressions


def grammar_fields(grammar: Grammar) -> dict[str, object]:
    """Return what a request to `/completion` carries to be held to a grammar."""
    if grammar.trigger is None:
        return {"grammar": grammar.text}
    renamed = _TOKENS.sub(lambda token: _BEHIND if token[0] == "root" else token[0], grammar.text)
    return {
        "grammar": f"root ::= {json.dumps(grammar.trigger)} {_BEHIND}\n{renamed}",
        "grammar_lazy": True,
        "grammar_triggers": [{"type": _PATTERN, "value": f"{_escaped(grammar.trigger)}$"}],
    }


def _escaped(text: str) -> str:
    """Escape for the ECMAScript expressions of C++, which know fewer escapes than Python writes."""
    return re.sub(r"[.^$|()*+?\[\]{}\\]", r"\\\g<0>", text)
