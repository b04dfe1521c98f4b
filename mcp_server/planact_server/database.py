"""One SQLite file that threads and processes share, and that survives being damaged.

Knows nothing of what is stored: its owner brings the migrations and the statements.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

BUSY_SECONDS = 5.0
"""How long a transaction waits for another process's."""

Rows: TypeAlias = "list[tuple[Any, ...]]"
T = TypeVar("T")


class StoreError(Exception):
    """The store cannot be used; the message names the file and says what to do."""


class Database:
    """An open file. A damaged one is moved aside and named in `notices`; work goes on with an empty one."""

    def __init__(self, path: Path, migrations: Sequence[Sequence[str]], clock: Callable[[], float]) -> None:
        """Open `path`, creating it and its folder. Raises StoreError.

        `migrations` holds the statements that lead to each version of the file.
        """
        self._path = path
        self._migrations = migrations
        self._clock = clock
        self._writing, self._reading = threading.Lock(), threading.Lock()
        """Of one connection each: whoever looks something up does not wait with a writer for another process's."""

        self._identity: tuple[int, int] | None = None
        self._openings = 0
        self.notices: list[str] = []
        self._writer, self._reader = self._attempt_open()

    def close(self) -> None:
        """Let go of the file. May be called twice."""
        with self._writing, self._reading:
            self._reader.close()
            self._writer.close()

    def read(self, sql: str, *values: object) -> Rows:
        """Return the rows of a query. Raises StoreError."""
        return self._attempt(self._reading, lambda: self._reader.execute(sql, values).fetchall())

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work` in one transaction, maybe twice if the file is damaged. Raises StoreError."""

        def transaction() -> T:
            with _transaction(self._writer):
                return work(self._writer)

        return self._attempt(self._writing, transaction)

    def _attempt(self, lock: threading.Lock, work: Callable[[], T]) -> T:
        """Do `work`, once more on a fresh file when this one turns out to be damaged."""
        for attempt in (1, 2):
            opening = self._openings
            try:
                with lock:
                    return work()
            except UnicodeEncodeError as error:
                raise StoreError(
                    f"Half a character (a surrogate) cannot be looked up or kept: {error.object!r:.200}"
                ) from error
            except sqlite3.Error as error:
                if not _is_damage(error) or attempt == 2:
                    raise self._error(error) from error
                self._replace(error, opening)
        raise AssertionError

    def _replace(self, error: sqlite3.Error, opening: int) -> None:
        """Move a damaged file aside and begin with an empty one, unless another thread has done so already."""
        with self._writing, self._reading:
            if self._openings != opening:
                return
            self._reader.close()
            self._writer.close()
            self._move_aside(error)
            self._writer, self._reader = self._attempt_open()

    def _attempt_open(self) -> tuple[sqlite3.Connection, sqlite3.Connection]:
        self._openings += 1
        try:
            self.notices += _prepare_folder(self._path.parent)
            try:
                return self._open_file()
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise
                self._move_aside(error)
                return self._open_file()
        except (OSError, sqlite3.Error) as error:
            raise self._error(error) from error

    def _open_file(self) -> tuple[sqlite3.Connection, sqlite3.Connection]:
        # Never opened where it is there: closing it would drop the locks that other connections of this process hold,
        # and another process would take away the log that they still write to.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        opened = self._path.stat()
        self._identity = (opened.st_dev, opened.st_ino)
        writer = self._connect()
        try:
            self._migrate(writer)
            return writer, self._connect()
        except BaseException:
            writer.close()
            raise

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=64
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            # In WAL mode a crash of the machine may cost the last transactions, never the file.
            connection.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            connection.close()
            raise
        return connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        known = len(self._migrations)
        if _version(connection) == known:
            return
        with _transaction(connection):
            # Asked again: another process may have been faster.
            version = _version(connection)
            if version > known:
                raise StoreError(
                    f"{self._path} was written by a newer Planact (version {version}; this one knows {known})."
                    " Upgrade Planact, or set PLANACT_HOME to another folder."
                )
            for statements in self._migrations[version:]:
                for statement in statements:
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {known}")

    def _move_aside(self, error: sqlite3.Error) -> None:
        """Rename the damaged file, unless another process has done so already."""
        try:
            now = self._path.stat()
        except FileNotFoundError:
            return
        if self._identity != (now.st_dev, now.st_ino):
            return
        aside = _free_name(self._path, int(self._clock()))
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self._path}{suffix}").rename(f"{aside}{suffix}")
        self.notices.append(
            f"{self._path} was damaged ({error}). It is kept as {aside.name!r}; runs, sessions and the trust in"
            " folders start anew."
        )

    def _error(self, error: OSError | sqlite3.Error) -> StoreError:
        return StoreError(f"The state in {self._path} cannot be used: {error}. PLANACT_HOME names another folder.")


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Generator[None]:
    # IMMEDIATE waits for other writers here, where waiting works; upgrading a reader later would fail at once.
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # Some errors end the transaction by themselves.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    return connection.execute("PRAGMA user_version").fetchone()[0]


def _is_damage(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    # The lowest byte is the error, the others say more about it.
    return isinstance(code, int) and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _prepare_folder(folder: Path) -> list[str]:
    """Create the folder for its owner only; say when an existing one lets others write."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.name == "posix" and folder.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return [f"Other users may write to the state folder {folder}: chmod 700 {folder}"]
    return []


def _free_name(path: Path, now: int) -> Path:
    names = (
        path.with_name(f"{path.name}.damaged-{now}{suffix}") for suffix in ("", *(f"-{n}" for n in range(1, 1000)))
    )
    return next(name for name in names if not name.exists())
