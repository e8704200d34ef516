"""The job table's file: opening it, its columns, and transactions that several threads and processes can share."""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from castle_core.errors import JobError

_VERSION = 1
_BUSY_SECONDS = 20.0
_SCHEMA = """
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL, title TEXT NOT NULL, project TEXT NOT NULL, owner TEXT NOT NULL,
    settings TEXT NOT NULL, pool TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'finished', 'failed', 'cancelled')),
    done INTEGER NOT NULL DEFAULT 0, total INTEGER NOT NULL DEFAULT 0, message TEXT NOT NULL DEFAULT '',
    rate REAL, time_left_s REAL, error TEXT, result TEXT,
    attempt INTEGER NOT NULL DEFAULT 0, lost_attempts INTEGER NOT NULL DEFAULT 0,
    queue_order INTEGER NOT NULL,
    created REAL NOT NULL, started REAL, ended REAL, end_order INTEGER, run_time_s REAL,
    cancelled_by TEXT, cancel_requested INTEGER NOT NULL DEFAULT 0, worker TEXT
);
CREATE INDEX jobs_by_state ON jobs (state, queue_order);
CREATE TABLE log_lines (
    job INTEGER NOT NULL, attempt INTEGER NOT NULL, line INTEGER NOT NULL, text TEXT NOT NULL,
    PRIMARY KEY (job, attempt, line)
) WITHOUT ROWID;
CREATE TABLE turns (owner TEXT PRIMARY KEY, turn INTEGER NOT NULL);
CREATE TABLE requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT, action TEXT NOT NULL, job INTEGER NOT NULL, requested_by TEXT NOT NULL,
    answer TEXT
);
CREATE TABLE processes (pid INTEGER PRIMARY KEY, birth TEXT NOT NULL, name TEXT NOT NULL);
"""


NEXT_END = "(SELECT coalesce(max(end_order), 0) + 1 FROM jobs)"
"""The place of a job that ends now among those that have ended; unlike the time, it never goes back."""


class Database:
    """One SQLite file in WAL mode, with one connection that the threads of this process take turns with.

    Every use takes well under a millisecond, so turns are short. Other processes (the command line) have their own
    connection. A commit survives a crash of the app; after a power cut the last moments may be missing.

    Parameters
    ----------
    path : Path
        The file; it is made with its tables if it is not there. Its folder must exist, on a local disk.

    Raises
    ------
    JobError
        If the file is damaged, from a newer version, or cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._depth = 0
        try:
            self._connection = sqlite3.connect(
                path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise JobError(
                f"The job table {path} cannot be opened ({error}). Check the folder's permissions."
            ) from error
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        try:
            self._connection.row_factory = sqlite3.Row
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            with self.transaction() as connection:
                version = int(connection.execute("PRAGMA user_version").fetchone()[0])
                if version == 0:
                    for statement in _SCHEMA.split(";"):
                        if statement.strip():
                            connection.execute(statement)
                    connection.execute(f"PRAGMA user_version={_VERSION}")
                if version <= _VERSION:
                    columns = {row["name"] for row in connection.execute("PRAGMA table_info(jobs)")}
                    if "end_order" not in columns:  # a table of an earlier version
                        connection.execute("ALTER TABLE jobs ADD COLUMN end_order INTEGER")
                    connection.execute("CREATE INDEX IF NOT EXISTS jobs_by_project ON jobs (project, id)")
                    connection.execute("CREATE INDEX IF NOT EXISTS jobs_by_end ON jobs (end_order)")
            self.path.chmod(0o600)
        except sqlite3.Error as error:
            raise JobError(
                f"The job table {self.path} cannot be used ({error}). Move the file away to start with an empty one."
            ) from error
        except OSError as error:
            raise JobError(f"The job table {self.path} cannot be used ({error.strerror}).") from error
        if version > _VERSION:
            raise JobError(f"The job table {self.path} was made by a newer castle-studio. Please update this one.")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Hold the table for a read-change-write; all of it happens, or nothing.

        Raises
        ------
        JobError
            If SQLite cannot do it, for instance because the disk is full.
        """
        with self._lock:
            if self._depth:  # part of the transaction that this thread has begun
                yield self._connection
                return
            self._depth += 1
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield self._connection
                except BaseException:
                    self._connection.execute("ROLLBACK")
                    raise
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise JobError(
                    f"The job table {self.path} could not be written ({error}). Is the disk full?"
                ) from error
            finally:
                self._depth -= 1

    def read(self, query: str, values: tuple[object, ...] | dict[str, object] = ()) -> list[sqlite3.Row]:
        """Return the rows that `query` selects."""
        with self._lock:
            try:
                return self._connection.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise JobError(f"The job table {self.path} could not be read ({error}).") from error

    def outside_changes(self) -> int:
        """Return a number that changes when another connection has written; costs microseconds."""
        return int(self.read("PRAGMA data_version")[0][0])

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()
