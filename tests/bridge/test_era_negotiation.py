"""Finding out which era a server speaks, answer by answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from planact_bridge.eras import NoCommonRevision, Peer, client_info, discover, initialize
from planact_bridge.errors import RequestRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from planact_tools import JSONObject

MODERN: JSONObject = {
    "supportedVersions": ["2025-11-25", "2026-07-28"],
    "capabilities": {"tools": {"listChanged": True}},
    "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "new", "version": "2"}},
}


def refusal(code: int, data: JSONObject | None = None) -> RequestRefused:
    return RequestRefused("no", code=code, reason="no", data=data)


def answering(*answers: JSONObject | Exception) -> Callable:
    """Answer one request after the other."""
    left = list(answers)

    async def send(method: str, params: JSONObject, *, headers: dict[str, str], seconds: float) -> JSONObject:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return send


async def test_a_server_of_the_newer_era_introduces_itself() -> None:
    assert await discover(answering(MODERN), ours={}, seconds=1) == Peer(
        era="stateless",
        version="2026-07-28",
        name="new",
        release="2",
        capabilities={"tools": {"listChanged": True}},
    )


@pytest.mark.parametrize(
    "answer",
    [
        refusal(-32601),
        refusal(-32000),
        {"supportedVersions": ["2025-11-25"]},
        {"supportedVersions": None},
        {},
        refusal(-32022, {"supported": ["2025-06-18"]}),
        refusal(-32022, {}),
    ],
    ids=repr,
)
async def test_anything_but_a_clear_yes_means_the_older_era(answer: JSONObject | Exception) -> None:
    assert await discover(answering(answer), ours={}, seconds=1) is None


async def test_a_server_that_wants_another_revision_we_know_is_asked_again_in_it() -> None:
    peer = await discover(answering(refusal(-32022, {"supported": ["2026-07-28"]}), MODERN), ours={}, seconds=1)
    assert peer is not None
    assert peer.version == "2026-07-28"


async def test_a_server_that_knows_only_later_revisions_is_a_clear_error() -> None:
    with pytest.raises(NoCommonRevision, match=r"speaks only 2030-01-01; Planact speaks 2024-11-05 to 2026-07-28"):
        await discover(answering(refusal(-32022, {"supported": ["2030-01-01"]})), ours={}, seconds=1)


async def test_a_handshake_without_any_field_is_still_one() -> None:
    assert await initialize(answering({}), ours={}, seconds=1) == Peer(era="handshake", version="2025-11-25")


async def test_each_request_of_the_newer_era_says_who_asks() -> None:
    params, headers = Peer(era="stateless", version="2026-07-28").stamp("tools/call", {"name": "café"})
    assert params["_meta"] == {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": client_info(),
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    assert headers["mcp-method"] == "tools/call"
    assert headers["mcp-name"].isascii()
