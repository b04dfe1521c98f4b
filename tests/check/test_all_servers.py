"""Fourteen servers that nobody here wrote, all connected at once: their results are values of Python in a plan."""

from __future__ import annotations

import base64
import json
import logging
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from textwrap import dedent
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio
import pytest

from planact_testing import Home, act

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator
    from pathlib import Path

    from mcp import Client

pytestmark = pytest.mark.check

RECORDED = {
    "atlassian": "mcp-atlassian",
    "calculator": "mcp-server-calculator",
    "context7": "context7-mcp",
    "eslint": "eslint-mcp",
    "everything": "server-everything",
    "fetch": "mcp-server-fetch",
    "filesystem": "server-filesystem",
    "git": "mcp-server-git",
    "markitdown": "markitdown-mcp",
    "memory": "server-memory",
    "playwright": "playwright-mcp",
    "sequential-thinking": "server-sequential-thinking",
    "sqlite": "mcp-server-sqlite",
    "time": "mcp-server-time",
}
"""The catalogue that each once had, under `shared`."""

ASK_THE_HOST = {"get-roots-list", "trigger-elicitation-request", "trigger-sampling-request"}
"""Tools that a server offers only to clients which say that they answer such questions."""

PICTURE = b"picture" * 30
PAGE = "<html><body><h1>Bread</h1><p>Flour and <b>water</b>.</p></body></html>"
LINTED = 'export default [{rules: {"no-undef": "error"}}];\n'


class Household(NamedTuple):
    """Planact with all servers behind it."""

    home: Home
    client: Client
    page: str
    """Address of a page that the test serves."""

    def plan(self, code: str) -> str:
        return dedent(code).replace("WORK", str(self.home.work)).replace("PAGE", self.page)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One loop for all tests, which share the servers."""
    return "asyncio"


@pytest.fixture(scope="module")
async def household(
    anyio_backend: str, real_servers: dict[str, list[str]], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Household]:
    home = Home(tmp_path_factory.mktemp("household"))
    home.configure('[policy]\nallow = ["*.*"]\n', **_entries(real_servers, home.folder))
    (home.work / "picture.png").write_bytes(PICTURE)
    (home.work / "page.html").write_text(PAGE)
    (home.work / "eslint.config.mjs").write_text(LINTED)
    (home.work / "program.js").write_text("answer();\n")
    await anyio.run_process(["git", "init", "-q", "-b", "trunk", str(home.work / "repository")])
    with _serving_a_page() as page:
        async with home.serve(within=600) as client:
            yield Household(home, client, page)


async def test_all_start_and_offer_what_they_once_offered(household: Household, shared: Path) -> None:
    """Newer versions may have more tools; the log names them."""
    code, output, errors = await household.home.run("doctor", "--json")
    assert code == 0, errors
    servers = {server["name"]: server for server in json.loads(output)["servers"]}
    assert {name: server["state"] for name, server in servers.items()} == dict.fromkeys(RECORDED, "ready")
    skipped = {name: server["skipped"] for name, server in servers.items() if server["skipped"]}
    assert list(skipped) == ["everything"]
    assert [reason.partition(":")[0] for reason in skipped["everything"]] == ["simulate-research-query"]

    _, output, _ = await household.home.run("tools", "--json")
    offered = {(tool["server"], tool["raw_name"]) for tool in json.loads(output)}
    once = {(name.replace("-", "_"), tool) for name, file in RECORDED.items() for tool in _recorded(shared, file)}
    once -= {("everything", tool) for tool in {"simulate-research-query", *ASK_THE_HOST}}
    logging.getLogger(__name__).info("Tools since the recordings: %s", sorted(offered - once))
    assert once - offered == set()


VALUES: dict[str, tuple[str, Any]] = {
    "everything-text": ('everything.echo(message="hi")', "Echo: hi"),
    "everything-positional": ("everything.get_sum(2, 3)", "The sum of 2 and 3 is 5."),
    "everything-raw-name": ('call_tool("get-sum", {"a": 1, "b": 2}, server="everything")', "The sum of 1 and 2 is 3."),
    "everything-structured": (
        """
        weather = everything.get_structured_content(location="Chicago")
        {name: type(value).__name__ for name, value in weather.items()}
        """,
        {"temperature": "int", "conditions": "str", "humidity": "int"},
    ),
    "everything-json-text": ('type(everything.get_env()["PATH"]).__name__', "str"),
    "everything-mixed": (
        """
        words, picture, more = everything.get_tiny_image()
        [words[:4], picture.kind, picture.mime, picture.size > 99]
        """,
        ["Here", "image", "image/png", True],
    ),
    "everything-annotated": (
        """
        text, picture = everything.get_annotated_message(messageType="error", includeImage=True)
        [text, picture.mime]
        """,
        ["Error: Operation failed", "image/png"],
    ),
    "everything-links": (
        """
        _, blob, text = everything.get_resource_links(count=2)
        [text["type"], text["name"], read_resource(text["uri"])[:10], read_resource(blob["uri"]).mime]
        """,
        ["resource_link", "Text Resource 2", "Resource 2", "text/plain"],
    ),
    "everything-embedded": (
        """
        text = everything.get_resource_reference(resourceType="Text", resourceId=1)[1]
        blob = everything.get_resource_reference(resourceType="Blob", resourceId=1)[1]["blob"]
        [text["uri"], text["text"][:10], blob.mime, blob.size > 9]
        """,
        ["demo://resource/dynamic/text/1", "Resource 1", "text/plain", True],
    ),
    "everything-zipped": (
        """
        data = "data:text/plain;base64,aGVsbG8="
        everything.gzip_file_as_resource(name="a.gz", data=data, outputType="resource")["blob"].mime
        """,
        "application/gzip",
    ),
    "calculator": ('int(calculator.calculate(expression="2 * 21"))', 42),
    "sqlite": (
        """
        sqlite.create_table(query="create table trips (place text, days int)")
        sqlite.write_query(query="insert into trips values ('Oslo', 3)")
        [sqlite.read_query(query="select * from trips"), sqlite.list_tables()]
        """,
        ["[{'place': 'Oslo', 'days': 3}]", "[{'name': 'trips'}]"],
    ),
    "sqlite-resource": (
        """
        sqlite.append_insight(insight="Oslo is cold")
        "Oslo is cold" in read_resource("memo://insights", server="sqlite")
        """,
        True,
    ),
    "sequential-thinking": (
        'sequential_thinking.sequentialthinking("why", False, 1, totalThoughts=2)',
        {"thoughtNumber": 1, "totalThoughts": 2, "nextThoughtNeeded": False, "branches": [], "thoughtHistoryLength": 1},
    ),
    "fetch": ('"Flour and **water**." in fetch.fetch(url="PAGE")', True),
    "markitdown-data": ('markitdown.convert_to_markdown(uri="data:text/html,<h1>Bread</h1>")', "# Bread"),
    "markitdown-file": (
        'markitdown.convert_to_markdown(uri="file://WORK/page.html")',
        "# Bread\n\nFlour and **water**.",
    ),
    "eslint": (
        """
        said, found, advice = eslint.lint_files(filePaths=["WORK/program.js"])
        [(message["ruleId"], message["line"]) for message in found["messages"]]
        """,
        [["no-undef", 1]],
    ),
    "filesystem": ('filesystem.read_text_file("WORK/page.html")["content"]', PAGE),
    "git": ('"On branch trunk" in git.git_status(repo_path="WORK/repository")', True),
    "time": (
        'time.convert_time(source_timezone="UTC", time="12:00", target_timezone="Asia/Tokyo")["time_difference"]',
        "+9.0h",
    ),
    "memory": (
        """
        memory.create_entities([{"name": "Ann", "entityType": "person", "observations": ["bakes"]}])
        [each["name"] for each in memory.search_nodes("bakes")["entities"]]
        """,
        ["Ann"],
    ),
}


@pytest.mark.parametrize("name", VALUES)
async def test_what_a_server_returns_is_a_value_in_a_plan(household: Household, name: str) -> None:
    plan, value = VALUES[name]
    answer = await act(household.client, household.plan(plan))
    assert (answer["errors"], answer.get("result")) == ([], value)


FAILURES = {
    "atlassian": ('atlassian.jira_search(jql="project = AB")', "jira_search", "Connection refused"),
    "calculator": ('calculator.calculate(expression="1 / 0")', "calculate", "division by zero"),
    "fetch": ('fetch.fetch(url="http://127.0.0.1:1/")', "fetch", "Failed to fetch"),
    "filesystem": ('filesystem.read_text_file("/etc/hostname")', "read_text_file", "outside allowed directories"),
    "git": ('git.git_status(repo_path="WORK/none")', "git_status", "none"),
    "markitdown": ('markitdown.convert_to_markdown(uri="file:///none")', "convert_to_markdown", "No such file"),
    "playwright": ('playwright.browser_navigate(url="PAGE")', "browser_navigate", "no-browser-here"),
}


@pytest.mark.parametrize("server", FAILURES)
async def test_what_a_server_cannot_do_is_an_error_of_its_own(household: Household, server: str) -> None:
    call, tool, words = FAILURES[server]
    plan = f"try:\n    {call}\nexcept ToolError as error:\n    caught = error\n"
    answer = await act(household.client, household.plan(plan + "[caught.server, caught.tool, caught.message]"))
    assert answer["errors"] == []
    assert answer["result"][:2] == [server, tool]
    assert words in answer["result"][2]
    assert [(call["server"], call["ok"]) for call in answer["calls"]] == [(server, False)]


async def test_a_server_that_hides_its_failure_is_believed(household: Household) -> None:
    """Context7 and the SQLite server report what went wrong as an ordinary result."""
    answer = await act(
        household.client,
        'docs = context7.resolve_library_id(libraryName="react", query="hooks")\n'
        'rows = sqlite.read_query(query="select * from nowhere")\n[docs, rows]',
    )
    assert answer["status"] == "ok"
    assert "Error searching libraries" in answer["result"][0]
    assert answer["result"][1] == "Database error: no such table: nowhere"


async def test_a_picture_goes_from_one_server_to_another_and_to_the_host(household: Household) -> None:
    plan = household.plan(
        'picture = filesystem.read_media_file("WORK/picture.png")["content"][0]\n'
        'filesystem.write_file("WORK/copy.txt", picture)\n[picture.mime, picture.size, picture]'
    )
    result = await household.client.call_tool("run_python_actions", {"code": plan})
    assert result.structured_content is not None
    assert result.structured_content["errors"] == []
    assert result.structured_content["result"][:2] == ["image/png", len(PICTURE)]
    assert base64.b64decode((household.home.work / "copy.txt").read_text()) == PICTURE
    pictures = [block for block in result.content if block.type == "image"]
    assert [base64.b64decode(block.data) for block in pictures] == [PICTURE]


async def test_progress_of_a_server_reaches_the_host(household: Household) -> None:
    told: list[str] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        del progress, total
        told.append(message or "")

    code = "everything.trigger_long_running_operation(duration=2, steps=2)"
    result = await household.client.call_tool("run_python_actions", {"code": code}, progress_callback=note)
    assert result.structured_content is not None
    assert "Long running operation completed" in result.structured_content["result"]
    assert len(told) >= 2


async def test_one_plan_uses_servers_of_both_eras_at_once(household: Household) -> None:
    answer = await act(
        household.client,
        household.plan(
            "page, files, total, now = parallel([\n"
            '    lambda: markitdown.convert_to_markdown(uri=f"file://WORK/page.html"),\n'
            '    lambda: filesystem.search_files("WORK", "*.js")["content"],\n'
            '    lambda: calculator.calculate(expression="1 + 1"),\n'
            '    lambda: time.get_current_time(timezone="UTC")["timezone"],\n'
            "])\n"
            "[page[:7], files, total, now]"
        ),
    )
    assert answer["errors"] == []
    assert answer["result"] == ["# Bread", f"{household.home.work}/program.js", "2", "UTC"]
    assert {call["server"] for call in answer["calls"]} == {"markitdown", "filesystem", "calculator", "time"}


def _entries(servers: dict[str, list[str]], folder: Path) -> dict[str, Any]:
    # Addresses at which nobody listens: what such servers say without their service is part of what is shown.
    site = "http://127.0.0.1:1"
    atlassian = {f"{product}_{key}": value for product in ("JIRA", "CONFLUENCE")
                 for key, value in (("URL", site), ("USERNAME", "ann"), ("API_TOKEN", "none"))}  # fmt: skip
    arguments = {
        "fetch": ["--ignore-robots-txt", "--allow-private-ips"],
        "filesystem": [str(folder / "work")],
        "playwright": ["--headless", "--executable-path", str(folder / "no-browser-here")],
        "sqlite": ["--db-path", str(folder / "trips.db")],
    }
    environments = {"atlassian": atlassian, "memory": {"MEMORY_FILE_PATH": str(folder / "memory.jsonl")}}
    return {
        name: {"command": command, "args": [*rest, *arguments.get(name, [])], "env": environments.get(name, {})}
        for name, (command, *rest) in servers.items()
    }


def _recorded(shared: Path, file: str) -> list[str]:
    return [tool["name"] for tool in json.loads((shared / "data" / "tools_list" / f"{file}.json").read_text())["tools"]]


class _OnePage(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = PAGE.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@contextmanager
def _serving_a_page() -> Generator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _OnePage) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
