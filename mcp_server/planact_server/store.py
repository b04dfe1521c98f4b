"""What outlives a process: runs, sessions, catalogues, trust and decisions, in one SQLite file per user.

Every method is synchronous and short. Code on the event loop calls the ones that carry whole answers through
a thread; one Store may be used from any thread, and any number of processes may share the file.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, cast

from planact_server.database import Database, StoreError
from planact_server.learned import LearnedShape, combined
from planact_server.plain_json import json_text
from planact_server.sessions import SavedSession
from planact_tools import JSONObject, JSONValue, ToolDefinition

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

__all__ = ["RememberedDecision", "Retention", "Store", "StoreError", "StoredRun"]

FILE_NAME = "planact.db"
DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How much is kept. Older and further entries go when the store is opened, and when much has been added."""

    runs: int = 1_000
    run_bytes: int = 256 * 1024 * 1024
    run_seconds: float = 30 * DAY
    sessions: int = 200
    session_seconds: float = 30 * DAY
    catalogue_seconds: float = 90 * DAY
    learned_seconds: float = 365 * DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """A finished run, without its answer."""

    run: str
    client: str
    session: str
    status: str
    ended: float
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RememberedDecision:
    """An answer that a person gave for always."""

    identity: str
    """The server's identity; names do not count."""

    tool: str
    """The tool's raw name; empty for the server's read marks as a whole."""

    definition_hash: str
    verdict: Literal["allow", "deny"]


# One entry per version of the file; entries are never changed, only added.
_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE runs (
            run TEXT PRIMARY KEY, client TEXT NOT NULL, session TEXT NOT NULL, status TEXT NOT NULL,
            ended REAL NOT NULL, bytes INTEGER NOT NULL, answer TEXT NOT NULL) STRICT""",
        "CREATE INDEX runs_by_end ON runs (ended)",
        """CREATE TABLE sessions (
            session TEXT PRIMARY KEY, client TEXT NOT NULL, saved REAL NOT NULL,
            variables TEXT NOT NULL, unsaved TEXT NOT NULL) STRICT""",
        """CREATE TABLE catalogues (
            identity TEXT PRIMARY KEY, era TEXT, saved REAL NOT NULL, definitions TEXT NOT NULL) STRICT""",
        "CREATE TABLE trusted_folders (folder TEXT PRIMARY KEY, saved REAL NOT NULL, fingerprint TEXT NOT NULL) STRICT",
        """CREATE TABLE decisions (
            identity TEXT NOT NULL, tool TEXT NOT NULL, definition_hash TEXT NOT NULL, verdict TEXT NOT NULL,
            saved REAL NOT NULL, PRIMARY KEY (identity, tool)) STRICT""",
    ),
    ("ALTER TABLE sessions ADD COLUMN definitions TEXT NOT NULL DEFAULT '{}'",),
    (
        "CREATE TABLE eras (identity TEXT PRIMARY KEY, era TEXT NOT NULL, saved REAL NOT NULL) STRICT",
        "INSERT INTO eras SELECT identity, era, saved FROM catalogues WHERE era IS NOT NULL",
    ),
    (
        """CREATE TABLE learned_shapes (
            identity TEXT NOT NULL, tool TEXT NOT NULL, definition_hash TEXT NOT NULL, shape TEXT NOT NULL,
            results INTEGER NOT NULL, saved REAL NOT NULL, PRIMARY KEY (identity, tool)) STRICT""",
    ),
)


_LEARNED = "SELECT definition_hash, shape, results FROM learned_shapes WHERE identity = ? AND tool = ?"


class Store:
    """The user's state; a context manager that closes the file."""

    def __init__(
        self, folder: Path, *, retention: Retention = Retention(), clock: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._retention = retention
        self._unpruned_bytes = 0
        self._database = Database(folder / FILE_NAME, _MIGRATIONS, clock)
        self._database.write(lambda db: _prune(db, retention, clock()))

    @classmethod
    def open(cls, folder: Path, *, retention: Retention = Retention(), clock: Callable[[], float] = time.time) -> Self:
        """Open the store in `folder`, creating both where they are missing. Raises StoreError.

        A damaged file is moved aside and named in `notices`; the store then starts empty.
        """
        return cls(folder, retention=retention, clock=clock)

    @staticmethod
    def exists(folder: Path) -> bool:
        """Say whether there is a store, without creating anything."""
        return (folder / FILE_NAME).is_file()

    @property
    def notices(self) -> tuple[str, ...]:
        """Sentences that a person should see."""
        return tuple(self._database.notices)

    def close(self) -> None:
        """Let go of the file. May be called twice."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Runs

    def save_run(self, run: str, *, client: str, session: str, answer: JSONObject) -> int:
        """Keep a run's whole answer and return its size in bytes; saving it again replaces it."""
        text = json_text(answer)
        size = len(text.encode())
        row = (run, client, session, str(answer.get("status", "")), self._clock(), size, text)
        self._unpruned_bytes += size
        prune = self._unpruned_bytes > self._retention.run_bytes // 8

        def save(db: sqlite3.Connection) -> None:
            db.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            if prune:
                _prune(db, self._retention, self._clock())

        self._database.write(save)
        if prune:
            self._unpruned_bytes = 0
        return size

    def load_run(self, run: str) -> tuple[str, JSONObject] | None:
        """Return (client, whole answer)."""
        rows = self._database.read("SELECT client, answer FROM runs WHERE run = ?", run)
        return (rows[0][0], json.loads(rows[0][1])) if rows else None

    def list_runs(self, limit: int = 50) -> tuple[StoredRun, ...]:
        """Return the newest runs, newest first."""
        rows = self._database.read(
            "SELECT run, client, session, status, ended FROM runs ORDER BY ended DESC, rowid DESC LIMIT ?", limit
        )
        return tuple(StoredRun(run=r, client=c, session=s, status=t, ended=e) for r, c, s, t, e in rows)

    # Sessions

    def save_session(self, saved: SavedSession) -> None:
        """Keep a session's data; saving it again replaces it."""
        row = (
            saved.session,
            saved.client,
            self._clock(),
            json_text(dict(saved.variables)),
            json_text(list(saved.unsaved)),
            json_text(dict(saved.definitions)),
        )
        self._database.write(lambda db: db.execute("INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?, ?, ?)", row))

    def load_session(self, session: str) -> SavedSession | None:
        sql = "SELECT client, variables, unsaved, definitions FROM sessions WHERE session = ?"
        rows = self._database.read(sql, session)
        if not rows:
            return None
        client, variables, unsaved, definitions = rows[0]
        return SavedSession(
            session=session,
            client=client,
            variables=json.loads(variables),
            definitions=json.loads(definitions),
            unsaved=tuple(json.loads(unsaved)),
        )

    def forget_session(self, session: str) -> bool:
        """Remove a session; say whether there was one."""
        return self._database.write(
            lambda db: db.execute("DELETE FROM sessions WHERE session = ?", (session,)).rowcount > 0
        )

    # Catalogues

    def save_definitions(self, identity: str, definitions: Sequence[ToolDefinition]) -> None:
        """Keep the tools of the server with this identity for the next start."""
        text = json_text([cast("JSONValue", asdict(definition)) for definition in definitions])
        row = (identity, self._clock(), text)
        sql = "INSERT OR REPLACE INTO catalogues (identity, saved, definitions) VALUES (?, ?, ?)"
        self._database.write(lambda db: db.execute(sql, row))

    def cached_definitions(self, identity: str) -> tuple[ToolDefinition, ...] | None:
        """Return a server's tools as last saved; None also when another version wrote them in another shape."""
        rows = self._database.read("SELECT definitions FROM catalogues WHERE identity = ?", identity)
        try:
            return tuple(ToolDefinition(**definition) for definition in json.loads(rows[0][0])) if rows else None
        except TypeError:
            return None

    def save_era(self, identity: str, era: str) -> None:
        """Keep which era of the protocol the server with this identity speaks."""
        row = (identity, era, self._clock())
        self._database.write(lambda db: db.execute("INSERT OR REPLACE INTO eras VALUES (?, ?, ?)", row))

    def cached_era(self, identity: str) -> str | None:
        """Return the era of the protocol that a server spoke last."""
        rows = self._database.read("SELECT era FROM eras WHERE identity = ?", identity)
        return rows[0][0] if rows else None

    # Learned types

    def add_learned_shape(self, identity: str, tool: str, learned: LearnedShape) -> LearnedShape:
        """Add what some results of a tool look like to what is kept of the same definition, and return all of it."""

        def add(db: sqlite3.Connection) -> LearnedShape:
            row = db.execute(_LEARNED, (identity, tool)).fetchone()
            kept = _learned_shape(row) if row is not None else None
            whole = learned if kept is None else combined(kept, learned)
            values = (whole.definition_hash, json_text(whole.shape), whole.results, self._clock())
            db.execute("INSERT OR REPLACE INTO learned_shapes VALUES (?, ?, ?, ?, ?, ?)", (identity, tool, *values))
            return whole

        return self._database.write(add)

    def learned_shape(self, identity: str, tool: str) -> LearnedShape | None:
        """Return what the results of a tool have looked like."""
        rows = self._database.read(_LEARNED, identity, tool)
        return _learned_shape(rows[0]) if rows else None

    # Trust in folders

    def trust_folder(self, folder: str, fingerprint: Mapping[str, str]) -> None:
        """Remember that the user trusts a folder with these contents."""
        row = (folder, self._clock(), json_text(dict(fingerprint)))
        self._database.write(lambda db: db.execute("INSERT OR REPLACE INTO trusted_folders VALUES (?, ?, ?)", row))

    def trusted_folder(self, folder: str) -> Mapping[str, str] | None:
        """Return the contents with which a folder was trusted."""
        rows = self._database.read("SELECT fingerprint FROM trusted_folders WHERE folder = ?", folder)
        return cast("dict[str, str]", json.loads(rows[0][0])) if rows else None

    def trusted_folders(self) -> tuple[str, ...]:
        return tuple(row[0] for row in self._database.read("SELECT folder FROM trusted_folders ORDER BY folder"))

    def distrust_folder(self, folder: str) -> bool:
        """Forget a folder's trust; say whether there was any."""
        return self._database.write(
            lambda db: db.execute("DELETE FROM trusted_folders WHERE folder = ?", (folder,)).rowcount > 0
        )

    # Decisions

    def save_decision(self, decision: RememberedDecision) -> None:
        """Remember an answer; it replaces an earlier one about the same tool."""
        row = (decision.identity, decision.tool, decision.definition_hash, decision.verdict, self._clock())
        self._database.write(lambda db: db.execute("INSERT OR REPLACE INTO decisions VALUES (?, ?, ?, ?, ?)", row))

    def decisions(self, identity: str) -> tuple[RememberedDecision, ...]:
        """Return what was decided about a server and its tools."""
        rows = self._database.read(
            "SELECT tool, definition_hash, verdict FROM decisions WHERE identity = ? ORDER BY tool", identity
        )
        return tuple(
            RememberedDecision(identity=identity, tool=tool, definition_hash=definition_hash, verdict=verdict)
            for tool, definition_hash, verdict in rows
        )

    def forget_decision(self, identity: str, tool: str) -> bool:
        """Remove an answer; say whether there was one."""
        sql = "DELETE FROM decisions WHERE identity = ? AND tool = ?"
        return self._database.write(lambda db: db.execute(sql, (identity, tool)).rowcount > 0)


def _prune(db: sqlite3.Connection, retention: Retention, now: float) -> None:
    db.execute("DELETE FROM runs WHERE ended < ?", (now - retention.run_seconds,))
    db.execute(
        """DELETE FROM runs WHERE run IN (
            SELECT run FROM (
                SELECT run, row_number() OVER newest AS place, sum(bytes) OVER newest AS bytes_so_far
                FROM runs WINDOW newest AS (ORDER BY ended DESC, rowid DESC))
            WHERE place > ? OR bytes_so_far > ?)""",
        (retention.runs, retention.run_bytes),
    )
    db.execute("DELETE FROM sessions WHERE saved < ?", (now - retention.session_seconds,))
    db.execute(
        """DELETE FROM sessions WHERE session NOT IN (
            SELECT session FROM sessions ORDER BY saved DESC, rowid DESC LIMIT ?)""",
        (retention.sessions,),
    )
    db.execute("DELETE FROM catalogues WHERE saved < ?", (now - retention.catalogue_seconds,))
    db.execute("DELETE FROM eras WHERE saved < ?", (now - retention.catalogue_seconds,))
    db.execute("DELETE FROM learned_shapes WHERE saved < ?", (now - retention.learned_seconds,))


def _learned_shape(row: Sequence[Any]) -> LearnedShape:
    return LearnedShape(definition_hash=row[0], shape=json.loads(row[1]), results=row[2])
