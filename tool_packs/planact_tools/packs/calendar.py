"""Appointments and reminders on this machine, in one SQLite file.

The functions of Dria's article about Dria-Agent, done so that they hold: a booking is checked and made in
one transaction, so two processes cannot book the same time.
"""

import re
import sqlite3
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

from pydantic import Field

from planact_tools.pack import Pack, bound_tools
from planact_tools.tool import tool
from planact_tools.toolset import JSONValue, ToolError

_FILE_NAME = "calendar.sqlite3"
_VERSION = 1
_BUSY_SECONDS = 10.0
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)

_TABLES = (
    """CREATE TABLE appointments (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        day TEXT NOT NULL, start_time TEXT NOT NULL, end_time TEXT NOT NULL, title TEXT NOT NULL
    )""",
    "CREATE INDEX appointments_by_day ON appointments (day, start_time)",
    "CREATE TABLE reminders (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT NOT NULL, created_at TEXT NOT NULL)",
    f"PRAGMA user_version = {_VERSION}",
)

Day = Annotated[str, Field(description="A day, YYYY-MM-DD.", examples=["2026-12-01"])]
Title = Annotated[str, Field(description="What the appointment is about.")]
Number = Annotated[int, Field(ge=1, lt=2**63)]  # what SQLite can hold
Time = Annotated[str, Field(description="A time of day, HH:MM, 00:00 to 23:59.", examples=["09:30"])]


@dataclass(frozen=True, slots=True, kw_only=True)
class Appointment:
    """A time that is taken."""

    id: int
    day: str
    start_time: str
    end_time: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reminder:
    """A note to oneself."""

    id: int
    text: str
    created_at: str
    """UTC, ISO 8601."""


class Calendar:
    """The tools, over one file. They run in threads; the one connection is used by one of them at a time."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    @contextmanager
    def opened(self) -> Generator[None]:
        """Hold the file open; the folder and the file are made where they are missing."""
        connection = _connect(self._file)
        with self._lock:
            self._connection = connection
        try:
            yield
        finally:
            with self._lock:
                self._connection = None
                connection.close()

    @tool(read_only=True, open_world=False)
    def check_availability(self, day: Day, start_time: Time, end_time: Time) -> bool:
        """Say whether a time is free: no appointment on that day overlaps it.

        Appointments that only touch (one ends when the other starts) do not overlap.
        """
        day, start, end = _slot(day, start_time, end_time)
        with self._reading() as connection:
            return _conflict(connection, day, start, end) is None

    @tool(destructive=False, idempotent=False, open_world=False)
    def make_appointment(self, day: Day, start_time: Time, end_time: Time, title: Title) -> Appointment:
        """Book a time. Fails, naming the appointment in the way, when the time is taken."""
        day, start, end = _slot(day, start_time, end_time)
        title = _text("title", title)
        with self._transaction() as connection:
            taken = _conflict(connection, day, start, end)
            if taken is not None:
                raise ToolError(
                    f"{day} {start} to {end} is not free: appointment {taken.id} {taken.title!r} "
                    f"is from {taken.start_time} to {taken.end_time}."
                )
            cursor = connection.execute(
                "INSERT INTO appointments (day, start_time, end_time, title) VALUES (?, ?, ?, ?) RETURNING *",
                (day, start, end, title),
            )
            return _appointment(cursor.fetchone())

    @tool(read_only=True, open_world=False)
    def list_appointments(self, day: str | None = None) -> list[Appointment]:
        """Return the appointments of a day, or all of them, by time.

        Args:
            day: A day, YYYY-MM-DD. Without it: all days.
        """
        only = None if day is None else _day(day)
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT * FROM appointments WHERE ? IS NULL OR day = ? ORDER BY day, start_time", (only, only)
            )
            return [_appointment(row) for row in rows]

    @tool(destructive=True, idempotent=False, open_world=False)
    def cancel_appointment(self, id: Number) -> Appointment:
        """Remove an appointment and return what it was.

        Args:
            id: The appointment's number, as make_appointment and list_appointments give it.
        """
        with self._transaction() as connection:
            row = connection.execute("DELETE FROM appointments WHERE id = ? RETURNING *", (id,)).fetchone()
            if row is None:
                raise ToolError(f"There is no appointment {id}. list_appointments() shows which there are.")
            return _appointment(row)

    @tool(destructive=False, idempotent=False, open_world=False)
    def add_to_reminders(self, reminder_text: str) -> bool:
        """Keep a reminder. True once it is stored.

        Args:
            reminder_text: What to be reminded of.
        """
        text = _text("reminder_text", reminder_text)
        created_at = datetime.now(UTC).isoformat(timespec="seconds")
        with self._transaction() as connection:
            connection.execute("INSERT INTO reminders (text, created_at) VALUES (?, ?)", (text, created_at))
        return True

    @tool(read_only=True, open_world=False)
    def list_reminders(self) -> list[Reminder]:
        """Return all reminders, oldest first."""
        with self._reading() as connection:
            rows = connection.execute("SELECT id, text, created_at FROM reminders ORDER BY id")
            return [Reminder(id=number, text=text, created_at=created_at) for number, text, created_at in rows]

    @contextmanager
    def _reading(self) -> Generator[sqlite3.Connection]:
        """Give the connection to one thread; SQLite's own complaints become ToolErrors."""
        with self._lock:
            if self._connection is None:
                raise ToolError("The calendar is not open.")
            try:
                yield self._connection
            except sqlite3.Error as error:
                raise ToolError(f"The calendar file {str(self._file)!r} cannot be used: {error}.") from error

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        with self._reading() as connection, _immediate(connection):
            yield connection


def open_pack(*, base: Path, state: Path, options: Mapping[str, JSONValue]) -> Pack:  # noqa: ARG001 - no paths here
    """Return the calendar pack, its file in the state folder."""
    if options:
        raise ToolError(f"It has no option {next(iter(options))!r}; it takes none.")
    calendar = Calendar(state / _FILE_NAME)
    return Pack("calendar", bound_tools(calendar), identity="shipped:calendar", lifespan=calendar.opened)


def _connect(file: Path) -> sqlite3.Connection:
    file.parent.mkdir(parents=True, exist_ok=True)
    # Python's own transactions are off: each one here says what it is. The lock keeps the threads apart.
    connection = sqlite3.connect(file, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _write_ahead(connection)
        with _immediate(connection):
            version: int = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > _VERSION:
                raise ToolError(f"{str(file)!r} was written by a newer Planact (format {version}). Update this one.")
            for statement in _TABLES if version == 0 else ():
                connection.execute(statement)
    except BaseException:
        connection.close()
        raise
    return connection


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Let others read while one writes. SQLite's own timeout does not cover two that switch at once."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


@contextmanager
def _immediate(connection: sqlite3.Connection) -> Generator[None]:
    """A transaction that holds the write lock from its start, so what it reads stays true until it writes."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _conflict(connection: sqlite3.Connection, day: str, start: str, end: str) -> Appointment | None:
    row = connection.execute(
        "SELECT * FROM appointments WHERE day = ? AND start_time < ? AND end_time > ? ORDER BY start_time LIMIT 1",
        (day, end, start),
    ).fetchone()
    return None if row is None else _appointment(row)


def _appointment(row: tuple[int, str, str, str, str]) -> Appointment:
    number, day, start_time, end_time, title = row
    return Appointment(id=number, day=day, start_time=start_time, end_time=end_time, title=title)


def _slot(day: str, start_time: str, end_time: str) -> tuple[str, str, str]:
    day, start, end = _day(day), _time("start_time", start_time), _time("end_time", end_time)
    if end <= start:
        raise ToolError(f"end_time {end!r} is not after start_time {start!r}; an appointment stays within one day.")
    return day, start, end


def _day(text: str) -> str:
    try:
        if not _DAY.fullmatch(text):
            raise ValueError("not of the form YYYY-MM-DD")
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise ToolError(f"day {text!r} is not a day written YYYY-MM-DD, like '2026-12-01': {error}.") from None


def _time(parameter: str, text: str) -> str:
    if not _TIME.fullmatch(text):
        raise ToolError(f"{parameter} {text!r} is not a time written HH:MM from 00:00 to 23:59, like '09:30'.")
    return text


def _text(parameter: str, text: str) -> str:
    text = text.strip()
    if not text:
        raise ToolError(f"{parameter} is empty.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ToolError(f"{parameter} {text!r} is not valid Unicode text.") from None
    return text
