"""Small repairs of finished masks: short losses filled, specks dropped."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from castle_core.errors import ConfigError, RoiError
from castle_core.progress import QUIET, Task
from castle_core.projects import Project
from castle_core.rois import Mask, MaskFile, find_masks
from castle_core.tracking.output import Target, rewrite_masks
from castle_core.tracking.record import TrackSummary


def fill_gaps(before: npt.NDArray[np.bool_], after: npt.NDArray[np.bool_], share: float) -> npt.NDArray[np.bool_]:
    """Return a shape between two others.

    The signed distances to both outlines are mixed, after both shapes were moved to the place in between.

    Parameters
    ----------
    before, after : (H, W) bool
        The last shape before a gap and the first one after it; neither is empty.
    share : float
        0 (before) … 1 (after).
    """
    import cv2

    def centre(shape: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        ys, xs = np.nonzero(shape)
        return np.array([xs.mean(), ys.mean()])

    one, other = centre(before), centre(after)
    middle = one + share * (other - one)
    mixed = np.zeros(before.shape, np.float32)
    for shape, place, weight in ((before, one, 1 - share), (after, other, share)):
        inside = cv2.distanceTransform(shape.astype(np.uint8), cv2.DIST_L2, 3)
        outside = cv2.distanceTransform((~shape).astype(np.uint8), cv2.DIST_L2, 3)
        shift = np.array([[1, 0, middle[0] - place[0]], [0, 1, middle[1] - place[1]]], np.float32)
        moved = cv2.warpAffine(
            inside - outside,
            shift,
            (shape.shape[1], shape.shape[0]),
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=-1e3,
        )
        mixed += np.float32(weight) * moved
    return np.asarray(mixed > 0)


def drop_specks(mask: Mask, smallest: int) -> Mask:
    """Return a mask without pieces of a ROI that are smaller than `smallest` pixels; its largest piece always stays.

    Parameters
    ----------
    mask : (H, W) uint8
        ROI ids.
    smallest : int
    """
    import cv2

    result = mask.copy()
    for roi in np.unique(mask):
        if not roi:
            continue
        count, labels, stats, _ = cv2.connectedComponentsWithStats((mask == roi).astype(np.uint8), connectivity=8)
        if count <= 2:
            continue
        areas = stats[1:, cv2.CC_STAT_AREA]
        small = np.flatnonzero(areas < smallest)
        small = small[small != int(areas.argmax())] + 1
        result[np.isin(labels, small)] = 0
    return result


def mend_masks(
    project: Project, stem: str, *, longest_gap: int = 0, smallest_piece: int = 0, task: Task = QUIET
) -> tuple[TrackSummary, int]:
    """Fill losses of up to `longest_gap` frames and drop pieces below `smallest_piece` pixels in a video's masks.

    Only losses that begin and end with the ROI are filled, on tracked frames that follow each other; another ROI's
    pixels are never taken. The earlier file is kept in ``.castle/trash``.

    Returns
    -------
    tuple of TrackSummary and int
        What the masks are now, and on how many frames they differ from before.

    Raises
    ------
    ConfigError
        If there is nothing to do.
    RoiError
        If the video has no masks, or they are damaged.
    """
    if longest_gap < 0 or smallest_piece < 0 or not (longest_gap or smallest_piece):
        raise ConfigError("Say how long a gap (frames) or how small a speck (pixels) is to be mended, above 0.")
    project.require_writable()
    entry = project.video(stem)
    path = find_masks(project, entry.name)
    if not path.is_file():
        raise RoiError(f"{entry.name} has no masks yet. Track it first.")
    with project.open_video(entry.stem) as video:
        target = Target(path, entry.name, video.n_frames, video.height, video.width, project.cache_dir)
    what: dict[str, Any] = {
        "mended": {"longest_gap": longest_gap, "smallest_piece": smallest_piece},
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }

    def change(earlier: TrackSummary) -> Iterator[tuple[int, Mask]]:
        with MaskFile(path) as masks:
            yield from _changed(masks, earlier, _gaps(earlier, longest_gap), smallest_piece, task)

    return rewrite_masks(target, change, what, task)


def _gaps(summary: TrackSummary, longest: int) -> dict[int, list[tuple[int, int, int]]]:
    """Return for each frame to fill the ROIs with the frames before and after the gap."""
    fills: dict[int, list[tuple[int, int, int]]] = {}
    for roi, values in summary.rois.items():
        present = values.area > 0
        seen = np.flatnonzero(present)
        for before, after in zip(seen[:-1].tolist(), seen[1:].tolist(), strict=True):
            if 1 < after - before <= longest + 1 and summary.tracked[before : after + 1].all():
                for frame in range(before + 1, after):
                    fills.setdefault(frame, []).append((roi, before, after))
    return fills


def _changed(
    masks: MaskFile,
    summary: TrackSummary,
    fills: dict[int, list[tuple[int, int, int]]],
    smallest: int,
    task: Task,
) -> Iterator[tuple[int, Mask]]:
    frames = np.flatnonzero(summary.tracked).tolist() if smallest else sorted(fills)
    for number, frame in enumerate(frames):
        task.progress(number, len(frames), "mending")
        mask = masks.mask_at(frame)
        if mask is None:
            continue
        mended = drop_specks(mask, smallest) if smallest else mask.copy()
        for roi, before, after in fills.get(frame, ()):
            first, last = masks.mask_at(before), masks.mask_at(after)
            if first is None or last is None or not (first == roi).any() or not (last == roi).any():
                continue
            shape = fill_gaps(first == roi, last == roi, (frame - before) / (after - before))
            mended[shape & (mended == 0)] = roi
        if not np.array_equal(mended, mask):
            yield frame, mended
