"""Right calls made wrong, each in one place: what a model gets wrong, in quantity. Seeded."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from catalog.bfcl import GoldCall
from planact_server.catalog.catalog import CatalogTool, Parameter, ToolNotFoundError
from planact_server.catalog.validation import ArgumentsError, bind

SEED = 20_26
EACH = 600
"""Mutated calls of every class."""

WRONG = {
    "string": (12_345, ["text"], {"text": "text"}),
    "integer": ("many", 2.5, [1]),
    "number": ("plenty", [1.5], {"value": 1.5}),
    "boolean": ("yes", 1, [True]),
    "array": ("one, two", 3, {"0": "one"}),
    "object": ("name=x", 4, ["name"]),
}
EXTRA = ("verbose", "api_key", "callback_url", "dry", "retries_on_failure")


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """A call with one mistake. `culprit` is what the error has to name."""

    call: GoldCall
    function: str
    keywords: Mapping[str, Any]
    culprit: str


@dataclass(frozen=True, kw_only=True)
class Figures:
    """How many calls of one class were made, refused, and refused with the culprit named."""

    made: int
    refused: int
    named: int


Mutate = Callable[[GoldCall, CatalogTool, random.Random], Iterator[Mutation]]


def figures(calls: Sequence[GoldCall]) -> dict[str, Figures]:
    """Make and try `EACH` mutated calls of every class."""
    return {name: _tried(_made(mutate, calls)) for name, mutate in CLASSES.items()}


def table(figures: Mapping[str, Figures]) -> str:
    rows = [f"{'class':<20}{'calls':>7}{'refused':>9}{'named':>7}"]
    rows += [f"{name:<20}{each.made:>7}{each.refused:>9}{each.named:>7}" for name, each in figures.items()]
    made, named = sum(each.made for each in figures.values()), sum(each.named for each in figures.values())
    return "\n".join([*rows, f"{made} calls, {100 * named / made:.2f} % refused with the culprit named"])


def complaint(mutation: Mutation) -> str | None:
    """Return what is said about a call, or None where it is let through."""
    catalog = mutation.call.catalog
    try:
        tool = catalog.by_raw(mutation.function, None)
        bind(tool, (), mutation.keywords)
    except (ToolNotFoundError, ArgumentsError) as error:
        return str(error)
    return None


def _made(mutate: Mutate, calls: Sequence[GoldCall]) -> list[Mutation]:
    chance = random.Random(SEED)
    shuffled = list(calls)
    chance.shuffle(shuffled)

    def mutations() -> Iterator[Mutation]:
        while True:  # a call can be made wrong in many ways, so going round again gives new ones
            for call in shuffled:
                yield from islice(mutate(call, call.catalog.by_raw(call.function, None), chance), 1)

    return list(islice(mutations(), EACH))


def _tried(mutations: Iterable[Mutation]) -> Figures:
    said = [(mutation, complaint(mutation)) for mutation in mutations]
    refused = [(mutation, text) for mutation, text in said if text is not None]
    named = [mutation for mutation, text in refused if _names(text, mutation.culprit)]
    return Figures(made=len(said), refused=len(refused), named=len(named))


def _names(text: str, culprit: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(culprit)}(?!\w)", text) is not None


def _misspelt_keyword(call: GoldCall, tool: CatalogTool, chance: random.Random) -> Iterator[Mutation]:
    names = list(call.keywords)
    chance.shuffle(names)
    for name in names:
        wrong = _misspelt(name, chance)
        if tool.parameter(wrong) is None:
            renamed = {wrong if key == name else key: value for key, value in call.keywords.items()}
            yield Mutation(call=call, function=call.function, keywords=renamed, culprit=wrong)


def _missing_required(call: GoldCall, tool: CatalogTool, chance: random.Random) -> Iterator[Mutation]:
    required = [each for each in tool.parameters if each.required and each.raw in call.keywords]
    if required:
        left_out = chance.choice(required)
        kept = {key: value for key, value in call.keywords.items() if key != left_out.raw}
        yield Mutation(call=call, function=call.function, keywords=kept, culprit=left_out.name)


def _extra(call: GoldCall, tool: CatalogTool, chance: random.Random) -> Iterator[Mutation]:
    name = chance.choice(EXTRA)
    if tool.parameter(name) is None:
        yield Mutation(call=call, function=call.function, keywords={**call.keywords, name: True}, culprit=name)


def _wrong_type(call: GoldCall, tool: CatalogTool, chance: random.Random) -> Iterator[Mutation]:
    given = [each for each in tool.parameters if each.raw in call.keywords and _type(each) in WRONG]
    if given:
        parameter = chance.choice(given)
        yield _with(call, parameter, chance.choice(WRONG[_type(parameter)]))


def _outside_enum(call: GoldCall, tool: CatalogTool, chance: random.Random) -> Iterator[Mutation]:
    for parameter in chance.sample(tool.parameters, len(tool.parameters)):
        schema = parameter.schema
        choices = schema.get("enum") if isinstance(schema, dict) and _type(parameter) == "string" else None
        if isinstance(choices, list):
            wrong = _misspelt(str(chance.choice(choices)) or "none", chance)
            if wrong not in choices:
                yield _with(call, parameter, wrong)


def _misspelt_function(call: GoldCall, tool: CatalogTool, chance: random.Random) -> Iterator[Mutation]:
    wrong = _misspelt(call.function, chance)
    if call.catalog.resolve(wrong) is None:
        yield Mutation(call=call, function=wrong, keywords=call.keywords, culprit=wrong)


def _with(call: GoldCall, parameter: Parameter, value: Any) -> Mutation:
    keywords = {**call.keywords, parameter.raw: value}
    return Mutation(call=call, function=call.function, keywords=keywords, culprit=parameter.name)


def _type(parameter: Parameter) -> str:
    return str(parameter.schema.get("type")) if isinstance(parameter.schema, dict) else ""


def _misspelt(name: str, chance: random.Random) -> str:
    """Leave out, double or swap a letter."""
    position = chance.randrange(len(name))
    before, char, after = name[:position], name[position], name[position + 1 :]
    return chance.choice([before + after, before + char + char + after, before + after[:1] + char + after[1:]]) or "x"


CLASSES: Mapping[str, Mutate] = {
    "misspelt keyword": _misspelt_keyword,
    "missing required": _missing_required,
    "extra": _extra,
    "wrong type": _wrong_type,
    "outside enum": _outside_enum,
    "misspelt function": _misspelt_function,
}
