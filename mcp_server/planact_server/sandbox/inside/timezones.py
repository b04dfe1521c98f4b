"""Time zones without files: every zone of the system is read before the jail closes."""

from __future__ import annotations

import io
import os
import zoneinfo
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO
from zoneinfo import _common  # type: ignore[attr-defined] - its load_tzdata is the one place that opens files

if TYPE_CHECKING:
    from collections.abc import Iterator

_zones: dict[str, bytes] = {}

_OTHER_SPELLINGS = frozenset({"posix", "right"})
"""Folders that hold every zone again."""


def preload() -> None:
    """Read all zones (about 1 MB) and make `zoneinfo` look nowhere else."""
    if _zones:
        return
    contents: dict[bytes, bytes] = {}
    for folder in reversed(zoneinfo.TZPATH):
        for name, data in _files(folder, ""):
            if data.startswith(b"TZif"):
                _zones[name] = contents.setdefault(data, data)
    zoneinfo.reset_tzpath(to=())
    _common.load_tzdata = _open


def available() -> set[str]:
    return set(_zones) - {"posixrules"}  # which is a zone by another name, and not one in Python either


def _files(folder: str, prefix: str) -> Iterator[tuple[str, bytes]]:
    """Return name and content of every file in and below a folder; `prefix` is the folder's own name as a zone's.

    There are hundreds, and each worker's forefather reads them while somebody waits: `pathlib` takes ten times as long.
    """
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.name in _OTHER_SPELLINGS:
            continue
        if entry.is_dir():
            yield from _files(entry.path, f"{prefix}{entry.name}/")
        elif entry.is_file():
            with suppress(OSError), open(entry.path, "rb", buffering=0) as file:  # noqa: PTH123
                yield prefix + entry.name, file.read()


def _open(key: str) -> BinaryIO:
    try:
        return io.BytesIO(_zones[key])
    except KeyError:
        raise zoneinfo.ZoneInfoNotFoundError(f"No time zone found with key {key}") from None
