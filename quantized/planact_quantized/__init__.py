"""GGUF models in, text out. Imports nothing else of Planact."""

from importlib import import_module
from typing import TYPE_CHECKING

from planact_quantized.backend import (
    Backend,
    BackendError,
    BackendFault,
    BackendInfo,
    Candidate,
    Completion,
    GenerateRequest,
    Grammar,
    Message,
    Role,
    StopReason,
    Usage,
    Watcher,
)
from planact_quantized.settings import ALL_LAYERS, Drafting, EngineSettings, KVType, SplitMode

if TYPE_CHECKING:
    from planact_quantized.engine import Engine, EngineStatus

# Imported when they are asked for: the child process starts with this package too, and has no use for them.
_LATE = {
    "Engine": "planact_quantized.engine",
    "EngineStatus": "planact_quantized.engine",
}

__all__ = [
    "ALL_LAYERS",
    "Backend",
    "BackendError",
    "BackendFault",
    "BackendInfo",
    "Candidate",
    "Completion",
    "Drafting",
    "Engine",
    "EngineSettings",
    "EngineStatus",
    "GenerateRequest",
    "Grammar",
    "KVType",
    "Message",
    "Role",
    "SplitMode",
    "StopReason",
    "Usage",
    "Watcher",
]


def __getattr__(name: str) -> object:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATE[name]), name)
