"""Which tools a prompt shows: all that fit, else those that look useful, always whole and in the order of names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalog.making import define
from planact_server.catalog.catalog import Catalog
from planact_server.planner.retrieve import choose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planact_server.catalog.catalog import CatalogTool
    from planact_server.planner.retrieve import Shortlist

CATALOG = Catalog.build(
    {
        "post": [define(f"send_letter_{n}", description="Send a letter.") for n in range(30)],
        "bank": [define("transfer_money", description="Move money."), define("balance", description="Read a balance.")],
    }
)
COUNTS: list[int] = []


async def count(tools: Sequence[CatalogTool]) -> int:
    """Every tool takes ten tokens, beside a hundred for the rest of the prompt."""
    COUNTS.append(len(tools))
    return 100 + 10 * len(tools)


async def chosen(task: str, *, room: int = 10_000, most: int = 100) -> Shortlist:
    COUNTS.clear()
    return await choose(CATALOG, task, count=count, room=room, most=most)


def names(choice: Shortlist) -> list[str]:
    return [tool.name for tool in choice.tools]


async def test_everything_is_shown_where_it_fits() -> None:
    choice = await chosen("anything")
    assert len(choice.tools) == 32
    assert names(choice)[:2] == ["balance", "transfer_money"]
    assert (choice.warning, COUNTS) == (None, [32])


async def test_where_there_are_too_many_the_useful_ones_are_shown_in_the_order_of_names() -> None:
    choice = await chosen("transfer money and send letter 7, then read the balance", most=3)
    assert names(choice) == ["balance", "transfer_money", "send_letter_7"]
    assert choice.warning is not None
    assert choice.warning.startswith("The planner was shown 3 of 32 tools, not: send_letter_")
    assert choice.warning.endswith(" and 19 more.")


async def test_no_more_are_shown_than_fit_and_few_counts_are_asked_for() -> None:
    choice = await chosen("send a letter", room=100 + 10 * 5 + 9)
    assert len(choice.tools) == 5
    assert len(choice.tools) + len(choice.missing) == 32
    assert len(COUNTS) <= 7


async def test_the_same_set_stands_in_the_same_order_whatever_the_task() -> None:
    first = await chosen("balance, then transfer money", most=2)
    again = await chosen("transfer money, look at the balance", most=2)
    assert names(first) == names(again) == ["balance", "transfer_money"]


async def test_a_task_in_words_that_no_tool_has_still_gets_tools() -> None:
    assert names(await chosen("überweise", most=2)) == ["balance", "transfer_money"]


async def test_there_may_be_room_for_none() -> None:
    choice = await chosen("send a letter", room=50)
    assert (choice.tools, len(choice.missing)) == ((), 32)
