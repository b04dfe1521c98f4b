"""The process that workers are forked from: everything imported, nothing running, no thread.

`forking` says how it speaks with the host.
"""

from __future__ import annotations

import gc
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from planact_server.sandbox import jail
from planact_server.sandbox.inside import bootstrap, confined, worker

if TYPE_CHECKING:
    from typing import NoReturn

if sys.platform == "win32":
    raise ImportError("Windows cannot fork.")

from planact_server.sandbox.inside.forking import Zygote


def main(*, control: int, parent: int, rights: dict[str, Any]) -> NoReturn:
    """Fork workers until the host goes away."""
    layers = jail.prepare(parent=parent)
    bootstrap.seal()
    worker.make_ready()
    # What is alive now is shared with every worker: collections that touch it would copy its pages.
    gc.disable()
    gc.freeze()
    Zygote(control, partial(_become_worker, layers=layers, rights=rights)).serve()


def _become_worker(stream: int, zygote: int, *, layers: jail.Layers, rights: dict[str, Any]) -> NoReturn:
    gc.enable()
    confined.serve(stream, stream, parent=zygote, rights=rights, layers=layers)
