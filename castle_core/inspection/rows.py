"""Rows of a latent file, read piece by piece.

The file is read, not mapped: mapped pages count as the server's memory for as long as they stay, and a file of 600 MB
would take 600 MB. A foreign compressed file is unpacked once into the project's cache and read from there.
"""

import contextlib
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from castle_core.errors import EncoderError
from castle_core.files import atomic_path
from castle_core.latents.npz import StoredArray, read_array_header, stored_array

Matrix = npt.NDArray[np.float32]
PIECE_BYTES = 16 << 20
_SCAN_BYTES = 2 << 20
_DAMAGED = (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError, zipfile.LargeZipFile)


@dataclass(frozen=True)
class Rows:
    """One row of numbers a frame, on disk.

    Attributes
    ----------
    path : Path
        The file that is read; for a compressed latent file its unpacked copy.
    n : int
        Rows.
    dim : int
        Numbers a row; the k rotated latents of a stack follow one another.
    stored : StoredArray
        Where they lie.
    """

    path: Path
    n: int
    dim: int
    stored: StoredArray

    def scan(self, n_rows: int = 1) -> Iterator[tuple[int, Matrix]]:
        """Yield (first row, rows) over the whole file, a multiple of `n_rows` at once.

        Every piece is overwritten by the next one, and may be changed.

        Memory that is used again is in the processor's cache, so this is the quickest way through a file.

        Raises
        ------
        EncoderError
            If the file has become shorter, or is gone.
        """
        size = n_rows * max(1, _SCAN_BYTES // max(1, n_rows * self.dim * self.stored.dtype.itemsize))
        raw = np.empty((min(size, max(1, self.n)), self.dim), self.stored.dtype)
        with self._opened() as file:
            for first in range(0, self.n, size):
                part = raw[: min(size, self.n - first)]
                self._fill(file, first, part)
                yield first, part.astype(np.float32, copy=False)

    def column(self, channel: int) -> Matrix:
        """Return one number of every row, (n,) float32."""
        values = np.empty(self.n, np.float32)
        for first, part in self.scan():
            values[first : first + len(part)] = part[:, channel]
        return values

    def read(self, start: int, stop: int) -> Matrix:
        """Return rows ``[start, stop)`` as (m, dim) float32.

        Raises
        ------
        EncoderError
            If the file has become shorter, or is gone.
        """
        start, stop = max(0, start), min(self.n, stop)
        if stop <= start:
            return np.zeros((0, self.dim), np.float32)
        with self._opened() as file:
            return self._read(file, start, stop)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Any]:
        try:
            with open(self.path, "rb", buffering=0) as file:
                yield file
        except OSError as error:
            raise EncoderError(
                f"{self.path.name} cannot be read ({error.strerror}). Is its drive connected?"
            ) from error

    def _read(self, file: Any, start: int, stop: int) -> Matrix:
        raw = np.empty((stop - start, self.dim), self.stored.dtype)
        self._fill(file, start, raw)
        return raw.astype(np.float32, copy=False)

    def _fill(self, file: Any, start: int, raw: npt.NDArray[Any]) -> None:
        row_bytes = self.dim * self.stored.dtype.itemsize
        view = raw.reshape(-1).view(np.uint8).data
        file.seek(self.stored.offset + start * row_bytes)
        done = 0
        while done < len(view):
            got = file.readinto(view[done:])
            if not got:
                raise EncoderError(f"{self.path.name} is shorter than it was. Extract it again.")
            done += got

    def take(self, indices: npt.NDArray[np.int64]) -> Matrix:
        """Return the rows at `indices` (m,), in that order."""
        rows = np.empty((len(indices), self.dim), np.float32)
        with self._opened() as file:
            for place in np.argsort(indices, kind="stable").tolist():
                rows[place] = self._read(file, int(indices[place]), int(indices[place]) + 1)[0]
        return rows

    def pieces(
        self, n_rows: int | None = None, start: int = 0, stop: int | None = None
    ) -> Iterator[tuple[int, Matrix]]:
        """Yield (first row, rows) from `start` to `stop`, in pieces of about 16 MiB or of `n_rows` rows."""
        size = n_rows or max(1, PIECE_BYTES // max(1, self.dim * 4))
        stop = self.n if stop is None else min(stop, self.n)
        for first in range(start, stop, size):
            yield first, self.read(first, min(first + size, stop))


def is_compressed(path: Path) -> bool:
    """Say whether the rows of a latent file must be unpacked before they can be read.

    Raises
    ------
    EncoderError
        If it is not a readable latent file.
    """
    try:
        stored = stored_array(path)
    except _DAMAGED as error:
        raise _unreadable(path, error) from error
    return stored is None or stored.fortran


def open_rows(path: Path, cache: Path) -> Rows:
    """Open the rows of a latent file; a compressed one is unpacked into the folder `cache` the first time.

    Raises
    ------
    EncoderError
        If the file is missing, half-written, holds no ``latent``, or one that has no row a frame.
    """
    if not path.is_file():
        raise EncoderError(f"There is no latent file {path}.")
    try:
        stored = stored_array(path)
        if stored is not None and not stored.fortran:
            return _rows(path, path, stored)
        unpacked = cache / "latent.npy"
        if not unpacked.exists():
            _unpack(path, unpacked)
        with open(unpacked, "rb") as stream:
            shape, fortran, dtype = read_array_header(stream, path)
            return _rows(path, unpacked, StoredArray(shape, dtype, fortran, stream.tell()))
    except _DAMAGED as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> EncoderError:
    return EncoderError(
        f"{path.name} is not a readable latent file ({error}). It may be half-written; extract it again."
    )


def _rows(path: Path, held_in: Path, stored: StoredArray) -> Rows:
    if len(stored.shape) < 2 or stored.dtype.kind != "f":
        raise EncoderError(f"{path.name}: `latent` is no table of decimal numbers with one row a frame.")
    dim = int(np.prod(stored.shape[1:]))
    if not stored.shape[0] or not dim:
        raise EncoderError(f"{path.name} holds no numbers. Extract it again.")
    expected = stored.offset + stored.shape[0] * dim * stored.dtype.itemsize
    if held_in.stat().st_size < expected:
        raise EncoderError(f"{path.name} is half-written. Extract it again.")
    return Rows(held_in, stored.shape[0], dim, stored)


def _unpack(path: Path, target: Path) -> None:
    with (
        zipfile.ZipFile(path) as archive,
        archive.open("latent.npy") as stream,
        atomic_path(target) as temporary,
        open(temporary, "wb") as out,
    ):
        shape, fortran, dtype = read_array_header(stream, path)
        if len(shape) < 2:
            raise EncoderError(f"{path.name}: `latent` is {len(shape)}-dimensional, not one row a frame.")
        np.lib.format.write_array_header_2_0(
            out, {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        )
        if fortran:  # columns come first: the whole table must be there before the first row is
            data = stream.read()
            out.write(np.frombuffer(data, dtype).reshape(shape, order="F").tobytes(order="C"))
            return
        left = int(np.prod(shape)) * dtype.itemsize
        while left:
            data = stream.read(min(left, PIECE_BYTES))
            if not data:
                raise EOFError("it ends too early")
            out.write(data)
            left -= len(data)
    os.utime(target)
