"""Who answers a call instead of its tool: a stand-in, or the record of the same call in an earlier attempt."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from planact_server.catalog.catalog import CatalogTool
    from planact_server.catalog.signatures import Learned
    from planact_server.plans.call_log import LoggedCall
    from planact_server.policy import Decision
    from planact_tools import JSONValue

_Key: TypeAlias = "tuple[str, str]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Substitute:
    """An answer that no tool gave."""

    value: JSONValue
    origin: Literal["stand_in", "reused"]


class UnknownOutcomeError(Exception):
    """The same call was made before, and nobody knows whether it took effect. The message says so."""


class Substitutes(Protocol):
    """Answers calls, or leaves them to their tools."""

    model_answers: bool
    """False: `ask_model` gets a stand-in as well."""

    def find(self, tool: CatalogTool, arguments: Mapping[str, JSONValue], decision: Decision) -> Substitute | None:
        """Return the answer, None to make the call. Raises UnknownOutcomeError."""
        ...


class NoSubstitutes:
    """Every call is made."""

    model_answers = True

    def find(self, tool: CatalogTool, arguments: Mapping[str, JSONValue], decision: Decision) -> None:
        del tool, arguments, decision


class StandIns:
    """Made-up answers: of a rehearsal for every call, of a dry run for those that would change something.

    In a dry run a call that the policy would hold back has a stand-in too, and what it denies stays denied.
    """

    def __init__(self, *, everything: bool, returns: Callable[[CatalogTool], Learned | None] = lambda _: None) -> None:
        """`returns` says what is known of the results of a tool that does not declare them."""
        self._everything = everything
        self._returns = returns
        self.model_answers = not everything

    def find(self, tool: CatalogTool, arguments: Mapping[str, JSONValue], decision: Decision) -> Substitute | None:
        real = decision.verdict == "deny" or (decision.read_only and decision.verdict == "allow")
        if real and not self._everything:
            return None
        # What makes values up takes a while to load, and few runs need it.
        from planact_server.standins.making import stand_in  # noqa: PLC0415

        return Substitute(value=stand_in(tool, arguments, learned=self._returns(tool)), origin="stand_in")


class Journal:
    """The writes of all attempts at one task: what is done once is not done again."""

    model_answers = True

    def __init__(self) -> None:
        self._writes: list[LoggedCall] = []
        self._left: dict[_Key, deque[LoggedCall]] = {}

    def begin_attempt(self) -> None:
        """From here on, each write of the attempts before answers one identical call."""
        self._left = defaultdict(deque)
        for call in self._writes:
            if call.tool is not None:
                self._left[_key_of(call.tool, call.arguments)].append(call)

    def end_attempt(self, calls: Iterable[LoggedCall]) -> None:
        """Take in what the attempt has written, or may have."""
        self._writes += [call for call in calls if call.is_write and not call.was_held_back and _matters(call)]

    def find(self, tool: CatalogTool, arguments: Mapping[str, JSONValue], decision: Decision) -> Substitute | None:
        del decision
        same = self._left.get(_key_of(tool, arguments))
        if not same:
            return None
        call = same.popleft()
        if call.unknown:
            raise UnknownOutcomeError(
                f"An earlier attempt called {tool.full_name} with these arguments, and it is not known whether the call"
                " took effect. It is not made again."
            )
        if not call.whole:
            raise UnknownOutcomeError(
                f"An earlier attempt called {tool.full_name} with these arguments. The call is not made again, and its"
                " result was too large to be kept."
            )
        return Substitute(value=call.value, origin="reused")

    def left_over(self) -> list[LoggedCall]:
        """Return what earlier attempts wrote and the latest one did not ask for again: it stays done."""
        left = {id(call) for calls in self._left.values() for call in calls}
        return [call for call in self._writes if id(call) in left]


def _matters(call: LoggedCall) -> bool:
    return call.unknown or (call.error is None and call.ended is not None)


def _key_of(tool: CatalogTool, arguments: Mapping[str, JSONValue]) -> _Key:
    """Return what identical calls have in common: a repaired plan may well spell the same write in another way.

    1 and 1.0 are the same number to JSON, and a default is the same said or left out.
    """
    defaults = {each.raw: _plain(each.default) for each in tool.parameters if each.has_default}
    plain = {name: _plain(value) for name, value in arguments.items()}
    said = {name: value for name, value in plain.items() if name not in defaults or _differ(value, defaults[name])}
    return tool.full_name, json.dumps(said, sort_keys=True)


def _plain(value: JSONValue) -> JSONValue:
    """Return a value with whole numbers in one spelling."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case list():
            return [_plain(each) for each in value]
        case dict():
            return {name: _plain(each) for name, each in value.items()}
        case _:
            return value


def _differ(value: JSONValue, default: JSONValue) -> bool:
    # Python takes True for 1; JSON does not.
    return json.dumps(value, sort_keys=True) != json.dumps(default, sort_keys=True)
