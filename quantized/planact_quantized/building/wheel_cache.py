"""Wheels of llama-cpp-python that were built on this machine, each in a folder named after all that it depends on.

A folder appears whole or not at all; what is half-built lies elsewhere and is never looked at.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sysconfig
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs

CACHE = "PLANACT_CACHE"
"""Variable that names another folder than the user's cache."""

PYTHON_TAG = "py3"
"""The wheel has libraries and Python code, no extension modules: one build serves every Python 3."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelKey:
    """What makes one build different from another."""

    version: str
    backend: str
    cmake_arguments: tuple[str, ...]
    instruction_sets: tuple[str, ...]
    """Of the processor: the build uses all that it finds, and would crash on one that has less."""

    accelerator: str = ""
    """Compiler and card of the device, where there is one."""

    python_tag: str = PYTHON_TAG
    platform: str = sysconfig.get_platform()

    @property
    def name(self) -> str:
        """Return a name for people to read and for files to have."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]
        return f"{self.version}-{self.python_tag}-{self.platform}-{self.backend}-{digest}"


def cache_folder() -> Path:
    """Return the folder for what can be made again; it need not exist."""
    given = os.environ.get(CACHE)
    return Path(given) if given else Path(platformdirs.user_cache_dir("planact", appauthor=False))


class WheelCache:
    """The wheels in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, key: WheelKey) -> Path | None:
        """Return the wheel that was built for this key, None when there is none."""
        return next(iter(sorted((self.folder / key.name).glob("*.whl"))), None)

    def lock_file(self, key: WheelKey) -> Path:
        """Return the file to lock while building; its folder is there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f"{key.name}.lock"

    def building(self, key: WheelKey) -> Path:
        """Return the folder to build in. It stays, so that an interrupted build goes on; `keep` removes it."""
        folder = self.folder / f"building-{key.name}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def log(self, key: WheelKey) -> Path:
        """Return the file for what the build says."""
        return self.folder / f"{key.name}.log"

    def keep(self, key: WheelKey, wheel: Path) -> Path:
        """Take a wheel in, and return where it lies now. The caller holds the lock."""
        folder = self.folder / key.name
        if (there := self.find(key)) is not None:
            return there
        with tempfile.TemporaryDirectory(dir=self.folder, prefix="keeping-", ignore_cleanup_errors=True) as made:
            whole = Path(made) / "whole"
            whole.mkdir()
            shutil.copy2(wheel, whole / wheel.name)
            (whole / "about.json").write_text(json.dumps(asdict(key), indent=2) + "\n", encoding="utf-8")
            shutil.rmtree(folder, ignore_errors=True)  # left without a wheel by somebody who tidied up
            whole.rename(folder)
        shutil.rmtree(self.folder / f"building-{key.name}", ignore_errors=True)
        return folder / wheel.name
