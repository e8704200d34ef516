"""A job's side of its work: reports to the app a few times a second, stops when told, publishes under its lease."""

import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from castle_core.files import fsync_folder
from castle_core.jobs.lease import Lease
from castle_core.progress import Task

REPORT_SECONDS = 0.25
CHECK_SECONDS = 0.2
_RATE_SECONDS = 10.0


class Speed:
    """Units a second over the last seconds, by a clock that does not jump.

    Work that a resumed job finds done already makes no speed: counting begins at the first report. When `done` falls
    or `total` changes, a new part of the work has begun, and counting begins again.
    """

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque()
        self._total = -1

    def add(self, now: float, done: int, total: int) -> None:
        """Take note that `done` of `total` units were done at `now` (seconds of a monotonic clock)."""
        if total != self._total or (self._points and done < self._points[-1][1]):
            self._points.clear()
            self._total = total
        if len(self._points) > 1 and now - self._points[-2][0] < _RATE_SECONDS / 50:
            self._points[-1] = (now, done)
        else:
            self._points.append((now, done))
        while len(self._points) > 2 and now - self._points[1][0] > _RATE_SECONDS:
            self._points.popleft()

    def rate(self) -> float | None:
        """Return units a second, None while too little is known."""
        if len(self._points) < 2:
            return None
        (start, first), (end, last) = self._points[0], self._points[-1]
        return (last - first) / (end - start) if end > start and last > first else None


class WorkerTask(Task):
    """The task of one attempt of a job.

    Parameters
    ----------
    lease : Lease
        What must still hold for this attempt to go on.
    attempt : int
        Its number.
    send : callable
        Takes one report (the fields of `ledger.Report` as a dict) to the app; may be called from any thread.
    key : str
        Names the job, the same for all its attempts.

    Notes
    -----
    A thread of its own sends the newest state, so that the last report before a long silent step is not lost. It sleeps
    while there is nothing new.
    """

    def __init__(self, lease: Lease, attempt: int, send: Callable[[dict[str, Any]], None], *, key: str = "") -> None:
        self.job = lease.job
        self.key = key
        self.attempt = attempt
        self._lease = lease
        self._send = send
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._closed = threading.Event()
        self._speed = Speed()
        self._state = (0, 0, "")
        self._lines: list[str] = []
        self._n_sent = 0
        self._next_check = 0.0
        self._thread = threading.Thread(target=self._report, name=f"reports of job {self.job}", daemon=True)
        self._thread.start()

    def progress(self, done: int, total: int, message: str = "") -> None:
        """Say how far the work is.

        Raises
        ------
        JobCancelled
            If somebody cancelled the job.
        LeaseLostError
            If another attempt has replaced this one.
        """
        now = time.monotonic()
        with self._lock:
            self._state = (int(done), int(total), str(message))
            self._speed.add(now, int(done), int(total))
        self._news.set()
        if now >= self._next_check:
            self._next_check = now + CHECK_SECONDS
            self._lease.check()

    def log(self, line: str) -> None:
        """Add a line (or several) to the job's log."""
        with self._lock:
            self._lines.extend(str(line).splitlines() or [""])
        self._news.set()

    def publish(self, temporary: Path, final: Path) -> None:
        """Rename a finished temporary file to its final name, if this attempt may.

        Raises
        ------
        JobCancelled, LeaseLostError
            As `progress`; the temporary file stays where it is.
        """
        with self._lease.held():
            temporary.replace(final)
        fsync_folder(final.parent)  # slow on some disks, so without the lock

    def close(self) -> dict[str, Any]:
        """Stop reporting, and return the last report, with the lines that were not sent yet."""
        self._closed.set()
        self._news.set()
        self._thread.join()
        return self._take()

    def _report(self) -> None:
        while True:
            self._news.wait()
            if self._closed.is_set():
                return
            self._news.clear()
            self._send(self._take())
            self._closed.wait(REPORT_SECONDS)

    def _take(self) -> dict[str, Any]:
        with self._lock:
            done, total, message = self._state
            rate = self._speed.rate()
            lines, first = self._lines, self._n_sent
            self._lines = []
            self._n_sent += len(lines)
        return {
            "job": self.job,
            "attempt": self.attempt,
            "done": done,
            "total": total,
            "message": message,
            "rate": rate,
            "time_left_s": (total - done) / rate if rate else None,
            "first_line": first,
            "lines": lines,
        }
