"""Reading a resource is a read of its server: the policy decides about it like about any other."""

import pytest

from planact_server.config import PolicySettings
from planact_server.content import Contents
from planact_server.plans.calls import PlanCalls, PlanRights
from planact_server.policy import Policy
from planact_server.sandbox import PlanFault
from planact_server.toolbox import Toolbox
from planact_tools import ToolError, ToolResult
from planact_tools.testing import MemoryToolset


class Library(MemoryToolset):
    """A server with one resource."""

    async def read_resource(self, uri: str) -> ToolResult:
        if uri != f"memo://{self.name}":
            raise ToolError(f"Server {self.name!r} has no {uri!r}.", server=self.name)
        return ToolResult(value=f"the memo of {self.name}")


async def read(uri: str, server: str | None, **policy: tuple[str, ...]) -> object:
    async def report(_: str, __: float | None) -> None:
        """Nobody listens."""

    async with Toolbox([Library("one"), Library("two"), MemoryToolset("tools")]) as toolbox:
        rights = PlanRights(toolbox=toolbox, policy=Policy(PolicySettings(**policy)), start_seconds=5)
        return await PlanCalls(rights, Contents(), report).ask("read_resource", {"uri": uri, "server": server})


@pytest.mark.parametrize("server", [None, "two"])
async def test_a_trusted_servers_resource_is_read(server: str | None) -> None:
    assert await read("memo://two", server, trust=("two",)) == "the memo of two"


async def test_an_undecided_servers_resource_is_held_back_with_the_line_to_trust_it() -> None:
    with pytest.raises(PlanFault) as caught:
        await read("memo://two", "two")
    assert "needs your approval" in caught.value.message
    assert '[policy]\ntrust = ["two"]' in (caught.value.hint or "")


async def test_a_denied_server_is_not_asked_even_when_it_is_trusted() -> None:
    with pytest.raises(PlanFault, match="No server could read 'memo://two'"):
        await read("memo://two", None, trust=("*",), deny=("two",))


async def test_a_denial_says_that_it_is_one() -> None:
    with pytest.raises(PlanFault, match="Reading resources of 'two' is denied: ") as caught:
        await read("memo://two", "two", trust=("*",), deny=("two",))
    assert caught.value.hint is None


async def test_an_unknown_server_is_named() -> None:
    with pytest.raises(PlanFault, match="There is no server 'tow'"):
        await read("memo://two", "tow", trust=("*",))
