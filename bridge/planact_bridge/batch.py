"""A command line for Windows' batch files (`npx.cmd` and the like), in which nothing of an argument is a command.

A batch file is run by the command interpreter, which reads the whole line again: `&`, `|`, `%` and quotes in an
argument would take effect there. Pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

SUFFIXES = (".cmd", ".bat")

_META = re.compile(r"""([()\][%!^"`<>&|;, *?])""")


def is_batch(program: str) -> bool:
    return program.lower().endswith(SUFFIXES)


def batch_command_line(program: str, args: Sequence[str]) -> str:
    """Return what to hand to the command interpreter. Raises ValueError for what cannot be passed on unharmed."""
    for arg in (program, *args):
        if any(character in arg for character in "\r\n\0"):
            raise ValueError(f"the argument {arg!r} has a line break in it, which a batch file cannot be given")
    return " ".join([_escaped(program), *(_argument(arg) for arg in args)])


def _argument(arg: str) -> str:
    # Backslashes count only before a quote, so those are doubled; then the quotes that enclose the whole.
    quoted = re.sub(r'(\\*)"', r'\1\1\\"', arg)
    quoted = re.sub(r"(\\*)$", r"\1\1", quoted)
    # Twice: npx.cmd and its kind pass the line on to the interpreter once more.
    return _escaped(_escaped(f'"{quoted}"'))


def _escaped(text: str) -> str:
    return _META.sub(r"^\1", text)
