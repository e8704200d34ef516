"""What the runner writes into the table: starts of attempts, reports, ends, and the processes it has started."""

import json
import math
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from castle_core.errors import JobError
from castle_core.jobs.database import NEXT_END
from castle_core.jobs.fairness import choose_next, guests
from castle_core.jobs.job import Job
from castle_core.jobs.table import JobTable, add_log_line, queue_state

MAX_LOG_LINES = 20_000
MAX_LINE_LENGTH = 2_000
KEPT_JOBS = 5_000


@dataclass(frozen=True)
class Report:
    """What a worker says about its attempt of a job."""

    job: int
    attempt: int
    done: int
    total: int
    message: str
    rate: float | None
    time_left_s: float | None
    first_line: int
    lines: tuple[str, ...]

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> "Report":
        """Make a report of a message from a worker."""
        return cls(**{**message, "lines": tuple(message["lines"])})


@dataclass(frozen=True)
class RecordedProcess:
    """A process that an app has started: its id, when it was born (`processes.birth`), and what it was for."""

    pid: int
    birth: str
    name: str


class Ledger:
    """The runner's own view of a `JobTable`. Only the app that holds the app lock may use it."""

    def __init__(self, table: JobTable) -> None:
        self._table = table
        self._database = table.database

    # -- the queue

    def sort_into_pools(self, *, has_gpu: bool) -> None:
        """Let the queued jobs wait for the kind of worker that they need; without a GPU worker, all wait for a CPU."""
        wants_gpu = [name for name, kind in self._table.kinds.items() if kind.needs_gpu] if has_gpu else []
        marks = ", ".join("?" * len(wants_gpu))
        with self._database.transaction() as connection:
            connection.execute(
                f"UPDATE jobs SET pool = CASE WHEN kind IN ({marks}) THEN 'gpu' ELSE 'cpu' END"
                f" WHERE state = 'queued' AND pool != CASE WHEN kind IN ({marks}) THEN 'gpu' ELSE 'cpu' END",
                (*wants_gpu, *wants_gpu),
            )

    def begin_next(self, pool: str, worker: str, *, for_guests: bool = False) -> Job | None:
        """Take the job whose turn it is out of the queue for `worker`, as a new attempt; None if nobody waits.

        With `for_guests`, only people for whom nothing runs in this pool are served.
        """
        with self._database.transaction() as connection:
            waiting, running, turns = queue_state(self._database, pool)
            if for_guests:
                waiting = guests(waiting, running)
            chosen = choose_next(waiting, running, turns)
            if chosen is None:
                return None
            connection.execute(
                "UPDATE jobs SET state = 'running', attempt = attempt + 1, worker = ?, started = ?, ended = NULL,"
                " run_time_s = NULL, done = 0, total = 0, message = '', rate = NULL, time_left_s = NULL,"
                " error = NULL, cancel_requested = 0 WHERE id = ?",
                (worker, time.time(), chosen.job),
            )
            connection.execute(
                "INSERT INTO turns (owner, turn) VALUES (?, (SELECT coalesce(max(turn), 0) + 1 FROM turns))"
                " ON CONFLICT (owner) DO UPDATE SET turn = excluded.turn",
                (chosen.owner,),
            )
        return self._table.get(chosen.job)

    def n_guests(self, pool: str) -> int:
        """Return how many people wait for whom nothing runs in this pool."""
        waiting, running, _ = queue_state(self._database, pool)
        return len({item.owner for item in guests(waiting, running)})

    def running(self) -> list[Job]:
        """Return the jobs whose state is running."""
        return self._table.list(states=["running"], limit=1_000_000)

    # -- an attempt

    def report(self, report: Report) -> None:
        """Store what a worker says, if it speaks for the current attempt of a running job.

        Log lines of an attempt are also taken when they arrive after its end.
        """
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE jobs SET done = ?, total = ?, message = ?, rate = ?, time_left_s = ?"
                " WHERE id = ? AND attempt = ? AND state = 'running'",
                (
                    report.done,
                    report.total,
                    report.message,
                    _finite(report.rate),
                    _finite(report.time_left_s),
                    report.job,
                    report.attempt,
                ),
            )
            self._store_lines(connection, report)

    def _store_lines(self, connection: sqlite3.Connection, report: Report) -> None:
        for offset, text in enumerate(report.lines):
            line = report.first_line + offset
            if line < MAX_LOG_LINES:
                connection.execute(
                    "INSERT OR IGNORE INTO log_lines (job, attempt, line, text) VALUES (?, ?, ?, ?)",
                    (report.job, report.attempt, line, text[:MAX_LINE_LENGTH]),
                )
            elif line == MAX_LOG_LINES:
                connection.execute(
                    "INSERT OR IGNORE INTO log_lines (job, attempt, line, text) VALUES (?, ?, ?, ?)",
                    (report.job, report.attempt, line, "… the log is cut off here."),
                )

    def note(self, job: Job, text: str) -> None:
        """Add a line of the app's own to the log of a job."""
        with self._database.transaction() as connection:
            add_log_line(connection, job.id, job.attempt, text)

    def end(
        self,
        job: int,
        attempt: int,
        state: str,
        *,
        error: str | None = None,
        result: dict[str, Any] | None = None,
        run_time_s: float | None = None,
    ) -> bool:
        """Store how an attempt ended; False (and nothing stored) if it is not the current one of a running job."""
        with self._database.transaction() as connection:
            cursor = connection.execute(
                f"UPDATE jobs SET state = ?, error = ?, result = ?, ended = ?, end_order = {NEXT_END}, run_time_s = ?,"
                " time_left_s = NULL, cancelled_by = CASE ? WHEN 'cancelled' THEN cancelled_by END,"
                " cancel_requested = 0 WHERE id = ? AND attempt = ? AND state = 'running'",
                (
                    state,
                    error,
                    None if result is None else json.dumps(result, ensure_ascii=False, allow_nan=False),
                    time.time(),
                    run_time_s,
                    state,
                    job,
                    attempt,
                ),
            )
        return cursor.rowcount == 1

    def lose(self, job: int, attempt: int, why: str, *, max_attempts: int, counts: bool = True) -> None:
        """Store that an attempt was lost with its worker: cancelled if that was asked for, else queued again.

        Parameters
        ----------
        why : str
            How the worker ended, for the log and for the reason of a failed job.
        max_attempts : int
            When so many attempts were lost with their workers, the job fails.
        counts : bool
            False where the job is certainly not to blame (the app was stopped or killed).
        """
        with self._database.transaction() as connection:
            rows = connection.execute(
                "SELECT cancel_requested, lost_attempts FROM jobs WHERE id = ? AND attempt = ? AND state = 'running'",
                (job, attempt),
            ).fetchall()
            if not rows:
                return
            add_log_line(connection, job, attempt, f"Attempt {attempt} ended: {why}.")
            if rows[0]["cancel_requested"]:
                self.end(job, attempt, "cancelled")
                return
            lost = rows[0]["lost_attempts"] + (1 if counts else 0)
            if counts and lost >= max_attempts:
                self.end(
                    job,
                    attempt,
                    "failed",
                    error=f"The worker process ended {lost} times during this job (last: {why}). Often the memory was "
                    "full: close other programs or choose smaller settings, then press Retry.",
                )
                return
            connection.execute(
                "UPDATE jobs SET state = 'queued', lost_attempts = ?, rate = NULL, time_left_s = NULL WHERE id = ?",
                (lost, job),
            )

    # -- requests of other processes

    def answer_requests(self) -> None:
        """Do what the command line has asked for, and leave an answer."""
        actions: dict[str, Callable[..., Job]] = {"cancel": self._table.cancel, "retry": self._table.retry}
        for row in self._database.read("SELECT * FROM requests WHERE answer IS NULL ORDER BY id"):
            try:
                actions[row["action"]](row["job"], by=row["requested_by"])
                answer = ""
            except JobError as error:
                answer = str(error)
            with self._database.transaction() as connection:
                connection.execute("UPDATE requests SET answer = ? WHERE id = ?", (answer, row["id"]))

    def forget_old_jobs(self) -> None:
        """Keep the newest jobs (by number, not by clock) and those that still wait or run; forget all before."""
        with self._database.transaction() as connection:
            connection.execute(
                "DELETE FROM jobs WHERE state NOT IN ('queued', 'running') AND id <= (SELECT max(id) FROM jobs) - ?",
                (KEPT_JOBS,),
            )
            connection.execute("DELETE FROM log_lines WHERE job NOT IN (SELECT id FROM jobs)")
            connection.execute(
                "DELETE FROM requests WHERE answer IS NOT NULL AND id <= (SELECT max(id) FROM requests) - ?",
                (KEPT_JOBS,),
            )

    # -- processes

    def record_process(self, process: RecordedProcess) -> None:
        """Remember a process that was started, so that the next app can end it if this one is killed."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO processes (pid, birth, name) VALUES (?, ?, ?)",
                (process.pid, process.birth, process.name),
            )

    def forget_process(self, pid: int) -> None:
        """Forget a process that has ended."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM processes WHERE pid = ?", (pid,))

    def recorded_processes(self) -> Sequence[RecordedProcess]:
        """Return the processes that were started and not seen to end."""
        rows = self._database.read("SELECT pid, birth, name FROM processes")
        return [RecordedProcess(row["pid"], row["birth"], row["name"]) for row in rows]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
