"""The right of one attempt of a job to give files their final names.

A worker that was stopped, cut off or replaced may wake up and go on. It must not rename anything into place then, or
it would mix its files with those of the attempt that replaced it. So each running job has a lease file that names the
one attempt that may publish:

- The app grants a lease before it hands an attempt to a worker, and takes it back when the attempt ends, is cancelled,
  or is believed dead. Granting and taking back happen under an exclusive ``flock`` of the lease file.
- A worker publishes under the same lock: it reads the lease, and renames only if the lease still names its attempt.

Hence every rename of an attempt happened before the app took its lease back, or never happens; no clock is involved.
The kernel drops the lock of a killed process, and the file holds a random token besides the attempt's number, so
neither a crash of the app nor a job table that starts anew can make an old attempt look like the current one.
A worker that is stopped while it holds the lock would block the app: the app ends such a worker first (`take_back`
raises after a few seconds).
"""

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from castle_core.errors import JobCancelled, JobError, LeaseLostError
from castle_core.files import make_folder

LOCK_SECONDS = 5.0
_CANCELLED = " cancelled"


@dataclass(frozen=True)
class Lease:
    """What a worker is given: the lease file, and what it must say for this attempt to go on."""

    path: str
    token: str
    job: int

    def check(self) -> None:
        """Raise if this attempt should stop; cheap (one small read), and without the lock.

        Raises
        ------
        JobCancelled
            If somebody cancelled the job.
        LeaseLostError
            If the lease was taken back or names another attempt.
        """
        try:
            with open(self.path, encoding="ascii") as file:
                self._judge(file.read())
        except FileNotFoundError:
            self._judge("")

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lease for a rename: the app cannot take it back before the block ends.

        Raises
        ------
        JobCancelled, LeaseLostError
            As `check`, before the block is entered.
        """
        try:
            descriptor = os.open(self.path, os.O_RDWR)
        except FileNotFoundError:
            self._judge("")
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._judge(os.pread(descriptor, 200, 0).decode("ascii", "replace"))
            yield
        finally:
            os.close(descriptor)

    def _judge(self, text: str) -> None:
        if text == self.token:
            return
        if text == self.token + _CANCELLED:
            raise JobCancelled(f"Job {self.job} was cancelled.")
        raise LeaseLostError(f"Job {self.job} was given to another worker; this attempt may not write any more.")


class LeaseBook:
    """The app's side: grants leases and takes them back.

    Parameters
    ----------
    folder : Path
        Where the lease files lie; made if needed. Only one app uses it at a time.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = make_folder(folder)

    def _path(self, job: int) -> Path:
        return self._folder / f"job-{job}"

    def grant(self, job: int, attempt: int) -> Lease:
        """Make attempt `attempt` of `job` the one that may publish; every earlier one has lost it on return."""
        self.take_back(job)
        token = f"{attempt} {secrets.token_hex(8)}"
        path = self._path(job)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, token.encode("ascii"))
        finally:
            os.close(descriptor)
        return Lease(str(path), token, job)

    def cancel(self, job: int) -> None:
        """Tell the attempt that runs `job` to stop; it publishes nothing from here on."""
        with contextlib.suppress(FileNotFoundError), self._locked(job) as descriptor:
            text = os.pread(descriptor, 200, 0).decode("ascii", "replace")
            if text and not text.endswith(_CANCELLED):
                os.pwrite(descriptor, (text + _CANCELLED).encode("ascii"), 0)

    def take_back(self, job: int) -> None:
        """End the lease of `job`, if there is one; nothing of it is published after this returns.

        Raises
        ------
        JobError
            If a worker holds the lease's lock for longer than some seconds; end that worker and try again.
        """
        with contextlib.suppress(FileNotFoundError), self._locked(job) as descriptor:
            os.ftruncate(descriptor, 0)  # who has the file open already reads "no lease"
            self._path(job).unlink(missing_ok=True)

    def take_back_all(self) -> None:
        """End every lease, as at the start of the app after its leftover workers were ended."""
        for path in self._folder.glob("job-*"):
            self.take_back(int(path.name.removeprefix("job-")))

    @contextlib.contextmanager
    def _locked(self, job: int) -> Iterator[int]:
        descriptor = os.open(self._path(job), os.O_RDWR)
        try:
            deadline = time.monotonic() + LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise JobError(f"A worker does not let go of job {job}.") from None
                    time.sleep(0.01)
            yield descriptor
        finally:
            os.close(descriptor)
