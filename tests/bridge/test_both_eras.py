"""The SDK's own server, over stdio and over HTTP, in both protocol eras: everything a plan can see of it."""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import get_args

import anyio
import pytest
from anyio import fail_after

from planact_bridge import Downstream, Era, Eras, HttpSpec, ServerSpec, StdioSpec
from planact_tools import Attachment, ToolCall, ToolError, ToolResult

GOOD = Path(__file__).with_name("servers") / "good.py"


def call(tool: str, /, **arguments: object) -> ToolCall:
    return ToolCall(name=tool, arguments=arguments)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with subprocess.Popen([sys.executable, str(GOOD), "http", "0"], stdout=subprocess.PIPE, text=True) as process:
        yield process.stdout.readline().strip()
        process.kill()


def spec_of(kind: str, url: str) -> ServerSpec:
    if kind == "http":
        return HttpSpec(name="good", url=url, headers={"X-Key": "open sesame"})
    return StdioSpec(name="good", command=sys.executable, args=(str(GOOD),))


@pytest.fixture(params=[(kind, era) for kind in ("stdio", "http") for era in get_args(Era)], ids=" ".join)
async def server(request, url) -> AsyncIterator[Downstream]:
    kind, era = request.param
    spec = spec_of(kind, url)
    downstream = Downstream(spec, eras=Eras({spec.identity: era}))
    with fail_after(30):
        await downstream.connect()
        assert downstream.status.era == era
        yield downstream
        await downstream.aclose()


async def test_a_server_is_the_same_in_every_era_and_over_every_transport(server: Downstream, tmp_path) -> None:
    definitions = {tool.name: tool for tool in await server.definitions()}
    assert (definitions["add"].title, definitions["add"].read_only) == ("Add two numbers", True)
    assert server.status.server == "good 1.2"
    assert (server.status.skipped, server.status.problems) == ((), ())

    assert await server.call(call("add", a=40)) == ToolResult(value=42)
    assert await server.call(call("pair", n=1)) == ToolResult(value={"first": 1, "second": "two"})
    assert await server.call(call("picture")) == ToolResult(
        value=["a dot", {"$attachment": 0}],
        attachments=(Attachment(kind="image", mime="image/png", data=b"\x89PNG"),),
    )
    assert await server.read_resource("memo://one") == ToolResult(value="remember")
    assert server.has_resources

    with pytest.raises(ToolError) as caught:
        await server.call(call("fail", text="no"))
    error = caught.value
    assert (error.server, error.tool, error.arguments, error.outcome_unknown) == ("good", "fail", {"text": "no"}, False)

    await hears_progress(server)
    await hears_of_new_tools(server)
    await cancels(server, tmp_path)


async def hears_progress(server: Downstream) -> None:
    heard: set[tuple[str, float | None]] = set()

    async def hear(text: str, fraction: float | None) -> None:
        heard.add((text, fraction))

    assert (await server.call(call("count", to=2), progress=hear)).value == 2
    assert heard == {("step 1", 0.5), ("step 2", 1.0)}


async def hears_of_new_tools(server: Downstream) -> None:
    told = anyio.Event()

    async def hear() -> None:
        told.set()

    server.on_changed(hear)
    await server.call(call("learn"))
    await told.wait()
    assert "grown" in [tool.name for tool in await server.definitions()]


async def cancels(server: Downstream, notes: Path) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.call, call("hang", started=str(notes / "started"), cancelled=str(notes / "cancelled")))
        while not (notes / "started").exists():
            await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    while not (notes / "cancelled").exists():
        await anyio.sleep(0.01)


async def test_an_unknown_server_is_found_to_speak_the_newer_era(url) -> None:
    server = Downstream(spec_of("http", url))
    assert (await server.call(call("header", name="x-key"))).value == "open sesame"
    assert (server.status.era, server.status.protocol_version) == ("stateless", "2026-07-28")
    await server.aclose()
