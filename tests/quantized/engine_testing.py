"""What the tests of the engine share: engines over the stand-in, orders for it, and things to wait for."""

import os
from collections.abc import Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio

from planact_quantized import BackendError, Completion, Engine, EngineSettings, GenerateRequest, Message
from quantized.engine_standin import COMMAND  # noqa: TID251 - a folder of tests


def toy(model: Path, *, command: Sequence[str] = COMMAND, **options: Any) -> "aclosing[Engine]":
    """Return an engine to enter; options are EngineSettings' or Engine's."""
    of_engine = {key: options.pop(key) for key in ("on_progress", "request_seconds") if key in options}
    settings = EngineSettings(**({"name": "toy"} | options), model=model)
    return aclosing(Engine(settings, command=command, **of_engine))


def order(text: str, **options: Any) -> GenerateRequest:
    return GenerateRequest(messages=[Message(role="user", content=text)], **options)


def texts(completion: Completion) -> list[str]:
    return [candidate.text for candidate in completion.candidates]


class Beginning:
    """A watcher that tells when the first piece has come."""

    def __init__(self) -> None:
        self.event = anyio.Event()

    def __call__(self, candidate: int, piece: str) -> bool:
        self.event.set()
        return False


async def failure(engine: Engine, request: GenerateRequest, during: Callable[[], object]) -> BackendError:
    """Ask, call `during` when the first piece has come, and return what the request failed with."""
    errors: list[BackendError] = []
    beginning = Beginning()

    async def write() -> None:
        try:
            await engine.generate(request, watch=beginning)
        except BackendError as error:
            errors.append(error)
        finally:
            beginning.event.set()

    async with anyio.create_task_group() as group:
        group.start_soon(write)
        await beginning.event.wait()
        during()
    assert len(errors) == 1, "the request did not fail"
    return errors[0]


async def until_state(engine: Engine, state: str) -> None:
    while engine.status.state != state:
        await anyio.sleep(0.005)


async def until_gone(pid: int | None) -> None:
    """Wait until there is no such process, or only what nobody has reaped yet."""
    while pid is not None and _lives(pid):
        await anyio.sleep(0.005)


def descriptors() -> list[str]:
    return sorted(each.name for each in Path("/proc/self/fd").iterdir())


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # gone in between, or a system without /proc
        return Path("/proc/self").exists() is False
