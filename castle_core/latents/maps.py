"""Feature maps: (n, C, H, W) float16 in chunked HDF5, one chunk a frame, written and read a frame at a time."""

import errno
import json
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from castle_core.disk_reserve import ReservedFile
from castle_core.errors import EncoderError
from castle_core.files import atomic_path
from castle_core.hdf5 import open_hdf5
from castle_core.latents.npz import write_sidecar


def map_bytes(n_rows: int, embed_dim: int, side: int) -> int:
    """Return the size (bytes) of a feature map on disk."""
    return n_rows * embed_dim * side * side * 2


def write_map(
    path: Path,
    pieces: Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float16]]],
    shape: tuple[int, int, int, int],
    *,
    status: npt.NDArray[np.uint8],
    metadata: dict[str, Any],
    publish: Callable[[Path, Path], None] = os.replace,
) -> None:
    """Write a feature map, streaming.

    Parameters
    ----------
    path : Path
        ``…_map.h5``.
    pieces : iterator of ((m,) int64, (m, C, H, W) float16)
        Frame indices and their maps; rows that never come stay NaN and take no space.
    shape : tuple of int
        (n, C, H, W).
    status : (n,) uint8 array
        Status codes.
    metadata : dict
        Stored as the attribute ``metadata``, one JSON string, and in the sidecar.
    publish : callable
        Gives the finished file its final name.

    Raises
    ------
    ProjectError
        If the disk is full or may not be written.
    """
    with atomic_path(path, publish=publish) as temporary:
        try:
            rows, sums = _write_file(temporary, pieces, shape, status, metadata)
            _read_back(temporary, rows, sums)
        except (RuntimeError, OSError) as error:
            if isinstance(error, OSError) and error.errno:
                raise
            raise OSError(errno.ENOSPC, f"the map could not be written ({error})") from error
    write_sidecar(path, metadata)


def _write_file(
    path: Path,
    pieces: Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float16]]],
    shape: tuple[int, int, int, int],
    status: npt.NDArray[np.uint8],
    metadata: dict[str, Any],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32]]:
    """Write everything; return the rows that were written, and the checksum of each."""
    written, sums = np.zeros(shape[0], bool), np.zeros(shape[0], np.uint32)
    with ReservedFile(path) as reserved:
        file = reserved.file
        latent = file.create_dataset("latent", shape, np.float16, chunks=(1, *shape[1:]), fillvalue=np.float16("nan"))
        for frame_indices, maps in pieces:
            for frame_index, one in zip(frame_indices.tolist(), maps, strict=True):
                row = np.ascontiguousarray(one, np.float16)
                reserved.reserve(row.nbytes + 256)
                latent[frame_index] = row
                written[frame_index], sums[frame_index] = True, zlib.crc32(row.data)
        reserved.reserve(9 * shape[0])
        file["frame_index"] = np.arange(shape[0], dtype=np.int64)
        file["status"] = status.astype(np.uint8)
        file.attrs["metadata"] = json.dumps(metadata, ensure_ascii=False)
        file.flush()
    rows = np.flatnonzero(written)
    return rows, sums[rows]


def _read_back(path: Path, rows: npt.NDArray[np.int64], sums: npt.NDArray[np.uint32]) -> None:
    """Compare every row with its checksum: HDF5 can lose writes to a full disk without a word."""
    with open_hdf5(path) as file:
        latent = file["latent"]
        for frame_index, expected in zip(rows.tolist(), sums.tolist(), strict=True):
            if zlib.crc32(latent[frame_index].data) != expected:
                raise OSError(errno.ENOSPC, f"row {frame_index} was lost")


def read_map_metadata(path: Path) -> tuple[dict[str, Any], int]:
    """Return the metadata and the number of rows of a feature map.

    Raises
    ------
    EncoderError
        If the file is not a readable feature map.
    """
    import h5py

    try:
        with h5py.File(path, "r", locking=False) as file:
            latent = file["latent"]
            if latent.ndim != 4:
                raise EncoderError(f"{path.name}: `latent` is {latent.ndim}-dimensional, not (n, C, H, W).")
            return dict(json.loads(file.attrs.get("metadata", "{}"))), len(latent)
    except (OSError, KeyError, ValueError) as error:
        raise EncoderError(f"{path.name} is not a readable feature map ({error}). Extract it again.") from error
