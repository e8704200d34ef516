"""The job that makes a copy of a video that browsers can play."""

import os
from typing import Any

from castle_core.files import make_folder, write_error
from castle_core.progress import Task
from castle_core.projects import Project


def proxy(task: Task, *, project: str, owner: str, video: str) -> dict[str, Any]:
    """Make ``.castle/proxies/<stem>.mp4``, with the frames and times of the video; one that is up to date stays.

    Parameters
    ----------
    task : Task
    project : str
        The project's folder.
    owner : str
        Unused; every job function has it.
    video : str
        Stem or file name of a video of the project.

    Returns
    -------
    dict
        ``path`` of the copy.
    """
    from castle_core.video import make_proxy

    del owner
    opened = Project.open(project)
    with opened.open_video(video):  # says clearly what is wrong with a file that cannot be read
        entry = opened.video(video)
    target = opened.proxy_path(entry.stem)
    if not opened.has_proxy(entry.stem):
        made = make_folder(target.parent) / f".{target.stem[:50]}.made.mp4"
        try:
            make_proxy(entry.path, made, task)
            read = entry.path.stat()
            os.utime(made, ns=(read.st_atime_ns, read.st_mtime_ns))
            task.publish(made, target)
        except OSError as error:
            raise write_error(target, error) from error
        finally:
            made.unlink(missing_ok=True)
    return {"path": str(target)}
