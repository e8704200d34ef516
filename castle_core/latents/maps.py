"""Feature maps: (n, C, H, W) float16 in chunked HDF5, one chunk a frame, written and read a frame at a time."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from castle_core.errors import EncoderError
from castle_core.files import atomic_path, atomic_write_json
from castle_core.progress import QUIET, Task


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
    task: Task = QUIET,
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
    task : Task
        Publishes the finished file.

    Raises
    ------
    ProjectError
        If the disk is full or may not be written.
    """
    import h5py

    with atomic_path(path, publish=task.publish) as temporary:
        with h5py.File(temporary, "w") as file:
            latent = file.create_dataset(
                "latent", shape, np.float16, chunks=(1, *shape[1:]), fillvalue=np.float16("nan")
            )
            for frame_indices, maps in pieces:
                for frame_index, one in zip(frame_indices, maps, strict=True):
                    latent[int(frame_index)] = one
            file["frame_index"] = np.arange(shape[0], dtype=np.int64)
            file["status"] = status.astype(np.uint8)
            file.attrs["metadata"] = json.dumps(metadata, ensure_ascii=False)
            file.flush()
        # HDF5 can lose writes to a full disk without a word; a file that opens and has its last row is whole.
        read_map_metadata(temporary)
    atomic_write_json(path.with_name(path.name + ".json"), metadata)


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
