"""How long work tells how far it is, and learns that it should stop.

Work takes a `Task`. The command line passes a `Task` that draws a bar; a job's worker passes one that reports to the
app and whose `publish` insists on the job's lease. Work that needs neither uses `QUIET`.
"""

import os
from collections.abc import Callable
from pathlib import Path

OnProgress = Callable[[int, int], None]


class Task:
    """What a long function may do besides its work: report, log, and give results their final names.

    Subclasses raise `JobCancelled` from `progress` when the work should stop, and `LeaseLostError` from `publish`
    when another attempt has taken over.

    Attributes
    ----------
    key : str
        Names the work: the same for every attempt of one job, another for every job, empty outside of jobs. A result
        that carries it is found again by the attempt after a crash.
    """

    key: str = ""

    def progress(self, done: int, total: int, message: str = "") -> None:
        """Say that `done` of `total` units are finished. Cheap: call it as often as you like."""

    def log(self, line: str) -> None:
        """Add one line to the work's log."""

    def publish(self, temporary: Path, final: Path) -> None:
        """Rename a finished temporary file (same file system, already flushed) to its final name."""
        os.replace(temporary, final)


class TaskPart(Task):
    """One of several equal parts of a task: reports its share of the whole, and passes everything else on.

    Parameters
    ----------
    task : Task
        The whole.
    place, n_parts : int
        This is part number `place` (from 0) of `n_parts`.
    title : str
        Stands before each message.
    """

    def __init__(self, task: Task, place: int, n_parts: int, title: str = "") -> None:
        self._task, self._place, self._n_parts, self._title = task, place, n_parts, title
        self.key = task.key

    def progress(self, done: int, total: int, message: str = "") -> None:
        """Report in thousandths of a part."""
        share = min(1000 * done // total, 1000) if total else 1000
        text = f"{self._title} {message}".strip()
        self._task.progress(1000 * self._place + share, 1000 * self._n_parts, text)

    def log(self, line: str) -> None:
        """Add one line to the whole work's log."""
        self._task.log(line)

    def publish(self, temporary: Path, final: Path) -> None:
        """Give a finished file its final name, if the whole work still may."""
        self._task.publish(temporary, final)


QUIET = Task()
