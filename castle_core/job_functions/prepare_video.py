"""The job that reads a video once, so that pages can show it: its index and its timeline."""

from typing import Any

from castle_core.progress import Task
from castle_core.projects import Project


def prepare_video(task: Task, *, project: str, owner: str, video: str) -> dict[str, Any]:
    """Build the index and the timeline of a project's video; both are kept, so a second run costs nothing.

    Parameters
    ----------
    task : Task
    project : str
        The project's folder.
    owner : str
        Unused; every job function has it.
    video : str
        Stem or file name.

    Returns
    -------
    dict
        ``video`` (stem) and ``n_frames``.
    """
    from castle_core.timeline import project_timeline

    del owner
    opened = Project.open(project)
    stem = opened.video(video).stem
    task.progress(0, 1, "Reading")
    timeline = project_timeline(opened, stem)
    task.progress(1, 1, "Read")
    return {"video": stem, "n_frames": timeline.n_frames}
