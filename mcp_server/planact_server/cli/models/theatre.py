"""A pack with one tool, for the trial of a model: what it says cannot be guessed, and is needed for the answer."""

from planact_tools import tool


@tool(read_only=True)
def seats_in_row() -> int:
    """Return how many seats one row of the theatre has."""
    return 6
