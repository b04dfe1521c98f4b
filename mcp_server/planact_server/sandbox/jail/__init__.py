"""Taking rights away from the process that runs this, as far as the system lets us; what took is reported.

Runs in the bare interpreter, before any plan: standard library only. Two steps, because forked workers share the
first one: `prepare` once in the process that workers are forked from (or in a worker of its own), `confine` in each
worker as the last thing before it serves. Neither raises: a layer that did not take says why, and whoever reads the
report decides whether that is enough.
"""

import sys

from planact_server.sandbox.jail.layers import Layers, Rights

if sys.platform == "linux":
    from planact_server.sandbox.jail.linux import after_fork, before_fork, confine, prepare
elif sys.platform == "darwin":
    from planact_server.sandbox.jail.macos import confine, prepare
else:
    from planact_server.sandbox.jail.windows import confine, prepare

if sys.platform != "linux":

    def before_fork() -> None:
        """Do what the next child needs to be apart from its siblings. Raises OSError."""

    def after_fork() -> None:
        """Undo that for the process that forks. Raises OSError."""


__all__ = ["Layers", "Rights", "after_fork", "before_fork", "confine", "prepare"]
