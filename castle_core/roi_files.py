"""Bring masks into a project: CASTLE's files as they are, and shapes drawn around predicted keypoints."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from castle_core.errors import RoiError
from castle_core.files import atomic_path, locked, make_folder
from castle_core.latents.plan import replace_keeping
from castle_core.mask_writer import MaskListWriter
from castle_core.predictions import load_predictions
from castle_core.progress import QUIET, Task
from castle_core.projects import Project
from castle_core.rois import KeypointMasks, KeypointShape, MaskFile, MaskSource, find_masks

_LOCK_S = 120.0


@dataclass(frozen=True)
class RoiReport:
    """What a mask file holds.

    Attributes
    ----------
    path : Path
        ``track/<video file name>/mask_list.h5``.
    frames : int
        Frames that have a mask.
    rois : tuple of int
        Ids that occur.
    lost : dict of int to int
        For each id, the number of frames with a mask in which it does not occur.
    """

    path: Path
    frames: int
    rois: tuple[int, ...]
    lost: dict[int, int]


def import_masks(project: Project, video_name: str, source: Path, *, task: Task = QUIET) -> RoiReport:
    """Copy a ``mask_list.h5`` to where its video's masks belong, after checking every frame of it.

    A mask file that is there already is moved to ``.castle/trash``.

    Raises
    ------
    RoiError
        If the file is damaged, or its masks are of another size or longer than the video.
    ProjectError
        If the copy cannot be written; the old file stays then.
    """
    entry = project.video(video_name)
    project.require_writable()
    target = find_masks(project, entry.name)
    with project.open_video(entry.stem) as video, MaskFile(source) as masks:
        if (masks.height, masks.width) != (video.height, video.width):
            raise RoiError(
                f"The masks in {source.name} are {masks.width} x {masks.height}, {entry.name} is {video.width} x "
                f"{video.height}. They belong to another video."
            )
        if masks.frame_indices[-1] >= video.n_frames:
            raise RoiError(
                f"{source.name} has a mask for frame {masks.frame_indices[-1]}, but {entry.name} ends at frame "
                f"{video.n_frames - 1}. They belong to another video."
            )
        report = _scan(masks, [int(i) for i in masks.frame_indices], target, task)
    if target.exists() and target.samefile(source):
        return report
    make_folder(target.parent)
    with atomic_path(target, publish=_making_room(project, task)) as temporary:
        shutil.copyfile(source, temporary)
    return report


def masks_from_points(
    project: Project,
    video_name: str,
    predictions: Path,
    *,
    keypoints: tuple[str, ...],
    shape: KeypointShape = "disc",
    radius: float = 20.0,
    roi_id: int = 1,
    likelihood_threshold: float = 0.6,
    task: Task = QUIET,
) -> RoiReport:
    """Draw one ROI around predicted keypoints, frame by frame, and write it as the video's masks.

    ROIs with other ids that the video has already are kept; where they overlap, the new one lies on top. The file that
    is replaced is moved to ``.castle/trash``.

    Parameters
    ----------
    predictions : Path
        Any format that `load_predictions` reads.
    keypoints : tuple of str
        Names, in the order in which a capsule joins them.
    shape, radius, roi_id, likelihood_threshold
        See `KeypointMasks`.

    Raises
    ------
    RoiError
        If a keypoint is not in the predictions, or shape, radius or id cannot be.
    PredictionError, ProjectError
        If the predictions cannot be read or the masks cannot be written.
    """
    entry = project.video(video_name)
    project.require_writable()
    table = load_predictions(predictions, video_name=entry.name)
    unknown = [name for name in keypoints if name not in table.keypoints]
    if unknown or not keypoints:
        raise RoiError(f"{predictions.name} has no keypoint {', '.join(unknown)}. It has {', '.join(table.keypoints)}.")
    columns = [table.keypoints.index(name) for name in keypoints]
    likelihood = np.where(np.isnan(table.likelihood), 1.0, table.likelihood)[:, columns]
    target = find_masks(project, entry.name)
    make_folder(target.parent)
    with project.open_video(entry.stem) as video:
        drawn = KeypointMasks(
            table.xy[:, columns],
            likelihood,
            height=video.height,
            width=video.width,
            shape=shape,
            radius=radius,
            roi_id=roi_id,
            threshold=likelihood_threshold,
        )
        earlier = MaskFile(target) if target.is_file() else None
        n_rois = max(roi_id, earlier.n_rois if earlier else 0)
        try:
            with atomic_path(target, publish=_making_room(project, task, earlier, joined=True)) as temporary:
                box = (0, 0, video.width, video.height)
                with MaskListWriter(temporary, width=video.width, height=video.height, n_rois=n_rois) as writer:
                    for frame_index in range(video.n_frames):
                        writer.write(_merged(drawn, earlier, frame_index, roi_id), box)
                        task.progress(frame_index + 1, video.n_frames, "frames")
                # HDF5 can lose writes to a full disk without a word: only a file that reads back gets its name.
                with MaskFile(temporary) as written:
                    report = _scan(written, list(range(video.n_frames)), target, task)
        finally:
            if earlier is not None:
                earlier.close()
    return report


def _merged(drawn: KeypointMasks, earlier: MaskFile | None, frame_index: int, roi_id: int) -> np.ndarray:
    mask = drawn.mask_at(frame_index)
    if mask is None:
        mask = np.zeros((drawn.height, drawn.width), np.uint8)
    before = earlier.mask_at(frame_index) if earlier else None
    if before is None:
        return mask
    return np.where(mask == roi_id, mask, np.where(before == roi_id, 0, before)).astype(np.uint8)


def _making_room(
    project: Project, task: Task, earlier: MaskFile | None = None, *, joined: bool = False
) -> Callable[[Path, Path], None]:
    """Return a publisher that keeps the earlier masks in the trash, and waits for whoever is writing them.

    With `joined`, the new masks hold those of `earlier` (or that there were none): what was written since is not in
    them, so they are refused then.
    """

    def publish(temporary: Path, final: Path) -> None:
        with locked(final, timeout_s=_LOCK_S):
            if joined and earlier is not None:
                earlier.check_unchanged()
            elif joined and final.exists():
                raise RoiError(f"{final} was written meanwhile. Run this again once tracking is over.")
            if not final.exists():
                task.publish(temporary, final)
                return
            kept = replace_keeping(temporary, final, project.cache_dir, task.publish)
            task.log(f"  the earlier masks were moved to {kept}")

    return publish


def _scan(masks: MaskSource, frame_indices: list[int], path: Path, task: Task) -> RoiReport:
    """Read every mask once and count where each ROI is."""
    present = np.zeros(256, np.int64)
    for number, frame_index in enumerate(frame_indices):
        mask = masks.mask_at(frame_index)
        if mask is None:
            raise RoiError(f"The mask of frame {frame_index} is missing in {path}. Is the disk full? Try again.")
        present += np.bincount(mask.ravel(), minlength=256) > 0
        task.progress(number + 1, len(frame_indices), "checking masks")
    ids = [int(i) for i in np.flatnonzero(present) if i]
    n = len(frame_indices)
    return RoiReport(path, n, tuple(ids), {roi: n - int(present[roi]) for roi in ids})
