"""Streams exact masks into CASTLE's ``mask_list.h5``: one uint8 data set a frame, written chunk by chunk."""

import contextlib
import zlib
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from castle_core.disk_reserve import ReservedFile

_CHUNK = (64, 96)  # CASTLE's own chunks are about as large; here empty ones are not stored at all
_GZIP_LEVEL = 3


class MaskListWriter:
    """Writes masks one frame after the other, in bounded memory; a context manager.

    The file is CASTLE's: data sets ``"0"``, ``"1"``, … of (H, W) uint8 with gzip, whose values are ROI ids, and the
    scalars ``total_frames``, ``height``, ``width`` (int64), ``roi_count`` and ``n_rois`` (uint8). Chunks that hold
    only background are left out, and read back as 0.

    Parameters
    ----------
    path : Path
        File to create; it must not exist under a name that somebody reads.
    width, height : int
        Frame size in pixels.
    n_rois : int
        Number of ROIs, for the scalars.
    n_frames : int, optional
        Frames of the video, for the scalars; by default one more than the last frame written.

    Raises
    ------
    OSError
        If the disk is full, here or in `write`.
    """

    def __init__(self, path: Path, *, width: int, height: int, n_rois: int, n_frames: int | None = None) -> None:
        import h5py

        self._h5 = h5py
        self._reserved = ReservedFile(path)
        self._file: Any = self._reserved.file
        self._size, self._n_rois, self._total, self._n_frames = (height, width), n_rois, n_frames, 0
        self._chunk = (min(_CHUNK[0], height), min(_CHUNK[1], width))
        self._space = h5py.h5s.create_simple(self._size)
        self._layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        self._layout.set_chunk(self._chunk)
        self._layout.set_deflate(_GZIP_LEVEL)

    def write(self, mask: np.ndarray, box: tuple[int, int, int, int], frame_index: int | None = None) -> None:
        """Add a frame.

        Parameters
        ----------
        mask : numpy.ndarray
            (H, W) uint8, ROI ids.
        box : tuple of int
            (x0, y0, x1, y1), half open; the mask is 0 outside of it.
        frame_index : int, optional
            Which one; by default the one after the last.
        """
        frame_index = self._n_frames if frame_index is None else frame_index
        x0, y0, x1, y1 = box
        high, wide = self._chunk
        self._reserved.reserve(mask.nbytes // 4 + 4096)  # generous: masks take a few kB
        dataset = self._h5.h5d.create(
            self._file.id, b"%d" % frame_index, self._h5.h5t.NATIVE_UINT8, self._space, self._layout
        )
        for top in range(y0 // high * high, y1, high):
            for left in range(x0 // wide * wide, x1, wide):
                tile = mask[top : top + high, left : left + wide]
                if not tile.any():
                    continue
                if tile.shape != self._chunk:  # chunks at the edges are stored whole
                    tile = np.pad(tile, ((0, high - tile.shape[0]), (0, wide - tile.shape[1])))
                dataset.write_direct_chunk((top, left), zlib.compress(tile.tobytes(), _GZIP_LEVEL))
        self._n_frames = max(self._n_frames, frame_index + 1)

    def copy(self, source: Any, frame_index: int) -> None:
        """Add a frame as it is stored in another file, without unpacking it.

        Parameters
        ----------
        source : h5py.File
        frame_index : int
            A frame of it.
        """
        name = b"%d" % frame_index
        stored = self._h5.h5d.open(source.id, name)
        self._reserved.reserve(int(stored.get_storage_size()) + 4096)
        self._h5.h5o.copy(source.id, name, self._file.id, name)
        self._n_frames = max(self._n_frames, frame_index + 1)

    def close(self) -> None:
        """Write the scalars and close the file."""
        if not self._file:
            return
        total = self._n_frames if self._total is None else self._total
        for name, value in (("total_frames", total), ("height", self._size[0]), ("width", self._size[1])):
            self._file.create_dataset(name, data=np.int64(value))
        for name in ("roi_count", "n_rois"):
            self._file.create_dataset(name, data=np.uint8(self._n_rois))
        self._reserved.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            with contextlib.suppress(Exception):
                self._reserved.close()
