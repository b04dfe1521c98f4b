"""Who answers a call instead of its tool: a stand-in, or the record of the same call in an earlier attempt."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from planact_server.catalog.catalog import CatalogTool
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

    def __init__(self, *, everything: bool) -> None:
        self._everything = everything
        self.model_answers = not everything

    def find(self, tool: CatalogTool, arguments: Mapping[str, JSONValue], decision: Decision) -> Substitute | None:
        real = decision.verdict == "deny" or (decision.read_only and decision.verdict == "allow")
        if real and not self._everything:
            return None
        # What makes values up takes a while to load, and few runs need it.
        from planact_server.standins.making import stand_in  # noqa: PLC0415

        return Substitute(value=stand_in(tool, arguments), origin="stand_in")


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
            self._left[_key(call)].append(call)

    def end_attempt(self, calls: Iterable[LoggedCall]) -> None:
        """Take in what the attempt has written, or may have."""
        self._writes += [call for call in calls if call.is_write and not call.was_held_back and _matters(call)]

    def find(self, tool: CatalogTool, arguments: Mapping[str, JSONValue], decision: Decision) -> Substitute | None:
        del decision
        same = self._left.get(_key_of(tool.full_name, arguments))
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


def _key(call: LoggedCall) -> _Key:
    return _key_of(call.tool.full_name if call.tool is not None else call.function, call.arguments)


def _key_of(name: str, arguments: Mapping[str, JSONValue]) -> _Key:
    return name, json.dumps(dict(arguments), sort_keys=True)
