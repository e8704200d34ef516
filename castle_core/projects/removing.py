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
from castle_core.projects.videos import VideoEntry, files_of

if TYPE_CHECKING:
    from castle_core.projects.project import Project


def remove_video(project: "Project", name_or_stem: str) -> tuple[Path, ...]:
    """Take a video out of ``videos/`` and ``sources/``; its frames, labels, masks and latents stay.

    Links are removed, and what they lead to is never touched. A file of the project is moved to
    ``.castle/trash/<time>/``. Adding the same video again finds all that was made of it.

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
    entry = project.video(name_or_stem)
    project.require_writable()
    _require_unused(project, entry)
    moved = []
    with locked(project.cache_dir / "videos"):
        paths = files_of(project.path, entry)
        for path in paths:
            if not path.parent.resolve().is_relative_to(project.path.resolve()):
                raise ProjectError(
                    f"{path.parent} leads to a folder outside of the project, which is never changed. "
                    f"Take {entry.name} out of it there."
                )
        project.proxy_path(entry.stem).unlink(missing_ok=True)
        for path in sorted(paths, key=lambda path: not path.is_symlink()):  # a link never leads nowhere for long
            try:
                if path.is_symlink():
                    path.unlink()
                else:
                    moved.append(_to_trash(project, path))
            except OSError as error:
                raise write_error(path, error) from error
    for name in {path.name for path in paths}:
        castle_registry.forget_source(project, name)
    return tuple(moved)


def _to_trash(project: "Project", path: Path) -> Path:
    folder = make_folder(project.cache_dir / "trash" / time.strftime("%Y%m%d-%H%M%S"))
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
        if (names | boards) & set(_texts(job.settings)):
            raise ProjectError(
                f"{entry.name} is in use: {job.title or job.kind}. Wait until that job has ended, or cancel it."
            )
    if boards:
        raise ProjectError(f"Frames of {entry.name} wait to be looked at. Write or discard them first.")


def _texts(value: Any) -> Iterator[str]:
    """Give every text in JSON values, and its stem as a file's name: settings name a video in either way."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield nfc(Path(value).stem)
        yield nfc(value)
