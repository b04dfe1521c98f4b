"""Evaluated prompts, kept: a catalogue of tools is evaluated once, and read back by the next process.

llama.cpp trusts the state that it is given and may crash on a wrong one. So a file says what it belongs to and
carries a checksum, and what does not fit in every way is deleted and evaluated again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol

from planact_quantized.whole_file import write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

logger = logging.getLogger(__name__)

MAGIC = b"planact prefix 1\n"
SUFFIX = ".prefix"
_DIGEST_BYTES = 32


def prefix_key(identity: str, tokens: Sequence[int]) -> str:
    """Return the name of an evaluated prompt: of the model with its parameters, and the tokens."""
    digest = hashlib.blake2b(identity.encode(), digest_size=16, person=b"planact prefix")
    digest.update(b"".join(token.to_bytes(4, "little") for token in tokens))
    return digest.hexdigest()


class Prefixes(Protocol):
    """Keeps states by key; may forget any of them at any time."""

    def load(self, key: str) -> bytes | None: ...

    def save(self, key: str, state: bytes) -> None: ...

    def drop(self, key: str) -> None:
        """Forget a state that has turned out to be unusable."""
        ...


class MemoryPrefixes:
    """Keeps the last few, for as long as the process lives."""

    def __init__(self, *, most_bytes: int = 256 * 1024**2) -> None:
        self._most_bytes = most_bytes
        self._states: OrderedDict[str, bytes] = OrderedDict()

    def load(self, key: str) -> bytes | None:
        state = self._states.get(key)
        if state is not None:
            self._states.move_to_end(key)
        return state

    def save(self, key: str, state: bytes) -> None:
        if len(state) > self._most_bytes:  # the others would go, and then this one
            return
        self._states[key] = state
        self._states.move_to_end(key)
        while sum(map(len, self._states.values())) > self._most_bytes:
            self._states.popitem(last=False)

    def drop(self, key: str) -> None:
        self._states.pop(key, None)


class PrefixFolder:
    """Keeps them as files in a folder that several processes may share. A folder that fails costs only time."""

    def __init__(self, folder: Path, *, most_bytes: int) -> None:
        self._folder = folder
        self._most_bytes = most_bytes

    def load(self, key: str) -> bytes | None:
        file = self._file(key)
        try:
            content = file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            logger.warning("The evaluated prompt %s cannot be read: %s", file.name, error)
            return None
        state = _unpack(key, content)
        if state is None:
            logger.warning("The evaluated prompt %s is damaged or foreign; it is evaluated again", file.name)
            self.drop(key)
            return None
        # The time of a file is when it was last of use; what is oldest goes first.
        with contextlib.suppress(OSError):
            os.utime(file)
        return state

    def save(self, key: str, state: bytes) -> None:
        content = _pack(key, state)
        if len(content) > self._most_bytes:
            return
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._make_room(len(content), besides=key)
            write_whole(self._file(key), content)
        except OSError as error:
            logger.warning("The evaluated prompt cannot be kept in %s: %s", self._folder, error)

    def drop(self, key: str) -> None:
        with contextlib.suppress(OSError):
            self._file(key).unlink()

    def _file(self, key: str) -> Path:
        return self._folder / f"{key}{SUFFIX}"

    def _make_room(self, size: int, *, besides: str) -> None:
        """Delete the least used files until `size` more bytes fit. Files left half written by a crash count too."""
        kept: list[tuple[float, int, Path]] = []
        for file in self._folder.glob(f"*{SUFFIX}*"):
            with contextlib.suppress(FileNotFoundError):
                if file.name != self._file(besides).name:
                    kept.append((file.stat().st_mtime, file.stat().st_size, file))
        total = sum(each for _, each, _ in kept)
        for _, each, file in sorted(kept):
            if total + size <= self._most_bytes:
                return
            file.unlink(missing_ok=True)
            total -= each


def _pack(key: str, state: bytes) -> bytes:
    header = json.dumps({"key": key, "bytes": len(state)}).encode() + b"\n"
    checksum = hashlib.blake2b(header + state, digest_size=_DIGEST_BYTES).digest()
    return b"".join((MAGIC, checksum, header, state))


def _unpack(key: str, content: bytes) -> bytes | None:
    if not content.startswith(MAGIC):
        return None
    checksum, rest = content[len(MAGIC) :][:_DIGEST_BYTES], content[len(MAGIC) + _DIGEST_BYTES :]
    if hashlib.blake2b(rest, digest_size=_DIGEST_BYTES).digest() != checksum:
        return None
    header, _, state = rest.partition(b"\n")
    # The checksum was right, so the header is one that we wrote; but maybe another prompt's, under this name.
    return state if json.loads(header) == {"key": key, "bytes": len(state)} else None
