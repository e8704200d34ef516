"""One app at a time: who holds the job table's folder."""

import contextlib
import fcntl
import os
from pathlib import Path

from castle_core.errors import JobError
from castle_core.files import make_folder, write_error


class AppLock:
    """The right to run the jobs of one state folder. The kernel drops it when the process ends, however it ends.

    Parameters
    ----------
    folder : Path
        The folder of the job table.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "app.lock"
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises
        ------
        JobError
            If another app holds it; the message says which process.
        """
        make_folder(self._path.parent)
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise write_error(self._path, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 100, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise JobError(
                f"Another castle app (process {holder}) already runs the jobs in {self._path.parent}. Use that one, "
                "stop it first, or set CASTLE_STATE to another folder."
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back; without effect if it is not held."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None


def running_app(folder: Path) -> int | None:
    """Return the process id of the app that runs the jobs in `folder`, None if there is no such app."""
    try:
        descriptor = os.open(folder / "app.lock", os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        with contextlib.suppress(ValueError):
            return int(os.pread(descriptor, 100, 0))
        return 0
    else:
        return None
    finally:
        os.close(descriptor)
