"""The job that makes the demo project."""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from castle_core.errors import ProjectError
from castle_core.files import make_folder
from castle_core.progress import Task


def demo(
    task: Task, *, project: str, owner: str, seconds: float = 60.0, size: Sequence[int] = (640, 480), seed: int = 0
) -> dict[str, Any]:
    """Make a complete made-up project (see `castle_core.demo.make_demo`).

    It grows in a hidden folder beside its final place and gets its name in one step: nobody opens half of it, and an
    attempt after a crash starts clean.

    Parameters
    ----------
    task : Task
    project : str
        Where it will be; nothing, or an empty folder.
    owner : str
        Unused; every job function has it.
    seconds, size, seed
        Length of each video, its width and height in pixels, and what makes each demo its own.

    Returns
    -------
    dict
        ``project`` (its folder) and ``videos`` (file names).
    """
    from castle_core.demo import make_demo
    from castle_core.projects import Project

    del owner
    final = Path(project)
    if (final / "project.json").is_file():
        return _describe(Project.open(final))
    if final.exists() and any(final.iterdir()):
        raise ProjectError(f"{final} exists already and is not empty. Choose another name for the demo project.")
    make_folder(final.parent)
    growing = final.with_name(f".{final.name}.{hashlib.sha256(project.encode()).hexdigest()[:8]}.part")
    if growing.exists():
        shutil.rmtree(growing)
    try:
        make_demo(growing, seconds=float(seconds), size=(int(size[0]), int(size[1])), seed=int(seed), task=task)
        task.publish(growing, final)
    except BaseException:
        shutil.rmtree(growing, ignore_errors=True)
        raise
    return _describe(Project.open(final))


def _describe(project: Any) -> dict[str, Any]:
    return {"project": str(project.path), "videos": [video.name for video in project.videos()]}
