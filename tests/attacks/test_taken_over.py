"""A worker that has been taken over, behind the whole server: it gets what a plan would get, and no more."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import anyio
import pytest

if sys.platform != "linux":
    pytest.skip("This jail is Linux's", allow_module_level=True)

from attacks.whole_server import FIRST, server
from planact_server.request import PlanRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from planact_server.app import App
    from planact_tools import JSONValue

PACK = '''
"""A drawer with a note in it, and a box that burns."""
from pathlib import Path
from planact_tools import tool

BURNT = Path(__file__).with_name("burnt")

@tool(read_only=True)
def note(page: int) -> str:
    """Read a page."""
    return f"page {page}"

@tool
def burn(thing: str) -> str:
    """Burn a thing."""
    BURNT.touch()
    return "burnt"

@tool(read_only=True)
def secret() -> str:
    """Nobody may have this."""
    BURNT.touch()
    return "burnt"
'''
SETTINGS = """
[policy]
allow = ["drawer.note"]
deny = ["drawer.secret"]
"""

LAST = "answer = receive()\nanswer.get('value', answer.get('error'))"

BURN = "ToolError: drawer.burn needs your approval"
SECRET = "ToolError: drawer.secret is denied"
NOTE = "TypeError: note()"

CLAIMS: dict[str, tuple[str, JSONValue]] = {
    "what a plan may have": ('call(1, "note", 7, server="drawer")', "page 7"),
    "a tool that writes": ('call(1, "burn", "x", server="drawer")', BURN),
    "the same by its raw name": ('call(1, "burn", server="drawer", raw=True, keywords={"thing": "x"})', BURN),
    "a tool that is denied": ('call(1, "secret", server="drawer")', SECRET),
    "a denied tool without its server": ('call(1, "secret", server=None, raw=True)', SECRET),
    "a denied tool by its dotted name": ('call(1, "drawer.secret", server=None, raw=True)', SECRET),
    "a tool in other letters": ('call(1, "SECRET", server="drawer")', "NameError: There is no tool 'drawer.SECRET'."),
    "a tool with spaces around it": (
        'call(1, " secret ", server=" drawer ", raw=True)',
        "NameError: There is no server ' drawer '.",
    ),
    "a server that does not exist": ('call(1, "secret", server="drawers")', "NameError: There is no tool 'drawers."),
    "the server's own tool": (
        'call(1, "run_python_actions", server="planact", keywords={"code": "1"})',
        "NameError: There is no tool 'planact.run_python_actions'.",
    ),
    "an argument of another type": ('call(1, "note", {"page": 1}, server="drawer")', f"{NOTE}: page must be int"),
    "a number as text": ('call(1, "note", "7; rm -rf /", server="drawer")', f"{NOTE}: page must be int"),
    "an argument that nobody knows": (
        'call(1, "note", 7, server="drawer", keywords={"sudo": 1})',
        f"{NOTE} has no par",
    ),
    "one argument twice": ('call(1, "note", 7, server="drawer", keywords={"page": 8})', f"{NOTE} got two values"),
    "more arguments than there are": (
        'call(1, "note", 7, 8, 9, server="drawer")',
        f"{NOTE} takes at most 1 positional",
    ),
    "a handle that it has made": (
        'call(1, "note", {"$planact": "text", "id": "t_1", "size": 9}, server="drawer")',
        f"{NOTE}: page must be int",
    ),
    "a text of another session": ('ask("text", id="t_1", start=0, stop=100)', "LookupError: No text 't_1' in this ses"),
    "a text at no place": ('ask("text", id=["x"], start="0", stop=None)', "LookupError: No text"),
    "a file as a resource": ('ask("read_resource", uri="file:///etc/passwd")', "ToolError: No server could read"),
    "a model that nobody has set up": ('call(1, "ask_model", "say it", server=None)', "TypeError: ask_model needs an"),
    "a function to be written": (
        'ask("expand", name="f", arguments={}, depth=0)',
        "NameError: There is no helper 'exp",
    ),
    "a helper that is none": ('ask("__class__")', "NameError: There is no helper '__class__'."),
    "a description of no name": ('ask("describe", name={"name": "secret"})', "NameError: There is no tool"),
    "a search for everything": ('ask("search_tools", words=None, limit=10**12)', []),
    "progress that is no number": ('ask("progress", text=["x"] * 1000, fraction="half")', None),
}
"""What it claims → what it is given, or how the error begins."""


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with server(tmp_path, PACK, SETTINGS) as app:
        yield app


async def test_it_gets_what_a_plan_would_get(app: App, tmp_path: Path) -> None:
    given: dict[str, JSONValue] = {}
    for claim, (code, _) in CLAIMS.items():
        request = PlanRequest(code=f"{FIRST}\n{code}\n{LAST}")
        with anyio.fail_after(60):
            answer = (await app.executor.execute(request, client="a host")).answer
        given[claim] = shortened(answer["result"], CLAIMS[claim][1])

    assert given == {claim: expected for claim, (_, expected) in CLAIMS.items()}
    assert not (tmp_path / "burnt").exists()


def shortened(result: JSONValue, expected: JSONValue) -> JSONValue:
    """Return an error as its type and message, as far as anything is expected of it."""
    if not isinstance(result, dict) or not isinstance(expected, str):
        return result
    return f"{result['type']}: {result['message']}"[: len(expected)]
