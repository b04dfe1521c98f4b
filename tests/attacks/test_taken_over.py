"""A worker that has been taken over, behind the whole server: it gets what a plan would get, and no more."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import anyio
import pytest

if sys.platform != "linux":
    pytest.skip("This jail is Linux's", allow_module_level=True)

from attacks.attacking import workers_of
from planact_server.app import App, open_app
from planact_server.config import load_config
from planact_server.request import PlanRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

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
packs = ["./drawer.py"]
[policy]
allow = ["drawer.note"]
deny = ["drawer.secret"]
"""

FIRST = 'resolve("drawer.note")\nreceive()'  # which waits for the server
LAST = "answer = receive()\nanswer.get('value', answer.get('error'))"

BURN = "ToolError: drawer.burn needs your approval"
SECRET = "ToolError: drawer.secret is denied"
NOTE = "TypeError: note()"

CLAIMS = {
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
    (tmp_path / "drawer.py").write_text(PACK)
    (tmp_path / "planact.toml").write_text(SETTINGS)
    own = {name: str(tmp_path / name) for name in ("PLANACT_HOME", "XDG_CONFIG_HOME", "HOME")}
    config = load_config(config_file=tmp_path / "planact.toml", environ=own, cwd=tmp_path)
    with workers_of("native.py"):
        async with open_app(config) as app:
            yield app


BURNS = {
    "a search for a hundred thousand words": 'ask("search_tools", words="no te " * 100_000, limit=10)',
    "a search for one long word": 'ask("search_tools", words="n" * 900_000, limit=10)',
    "a name that is nearly one": 'ask("describe", name="drawer.not" * 50_000)',
    "names that are nearly one": 'resolve(*["drawer." + "note" * 200 + str(n) for n in range(1_000)])',
    "parameters that nobody knows": (
        'call(1, "note", server="drawer", keywords={"p" * 90 + str(n): n for n in range(9_000)})'
    ),
    "a parameter that is nearly one": 'call(1, "note", server="drawer", keywords={"page" * 100_000: 1})',
    "a number of many digits": 'call(1, "note", int("9" * 4_000), server="drawer")',
    "lists in lists": 'call(1, "note", [[[[[]]]]] * 10_000, server="drawer")',
    "an address with many turns": 'ask("read_resource", uri="file:///" + "%41/../" * 100_000)',
    "a text with a long name": 'ask("text", id="t" * 900_000, start=0, stop=10**15)',
    "one key a hundred thousand times": (
        """send_body(b'{"type":"call","id":1,"keywords":{' + b'"k":1,' * 100_000 + b'"k":1}}')"""
    ),
    "a number of a million digits": """send_body(b'{"type":"output","text":' + b"9" * 1_000_000 + b"}")""",
}
"""What the server has to read, hash, compare or look for."""

MOST_SECONDS = 1.5
"""Of the server's CPU time, for all that is behind one of these."""


async def test_it_cannot_keep_the_server_busy(app: App) -> None:
    """Nothing that it says makes the server compute for long: neither names, nor keys, nor words to look for."""
    used: dict[str, float] = {}
    for burn, code in BURNS.items():
        began = time.process_time()
        with anyio.fail_after(60):
            await app.executor.execute(PlanRequest(code=f"{FIRST}\n{code}\nreceive()\nNone"), client="a host")
        used[burn] = time.process_time() - began

    assert {burn: seconds for burn, seconds in used.items() if seconds > MOST_SECONDS} == {}


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
