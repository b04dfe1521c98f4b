"""Windows: a process of its own, and nothing more yet."""

from planact_server.sandbox.jail.layers import Layers, Rights


def prepare(*, parent: int) -> Layers:
    """Nothing can be shared by all workers."""
    del parent
    return {}


def confine(rights: Rights, *, parent: int) -> Layers:
    """Report what is missing: limits need a Job Object around the process, which only the host can make."""
    del rights, parent
    missing = "not available: Windows has no resource limits for a process by itself"
    return dict.fromkeys(("memory", "cpu", "files", "descriptors", "processes"), missing)
