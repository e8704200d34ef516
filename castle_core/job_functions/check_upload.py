"""The job that looks at a new video before it appears in the project."""

from pathlib import Path
from typing import Any

from castle_core.errors import ProjectError, VideoError
from castle_core.files import make_folder, nfc
from castle_core.progress import Task
from castle_core.projects import Project


def check_upload(task: Task, *, project: str, owner: str, path: str, name: str) -> dict[str, Any]:
    """Check that an uploaded file is a readable video, build its index, and move it into ``videos/`` in one step.

    The first frame must decode. A file that fails stays where it is. If an attempt before this one has moved it, what
    is in the project is reported.

    Parameters
    ----------
    task : Task
    project : str
        The project's folder.
    owner : str
        Unused; every job function has it.
    path : str
        The complete uploaded file, which is ours to move.
    name : str
        The file name that the user gave it.

    Returns
    -------
    dict
        ``video`` (stem), ``name``, ``n_bytes``, ``n_frames``, ``width``, ``height``, ``average_fps``, ``duration_s``.

    Raises
    ------
    VideoError
        If the file is no video, has no frames, or its first frame cannot be decoded.
    NameRefusedError
        If the name cannot be used, or another video of the project has its stem.
    """
    from castle_core.video import open_video

    del owner
    opened = Project.open(project)
    source = Path(path)
    task.progress(0, 2, "Reading")
    if not source.is_file():
        entry = next((entry for entry in opened.videos() if entry.name == nfc(name)), None)
        if entry is None:
            raise ProjectError(f"The uploaded file of {name} is gone. Upload it again.")
        return _describe(opened, entry.stem)
    try:
        with open_video(source, cache_dir=make_folder(opened.cache_dir / "index")) as video:
            if video.n_frames < 1:
                raise VideoError("there is no frame in it")
            video.frame_at(0)
    except VideoError as error:
        reason = str(error).replace(str(source), name).replace(source.name, name)
        raise VideoError(f"{name} was not added to the project: {reason}") from error
    task.progress(1, 2, "Adding")
    entry = opened.adopt_video(source, name, task)
    task.progress(2, 2, "Added")
    return _describe(opened, entry.stem)


def _describe(project: Project, stem: str) -> dict[str, Any]:
    entry = project.video(stem)
    with project.open_video(stem) as video:
        return {
            "video": stem,
            "name": entry.name,
            "n_bytes": entry.path.stat().st_size,
            "n_frames": video.n_frames,
            "width": video.width,
            "height": video.height,
            "average_fps": float(video.average_fps),
            "duration_s": float(video.info.duration_s),
        }
