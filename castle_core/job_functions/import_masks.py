"""The job that takes CASTLE's ``mask_list.h5`` into a project."""

from pathlib import Path
from typing import Any

from castle_core.progress import Task
from castle_core.projects import Project
from castle_core.roi_files import import_masks as import_file


def import_masks(task: Task, *, project: str, owner: str, file: str, video: str) -> dict[str, Any]:
    """Check every mask of a file and copy it to where the video's masks belong; the earlier ones go to the trash.

    Parameters
    ----------
    task : Task
    project : str
        The project's folder.
    owner : str
        Unused; every job function has it.
    file : str
        Path of the mask file.
    video : str
        Stem or file name of the video.

    Returns
    -------
    dict
        ``path``, ``frames``, ``rois``, and ``lost``: id (as text, for JSON) → frames without it.
    """
    del owner
    report = import_file(Project.open(project), video, Path(file), task=task)
    lost = {str(roi): count for roi, count in report.lost.items()}
    return {"path": str(report.path), "frames": report.frames, "rois": list(report.rois), "lost": lost}
