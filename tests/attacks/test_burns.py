"""What a worker that has been taken over makes the whole server read, compare or look for: it stays a moment's work.

Each burn is held by rules of the server's own; without them it costs many times as much, which is shown too.
"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

import anyio
import pytest

if sys.platform != "linux":
    pytest.skip("This jail is Linux's", allow_module_level=True)

from attacks.whole_server import FIRST, server
from planact_server.catalog import catalog, checker, patience, question
from planact_server.plans import helpers, plan_catalog
from planact_server.request import PlanRequest

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from planact_server.app import App

PACK = '''
"""A drawer with many notes in it."""
from planact_tools import tool

@tool(read_only=True)
def note(page: int) -> str:
    """Read a page."""
    return f"page {page}"

@tool(read_only=True)
def different(things: set[str | tuple[int, int]]) -> int:
    """Count things, no two of them the same."""
    return len(things)

@tool(read_only=True)
def mixed(things: list[list[int] | dict[str, int] | list[str]]) -> int:
    """Count things of three kinds."""
    return len(things)
''' + "".join(
    f'\n@tool(read_only=True)\ndef note_{n}_of_many(page: int) -> int:\n    """Read."""\n    return page\n'
    for n in range(200)
)
SETTINGS = '[policy]\nallow = ["drawer.*"]\n'

UNLIMITED = 10**9

MOST_SECONDS = 1.5
"""Of the server's CPU time, for all that is behind one burn."""

TIMES = 5
"""How many times as much it costs at least where nothing holds it."""


class Burn(NamedTuple):
    code: str
    held_by: tuple[tuple[Any, str], ...]
    """The limits that all have to go before it burns: module and name."""


BURNS = {
    "a search for a text that may be a file's name anywhere": Burn(
        'ask("search_tools", words="a-" * 450_000, limit=10)',
        ((helpers, "_MOST_WORDS"), (question, "QUESTION_CHARS")),
    ),
    "a name that may be split anywhere": Burn(
        'ask("describe", name="drawer." * 25_000)',
        ((catalog, "LONGEST_NAME"),),
    ),
    "names that are nearly one": Burn(
        'resolve(*[f"drawer.notes_{n}_of_mane" for n in range(2_000)])',
        ((plan_catalog, "_SUGGESTIONS"),),
    ),
    "a set of what cannot be sorted": Burn(
        'call(1, "different", [[n, n] for n in range(1_500)] + ["x"], server="drawer")',
        (
            *((checker, "MAX_UNIQUE"), (checker, "MAX_UNIQUE_CHARS")),
            *((patience, "MOST_STEPS"), (patience, "PLAN_STEPS")),
        ),
    ),
    "a list of what may be one of several": Burn(
        'call(1, "mixed", [["x"]] * 60_000, server="drawer")',
        ((patience, "MOST_STEPS"), (patience, "PLAN_STEPS")),
    ),
    "a number of a million digits": Burn(
        """send_body(b'{"type":"output","text":' + b"9" * 1_000_000 + b"}")""",
        ((sys, "int_max_str_digits"),),
    ),
}


async def test_it_cannot_keep_the_server_busy(tmp_path: Path) -> None:
    async with server(tmp_path, PACK, SETTINGS) as app:
        used = {name: await seconds(app, burn) for name, burn in BURNS.items()}
    assert {name: each for name, each in used.items() if each > MOST_SECONDS} == {}


@pytest.mark.check
async def test_every_burn_costs_many_times_as_much_where_nothing_holds_it(tmp_path: Path) -> None:
    used: dict[str, tuple[float, float]] = {}
    async with server(tmp_path, PACK, SETTINGS) as app:
        for name, burn in BURNS.items():
            held = await seconds(app, burn)
            with unlimited(burn):
                used[name] = held, await seconds(app, burn)
    assert {name: (held, free) for name, (held, free) in used.items() if free < TIMES * held} == {}


async def seconds(app: App, burn: Burn) -> float:
    """Return the CPU time that the server spends on a burn."""
    began = time.process_time()
    with anyio.fail_after(60):
        await app.executor.execute(PlanRequest(code=f"{FIRST}\n{burn.code}\nreceive()\nNone"), client="a host")
    return time.process_time() - began


@contextmanager
def unlimited(burn: Burn) -> Generator[None]:
    """Take the limits away that hold a burn. Each is of a size that ends by itself within seconds."""
    digits = sys.get_int_max_str_digits()
    with ExitStack() as stack:
        for module, name in burn.held_by:
            if module is sys:
                sys.set_int_max_str_digits(0)
                stack.callback(sys.set_int_max_str_digits, digits)
            else:
                stack.enter_context(patch.object(module, name, UNLIMITED))
        yield
