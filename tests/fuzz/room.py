"""A session in this process, with a host that answers everything: what plans get can be looked at from outside.

For a process of its own: preparing the language changes `enum`, `copy` and `__main__` for good.
"""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from typing import Any

from planact_server.sandbox.inside import attributes, facades, language
from planact_server.sandbox.inside.session import Session
from planact_server.sandbox.inside.source import Text

_LIMITS = {"output_bytes": 1 << 40, "state_bytes": 20_000, "source_bytes": 1 << 20, "frame_bytes": 1 << 20}
_TOOL = {"kind": "tool", "server": "demo", "parameters": ["value"], "aliases": [], "open_keywords": True}
_IMAGE = {"$planact": "image", "mime": "image/png", "size": 3, "id": "1"}
_TEXT = {"$planact": "text", "size": 5000, "id": "2"}


class Host:
    """Stands in for the wire and for the host at its other end: each question is answered at once."""

    def __init__(self) -> None:
        self._answers: deque[bytes] = deque()

    def queue(self, frame: dict[str, Any]) -> None:
        self.queue_encoded(json.dumps(frame).encode())

    send = queue

    def queue_encoded(self, body: bytes) -> None:
        frame = json.loads(body)
        if "id" in frame:
            answer = {"type": "answer", "id": frame["id"], "value": self._value(frame)}
            self._answers.append(json.dumps(answer).encode())

    def flush(self) -> None:
        """What is queued was answered."""

    def wait(self, _seconds: float | None) -> bool:
        return bool(self._answers)

    def receive(self, hook: Any = None) -> dict[str, Any]:
        return json.loads(self._answers.popleft(), object_hook=hook)

    def _value(self, frame: dict[str, Any]) -> Any:
        match frame:
            case {"type": "resolve", "names": names}:
                return {name: self._resolved(name) for name in names}
            case {"type": "call", "tool": "image"}:
                return [_IMAGE, _TEXT]
            case {"type": "ask", "helper": "text", "arguments": {"start": start, "stop": stop}}:
                return "text\n" * min(100, (stop - start) // 5 + 1)
            case {"type": "ask", "helper": "expand", "arguments": {"name": name}}:
                return {"source": f"def {name}(*args): return args", "line": 1000}
            case _:
                return frame.get("positional") or [1, "text", {"key": None}]

    def _resolved(self, name: str) -> dict[str, Any]:
        tool = name.rpartition(".")[2]
        if tool in ("echo", "image"):
            return {**_TOOL, "tool": tool}
        if name.startswith("todo_"):
            return {"kind": "placeholder"}
        return {"kind": "server", "server": name} if name == "demo" else {"kind": "missing", "hint": ""}


class Room:
    """One session."""

    def __init__(self) -> None:
        language.prepare()
        time.sleep = lambda _seconds: None
        vars(facades.MODULES["time"])["sleep"] = time.sleep
        self.session = Session(Host())  # pyright: ignore[reportArgumentType] - all of a wire that is used
        self.session.listen()
        sys.stdout = self.session.channel  # pyright: ignore[reportAttributeAccessIssue] - as in a worker
        self._plans = 0
        self.session.channel.begin_plan(output_bytes=1 << 40, frame_bytes=1 << 20)
        self.session._globals["note"] = lambda *_values: None
        self.define("import asyncio\necho, demo, image, todo_fuzz, image(1)")

    def run(self, source: str, *, seconds: float = 2.0) -> dict[str, Any]:
        """Run a plan and return its `done` frame."""
        return self.session.run({"type": "run", "source": source, "seconds": seconds, "cpu_seconds": 600.0, **_LIMITS})

    def define(self, source: str) -> None:
        """Run a plan that cannot fail, without the report that a host would get. Raises Refused."""
        self._plans += 1
        prepared = self.session._prepare(Text(source, f"<definitions {self._plans}>"), max_bytes=1 << 20)
        eval(prepared.code, self.session._globals)

    @property
    def variables(self) -> dict[str, Any]:
        """What plans have bound."""
        return {name: value for name, value in self.session._globals.items() if not name.startswith("__")}

    @property
    def names(self) -> dict[str, Any]:
        """What every plan can name: builtins, helpers, tools."""
        return {name: value for name, value in self.session._builtins.items() if attributes.is_ordinary_name(name)}

    @property
    def modules(self) -> dict[str, Any]:
        """What every plan can import."""
        return {**facades.MODULES, "asyncio": self.session._globals["asyncio"]}

    def exposed(self) -> dict[str, Any]:
        """All of it, by the names that a plan writes."""
        inside = {
            f"{module}.{name}": value
            for module, facade in self.modules.items()
            for name, value in vars(facade).items()
            if not name.startswith("__") and not isinstance(value, facades.Module)
        }
        return {name: value for name, value in self.names.items() if "." not in name} | inside
