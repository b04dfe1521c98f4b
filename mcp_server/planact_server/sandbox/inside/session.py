"""A REPL over frames: what one plan leaves is there for the next.

Reads like a run: prepare (check, compile, look names up), run, conclude (export what changed, say what went wrong).
"""

from __future__ import annotations

import ast
import inspect
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn

from planact_server.sandbox.inside import (
    assignments,
    attributes,
    bindings,
    checks,
    definitions,
    expected,
    export,
    failures,
    memory,
    plan_builtins,
    policy,
    scopes,
    source,
    state,
    tools,
    trees,
)
from planact_server.sandbox.inside.channel import Channel
from planact_server.sandbox.inside.checkpoint import Checkpoint, TooLargeError
from planact_server.sandbox.inside.expansions import Expansions, only_defines
from planact_server.sandbox.inside.interrupts import Interrupts, PlanStopped
from planact_server.sandbox.inside.observe import Observer
from planact_server.sandbox.inside.restoring import Restoring
from planact_server.sandbox.inside.source import Problem, Refused, Text
from planact_server.sandbox.inside.state import NOTHING, Budget, State
from planact_server.sandbox.inside.trampoline import Future, Loop
from planact_server.sandbox.inside.wire import Frame, HostGone

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import CodeType

    from planact_server.sandbox.inside.wire import Wire

_MISSING: Any = object()

_STOP_TYPES = {"timeout": "TimeoutError", "limit": "LimitReached", "cancelled": "Cancelled"}

_NOT_NOTED = (TooLargeError, MemoryError, PlanStopped)
"""Made beforehand: where the memory is full there is none for a tuple either."""

_RESTORE_SECONDS = 10.0
"""For looking at a session, and for putting it back; a plan's own code may run in the course of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    text: Text
    code: CodeType
    table: bindings.Table
    stores: tuple[assignments.Stores, ...]
    found: tuple[definitions.Found, ...]


class Session:
    """The variables of one session and everything that a plan needs to run."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._interrupts = Interrupts()
        self._observer = Observer()
        self.channel = Channel(wire, self._interrupts, self._observer)
        self._loop = Loop(pump=self.channel.pump, expects_frames=self.channel.expects_answers)
        self._link = tools.Link(self.channel, self._observer, self._loop)
        self._builtins = plan_builtins.make(self._link, keep_result=self._keep_result)
        self._own_builtins = frozenset(self._builtins) | {"__name__"}
        self._globals: dict[str, Any] = {"__builtins__": self._builtins, "__name__": "__main__"}
        self._texts: dict[str, Text] = {}
        self._prepared: _Prepared | None = None
        self._representer = export.Representer(self._interrupts)
        self._state = State(self._globals, self._representer)
        self._expansions = Expansions(self.channel, add=self._add, show=self._state.shown)
        self._definitions = definitions.Definitions()
        self._restoring = Restoring(self._globals, self._builtins, self.channel, self._interrupts)
        self._checkpoint: tuple[Checkpoint, dict[str, bytes], definitions.State] | None = None
        self._result: Any = NOTHING
        self._budget = Budget(state=0, frame=0)
        self._full = False
        """True when the plan has used up its memory bit by bit."""

        self.exhausted = False
        """True once a plan has filled the memory or used up the CPU time for good: nothing more can run here."""

    def listen(self) -> None:
        """From now on this process's signals stop this session's plans."""
        self._interrupts.listen()

    # ---- what the host asks for ------------------------------------------------------------------------------------

    def run(self, frame: Frame) -> Frame:
        """Run one plan and return the `done` frame."""
        text = Text(frame["source"], f"<plan {len(self._texts) + 1}>")
        self._budget = Budget(state=frame["state_bytes"], frame=frame["frame_bytes"])
        self._result = NOTHING
        before = self._state.variables()
        self.channel.begin_plan(output_bytes=frame["output_bytes"], frame_bytes=frame["frame_bytes"])
        self._prepared = None
        self._expansions.begin_plan(max_bytes=frame["source_bytes"])
        self._full = False
        self._interrupts.begin(
            frame["seconds"], cpu_seconds=frame["cpu_seconds"], give_up=lambda: self._give_up(before)
        )
        memory.hold_back()
        failure = self._attempt(text, max_bytes=frame["source_bytes"])
        memory.release()
        if isinstance(failure, Refused):
            return self._refusal(failure)
        done = self._conclude(before, failure)
        self.channel.flush()
        del failure  # its traceback holds whatever the plan's functions held
        self.exhausted = self._interrupts.cpu_spent or (self._full and self._is_exhausted())
        return {**done, "last": True} if self.exhausted else done

    def restore(self, variables: Mapping[str, Any], sources: Mapping[str, str]) -> Frame:
        """Put data of an earlier worker back, and what the sources can define again."""
        for name, value in variables.items():
            if name.isidentifier() and attributes.is_ordinary_name(name):
                self._globals[name] = value
        made = self._restoring.make(sources)
        self._state.note()
        self._definitions.put_back(made, self._state.digests)
        return {"type": "restored", "lost": [number for number, name in enumerate(sources) if name not in made]}

    def checkpoint(self) -> Frame:
        """Note the session as it is, for `rollback`; what was noted before is forgotten."""
        self._checkpoint = None
        memory.hold_back()
        taken = None
        try:
            taken = self._interrupts.foreign(lambda: Checkpoint(self._globals), seconds=_RESTORE_SECONDS)
        except _NOT_NOTED:
            pass  # with the memory full, not even an answer can be made here
        finally:
            memory.release()
        if taken is None:
            return {"type": "checkpointed", "taken": False, "unsettled": []}
        self._checkpoint = taken, dict(self._state.digests), self._definitions.state()
        return {"type": "checkpointed", "taken": True, "unsettled": taken.unsettled}

    def rollback(self) -> Frame:
        """Put the session back as it was at the checkpoint, which stays."""
        if self._checkpoint is None:
            return {"type": "rolled_back", "done": False}
        checkpoint, digests, defined = self._checkpoint
        try:
            self._interrupts.foreign(checkpoint.restore, seconds=_RESTORE_SECONDS)
        except (Exception, PlanStopped):  # noqa: BLE001 - a plan's own `__hash__` may do anything
            return {"type": "rolled_back", "done": False}
        self._state.digests = dict(digests)
        self._definitions.go_back(defined)
        self._result = NOTHING
        return {"type": "rolled_back", "done": True}

    def forget(self) -> Frame:
        """Let go of the checkpoint."""
        self._checkpoint = None
        return {"type": "forgotten"}

    def _attempt(self, text: Text, *, max_bytes: int) -> BaseException | None:
        """Prepare and execute, until nothing of the plan can run any more. Returns what it failed with."""
        failure: BaseException | None = None
        try:
            try:
                self._prepared = self._prepare(text, max_bytes=max_bytes)
                self._observer.begin_plan(text.filename, self._prepared.table)
                self._execute(self._prepared.code)
            except HostGone:
                raise
            except BaseException as error:  # noqa: BLE001 - whatever a plan raises is a result
                failure = error
                # At once: without memory nothing else of what follows can be done.
                self._full = type(error) is MemoryError and memory.was_filled()
                memory.release()
            self._finish_tasks()
            self._interrupts.end()
        except PlanStopped as stop:  # it arrived between the plan's last instruction and here
            self._interrupts.end()
            return failure or stop
        return failure

    # ---- prepare ---------------------------------------------------------------------------------------------------

    def _prepare(self, text: Text, *, max_bytes: int, depth: int = 0) -> _Prepared:
        """Check and compile. `depth` counts how often code was written for code that was written."""
        tree = source.parse(text, max_bytes=max_bytes)
        try:
            return self._compile(tree, text, depth)
        except RecursionError:
            raise source.too_deep() from None

    def _compile(self, tree: ast.Module, text: Text, depth: int) -> _Prepared:
        names = scopes.analyse(tree)
        nodes = trees.walk(tree)
        table = bindings.collect(nodes, may_be_tool=lambda callee: self._may_be_tool(callee, names))
        stores = tuple(assignments.stores(tree))
        found = definitions.collect(tree, text, names)
        problems = list(checks.missing_imports(nodes, text))
        try:
            code = policy.compile_plan(tree, text, statements=table.statements)
        except Refused as refused:
            raise Refused(*problems, *refused.problems) from None
        if problems:
            raise Refused(*problems)
        self._resolve(names, text, depth)
        self._texts[text.filename] = text
        return _Prepared(text=text, code=code, table=table, stores=stores, found=found)

    def _add(self, text: Text, name: str, *, max_bytes: int, depth: int) -> Callable[..., Any]:
        """Define what was written while the plan runs. Raises Refused."""
        with self._interrupts:
            if not only_defines(source.parse(text, max_bytes=max_bytes), name):
                raise Refused(Problem(type="PolicyError", message=f"it should only define the function {name}()."))
            prepared = self._prepare(text, max_bytes=max_bytes, depth=depth)
            self._observer.add_code(text.filename, prepared.table)
            eval(prepared.code, self._globals)  # noqa: S307 - it was checked like any plan, and only defines
            return self._globals[name]

    def _resolve(self, names: scopes.Names, text: Text, depth: int) -> None:
        """Ask the host for every name from outside, once, and refuse what nobody has."""
        # A function that was written for an earlier plan may be written anew for this one.
        own = [name for name in self._state.variables() if not self._expansions.may_rewrite(name)]
        known = {*own, *self._own_builtins}
        wanted = checks.outside_names(names, known)
        wanted += [name for name in self._restoring.outside_names(known) if name not in wanted]
        resolved = self.channel.resolve(wanted) if wanted else {}
        problems = [
            *checks.undefined(names, resolved, text, self._state.variables(), self._own_builtins),
            *checks.wrong_uses(names, resolved, text, known),
        ]
        if problems:
            raise Refused(*problems)
        self.channel.doubt(expected.doubts(names, resolved, text, known, code=self._state.code()))
        for name, resolution in resolved.items():
            if "." not in name:
                self._offer(name, resolution, resolved, depth)
        self._restoring.settle()

    def _offer(self, name: str, resolution: dict[str, Any], resolved: Mapping[str, Any], depth: int) -> None:
        """Put a tool or a server where variables of the same name hide it."""
        if name in self._own_builtins:
            return
        match resolution.get("kind"):
            case "tool":
                self._builtins[name] = tools.make_tool(self._link, resolution)
            case "server":
                known = {
                    other.partition(".")[2]: tools.make_tool(self._link, found)
                    for other, found in resolved.items()
                    if other.startswith(f"{name}.") and found.get("kind") == "tool"
                }
                self._builtins[name] = tools.make_server(self._link, resolution["server"], name, known)
            case "placeholder":
                self._globals.pop(name, None)
                self._builtins[name] = self._expansions.placeholder(name, depth + 1)
            case _:
                self._builtins.pop(name, None)

    def _may_be_tool(self, callee: ast.expr, names: scopes.Names) -> bool:
        """False for calls that certainly reach no tool: their statements need no marker."""
        if isinstance(callee, ast.Name):
            name = callee.id
            is_python = name in self._own_builtins and not isinstance(
                self._builtins.get(name), tools.CallTool | tools.AskModel
            )
            return not is_python and name not in names.defined and not export.is_plain_code(self._globals.get(name))
        base = callee
        while isinstance(base, ast.Attribute):
            base = base.value
        if not isinstance(base, ast.Name) or base is callee:
            return False
        held = self._globals.get(base.id, _MISSING)
        return isinstance(held, tools.Server) or (held is _MISSING and names.from_outside(base.id))

    # ---- run -------------------------------------------------------------------------------------------------------

    def _execute(self, code: CodeType) -> None:
        value = eval(code, self._globals)  # noqa: S307 - running plans is what this process is for
        if inspect.iscoroutine(value):
            self._loop.run(value)
        if inspect.iscoroutine(self._result) or isinstance(self._result, Future):
            self._result = self._loop.run(self._result)  # the plan ends with `main()`: its value is meant

    def _finish_tasks(self) -> None:
        """Close what was started and never awaited: that runs the plan's `finally` blocks, under its deadline."""
        try:
            self._loop.reset()
        except HostGone:
            raise
        except BaseException:  # noqa: BLE001 - the plan has ended already, whatever its `finally` blocks raise
            return

    def _keep_result(self, value: Any) -> Any:
        self._result = value
        return value

    # ---- conclude --------------------------------------------------------------------------------------------------

    def _is_exhausted(self) -> bool:
        """Say whether the session's data alone leaves no room for another plan."""
        memory.hold_back()
        try:
            return not memory.has_room()
        finally:
            memory.release()

    def _conclude(self, before: dict[str, Any], failure: BaseException | None) -> Frame:
        errors = [] if failure is None else [self._problem(failure)]
        status = self._interrupts.status or ("ok" if failure is None else "error")
        if self._full and status == "error":
            status = "limit"
        if self._interrupts.status is not None and not errors:
            errors = [Problem(type=_STOP_TYPES[status], message=self._interrupts.message)]
        left, whole = self._left(before, failure)
        if not whole:
            errors.append(Problem(type="MemoryError", message="Not all variables fit into the memory that is left."))
            status = "limit" if status in ("ok", "error") else status
        told = {"status": status, "errors": [error.as_json() for error in errors], **self._reached(failure)}
        return {"type": "done", **told, **left}

    def _reached(self, failure: BaseException | None) -> Frame:
        if failure is None or self._prepared is None:
            return {}
        line = failures.reached(failure, {self._prepared.text.filename})
        return {"reached": line} if line else {}

    def _left(self, before: dict[str, Any], failure: BaseException | None) -> tuple[Frame, bool]:
        """Return the state as far as the memory that is left allows, and whether it is all of it."""
        # Each attempt after the block of the one before: its error holds whatever that one had made.
        with suppress(MemoryError):
            return self._changes(before, failure), True
        with suppress(MemoryError):
            return self._state.outline(before, self._result, self._budget), False
        return self._state.names(before), False

    def _changes(self, before: dict[str, Any], failure: BaseException | None) -> Frame:
        """Return the state, and the sources of what was defined where the host has others."""
        prepared, certain = self._prepared, frozenset[str]()
        if prepared is not None:
            certain = assignments.certain(prepared.stores, failure, prepared.text.filename)
        changes = self._state.changes(before, certain, self._result, self._budget)
        told = self._definitions.told(
            () if prepared is None else prepared.found,
            self._state.variables(),
            self._state.digests,
            max_bytes=self._budget.frame // 16,
        )
        return changes if told is None else {**changes, "definitions": told}

    def _problem(self, failure: BaseException) -> Problem:
        current = self._observer.files if self._prepared is not None else ()
        problem = failures.describe(failure, self._texts, current, self.channel, self._representer)
        status = self._interrupts.status
        if status is None:
            return problem
        return replace(problem, type=_STOP_TYPES[status], message=self._interrupts.message, hint=None)

    def _refusal(self, refused: Refused) -> Frame:
        problems = [problem.as_json() for problem in refused.problems]
        functions = self._state.functions()
        return {"type": "done", "status": refused.status, "errors": problems, **state.NONE, "functions": functions}

    def _give_up(self, before: dict[str, Any]) -> NoReturn:
        """The plan swallows its stop: report what there is and end the worker."""
        self._interrupts.end()
        memory.release()
        done = self._conclude(before, None)
        self.channel.flush()
        self._wire.send({**done, "last": True})
        os._exit(0)
