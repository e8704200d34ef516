"""The table of jobs as pages and the command line use it: submit, look, cancel, retry."""

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from castle_core.errors import JobError
from castle_core.jobs.database import NEXT_END, Database
from castle_core.jobs.fairness import Waiting, queue_order
from castle_core.jobs.job import STATES, Job, Kind

_LOG_LINES_SHOWN = 2000
_APP_LINES = 1_000_000_000  # the worker's lines are numbered from 0, the app's own from here


class JobTable:
    """All jobs of one app, in one SQLite file.

    The app's process is the one that changes jobs: its pages through this class, its `Runner` through `Ledger`. The
    command line, another process, only reads, and leaves requests (`request`) that the app answers.

    Parameters
    ----------
    path : Path, optional
        The file; by default ``jobs.sqlite`` in `castle_state`. Leases, logs and certificates lie beside it.
    kinds : mapping of name to Kind, optional
        What jobs can do; by default `castle_core.job_functions.JOB_KINDS`.

    Raises
    ------
    JobError
        If the file is damaged or from a newer version.
    """

    def __init__(self, path: Path | None = None, *, kinds: Mapping[str, Kind] | None = None) -> None:
        if path is None:
            from castle_core.state import castle_state

            path = castle_state() / "jobs.sqlite"
        self.path = path
        self.database = Database(path)
        self._kinds = kinds
        self._listeners: list[Callable[[], None]] = []
        self._listeners_lock = threading.Lock()

    @property
    def folder(self) -> Path:
        """The folder of the table, with leases, logs and certificates."""
        return self.path.parent

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """What jobs can do, by name."""
        if self._kinds is None:
            from castle_core.job_functions import JOB_KINDS

            self._kinds = JOB_KINDS
        return self._kinds

    def submit(
        self, kind: str, *, project: str | Path, settings: Mapping[str, Any], owner: str, title: str = ""
    ) -> int:
        """Add a job to the queue and return its id.

        Parameters
        ----------
        kind : str
            A name in `kinds`.
        project : str or Path
            The project's folder.
        settings : mapping
            Keyword arguments for the function, as JSON values. No secrets: everybody can see them.
        owner : str
            Who asks for it.
        title : str, optional
            What the job list shows; by default the kind's title.

        Raises
        ------
        JobError
            If the kind is unknown or a setting cannot be written as JSON (NaN cannot).
        """
        found = self.kinds.get(kind)
        if found is None:
            raise JobError(f"There is no job of kind {kind!r}. Known kinds: {', '.join(sorted(self.kinds))}.")
        try:
            text = json.dumps(dict(settings), ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise JobError(f"A setting of the job {kind!r} cannot be stored ({error}).") from error
        with self.database.transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO jobs (kind, title, project, owner, settings, pool, state, queue_order, created)"
                " VALUES (?, ?, ?, ?, ?, ?, 'queued', (SELECT coalesce(max(queue_order), 0) + 1 FROM jobs), ?)",
                (
                    kind,
                    title or found.title,
                    str(project),
                    owner,
                    text,
                    "gpu" if found.needs_gpu else "cpu",
                    time.time(),
                ),
            )
            job = int(cursor.lastrowid or 0)
        self.notify()
        return job

    def get(self, job: int) -> Job:
        """Return the job with the id `job`; JobError if there is none."""
        rows = self.database.read("SELECT * FROM jobs WHERE id = ?", (job,))
        if not rows:
            raise JobError(f"There is no job {job}. `castle jobs list` shows the ones that there are.")
        return job_from_row(rows[0])

    def list(
        self,
        project: str | Path | None = None,
        owner: str | None = None,
        states: Sequence[str] | None = None,
        kinds: Sequence[str] | None = None,
        limit: int = 100,
    ) -> list[Job]:
        """Return the newest jobs first, at most `limit`, filtered where a filter is given.

        Raises
        ------
        JobError
            If a state in `states` does not exist.
        """
        conditions, values = ["1"], []
        if project is not None:
            conditions.append("project = ?")
            values.append(str(project))
        if owner is not None:
            conditions.append("owner = ?")
            values.append(owner)
        if states is not None:
            unknown = sorted(set(states) - set(STATES))
            if unknown:
                raise JobError(f"Jobs have no state {unknown[0]!r}; there are {', '.join(STATES)}.")
            conditions.append(f"state IN ({', '.join('?' * len(states))})")
            values.extend(states)
        if kinds is not None:
            conditions.append(f"kind IN ({', '.join('?' * len(kinds))})")
            values.extend(kinds)
        query = f"SELECT * FROM jobs WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT ?"
        return [job_from_row(row) for row in self.database.read(query, (*values, limit))]

    def log(self, job: int) -> Sequence[str]:
        """Return the log lines of a job, oldest first (the newest 2000), those of all its attempts."""
        rows = self.database.read(
            "SELECT text FROM log_lines WHERE job = ? ORDER BY attempt DESC, line DESC LIMIT ?",
            (job, _LOG_LINES_SHOWN),
        )
        return [str(row["text"]) for row in reversed(rows)]

    def queue_position(self, job: int) -> int | None:
        """Return how many queued jobs of the same kind of worker start before `job`; None if it does not wait."""
        rows = self.database.read("SELECT pool FROM jobs WHERE id = ? AND state = 'queued'", (job,))
        if not rows:
            return None
        return queue_order(*queue_state(self.database, str(rows[0]["pool"]))).index(job)

    def cancel(self, job: int, *, by: str) -> Job:
        """Cancel a queued job at once, or ask a running one to stop; one that has ended stays as it is."""
        with self.database.transaction() as connection:
            state = self.get(job).state
            if state == "queued":
                connection.execute(
                    f"UPDATE jobs SET state = 'cancelled', cancelled_by = ?, ended = ?, end_order = {NEXT_END},"
                    " time_left_s = NULL WHERE id = ?",
                    (by, time.time(), job),
                )
            elif state == "running":
                connection.execute(
                    "UPDATE jobs SET cancel_requested = 1, cancelled_by = coalesce(cancelled_by, ?) WHERE id = ?",
                    (by, job),
                )
        self.notify()
        return self.get(job)

    def retry(self, job: int, *, by: str) -> Job:
        """Put a failed or cancelled job at the end of its owner's queue again; it keeps its id and log.

        Raises
        ------
        JobError
            If the job waits, runs, or has finished.
        """
        with self.database.transaction() as connection:
            found = self.get(job)
            if found.state not in ("failed", "cancelled"):
                raise JobError(f"Job {job} is {found.state}; only a failed or cancelled job can be started again.")
            connection.execute(
                "UPDATE jobs SET state = 'queued', done = 0, total = 0, message = '', rate = NULL, time_left_s = NULL,"
                " error = NULL, result = NULL, lost_attempts = 0, started = NULL, ended = NULL, run_time_s = NULL,"
                " cancelled_by = NULL, cancel_requested = 0, worker = NULL,"
                " queue_order = (SELECT max(queue_order) + 1 FROM jobs) WHERE id = ?",
                (job,),
            )
            add_log_line(connection, job, found.attempt, f"Started again by {by}.")
        self.notify()
        return self.get(job)

    def request(self, action: str, job: int, *, by: str) -> int:
        """Leave a request (``cancel`` or ``retry``) for the app from another process; return the request's number."""
        if action not in ("cancel", "retry"):
            raise JobError(f"There is no request {action!r}; there are cancel and retry.")
        self.get(job)
        with self.database.transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO requests (action, job, requested_by) VALUES (?, ?, ?)", (action, job, by)
            )
        return int(cursor.lastrowid or 0)

    def answer(self, request: int) -> str | None:
        """Return what the app did about a request: None not yet, empty done, else why not."""
        rows = self.database.read("SELECT answer FROM requests WHERE id = ?", (request,))
        return None if not rows or rows[0]["answer"] is None else str(rows[0]["answer"])

    def add_listener(self, listener: Callable[[], None]) -> None:
        """Call `listener` (quick, from any thread) after each change that this object makes."""
        with self._listeners_lock:
            self._listeners.append(listener)

    def remove_listener(self, listener: Callable[[], None]) -> None:
        """Stop calling `listener`."""
        with self._listeners_lock:
            self._listeners.remove(listener)

    def notify(self) -> None:
        """Call the listeners."""
        with self._listeners_lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener()

    def close(self) -> None:
        """Close the file."""
        self.database.close()


def job_from_row(row: sqlite3.Row) -> Job:
    """Make a Job of a row of the table ``jobs``."""
    values = {name: row[name] for name in row.keys() if name in Job.__dataclass_fields__}  # noqa: SIM118
    values["settings"] = json.loads(row["settings"])
    values["result"] = None if row["result"] is None else json.loads(row["result"])
    values["cancel_requested"] = bool(row["cancel_requested"])
    return Job(**values)


def add_log_line(connection: sqlite3.Connection, job: int, attempt: int, text: str) -> None:
    """Append a line of the app's own to a job's log, behind the worker's lines of that attempt."""
    connection.execute(
        "INSERT INTO log_lines (job, attempt, line, text) VALUES (?, ?,"
        " (SELECT max(coalesce(max(line), 0), ?) + 1 FROM log_lines WHERE job = ? AND attempt = ?), ?)",
        (job, attempt, _APP_LINES, job, attempt, text),
    )


def queue_state(database: Database, pool: str) -> tuple[list[Waiting], dict[str, int], dict[str, int]]:
    """Return what `fairness` needs to know about the jobs for one kind of worker: waiting, running, turns."""
    waiting = [
        Waiting(row["id"], row["owner"], row["queue_order"])
        for row in database.read("SELECT id, owner, queue_order FROM jobs WHERE state = 'queued' AND pool = ?", (pool,))
    ]
    running = {
        row["owner"]: row["n"]
        for row in database.read(
            "SELECT owner, count(*) AS n FROM jobs WHERE state = 'running' AND pool = ? GROUP BY owner", (pool,)
        )
    }
    turns = {row["owner"]: row["turn"] for row in database.read("SELECT owner, turn FROM turns")}
    return waiting, running, turns
