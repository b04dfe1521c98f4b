"""Words of classic BPF, as `linux/seccomp.h` and `linux/filter.h` define it, for filters of system calls."""

from __future__ import annotations

import struct
from typing import TypeAlias

KILL = 0x80000000
ALLOW = 0x7FFF0000
FAIL = 0x00050000
"""Or-ed with the error number."""

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER_AT, ARCHITECTURE_AT, ARGUMENTS_AT = 0, 4, 16

Instruction: TypeAlias = tuple[int, int, int, int]
"""Code, how far to jump when it holds, how far when not, and the operand."""

_LAYOUT = "=HBBI"
SIZE = struct.calcsize(_LAYOUT)


def encoded(program: list[Instruction]) -> bytes:
    """Return a filter as the kernel takes it."""
    return b"".join(struct.pack(_LAYOUT, *each) for each in program)


def give(action: int) -> Instruction:
    """Decide."""
    return (RETURN, 0, 0, action)


def load(argument: int, *, upper: bool = False) -> Instruction:
    """Load half of an argument: these machines put the lower half first."""
    return (LOAD, 0, 0, ARGUMENTS_AT + 8 * argument + 4 * upper)


def when(number: int, block: list[Instruction]) -> list[Instruction]:
    """Do a block, which has to end in a decision, for one system call."""
    return [(EQUAL, 0, len(block), number), *block]


def require(argument: int, value: int, *, upper: bool = False) -> list[Instruction]:
    """End the process unless half of an argument is this."""
    return [load(argument, upper=upper), (EQUAL, 1, 0, value), give(KILL)]
