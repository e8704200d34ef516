"""A ROI's centroid as a point that latents can be read at."""

import io
from typing import Any

import numpy as np

from castle_core.errors import RoiError
from castle_core.files import atomic_path, make_folder
from castle_core.preprocess import Preprocess, measure_pose
from castle_core.progress import QUIET, Task, TaskPart
from castle_core.projects import Project
from castle_core.rois import MaskFile, find_masks


def write_roi_centroids(project: Project, names: list[str], roi: int, *, task: Task = QUIET) -> dict[str, Any]:
    """Write ``points/roi-<id>-centroid/<video>.csv`` (``frame,x,y``): the centroid of the ROI's largest piece.

    Parameters
    ----------
    project : Project
        Where masks and points live.
    names : list of str
        Videos; those without masks are left out.
    roi : int
        The ROI, 1 … 255.
    task : Task
        Progress in frames, publish.

    Returns
    -------
    dict
        ``key`` (the Point Key) and ``videos``: name → number of frames with the ROI.

    Raises
    ------
    RoiError
        If no video has masks, or a file cannot be read.
    """
    project.require_writable()
    key = f"roi-{roi}-centroid"
    settings = Preprocess(center_roi=roi)
    entries = [project.video(name) for name in names] if names else list(project.videos())
    entries = [entry for entry in entries if find_masks(project, entry.name).is_file()]
    if not entries:
        raise RoiError("None of these videos has tracked ROIs. Track them first.")
    seen: dict[str, int] = {}
    for number, entry in enumerate(entries):
        part = TaskPart(task, number, len(entries), entry.name)
        text = io.StringIO()
        text.write("frame,x,y\n")
        count = 0
        with MaskFile(find_masks(project, entry.name)) as masks:
            for frame_index in range(masks.n_frames):
                x, y, _, _ = measure_pose(masks.mask_at(frame_index), settings)
                if np.isfinite(x):
                    text.write(f"{frame_index},{x:.3f},{y:.3f}\n")
                    count += 1
                part.progress(frame_index + 1, masks.n_frames)
        seen[entry.name] = count
        if count:
            target = make_folder(project.path / "points" / key) / f"{entry.stem}.csv"
            with atomic_path(target, publish=task.publish) as temporary:
                temporary.write_text(text.getvalue(), encoding="utf-8")
    return {"key": key, "videos": seen}
