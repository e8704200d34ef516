"""Disk space that is reserved ahead of HDF5, so that a full disk is an error.

When a write fails inside HDF5, the process may die later, while the library cleans up. So the space is taken from the
system first, where a full disk raises `OSError`; what HDF5 then writes has its place already. HDF5 cuts the file to its
true length when it closes it.
"""

import contextlib
import errno
import os
from pathlib import Path
from typing import Any

from castle_core.hdf5 import keep_little

_AHEAD = 8 << 20
_UNSUPPORTED = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


class ReservedFile:
    """A new HDF5 file that is written with space reserved ahead; a context manager.

    Parameters
    ----------
    path : Path
        File to create, or to empty.

    Attributes
    ----------
    file : h5py.File
        Open for writing.

    Raises
    ------
    OSError
        If there is no space even for the beginning.
    """

    def __init__(self, path: Path) -> None:
        import h5py

        with open(path, "wb") as beginning:
            _allocate(beginning.fileno(), 0, _AHEAD)
        self.file: Any = h5py.File(path, "w")
        keep_little(self.file)
        self._descriptor = os.open(path, os.O_RDWR)
        self._size = 0
        self._room = -1
        try:
            self.reserve(0)
        except OSError:
            self.close()
            raise

    def reserve(self, n_bytes: int) -> None:
        """Make sure that `n_bytes` more can be written.

        Raises
        ------
        OSError
            If the disk is full; the file can still be closed.
        """
        self._room -= n_bytes
        if self._room >= 0:
            return
        # Twice ahead: what HDF5 still holds in memory needs a place as well.
        wanted = int(self.file.id.get_filesize()) + n_bytes + 2 * _AHEAD
        if wanted > self._size:
            _allocate(self._descriptor, self._size, wanted - self._size)
            self._size = wanted
        self._room = _AHEAD

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self.file.close()

    def __enter__(self) -> "ReservedFile":
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self.close()
        else:
            with contextlib.suppress(Exception):
                self.close()


def _allocate(descriptor: int, start: int, length: int) -> None:
    try:
        os.posix_fallocate(descriptor, start, length)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:  # some network file systems cannot; then HDF5's own errors must do
            raise
