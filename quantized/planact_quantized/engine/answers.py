"""What the child process says, checked: one that writes anything else is broken, and gets ended.

`wire.py` lists the messages. Apart from it because the child, which need not check itself, starts faster without
Pydantic.
"""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from planact_quantized.backend import BackendFault, BackendInfo, Completion
from planact_quantized.engine.wire import FrameError


@dataclass(frozen=True, slots=True, kw_only=True)
class Loading:
    type: Literal["loading"]
    fraction: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    type: Literal["ready"]
    info: BackendInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Began:
    type: Literal["began"]
    id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    type: Literal["text"]
    id: int
    candidate: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    type: Literal["done"]
    id: int
    result: Completion | int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    type: Literal["failed"]
    id: int
    fault: BackendFault | Literal["cancelled"]
    message: str


Answer: TypeAlias = Loading | Ready | Began | Text | Done | Failed

_ANSWER: TypeAdapter[Answer] = TypeAdapter(Annotated[Answer, Field(discriminator="type")])


def decode(body: bytes) -> Answer:
    """Parse one frame of the child. Raises FrameError."""
    try:
        return _ANSWER.validate_json(body, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))[:100] or "frame"
        raise FrameError(f"a malformed frame: {place}: {first['msg'][:200]}") from None
