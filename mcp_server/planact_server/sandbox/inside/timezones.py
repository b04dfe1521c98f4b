"""Time zones without files: every zone of the system is read before the jail closes."""

from __future__ import annotations

import io
import zoneinfo
from pathlib import Path
from typing import BinaryIO
from zoneinfo import _common  # type: ignore[attr-defined] - its load_tzdata is the one place that opens files

_zones: dict[str, bytes] = {}


def preload() -> None:
    """Read all zones (about 1 MB) and make `zoneinfo` look nowhere else."""
    if _zones:
        return
    contents: dict[bytes, bytes] = {}
    for folder in reversed(zoneinfo.TZPATH):
        for name in _names(Path(folder)):
            data = (Path(folder) / name).read_bytes()
            _zones[name] = contents.setdefault(data, data)
    zoneinfo.reset_tzpath(to=())
    _common.load_tzdata = _open


def available() -> set[str]:
    return set(_zones)


def _names(folder: Path) -> list[str]:
    index = folder / "tzdata.zi"
    if not folder.is_dir():
        return []
    skipped = {"posix", "right"}
    files = (path for path in folder.rglob("*") if path.is_file() and path != index)
    names = (path.relative_to(folder) for path in files)
    return [name.as_posix() for name in names if name.parts[0] not in skipped and _is_zone(folder / name)]


def _is_zone(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"TZif"


def _open(key: str) -> BinaryIO:
    try:
        return io.BytesIO(_zones[key])
    except KeyError:
        raise zoneinfo.ZoneInfoNotFoundError(f"No time zone found with key {key}") from None
