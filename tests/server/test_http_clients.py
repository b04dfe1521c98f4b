"""Clients over HTTP know nothing of each other's sessions and runs, in either protocol."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio
import httpx2 as httpx
import pytest
from mcp import Client, MCPError

from planact_testing import act
from server.test_http import HEADERS, INITIALIZE, serving

if TYPE_CHECKING:
    from planact_testing import Home

ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


async def ask(http: httpx.AsyncClient, address: str, method: str, /, *, session: str, **params: Any) -> dict[str, Any]:
    """Send one request of the newer protocol that claims a session of the older."""
    name = {"Mcp-Name": str(params["name"])} if "name" in params else {}
    answer = await http.post(
        address,
        headers=HEADERS
        | {"Mcp-Protocol-Version": "2026-07-28", "Mcp-Method": method, "Mcp-Session-Id": session}
        | name,
        json={"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": ENVELOPE}},
    )
    return answer.json()


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_run_is_listed_only_to_a_client_that_is_known_to_be_its_own(home: Home, mode: str) -> None:
    async with serving(home) as address:
        with anyio.fail_after(30):
            async with Client(address, mode=mode) as mine, Client(address, mode=mode) as other:
                answer = await act(mine, "secret = 1")
                uri = f"planact://runs/{answer['run']}"
                listed = [resource.uri for resource in (await mine.list_resources()).resources]
                foreign = (await other.list_resources()).resources
                read = await mine.read_resource(uri)
    # Without sessions nobody can say whose a run is: then its handle is all there is.
    assert (listed, foreign) == ([uri] if mode == "legacy" else [], [])
    assert '"secret":1' in read.contents[0].text.replace(" ", "")


async def test_a_session_of_the_older_protocol_cannot_be_claimed_in_the_newer(home: Home) -> None:
    async with serving(home) as address, httpx.AsyncClient(timeout=20) as http:
        opened = await http.post(address, json=INITIALIZE, headers=HEADERS)
        session = opened.headers["mcp-session-id"]
        call = {"name": "run_python_actions", "arguments": {"code": "secret = 1"}}
        ran = await http.post(
            address,
            json={"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call},
            headers=HEADERS | {"Mcp-Session-Id": session, "Mcp-Protocol-Version": "2025-11-25"},
        )
        answer = json.loads(ran.text.rpartition("data: ")[2])["result"]["structuredContent"]
        arguments = {"code": "secret", "session": answer["session"]}
        called = await ask(http, address, "tools/call", session=session, name="run_python_actions", arguments=arguments)
    assert answer["variables"] == {"secret": 1}
    assert "Unknown session" in called["result"]["structuredContent"]["errors"][0]["message"]


async def test_a_resource_that_is_none_is_named_in_the_error(home: Home) -> None:
    async with home.serve() as client:
        with pytest.raises(MCPError) as caught:
            await client.read_resource("planact://runs/r_none")
    assert caught.value.error.data == {"uri": "planact://runs/r_none"}
