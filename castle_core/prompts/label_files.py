"""CASTLE's one-shot label files, ``label/<video file name>/<frame>.npz``: a frame and its mask."""

import contextlib
import zipfile
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from castle_core.errors import RoiError
from castle_core.files import atomic_path, make_folder
from castle_core.projects import Project
from castle_core.prompts.prompt import Prompt


def labelled_frames(project: Project, stem: str) -> dict[int, Path]:
    """Return a video's label files by frame index, sorted; the decimal index is the file's name."""
    folder = _folder(project, stem)
    found: dict[int, Path] = {}
    with contextlib.suppress(OSError):
        for path in folder.glob("*.npz"):
            if path.stem.isascii() and path.stem.isdigit():
                found[int(path.stem)] = path
    return dict(sorted(found.items()))


def _folder(project: Project, stem: str) -> Path:
    return project.path / "label" / project.video(stem).name


def read_label_file(path: Path) -> tuple[Prompt, ...]:
    """Read one label file as mask prompts, one a ROI.

    Parameters
    ----------
    path : Path
        ``<frame>.npz`` with ``mask``, (H, W) uint8; its ``frame`` is not needed.

    Raises
    ------
    RoiError
        If it is damaged, holds no (H, W) uint8 ``mask``, or its name is no frame index.
    """
    if not (path.stem.isascii() and path.stem.isdigit()):
        raise RoiError(f"{path.name} is no label file: its name must be the frame's index, as in 143.npz.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            mask = np.asarray(archive["mask"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise RoiError(f"{path} cannot be read as a label file ({error}). Draw that frame again.") from error
    if mask.ndim != 2 or mask.dtype != np.uint8:
        raise RoiError(f"The mask in {path} is {mask.dtype} {mask.shape}, not uint8 (height, width).")
    frame_index = int(path.stem)
    return tuple(Prompt(frame_index, int(roi), "mask", mask == roi) for roi in np.unique(mask) if roi)


def write_label_file(
    project: Project,
    stem: str,
    frame_index: int,
    frame: npt.NDArray[np.uint8],
    mask: npt.NDArray[np.uint8],
) -> Path:
    """Write one label file as CASTLE does.

    Parameters
    ----------
    frame : (H, W, 3) uint8 array
        RGB.
    mask : (H, W) uint8 array
        ROI ids.

    Raises
    ------
    RoiError
        If the mask is empty or of another size than the frame.
    ProjectError
        If it cannot be written.
    """
    if frame.ndim != 3 or frame.shape[2] != 3 or mask.shape != frame.shape[:2] or mask.dtype != np.uint8:
        raise RoiError(f"Frame {frame_index}: the mask {mask.shape} does not fit the picture {frame.shape}.")
    if not mask.any():
        raise RoiError(f"Nothing with an area is drawn on frame {frame_index}. Draw a box, polygon or brush stroke.")
    project.require_writable()
    folder = make_folder(_folder(project, stem))
    path = folder / f"{frame_index}.npz"
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        np.savez_compressed(stream, frame=frame, mask=mask)
    return path
