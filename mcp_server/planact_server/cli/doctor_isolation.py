"""What `planact doctor` says about the jail: the layers in force, and those that did not take."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from planact_server.cli.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planact_tools import JSONObject

_CONFIGURED = {"zygote": "fork"}
"""An engine's name → what `engine` in [sandbox] calls it."""


def engine_name(name: str) -> str:
    """Return what the configuration calls an engine."""
    return _CONFIGURED.get(name, name)


def examine_isolation(layers: JSONObject, *, engine: str, weaker: bool) -> list[Finding]:
    """`layers`: name → True, or why not; `worker` where no worker came up. `weaker`: plans run all the same."""
    took = [name for name, value in layers.items() if value is True]
    absent = {name: str(value) for name, value in layers.items() if value is not True}
    refused = absent.pop("worker", None)
    if refused is not None:
        found = Finding(level="problem", subject="isolation", text=refused)
    elif weaker:
        text = "weaker than it has to be, and `allow_weaker` is set: a plan that breaks out can do what you can do"
        advice = "Remove `allow_weaker` from [sandbox] to run no plans here."
        found = Finding(level="problem", subject="isolation", text=text, advice=advice)
    else:
        text = f"engine {engine_name(engine)}, in force: {', '.join(took)}"
        found = Finding(level="ok", subject="isolation", text=text)
    return [found, *_unverified(), *_absent_layers(absent)]


def _unverified() -> list[Finding]:
    if sys.platform == "linux":
        return []
    text = "not verified on this system: its authors have run this jail on Linux only"
    advice = "SECURITY.md says what that means. Tell us what you find."
    return [Finding(level="note", subject="isolation", text=text, advice=advice)]


def _absent_layers(absent: Mapping[str, str]) -> list[Finding]:
    """One finding for all layers with the same reason: whoever forbids user namespaces takes seven."""
    together: dict[tuple[str, str], list[str]] = {}
    for name, why in absent.items():
        together.setdefault((why, _advice(name)), []).append(name)
    return [
        Finding(level="note", subject="isolation", text=f"{', '.join(names)}: {why}", advice=advice)
        for (why, advice), names in together.items()
    ]


def _advice(name: str) -> str:
    if sys.platform == "linux" and (name.endswith("_namespace") or name == "empty_root"):
        return "A container or a setting of the kernel forbids user namespaces; the other layers hold without them."
    if name == "landlock":
        return "Linux has it since 5.13, where it is switched on; the other layers hold without it."
    return "docs/sandbox.md says what each layer is for."
