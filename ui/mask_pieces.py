"""Masks of some frames for the player, small enough to send while the video plays."""

import gzip
import struct
from pathlib import Path

import numpy as np

from castle_core.errors import FrameIndexError
from castle_core.projects import Project
from castle_core.rois import MaskFile, find_masks

MOST_FRAMES = 64
WIDTH = 400


def masks_version(project: Project, video_name: str) -> str:
    """Return a short text that changes with a video's masks; empty where there are none."""
    try:
        status = find_masks(project, video_name).stat()
    except OSError:
        return ""
    return f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"


def mask_piece(path: Path, start: int, stop: int) -> bytes:
    """Return the masks of the frames [start, stop) of a mask file, at most `WIDTH` pixels wide.

    Returns
    -------
    bytes
        Packed with gzip: width, height and number of frames (uint16, little-endian), a byte a frame (1 where it was
        tracked), then the masks, a byte a pixel. Pixels are never mixed, so that only ids that exist are sent.

    Raises
    ------
    FrameIndexError
        If the range is empty or too long.
    RoiError
        If the file or a mask cannot be read.
    """
    if not 0 <= start < stop <= start + MOST_FRAMES:
        raise FrameIndexError(f"Masks of frames {start} to {stop} cannot be sent: ask for 1 to {MOST_FRAMES} frames.")
    with MaskFile(path) as masks:
        every = max(1, -(-masks.width // WIDTH))
        shape = masks.width // every, masks.height // every
        pieces, tracked = [], bytearray()
        for frame_index in range(start, stop):
            mask = masks.mask_at(frame_index)
            tracked.append(mask is not None)
            small = np.zeros(shape[::-1], np.uint8) if mask is None else _smaller(mask, every, shape)
            pieces.append(small.tobytes())
    return gzip.compress(struct.pack("<HHH", *shape, stop - start) + bytes(tracked) + b"".join(pieces), 1)


def _smaller(mask: np.ndarray, every: int, shape: tuple[int, int]) -> np.ndarray:
    """Take one pixel of each square of `every` pixels: the largest id, so that nothing thin is lost."""
    if every == 1:
        return mask
    width, height = shape
    squares = mask[: height * every, : width * every].reshape(height, every, width, every)
    largest: np.ndarray = squares.max(axis=(1, 3))
    return largest
