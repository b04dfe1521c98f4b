"""A session's variables, as the host asks Monty for them: by feeding it their names."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Any, cast

import anyio
from pydantic_monty import (
    AsyncFunctionSnapshot,
    AsyncNameLookupSnapshot,
    ClassInstance,
    MontyComplete,
    MontyCrashedError,
    MontyError,
)

from planact_server.sandbox import EngineError
from planact_server.sandbox.monty import language, values
from planact_server.sandbox.monty.outline import Outline
from planact_server.sandbox.process import Loss

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from planact_server.sandbox.monty.process import MontyProcess
    from planact_tools import JSONValue

_CODE = ("function", "type", "module", "coroutine", "builtin_function_or_method", "method")
_STRANGE = "The session answers something else than it is asked."
_TOO_LARGE = values.Unreadable("it is too large to be sent from where it is")


class _Unbound:
    """Stands for a name that has no value."""


_UNBOUND = _Unbound()


@dataclasses.dataclass(slots=True)
class State:
    """What the host knows of a session besides what Monty holds."""

    names: dict[str, None] = dataclasses.field(default_factory=dict[str, None])
    """Names that plans may have bound."""

    present: frozenset[str] = frozenset()
    """Those that are bound."""

    functions: tuple[str, ...] = ()
    """Those that hold what is no data."""

    digests: dict[str, bytes] = dataclasses.field(default_factory=dict[str, bytes])
    definitions: dict[str, str] = dataclasses.field(default_factory=dict[str, str])
    """The source of functions, classes and imports."""

    outlines: dict[str, Outline] = dataclasses.field(default_factory=dict[str, Outline])
    feeds: int = 0
    is_large: bool = False
    """Whether it holds something that is too large to be sent."""

    def copy(self) -> State:
        return dataclasses.replace(
            self,
            names=dict(self.names),
            digests=dict(self.digests),
            definitions=dict(self.definitions),
            outlines=dict(self.outlines),
        )

    def has_room_for(self, source: str) -> bool:
        held = sum(map(len, self.definitions.values()))
        return len(self.definitions) < _MOST_DEFINITIONS and held + len(source) <= _DEFINITION_CHARACTERS


_MOST_DEFINITIONS = 1_000
_DEFINITION_CHARACTERS = 256 * 1024


class Variables:
    """Asks for the values of a session. Whatever cannot be had costs it its process."""

    def __init__(self, process: MontyProcess, *, lose: Callable[[Loss], None]) -> None:
        self.state = State()
        self._process = process
        self._lose = lose

    async def read(self) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Return the session's data, and the names of its functions, classes and modules. Raises EngineError."""
        kinds = await self._kinds([name for name in self.state.names if is_ordinary(name)])
        functions = tuple(name for name, kind in kinds.items() if kind in _CODE)
        data = [name for name in kinds if name not in functions]
        large = await self._too_large(data)
        self.state.is_large = bool(large)
        small = [name for name in data if name not in large]
        found = await self.feed(f"[{', '.join(small)}]")  # asked also for nothing: a process that has gone is noticed
        if isinstance(found, values.Unreadable):
            found = [await self.feed(name) for name in small]
        taken = zip(small, self._all(found, len(small)), strict=True)
        kept = {name: value for name, value in taken if value is not _UNBOUND}
        return {
            name: _TOO_LARGE if name in large else kept[name] for name in data if name in large or name in kept
        }, functions

    async def result(self) -> Any:
        """Return the value of the last plan's last expression, which the session then lets go. Raises EngineError."""
        if await self._too_large([f"{language.RESULT}[0]"]):
            await self.feed(f"{language.RESULT}.clear()")
            return _TOO_LARGE
        return await self.feed(f"{language.RESULT}.pop(0)")

    async def put(self, given: Mapping[str, JSONValue]) -> None:
        """Bind names to data. Raises EngineError."""
        ordinary = {name: values.sent(value) for name, value in given.items() if is_ordinary(name)}
        await self.feed("None", inputs=ordinary)
        self.state.names |= dict.fromkeys(ordinary)

    async def define(self, name: str, source: str) -> bool:
        """Define something again, if that can be done without asking the host for anything. Raises EngineError."""
        if not is_ordinary(name):
            return False
        self.state.feeds += 1
        try:
            with anyio.fail_after(self._process.reply_seconds):
                await self._evaluate(source, None)
        except MontyCrashedError:
            raise self._failed("The session was lost over a definition.") from None
        except (MontyError, EngineError):
            return False
        except (TimeoutError, RuntimeError) as error:
            raise self._failed("The session does not answer any more.") from error
        self.state.names[name] = None
        self.state.definitions[name] = source
        return True

    async def feed(self, code: str, *, inputs: dict[str, Any] | None = None) -> Any:
        """Run code of our own. Raises EngineError, with the worker lost, when it fails."""
        self.state.feeds += 1
        return await self.ask(self._evaluate(code, inputs), "The session does not answer any more.")

    async def ask(self, work: Awaitable[Any], otherwise: str) -> Any:
        """Await an answer of the process. Raises EngineError, with the worker lost, when there is none."""
        try:
            with anyio.fail_after(self._process.reply_seconds):
                return await work
        except MontyCrashedError as crash:
            lost = self._process.loss(str(crash))
            self._lose(lost)
            raise EngineError(f"{otherwise} {lost.reason}") from crash
        except MontyError as error:
            status = "limit" if isinstance(error.exception(), MemoryError) else "error"
            self._lose(Loss(status=status, reason=f"{otherwise} {error}"))
            raise EngineError(f"{otherwise} {error}") from error
        except (TimeoutError, RuntimeError) as error:
            raise self._failed(otherwise) from error
        except asyncio.CancelledError:
            self._lose(Loss(status="cancelled", reason=otherwise))  # it would answer something nobody waits for
            raise

    async def _too_large(self, names: list[str]) -> set[str]:
        """Return those that Monty could not send without running out of memory, and being ended for it."""
        large: set[str] = set()
        if not self._process.is_full:
            return large
        room = self._process.most_values
        for name in names:
            weight = await self.feed(f"{language.WEIGHT}({name}, {room})")
            if not isinstance(weight, int) or weight > room:
                large.add(name)
            else:
                room -= weight
        return large

    async def _kinds(self, names: list[str]) -> dict[str, str]:
        """Return the name of each value's type, for the names that are bound.

        Before any value: a class and its instance together are more than Monty can send.
        """
        told: dict[str, str] = {}
        if names and "type" not in self.state.present:
            wanted = ", ".join(f"type({name}).__name__" for name in names)
            answer = self._all(await self.feed(f"[{wanted}]"), len(names))
            told = {name: str(kind)[:100] for name, kind in zip(names, answer, strict=True)}
        return {name: told.get(name, "") for name in names if told.get(name) != _Unbound.__name__}

    def _all(self, found: Any, count: int) -> list[Any]:
        listed = cast("list[Any]", found)
        if isinstance(found, list) and len(listed) == count:
            return listed
        raise self._failed(_STRANGE)

    async def _evaluate(self, code: str, inputs: dict[str, Any] | None) -> Any:
        snapshot = await self._process.session.feed_start(code, inputs=inputs, print_callback=_ignore)
        while not isinstance(snapshot, MontyComplete):
            if isinstance(snapshot, AsyncNameLookupSnapshot):
                snapshot = await snapshot.resume(value=ClassInstance(_UNBOUND))
            elif isinstance(snapshot, AsyncFunctionSnapshot):
                snapshot = await snapshot.resume({"exception": RuntimeError("Nothing can be called now.")})
            else:
                raise self._failed(_STRANGE)
        return values.taken(lambda: snapshot.output)

    def _failed(self, reason: str) -> EngineError:
        self._lose(Loss(status="error", reason=reason))
        return EngineError(reason)


def _ignore(_stream: str, _text: str) -> None:
    """Nothing of ours prints."""


def is_ordinary(name: str) -> bool:
    return name.isidentifier() and not name.startswith("__") and name not in language.OWN_NAMES
