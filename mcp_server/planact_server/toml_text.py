"""TOML from anybody, safely.

tomllib recurses into nested arrays, and converting a number of thousands of digits is a plain ValueError:
all of that is the file's fault here.
"""

from __future__ import annotations

import tomllib


def parse_toml(content: bytes) -> dict[str, object]:
    """Return the tables of a TOML file. Raises ValueError, whose message names the line where there is one."""
    try:
        # Some editors begin every UTF-8 file with a byte order mark; TOML has none.
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"it is not UTF-8 text (at line {line})") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        lines = text.count("\n") + 1
        raise ValueError(str(error).replace("(at end of document)", f"(at line {lines}, the end)")) from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
