"""Which folders are projects, and where a project named on the command line lies."""

import os
from pathlib import Path

from castle_core.state import castle_home

_FOLDERS = ("videos", "sources", "labeled-data")
_FILES = ("project.json", "config.json")


def is_project(folder: Path) -> bool:
    """Say whether `folder` can be opened as a project.

    That is a folder of ours (``project.json``), of CASTLE (``config.json``, ``sources/``), of Lightning Pose or
    DeepLabCut (``labeled-data/``, ``videos/``), or any other with ``videos/`` or ``sources/`` in it.
    """
    try:
        return folder.is_dir() and (
            any((folder / name).is_dir() for name in _FOLDERS) or any((folder / name).is_file() for name in _FILES)
        )
    except OSError:
        return False


def find_projects(home: Path | None = None) -> list[Path]:
    """Return the project folders in `home` (by default `castle_home()`), sorted by name; hidden ones are left out."""
    home = castle_home() if home is None else home
    try:
        folders = [entry for entry in home.iterdir() if not entry.name.startswith(".")]
    except OSError:
        return []
    return sorted((folder for folder in folders if is_project(folder)), key=lambda folder: folder.name.casefold())


def resolve_project_path(project: str | os.PathLike[str]) -> Path:
    """Return the absolute folder that a user means by `project`, which need not exist.

    A bare name means the folder of that name in `castle_home()` if it is there, then the one in the current folder
    if it is there, else a new one in `castle_home()`. Anything with a slash (or ``~``) is a path.
    """
    text = os.fspath(project)
    if os.sep in text or text in {".", ".."} or text.startswith("~"):
        return Path(os.path.abspath(Path(text).expanduser()))
    at_home = castle_home() / text
    here = Path.cwd() / text
    if not at_home.is_dir() and here.is_dir():
        return here
    return at_home


def is_unused(path: Path) -> bool:
    """Say whether nothing is at a path, or an empty folder: a project can be made there."""
    return not path.exists() or (path.is_dir() and not any(path.iterdir()))
