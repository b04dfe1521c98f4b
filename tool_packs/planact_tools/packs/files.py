"""Files in one folder. Nothing outside it is read or changed, whatever the path says and whoever swaps links in.

Paths are relative to the folder. Links in it are shown, never followed. A file is replaced in one step:
whoever reads it sees the old text or the new one.
"""

import contextlib
import io
import os
import secrets
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import Field

from planact_tools.pack import Pack, bound_tools
from planact_tools.packs.rooted import Entry, Folder, Glob, Kind, RefusedError, Visited, descend, open_root, split, walk
from planact_tools.tool import tool
from planact_tools.toolset import JSONValue, ToolError

MOST_READ_BYTES = 1_000_000
"""What read_text gives at once."""

MOST_LISTED = 10_000
MOST_SEARCHED_BYTES = 256 * 1024 * 1024

_SNIFFED_BYTES = 8_192
_SHOWN_CHARACTERS = 300
_DEFAULT_ROOT = "files"

FilePath = Annotated[str, Field(description="Path of the file, relative to this pack's folder.")]
AnyPath = Annotated[str, Field(description="Path of a file or folder, relative to this pack's folder.")]
FolderPath = Annotated[str, Field(description="Path of the folder, relative to this pack's folder; '.' is that one.")]
NewPath = Annotated[str, Field(description="Its new path, not a folder to put it in. Its new folder must exist.")]
Pattern = Annotated[
    str,
    Field(description="'*.md': in that folder itself; '**/*.md': anywhere below it; 'src/**': everything in src."),
]
Content = Annotated[str, Field(description="The text, as it shall be: give a line its newline.")]
Wanted = Annotated[str, Field(min_length=1, description="What to look for, literally.")]
IgnoreCase = Annotated[bool, Field(description="Whether 'A' is the same as 'a'.")]
Overwrite = Annotated[bool, Field(description="Whether a file may take the place of another file.")]
Offset = Annotated[int, Field(ge=0, lt=2**63, description="The byte to begin at.")]
PartBytes = Annotated[int, Field(ge=1, le=MOST_READ_BYTES)]
Part = Annotated[
    PartBytes | None,
    Field(description=f"How many bytes to read. Without it the whole rest, {MOST_READ_BYTES:,} bytes at most."),
]
Limit = Annotated[int, Field(ge=1, le=MOST_LISTED, description="Return at most this many.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileInfo:
    """Something in the folder; a link is described itself, not what it leads to."""

    path: str
    kind: Kind
    size: int
    """Bytes."""

    modified: str
    """UTC, ISO 8601."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A line that holds the text."""

    path: str
    line: int
    text: str


class Files:
    """The tools, over one root."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @tool(read_only=True, open_world=False)
    def list_directory(self, path: FolderPath = ".") -> list[FileInfo]:
        """Return what is in a folder, by name."""
        with _about(path), self._folder(path) as folder:
            entries = folder.entries()
            if len(entries) > MOST_LISTED:
                raise RefusedError(f"has {len(entries):,} entries, more than {MOST_LISTED:,}: use find_files.")
            prefix = "".join(f"{name}/" for name in split(path))
            return [_info(f"{prefix}{entry.name}", entry) for entry in entries]

    @tool(read_only=True, open_world=False)
    def file_info(self, path: AnyPath) -> FileInfo:
        """Return kind, size and time of change of a file or folder."""
        with _about(path), self._place(path) as (folder, name):
            return _info(_shown(path), _existing(folder, name))

    @tool(read_only=True, open_world=False)
    def read_text(self, path: FilePath, offset: Offset = 0, limit: Part = None) -> str:
        """Return the text of a file (UTF-8), or a part of it.

        Parts join without gaps: a character belongs to the part in which its first byte lies. Read on with
        offset = offset + limit until the answer is empty.
        """
        with _about(path), self._place(path) as (folder, name), folder.read(name) as file:
            size = os.fstat(file.fileno()).st_size
            if limit is None and size - offset > MOST_READ_BYTES:
                raise RefusedError(
                    f"has {size:,} bytes, more than the {MOST_READ_BYTES:,} that are read at once. Read it in parts: "
                    f"offset={offset}, limit={MOST_READ_BYTES}, then offset={offset + MOST_READ_BYTES} and so on."
                )
            return _read_part(file, offset, limit if limit is not None else MOST_READ_BYTES)

    @tool(destructive=True, idempotent=True, open_world=False)
    def write_text(self, path: FilePath, text: Content) -> FileInfo:
        """Write a file as UTF-8, in one step: a file of that name is replaced. Its folder must exist."""
        with _about(path), self._place(path) as (folder, name):
            _replace(folder, name, _encoded(text))
            return _info(_shown(path), _existing(folder, name))

    @tool(destructive=False, idempotent=False, open_world=False)
    def append_text(self, path: FilePath, text: Content) -> FileInfo:
        """Add text to the end of a file, making it if it does not exist."""
        with _about(path), self._place(path) as (folder, name):
            with folder.append(name) as file:
                _append(file, _encoded(text))
            return _info(_shown(path), _existing(folder, name))

    @tool(read_only=True, open_world=False)
    def find_files(self, pattern: Pattern, path: FolderPath = ".", limit: Limit = 1_000) -> list[str]:
        """Return the paths of the files that match a pattern, sorted. As many as `limit`: there may be more."""
        with _about(path), self._folder(path) as folder, _walked(folder, pattern) as files:
            prefix = "".join(f"{name}/" for name in split(path))
            return [_printable(f"{prefix}{visited.path}") for _, visited in zip(range(limit), files, strict=False)]

    @tool(read_only=True, open_world=False)
    def search_text(
        self,
        text: Wanted,
        pattern: Pattern = "**",
        path: FolderPath = ".",
        ignore_case: IgnoreCase = False,
        limit: Limit = 100,
    ) -> list[Match]:
        """Return the lines that hold a text, by file and line. As many as `limit`: there may be more.

        Files with null bytes, as images and archives have, are passed over.
        """
        with _about(path), self._folder(path) as folder, _walked(folder, pattern) as files:
            prefix = "".join(f"{name}/" for name in split(path))
            matches = _search(files, text, prefix=prefix, ignore_case=ignore_case)
            return [match for _, match in zip(range(limit), matches, strict=False)]

    @tool(destructive=False, idempotent=True, open_world=False)
    def make_directory(self, path: FolderPath) -> FileInfo:
        """Make a folder, and those above it that are missing. One that exists is left as it is."""
        with _about(path):
            names = split(path)
            for depth in range(1, len(names) + 1):
                with descend(self._open(), names[: depth - 1]) as folder, contextlib.suppress(FileExistsError):
                    folder.make_folder(names[depth - 1])
            with self._place(path) as (folder, name), folder.folder(name):
                return _info(_shown(path), _existing(folder, name))

    @tool(destructive=True, idempotent=False, open_world=False)
    def move(self, source: AnyPath, destination: NewPath, overwrite: Overwrite = False) -> FileInfo:
        """Move or rename a file or folder."""
        with _about(source), self._place(source) as (folder, name):
            moved = _existing(folder, name)
            _refuse_odd(moved)
            if split(destination)[: len(split(source))] == split(source):
                raise RefusedError("cannot be moved to itself or into itself.")
            with _about(destination), self._place(destination) as (target, new_name):
                _move(folder, moved, target, new_name, overwrite=overwrite)
                return _info(_shown(destination), _existing(target, new_name))

    @tool(destructive=True, idempotent=False, open_world=False)
    def delete(self, path: AnyPath) -> FileInfo:
        """Delete a file or an empty folder, and return what it was."""
        with _about(path), self._place(path) as (folder, name):
            deleted = _existing(folder, name)
            _refuse_odd(deleted)
            if deleted.kind == "folder":
                folder.remove_folder(name)
            else:
                folder.remove(name)
            return _info(_shown(path), deleted)

    @contextmanager
    def made(self) -> Generator[None]:
        """Make the root where it is missing. For the one in the state folder; a root of the user's must exist."""
        self._root.mkdir(parents=True, exist_ok=True)
        yield

    def _open(self) -> Folder:
        try:
            return open_root(self._root)
        except OSError as error:
            raise ToolError(f"The folder {str(self._root)!r} cannot be opened: {error.strerror}.") from error

    def _folder(self, path: str) -> Folder:
        return descend(self._open(), split(path))

    @contextmanager
    def _place(self, path: str) -> Generator[tuple[Folder, str]]:
        """Give the folder that holds the last name of a path, and that name."""
        names = split(path)
        if not names:
            raise RefusedError("is this pack's folder itself; name something in it.")
        with descend(self._open(), names[:-1]) as folder:
            yield folder, names[-1]


def open_pack(*, base: Path, state: Path, options: Mapping[str, JSONValue]) -> Pack:
    """Return the files pack: rooted at the option `root`, which must exist, else at `files` in the state folder."""
    unknown = [name for name in options if name != "root"]
    if unknown:
        raise ToolError(f"It has no option {unknown[0]!r}; it takes 'root'.")
    root = _given_root(options["root"], base) if "root" in options else (state / _DEFAULT_ROOT).resolve()
    files = Files(root)
    # The root is part of what a person allows: "may write in ~/notes" says nothing about another folder.
    identity = f"shipped:files:{root}"
    return Pack("files", bound_tools(files), identity=identity, lifespan=None if "root" in options else files.made)


def _given_root(root: JSONValue, base: Path) -> Path:
    if not isinstance(root, str) or not root:
        raise ToolError(f"Option 'root' is {root!r}; it must be the path of a folder.")
    path = base / os.path.expanduser(root)  # noqa: PTH111 - Path.expanduser raises for an unknown user
    try:
        resolved = path.resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        raise ToolError(f"Option 'root': the folder {str(path)!r} does not exist.") from None
    if not resolved.is_dir():
        raise ToolError(f"Option 'root': {str(path)!r} is not a folder.")
    return resolved


@contextmanager
def _about(path: str) -> Generator[None]:
    """Make every complaint one about the path, as the caller wrote it."""
    try:
        yield
    except RefusedError as error:
        raise ToolError(f"{path!r} {error}") from None
    except FileNotFoundError:
        raise ToolError(f"{path!r} does not exist.") from None
    except FileExistsError:
        raise ToolError(f"{path!r} exists already.") from None
    except OSError as error:
        raise ToolError(f"{path!r} cannot be used: {error.strerror or error}.") from error


def _existing(folder: Folder, name: str) -> Entry:
    found = folder.find(name)
    if found is None:
        raise FileNotFoundError
    return found


def _refuse_odd(entry: Entry) -> None:
    if entry.kind not in ("file", "folder"):
        raise RefusedError("is a link, a pipe, a socket or a device; only files and folders are changed.")


def _info(path: str, entry: Entry) -> FileInfo:
    modified = datetime.fromtimestamp(entry.modified, UTC).isoformat(timespec="seconds")
    return FileInfo(path=_printable(path), kind=entry.kind, size=entry.size, modified=modified)


def _shown(path: str) -> str:
    return "/".join(split(path))


def _printable(path: str) -> str:
    """Return a path as JSON can carry it: a name that is no Unicode is shown as far as it is."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise RefusedError(f"cannot be written: the text is not valid Unicode at character {error.start}.") from None


def _read_part(file: io.FileIO, offset: int, limit: int) -> str:
    """Return the characters whose first byte lies in the part."""
    with io.BufferedReader(file) as reader:
        reader.seek(offset)
        data = reader.read(limit + 3)  # a character has up to three bytes after its first
    start = _first_bytes(data, 0) if offset else 0
    end = _first_bytes(data, limit)
    try:
        return data[start:end].decode()
    except UnicodeDecodeError as error:
        raise RefusedError(f"is not UTF-8 text: byte {offset + start + error.start} does not belong there.") from None


def _first_bytes(data: bytes, position: int) -> int:
    """Return the first position, three further at most, that is not inside a character."""
    end = min(position + 3, len(data))
    while position < end and data[position] & 0b1100_0000 == 0b1000_0000:
        position += 1
    return position


def _replace(folder: Folder, name: str, data: bytes) -> None:
    old = folder.find(name)
    if old is not None:
        _check_writable(old)
    temporary = f".planact-{secrets.token_hex(8)}.tmp"
    try:
        with folder.create(temporary, mode=None if old is None else old.mode) as file:
            _write_all(file, data)
            os.fsync(file.fileno())
        folder.replace(temporary, folder, name)
    except BaseException:
        with contextlib.suppress(OSError):
            folder.remove(temporary)
        raise


def _check_writable(entry: Entry) -> None:
    _refuse_odd(entry)
    if entry.kind == "folder":
        raise RefusedError("is a folder, not a file.")


def _append(file: io.FileIO, data: bytes) -> None:
    if os.fstat(file.fileno()).st_nlink > 1:
        raise RefusedError(
            "has another name as well (a hard link), which may lie outside this pack's folder. "
            "Write it anew with write_text: that leaves the other name as it is."
        )
    _write_all(file, data)


def _write_all(file: io.FileIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def _move(folder: Folder, moved: Entry, target: Folder, new_name: str, *, overwrite: bool) -> None:
    there = target.find(new_name)
    if there is None or not overwrite:
        folder.move(moved.name, target, new_name)
    elif (moved.kind, there.kind) == ("file", "file"):
        folder.replace(moved.name, target, new_name)
    else:
        raise RefusedError(f"is a {there.kind}; only a file can be overwritten, by a file.")


@contextmanager
def _walked(folder: Folder, pattern: str) -> Generator[Generator[Visited]]:
    """Give the files that match; what the walk holds open is let go at the end, not when somebody collects it."""
    try:
        glob = Glob(pattern)
    except RefusedError as error:
        raise ToolError(f"The pattern {pattern!r} {error}") from None
    with contextlib.closing(walk(folder, glob)) as files:
        yield files


def _search(files: Generator[Visited], text: str, *, prefix: str, ignore_case: bool) -> Generator[Match]:
    wanted = text.casefold() if ignore_case else text
    searched = 0
    for visited in files:
        searched += visited.entry.size
        if searched > MOST_SEARCHED_BYTES:
            raise RefusedError(f"holds more than {MOST_SEARCHED_BYTES:,} bytes to search. Narrow `path` or `pattern`.")
        for number, line in _lines(visited):
            if wanted in (line.casefold() if ignore_case else line):
                shown = line.strip()[:_SHOWN_CHARACTERS]
                yield Match(path=_printable(f"{prefix}{visited.path}"), line=number, text=shown)


def _lines(visited: Visited) -> Generator[tuple[int, str]]:
    """Yield the numbered lines of a file; none of one that cannot be read or is no text."""
    try:
        file = visited.folder.read(visited.entry.name)
    except (OSError, RefusedError):
        return  # gone since it was listed, or not ours to read
    with io.BufferedReader(file, _SNIFFED_BYTES) as reader:
        if b"\0" in reader.peek(_SNIFFED_BYTES):
            return
        for number, line in enumerate(reader, start=1):
            yield number, line.decode("utf-8", "replace")
