"""How many examples a property is tried with."""

from hypothesis import settings


def examples(share: float) -> int:
    """Return `share` times the examples that the chosen profile gives every property."""
    return round(share * settings.default.max_examples)
