"""What has to hold before plans may run: the least that counts as a jail on each system.

What takes beyond it depends on the machine (a container may forbid namespaces, a kernel may be too old for Landlock)
and is only reported.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_LIMITS = ("cpu", "files", "descriptors")

REQUIRED = {
    "linux": ("seccomp", "no_new_privs", "memory", *_LIMITS),
    "darwin": ("seatbelt", "memory_watch", *_LIMITS),
    "win32": ("job_object", "language"),
}
"""`language`: an interpreter that cannot reach the system at all, because Windows has nothing like a filter."""


def missing(layers: Mapping[str, bool | str], *, platform: str = sys.platform) -> dict[str, str]:
    """Return required layer → why it did not take. A system that we know nothing of has none of them."""
    required = REQUIRED.get(platform, ("jail",))
    states = {name: layers.get(name, "not available on this system") for name in required}
    return {name: str(state) for name, state in states.items() if state is not True}


def refusal(missing: Mapping[str, str]) -> str:
    """Say why no plan runs, and what to do."""
    return (
        f"No plan is run: the jail is weaker here than it has to be. {_listed(missing)} "
        "`planact doctor` shows every layer. With `allow_weaker = true` in the `[sandbox]` table of your planact.toml "
        "plans run all the same, and could then do what you can do."
    )


def warning(missing: Mapping[str, str]) -> str:
    """Say in an answer what the plan ran without."""
    return f"The plan ran in a jail that is weaker than it has to be (allow_weaker is set). {_listed(missing)}"


def _listed(missing: Mapping[str, str]) -> str:
    return (
        "Missing: "
        + "; ".join(f"{name} ({why.removeprefix('not available: ')})" for name, why in missing.items())
        + "."
    )
