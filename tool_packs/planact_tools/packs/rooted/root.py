"""Opening a root, and going down from it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from planact_tools.packs.rooted.folder import Folder, RefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# Where names can be opened relative to a folder's descriptor, no check can be outrun.
if sys.platform != "win32":
    from planact_tools.packs.rooted.descriptors import DescriptorFolder as _RootFolder
else:
    from planact_tools.packs.rooted.paths import PathFolder as _RootFolder


def open_root(path: Path) -> Folder:
    """Open a root. `path` must be resolved: links above the root are its owner's."""
    return _RootFolder.open_root(path)


def descend(root: Folder, names: Sequence[str]) -> Folder:
    """Return the folder that the names lead to; `root` is closed, or is itself returned. Raises RefusedError."""
    here = root
    for depth, name in enumerate(names, start=1):
        with here:
            here = _step(here, name, "/".join(names[:depth]))
    return here


def _step(folder: Folder, name: str, so_far: str) -> Folder:
    try:
        return folder.folder(name)
    except FileNotFoundError:
        raise RefusedError(f"cannot be reached: there is no folder {so_far!r}.") from None
    except RefusedError as error:
        raise RefusedError(f"cannot be reached: {so_far!r} {error}") from None
