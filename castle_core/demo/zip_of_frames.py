"""A zip of frames in the strict form, painted for the demo project: runs of five frames around each chosen one."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from castle_core.files import atomic_path

CONTEXT = 2


def write_zip_of_frames(path: Path, frames: Iterator[np.ndarray], chosen: tuple[int, ...]) -> Path:
    """Write ``img%08d.png`` for every chosen frame and two on each side, and ``selected_frames.csv``.

    Parameters
    ----------
    path : Path
        The zip; its stem is the name of the video.
    frames : iterator of numpy.ndarray
        (H, W, 3) uint8 RGB, from frame 0 on; read no further than needed.
    chosen : tuple of int
        Frames to label, ascending, at least `CONTEXT` from the beginning.
    """
    wanted = {centre + step for centre in chosen for step in range(-CONTEXT, CONTEXT + 1)}
    last = max(wanted)
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for frame_index, rgb in enumerate(frames):
            if frame_index in wanted:
                done, data = cv2.imencode(".png", rgb[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
                assert done, "OpenCV could not encode a PNG"
                archive.writestr(_entry(f"img{frame_index:08d}.png"), data.tobytes())
            if frame_index >= last:
                break
        names = "".join(f"img{frame_index:08d}.png\n" for frame_index in chosen)
        archive.writestr(_entry("selected_frames.csv"), names)
    return path


def _entry(name: str) -> zipfile.ZipInfo:
    # a fixed date keeps the file the same for the same seed
    entry = zipfile.ZipInfo(name, date_time=(2026, 1, 12, 9, 30, 0))
    entry.external_attr = 0o644 << 16
    return entry
