"""GGUF models in, text out. Imports nothing else of Planact."""

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

__all__ = [
    "ALL_LAYERS",
    "Backend",
    "BackendError",
    "BackendFault",
    "BackendInfo",
    "Candidate",
    "Completion",
    "Drafting",
    "EngineSettings",
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
