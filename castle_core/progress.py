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
    """

    def progress(self, done: int, total: int, message: str = "") -> None:
        """Say that `done` of `total` units are finished. Cheap: call it as often as you like."""

    def log(self, line: str) -> None:
        """Add one line to the work's log."""

    def publish(self, temporary: Path, final: Path) -> None:
        """Rename a finished temporary file (same file system, already flushed) to its final name."""
        os.replace(temporary, final)


QUIET = Task()
