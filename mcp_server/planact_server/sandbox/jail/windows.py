"""Windows: a process of its own. Its limits are a Job Object, which the host puts around it."""

from planact_server.sandbox.jail.layers import Layers, Rights


def prepare(*, parent: int) -> Layers:
    """Nothing can be shared by all workers."""
    del parent
    return {}


def confine(rights: Rights, *, parent: int) -> Layers:
    """Report what is missing: a process cannot give up rights by itself here."""
    del rights, parent
    missing = "not available: Windows has no such limit for a process"
    language = "not available: only the engine monty has it"
    return {"files": missing, "descriptors": missing, "language": language}
