"""Adding videos to a project: links to files that lie elsewhere, and finished uploads; never two of one stem."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from castle_core.errors import NameRefusedError, VideoError
from castle_core.files import atomic_path, current_umask, locked, make_folder, nfc, safe_name, write_error
from castle_core.progress import Task
from castle_core.projects.removed import check_same_video
from castle_core.projects.videos import VideoEntry, is_video_name, stem_key
from castle_core.video.container import open_container

if TYPE_CHECKING:
    from castle_core.projects.project import Project


def offer_name(project: "Project", source: Path) -> str:
    """Return a stem under which `source` can be added: its own, else ``<parent folder>_<its own>``.

    Raises
    ------
    NameRefusedError
        If both are taken (letter case aside), or the name cannot be used.
    """
    path = Path(os.path.abspath(source))
    _check_video_name(path.name)
    taken = {stem_key(entry.stem) for entry in project.videos()}
    own = nfc(path.stem)
    with_parent = f"{nfc(path.parent.name)}_{own}"
    for stem in (own, with_parent):
        if stem_key(stem) not in taken:
            safe_name(stem + path.suffix)
            return stem
    raise NameRefusedError(
        f"The project has videos named {own} and {with_parent} already. Rename the new one and add it again."
    )


def link_video(project: "Project", source: Path, stem: str | None) -> VideoEntry:
    """Link a video that lies elsewhere into ``videos/``; its source is never touched.

    Parameters
    ----------
    project : Project
    source : Path
        The video file. A file that is linked already gives the entry it has.
    stem : str, optional
        Name in the project; by default the source's own.

    Raises
    ------
    VideoError
        If there is no such file, or it is not a video.
    NameRefusedError
        If another video of the project has that stem (letter case aside); the message holds the offer.
    """
    path = Path(os.path.abspath(source))
    if not path.is_file():
        raise VideoError(f"There is no video file {path}. Check its name and that its drive is connected.")
    for entry in project.videos():
        if (stem is None or nfc(stem) == entry.stem) and not entry.missing and entry.path.samefile(path):
            return entry
    project.require_writable()
    name = nfc((path.stem if stem is None else stem) + path.suffix)
    _check_video_name(name)
    open_container(path)[0].close()
    with _claimed(project, name, path) as target:
        check_same_video(project, Path(name).stem, path)
        try:
            os.symlink(path, target)
        except OSError as error:
            raise write_error(target, error) from error
    return project.video(Path(name).stem)


def adopt_video(project: "Project", finished: Path, name: str, task: Task) -> VideoEntry:
    """Move a finished upload into ``videos/`` under `name`, in one step.

    Parameters
    ----------
    project : Project
    finished : Path
        The complete file, which is ours to move.
    name : str
        The file name that the user gave it.
    task : Task
        Its `publish` renames the file.

    Raises
    ------
    NameRefusedError
        If the name cannot be used, or another video has the stem.
    ProjectError
        If the project cannot be written.
    """
    project.require_writable()
    with _claimed(project, nfc(name), None) as target:
        check_same_video(project, Path(nfc(name)).stem, finished)
        try:
            if finished.stat().st_dev == target.parent.stat().st_dev:
                with contextlib.suppress(OSError):  # file systems without rights
                    finished.chmod(0o666 & ~current_umask())
                task.publish(finished, target)
            else:
                with atomic_path(target, publish=task.publish) as temporary:
                    shutil.copyfile(finished, temporary)
                finished.unlink(missing_ok=True)
        except OSError as error:
            raise write_error(target, error) from error
    return project.video(Path(nfc(name)).stem)


@contextlib.contextmanager
def _claimed(project: "Project", name: str, source: Path | None) -> Iterator[Path]:
    """Hold the lock on the project's video names while one is added; give its path."""
    _check_video_name(name)
    folder = make_folder(project.path / "videos")
    with locked(project.cache_dir / "videos"):
        stem = Path(name).stem
        if stem_key(stem) in {stem_key(entry.stem) for entry in project.videos()}:
            offer = "Rename it and add it again."
            if source is not None:
                with contextlib.suppress(NameRefusedError):
                    offer = f"Add it as {project.offer_name(source)!r} instead?"
            raise NameRefusedError(f"The project has a video named {stem!r} already. {offer}")
        yield folder / name


def _check_video_name(name: str) -> None:
    safe_name(name)
    if not is_video_name(name):
        raise NameRefusedError(
            f"{name!r} does not look like a video. Videos end in .mp4, .avi, .mov, .mkv, .webm or another video ending."
        )
