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
    from planact_quantized.engine.engine import Engine, EngineStatus
    from planact_quantized.grammar.plan_grammar import PlanFunction, PlanParameter, plan_grammar
    from planact_quantized.prompt import extract, fenced, messages, system_prompt

# Imported when they are asked for: the child process starts with this package too, and has no use for them.
_LATE = {
    "Engine": "planact_quantized.engine.engine",
    "EngineStatus": "planact_quantized.engine.engine",
    **dict.fromkeys(("PlanFunction", "PlanParameter", "plan_grammar"), "planact_quantized.grammar.plan_grammar"),
    **dict.fromkeys(("extract", "fenced", "messages", "system_prompt"), "planact_quantized.prompt"),
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
    "PlanFunction",
    "PlanParameter",
    "Role",
    "SplitMode",
    "StopReason",
    "Usage",
    "Watcher",
    "extract",
    "fenced",
    "messages",
    "plan_grammar",
    "system_prompt",
]


def __getattr__(name: str) -> object:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATE[name]), name)
