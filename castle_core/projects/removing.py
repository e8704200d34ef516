"""Taking a video out of a project: a link is removed, a file goes to the trash; nothing that was made of it goes."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from castle_core.errors import ProjectError
from castle_core.files import locked, make_folder, nfc, write_error
from castle_core.projects import castle_registry
from castle_core.projects.removed import note_removed
from castle_core.projects.videos import VideoEntry, files_of

if TYPE_CHECKING:
    from castle_core.projects.project import Project


def remove_video(project: "Project", name_or_stem: str) -> tuple[Path, ...]:
    """Take a video out of ``videos/`` and ``sources/``; its frames, labels, masks and latents stay.

    Links are removed, and what they lead to is never touched. A file of the project is moved to
    ``removed-videos/<time>/``. Adding the same video again finds all that was made of it; another video of its name is
    refused for as long as anything is there (see `castle_core.projects.removed`).

    Parameters
    ----------
    project : Project
    name_or_stem : str

    Returns
    -------
    tuple of Path
        Where files of the project went; empty where only links were removed.

    Raises
    ------
    ProjectError
        If there is no such video, the project cannot be written, a job or a board needs the video, or its file lies in
        a folder outside of the project.
    """
    project.require_writable()
    moved = []
    with locked(project.cache_dir / "videos"):
        entry = project.video(name_or_stem)
        _require_unused(project, entry)
        paths = list({(path.parent.resolve(), path.name): path for path in files_of(project.path, entry)}.values())
        for path in paths:
            if not path.parent.resolve().is_relative_to(project.path.resolve()):
                raise ProjectError(
                    f"{path.parent} leads to a folder outside of the project, which is never changed. "
                    f"Take {entry.name} out of it there."
                )
        _require_no_other_link(project, entry)
        note_removed(project, entry)
        project.proxy_path(entry.stem).unlink(missing_ok=True)
        for path in sorted(paths, key=lambda path: not path.is_symlink()):  # a link never leads nowhere for long
            try:
                if path.is_symlink():
                    path.unlink(missing_ok=True)
                else:
                    moved.append(_put_aside(project, path))
            except OSError as error:
                raise write_error(path, error) from error
    for name in {path.name for path in paths}:
        castle_registry.forget_source(project, name)
    return tuple(moved)


def _require_no_other_link(project: "Project", entry: VideoEntry) -> None:
    for other in project.videos():
        leads_here = other.stem != entry.stem and other.is_link and not other.missing
        if leads_here and not entry.is_link and other.path.samefile(entry.path):
            raise ProjectError(f"{other.name} is a link to {entry.name}. Remove {other.name} first.")


def _put_aside(project: "Project", path: Path) -> Path:
    folder = make_folder(project.path / "removed-videos" / time.strftime("%Y%m%d-%H%M%S"))
    kept, number = folder / path.name, 1
    while os.path.lexists(kept):
        number += 1
        kept = folder / f"{number}-{path.name}"
    shutil.move(path, kept)
    return kept


def _require_unused(project: "Project", entry: VideoEntry) -> None:
    from castle_core.boards import list_boards
    from castle_core.jobs import JobTable

    names = {entry.stem, entry.name, str(entry.path)}
    boards = {board.id for board in list_boards(project) if entry.stem in {each.stem for each in board.videos}}
    for job in JobTable().list(project=project.path, states=["queued", "running"], limit=1000):
        # A job without a choice of videos takes them all.
        takes_all = "videos" in job.settings and not job.settings["videos"]
        if takes_all or (names | boards) & set(_texts(job.settings)):
            raise ProjectError(
                f"{entry.name} is in use: {job.title or job.kind}. Wait until that job has ended, or cancel it."
            )
    if boards:
        raise ProjectError(f"Frames of {entry.name} wait to be looked at. Write or discard them first.")


def _texts(value: Any) -> Iterator[str]:
    """Give every text in JSON values: settings name a video by its stem, its file or its path."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield nfc(value)
