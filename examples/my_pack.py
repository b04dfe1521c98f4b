"""A pack of your own: a file of functions, which plans call as `my_pack.convert(...)`.

planact run --config examples/planact.toml --code plan.py
planact packs serve examples/my_pack.py      # the same tools for any MCP host, without Planact in between
"""

from dataclasses import dataclass
from typing import Literal

from planact_tools import ToolError, tool

Currency = Literal["EUR", "JPY", "USD"]

PER_EURO: dict[Currency, float] = {"EUR": 1.0, "JPY": 160.0, "USD": 1.25}


@dataclass(frozen=True)
class Expense:
    """What was spent."""

    what: str
    euros: float


_expenses: list[Expense] = []


@tool(read_only=True, open_world=False)
def convert(amount: float, source: Currency, target: Currency = "EUR") -> float:
    """Convert an amount of money at fixed rates.

    Args:
        amount: How much.
        source: The currency that it is in.
        target: The currency that it becomes.
    """
    return round(amount / PER_EURO[source] * PER_EURO[target], 2)


@tool(read_only=True, open_world=False)
def list_expenses() -> list[Expense]:
    """Return all expenses, oldest first."""
    return list(_expenses)


# Not marked as read-only, so it counts as a write: it needs a line under `allow` in planact.toml.
@tool(open_world=False)
async def add_expense(what: str, amount: float, currency: Currency = "EUR") -> Expense:
    """Note an expense, in euros."""
    if amount <= 0:
        raise ToolError(f"amount {amount!r} is not more than 0.")
    expense = Expense(what=what, euros=convert(amount, currency))
    _expenses.append(expense)
    return expense
