"""What was pulled already, kept in the project's own cache: losing it costs one full pull and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from castle_core.errors import ProjectError
from castle_core.files import atomic_write_json, make_folder
from castle_core.label_studio.credentials import credentials_id
from castle_core.label_studio.known import KnownTasks
from castle_core.label_studio.target import remembered
from castle_core.projects.documents import read_document

if TYPE_CHECKING:
    from castle_core.projects import Project

_FORMAT = 1


@dataclass
class PullState:
    """What is known of each frame (lp_path) that was pulled from one Label Studio project.

    Attributes
    ----------
    keypoints : tuple of str
        The project's keypoints then: with other ones, every task is read again.
    frames : dict
        lp_path → ``task`` (number), ``updated_at``, ``state`` (see `Said`), ``origins``, ``moved``, ``removed``,
        ``notes``.
    """

    keypoints: tuple[str, ...] = ()
    frames: dict[str, dict[str, Any]] = field(default_factory=dict)


def state_path(project: "Project", url: str, ls_project: int) -> Path:
    """Return the file of what was pulled from a Label Studio project."""
    folder = make_folder(project.cache_dir / "label-studio")
    return folder / f"{credentials_id(url, '')}-{ls_project}.json"


def read_state(project: "Project", url: str, ls_project: int) -> PullState:
    """Read what was pulled; a damaged file, or one of another format, counts as none."""
    try:
        document = read_document(state_path(project, url, ls_project))
    except ProjectError:
        return PullState()
    frames = document.get("frames")
    if document.get("format") != _FORMAT or not isinstance(frames, dict):
        return PullState()
    keypoints = tuple(str(name) for name in document.get("keypoints") or ())
    return PullState(
        keypoints, {str(path): dict(value) for path, value in frames.items() if isinstance(value, Mapping)}
    )


def write_state(project: "Project", url: str, ls_project: int, state: PullState) -> None:
    """Keep what was pulled; called only after the labels are safe."""
    values = {"format": _FORMAT, "keypoints": list(state.keypoints), "frames": state.frames}
    atomic_write_json(state_path(project, url, ls_project), values)


def note_sent(project: "Project", url: str, ls_project: int, known: KnownTasks) -> None:
    """Note which frames are in Label Studio, so that a page can tell without asking it."""
    state = read_state(project, url, ls_project)
    missing = [task for path, task in known.by_path.items() if path not in state.frames]
    if not missing:
        return
    for task in missing:
        state.frames[task.lp_path] = {"task": task.id, "updated_at": "", "state": "open"}
    write_state(project, url, ls_project, state)


def frames_there(project: "Project", url: str) -> dict[str, str]:
    """Return the frames (lp_path) that were in Label Studio at the last push or pull, and their state (see `Said`)."""
    ls_project = remembered(project, url)
    if ls_project is None:
        return {}
    frames = read_state(project, url, ls_project).frames
    return {path: str(value.get("state")) for path, value in frames.items() if not value.get("vanished")}
