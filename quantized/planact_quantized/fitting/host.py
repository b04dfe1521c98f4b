"""The machine itself: cores, memory that is really available, and what its processor can do.

Standard library only, and nothing is run: it is asked at every start.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")

UNKNOWN_SHARE = 2 / 3
"""Of all memory: what we take to be available where the system does not say (macOS)."""

_INSTRUCTION_SETS = re.compile(
    r"(avx|sse|ssse|pni$|fma|f16c|bmi|amx|abm$|adx$|movbe$|popcnt$|aes$|vaes$|gfni$|pclmul|vpclmul|sha_ni$|rdrnd$|rdseed$"
    r"|neon$|asimd|fphp$|sve|sme\d*$|i8mm$|bf16$|dotprod$)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A machine without its devices."""

    processor: str
    """A name for people."""

    cores: int
    """That this process may use."""

    total_bytes: int
    """Memory of the machine, or of the container where that has less."""

    available_bytes: int
    """What can be taken now without swapping; file caches count as free."""

    instruction_sets: tuple[str, ...]
    """In the system's own words, sorted; code made for one machine runs on others with the same."""


def read_host(*, proc: Path = PROC, cgroups: Path = CGROUPS) -> Host:
    """Return what this machine has. Never fails: what cannot be read is estimated low or left empty."""
    total, available = _memory(proc)
    for limit, used in _cgroup_limits(proc, cgroups):
        total = min(total, limit)
        available = min(available, max(0, limit - used))
    processor, flags = _processor(proc)
    return Host(
        processor=processor,
        cores=_cores(),
        total_bytes=total,
        available_bytes=available,
        instruction_sets=tuple(sorted(flag for flag in flags if _INSTRUCTION_SETS.match(flag))),
    )


def _cores() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory(proc: Path) -> tuple[int, int]:
    """Return (total, available) of the whole machine in bytes."""
    lines = dict(re.findall(r"^(\w+):\s+(\d+) kB$", _read(proc / "meminfo"), re.MULTILINE))
    if "MemTotal" in lines:
        total = int(lines["MemTotal"]) * 1024
        return total, int(lines.get("MemAvailable", lines.get("MemFree", "0"))) * 1024
    if sys.platform == "win32":
        return _windows_memory()
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return total, int(total * UNKNOWN_SHARE)


def _cgroup_limits(proc: Path, cgroups: Path) -> list[tuple[int, int]]:
    """Return (limit, used) in bytes of every control group that bounds this process."""
    found: list[tuple[int, int]] = []
    for line in _read(proc / "self" / "cgroup").splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers == "":
            group, names = cgroups / path.lstrip("/"), ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            group = cgroups / "memory" / path.lstrip("/")
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        # A group is bound by the ones that it is in as well; a container sees its own as the topmost.
        for folder in (group, *group.parents):
            if not folder.is_relative_to(cgroups):
                break
            found += _limit_of(folder, *names)
    return found


def _limit_of(group: Path, limit_name: str, used_name: str, cache_name: str) -> list[tuple[int, int]]:
    limit, used = _read(group / limit_name).strip(), _read(group / used_name).strip()
    if not limit.isdecimal() or not used.isdecimal():  # "max", or no such group
        return []
    cache = re.search(rf"^{cache_name} (\d+)$", _read(group / "memory.stat"), re.MULTILINE)
    return [(int(limit), max(0, int(used) - (int(cache[1]) if cache else 0)))]


def _processor(proc: Path) -> tuple[str, list[str]]:
    """Return a name for people and the flags."""
    text = _read(proc / "cpuinfo")
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
    fallback = platform.processor() or platform.machine()
    return name[1].strip() if name else fallback, flags[1].split() if flags else []


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _windows_memory() -> tuple[int, int]:
    if sys.platform != "win32":
        raise OSError("Only Windows is asked this way.")

    class Status(ctypes.Structure):
        _fields_ = [
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *((name, ctypes.c_ulonglong) for name in ("total", "free", "page", "page_free", "virtual", "virtual_free")),
            ("extended", ctypes.c_ulonglong),
        ]

    status = Status()
    status.length = ctypes.sizeof(status)
    ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
    return int(status.total), int(status.free)
