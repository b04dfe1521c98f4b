"""What a session's plans have left in its variables, and what of it is new to the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from planact_server.sandbox.inside import export, facades
from planact_server.sandbox.inside.wire import Frame, encode

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

NOTHING: Any = object()
"""The result of a plan that does not end with an expression."""

NONE: Frame = {"variables": {}, "deleted": [], "functions": [], "truncated": {}}
"""The state of a plan that never ran."""

_RESULT = "result."
_CUT_RESULT = "__result__"
"""What the result is called in `truncated`: no variable of a plan can be."""
_SMALL_ITEMS = 1_000
_LEAST_BYTES = 2_000
_FRAME_MARGIN = 100_000
_DATA = frozenset({dict, list, set, frozenset, tuple, str, bytes, int, float, bool, complex, type(None)})
"""Room for errors and names beside the state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What one plan's state may take, in bytes."""

    state: int
    frame: int


class State:
    """The variables of one session, and fingerprints of what the host was last told about them."""

    def __init__(self, names: dict[str, Any], representer: export.Representer) -> None:
        """`names` are the session's globals; they stay its own."""
        self._names = names
        self._representer = representer
        self.digests: dict[str, bytes] = {}

    def variables(self) -> dict[str, Any]:
        """Everything that plans have bound, in order."""
        return {name: value for name, value in self._names.items() if not name.startswith("__")}

    def functions(self) -> list[str]:
        """The names of what the state leaves out."""
        return [name for name, value in self.variables().items() if export.is_code(value)]

    def code(self) -> list[str]:
        """The names of what can do something to a value: functions, classes, and objects of a plan's own classes."""
        held = self.variables().items()
        return [name for name, value in held if type(value) not in _DATA and not isinstance(value, facades.Module)]

    def note(self) -> None:
        """Take what there is for known to the host."""
        self.digests = {name: one.digest for name, one in self._snapshots().items()}

    def changes(self, before: Mapping[str, Any], certain: Collection[str], result: Any, budget: Budget) -> Frame:
        """Return what is new, bound to another object, assigned for certain, or different in content."""
        snapshots = self._snapshots()
        variables = self.variables()
        changed = {
            name: variables[name]
            for name, now in snapshots.items()
            if name not in before
            or name in certain
            or before[name] is not variables[name]
            or self.digests.get(name) != now.digest
        }
        self.digests = {name: now.digest for name, now in snapshots.items()}
        return {**self._exported(changed, result, budget, known=snapshots), **self._names_of(before, variables)}

    def outline(self, before: Mapping[str, Any], result: Any, budget: Budget) -> Frame:
        """Return all there is, without looking into anything that is large."""
        variables = self.variables()
        data = {name: value for name, value in variables.items() if not export.is_code(value)}
        large = {name: size for name, value in data.items() if (size := export.size(value)) > _SMALL_ITEMS}
        small = {name: value for name, value in data.items() if name not in large}
        exported = self._exported(small, result, budget, known={})
        exported["truncated"].update(large)
        exported["variables"].update({name: export.outline(data[name]) for name in large})
        return {**exported, **self._names_of(before, variables)}

    def names(self, before: Mapping[str, Any]) -> Frame:
        """Return which variables there are, and nothing of their values."""
        variables = self.variables()
        data = [name for name, value in variables.items() if not export.is_code(value)]
        nothing: Frame = {"variables": dict.fromkeys(data), "truncated": dict.fromkeys(data, 1)}
        return {**nothing, **self._names_of(before, variables)}

    def shown(self, values: dict[str, Any], max_bytes: int) -> dict[str, Any]:
        """Return values as JSON for somebody who only looks at them."""
        return export.export(values, self._representer, max_bytes=max_bytes, known={}).values

    def _names_of(self, before: Mapping[str, Any], variables: Mapping[str, Any]) -> Frame:
        return {
            "deleted": [name for name in before if name not in variables],
            "functions": [name for name, value in variables.items() if export.is_code(value)],
        }

    def _exported(
        self, changed: dict[str, Any], result: Any, budget: Budget, *, known: Mapping[str, export.Snapshot]
    ) -> Frame:
        """Variables and result within the budget, and in any case small enough for one frame."""
        values = changed if result is NOTHING else {**changed, _RESULT: result}
        max_bytes = budget.state
        while True:
            exported = export.export(values, self._representer, max_bytes=max_bytes, known=known)
            state: Frame = {
                "variables": {name: exported.values[name] for name in changed},
                "truncated": {(_CUT_RESULT if name == _RESULT else name): n for name, n in exported.truncated.items()},
                "inexact": [name for name in exported.inexact if name != _RESULT],
            }
            if result is not NOTHING:
                state["result"] = exported.values[_RESULT]
            if max_bytes < _LEAST_BYTES or len(encode(state)) < budget.frame - _FRAME_MARGIN:
                return state
            max_bytes //= 8  # control characters take six bytes each in JSON
            known = {}

    def _snapshots(self) -> dict[str, export.Snapshot]:
        data = {name: value for name, value in self.variables().items() if not export.is_code(value)}
        return export.snapshots(data, self._representer)
