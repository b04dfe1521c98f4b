"""Host files on disk: read as they are, replaced whole or not at all, with the old bytes kept beside them.

A link is followed, so that a file kept elsewhere stays there; mode and owner of the file stay.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import sys
import tempfile
from pathlib import Path

from planact_bridge.hosts.errors import HostError

MOST_BYTES = 64 * 1024 * 1024
"""Largest file that is edited: some hosts keep their history in the file that has their servers."""

BACKUP = ".planact-backup"
"""What a backup's name ends in: nothing that a host would read."""

PUBLIC = 0o644
PRIVATE = 0o600


def read(path: Path) -> bytes | None:
    """Return the content of a file; None where there is none. Raises HostError."""
    try:
        status = path.stat()
        # A project's file is somebody else's: it may be a pipe that never ends.
        if not stat.S_ISREG(status.st_mode):
            raise HostError(f"{str(path)!r} is no file. Move it away, then try again.")
        if status.st_size > MOST_BYTES:
            raise HostError(f"{str(path)!r} is larger than {MOST_BYTES:,} bytes; that is no configuration file.")
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise HostError(f"{str(path)!r} cannot be read: {error.strerror or error}.") from None


def decode(path: Path, content: bytes) -> str:
    """Return the text of a file, a byte order mark and its line ends included. Raises HostError."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise HostError(
            f"{path}, line {line}: it is not UTF-8 text, so it was not touched. Save it as UTF-8, then try again."
        ) from None


def digest(content: bytes | None) -> str | None:
    """Return what tells one content from another; None for no file."""
    return None if content is None else hashlib.sha256(content).hexdigest()


def replace(path: Path, *, before: bytes | None, after: bytes | None, mode: int = PUBLIC) -> None:
    """Put `after` in the place of `before`, or delete the file where that is None.

    A reader sees the one or the other. Raises HostError, the file untouched, when it is not `before` any more, or
    cannot be written. `mode` is that of a new file.
    """
    try:
        target = path.resolve()
        if after is None:
            require(path, before)
            target.unlink(missing_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            _replace(target, path, before, after, mode)
    except OSError as error:
        raise HostError(
            f"{str(path)!r} cannot be written: {error.strerror or error}. Nothing in it was changed."
        ) from None


def require(path: Path, content: bytes | None) -> None:
    """Raise HostError unless the file still has this content."""
    if read(path) != content:
        raise HostError(
            f"{str(path)!r} was changed by another program at the same moment, so it was not touched. Try again."
        )


def keep(path: Path, content: bytes) -> Path:
    """Write the content of a file beside it, under a name that is free, and return that."""
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else PRIVATE
    for number in range(1, 1000):
        backup = path.with_name(f"{path.name}{BACKUP}{'' if number == 1 else f'-{number}'}")
        try:
            descriptor = os.open(backup, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), PRIVATE)
        except FileExistsError:
            if backup.is_file() and backup.read_bytes() == content:
                return backup
            continue
        except OSError as error:
            raise HostError(f"No backup of {str(path)!r} can be written: {error.strerror or error}.") from None
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        backup.chmod(mode)
        return backup
    raise HostError(f"There are a thousand backups beside {str(path)!r}. Delete some, then try again.")


def _replace(target: Path, path: Path, before: bytes | None, after: bytes, mode: int) -> None:
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".planact")
    new = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(after)
            file.flush()
            os.fsync(file.fileno())
        _take_over_rights(new, target, mode)
        # As late as can be: what another program writes from here on is lost, and that is microseconds.
        require(path, before)
        new.replace(target)
    finally:
        new.unlink(missing_ok=True)
    _sync_folder(target.parent)


def _take_over_rights(new: Path, target: Path, mode: int) -> None:
    if not target.exists():
        new.chmod(mode)
        return
    status = target.stat()
    if sys.platform != "win32" and (status.st_uid, status.st_gid) != (os.getuid(), os.getgid()):
        with contextlib.suppress(PermissionError):  # only root may give files away; then it is ours from now on
            os.chown(new, status.st_uid, status.st_gid)
    new.chmod(stat.S_IMODE(status.st_mode))


def _sync_folder(folder: Path) -> None:
    if sys.platform == "win32":
        return  # folders cannot be opened there
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
