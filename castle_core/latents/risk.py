"""The frames of a video on which a crop most likely goes wrong, to look at before an extraction."""

from typing import Any

import numpy as np
import numpy.typing as npt

from castle_core.latents.config import ExtractConfig
from castle_core.latents.opening import open_masks, requested_frames
from castle_core.preprocess import OK, STATUS_NAMES, Poses, measure_poses
from castle_core.progress import QUIET, Task
from castle_core.projects import Project


def risky_frames(
    project: Project, name: str, config: ExtractConfig, *, n_each: int = 3, task: Task = QUIET
) -> list[dict[str, Any]]:
    """Find frames where the ROI is lost, where the crop reaches furthest over the edge, or where it turns most.

    Parameters
    ----------
    project : Project
        Where video and masks live.
    name : str
        The video's name or stem.
    config : ExtractConfig
        With a centre ROI; without one nothing is cropped, so that nothing can go wrong.
    n_each : int
        How many frames of each kind at most.
    task : Task
        Progress in frames; cancel.

    Returns
    -------
    list of dict
        ``frame_index`` and ``reason``, in this order: lost (the longest losses first, each by its first frame), near
        the border, largest turn. A frame comes once.

    Raises
    ------
    RoiError, VideoError
        If masks or video cannot be read.
    """
    preprocess = config.preprocess
    if preprocess.center_roi is None:
        return []
    entry = project.video(name)
    with project.open_video(entry.stem) as video:
        masks = open_masks(project, entry.name, video, config)
        try:
            poses = measure_poses(
                masks,
                preprocess,
                video.n_frames,
                average_fps=video.average_fps,
                on_progress=lambda done, total: task.progress(done, total, "looking at every frame"),
            )
        finally:
            masks.close()
        wanted = np.zeros(video.n_frames, bool)
        chosen = requested_frames(video, config)
        wanted[chosen.start : chosen.stop] = True
        overhang = border_overhang(poses, config, video.width, video.height)
    found = _lost(poses, wanted, n_each)
    if overhang is not None:
        order = np.argsort(-np.where(wanted & (poses.status == OK), overhang, -1), kind="stable")
        for frame in order[: 50 * n_each]:
            if overhang[frame] <= 0 or sum(row["reason"].startswith("crop") for row in found) >= n_each:
                break
            if all(abs(int(frame) - row["frame_index"]) > 5 for row in found):
                found.append({"frame_index": int(frame), "reason": f"crop {overhang[frame]:.0f} px beyond the border"})
    if preprocess.tail_roi is not None:
        found += _turns(poses, wanted, n_each, {row["frame_index"] for row in found})
    return found


def border_overhang(poses: Poses, config: ExtractConfig, width: int, height: int) -> npt.NDArray[np.float64]:
    """Return how far (pixels, 0 if not) each frame's crop reaches over the picture's edge; (n,), 0 where unknown."""
    preprocess = config.preprocess
    half_width, half_height = preprocess.crop_width / 2, preprocess.crop_height / 2
    turn = np.radians(90 - poses.angle_deg) if preprocess.tail_roi is not None else np.zeros(len(poses.angle_deg))
    across = np.abs(np.cos(turn)) * half_width + np.abs(np.sin(turn)) * half_height
    along = np.abs(np.sin(turn)) * half_width + np.abs(np.cos(turn)) * half_height
    x, y = poses.center[:, 0], poses.center[:, 1]
    over = np.max([across - x, x + across - width, along - y, y + along - height], axis=0)
    return np.asarray(np.nan_to_num(np.maximum(over, 0.0)), np.float64)


def _lost(poses: Poses, wanted: npt.NDArray[np.bool_], n_each: int) -> list[dict[str, Any]]:
    lost = np.concatenate([[False], wanted & (poses.status != OK), [False]])
    starts, stops = np.flatnonzero(~lost[:-1] & lost[1:]), np.flatnonzero(lost[:-1] & ~lost[1:])
    order = np.argsort(starts - stops, kind="stable")[:n_each]
    return [
        {
            "frame_index": int(starts[run]),
            "reason": f"{STATUS_NAMES[poses.status[starts[run]]]}, {stops[run] - starts[run]} frames",
        }
        for run in order
    ]


def _turns(poses: Poses, wanted: npt.NDArray[np.bool_], n_each: int, taken: set[int]) -> list[dict[str, Any]]:
    """Return the frames whose heading differs most from that of the frame before."""
    turn = np.abs((np.diff(poses.angle_deg) + 180) % 360 - 180)
    usable = wanted[1:] & (poses.status[1:] == OK) & (poses.status[:-1] == OK) & np.isfinite(turn)
    turn = np.where(usable, turn, 0.0)
    frames = [int(place) + 1 for place in np.argsort(-turn, kind="stable")[: 4 * n_each] if turn[place] > 0]
    frames = [frame for frame in frames if frame not in taken][:n_each]
    return [{"frame_index": frame, "reason": f"turns by {turn[frame - 1]:.0f}° in one frame"} for frame in frames]
