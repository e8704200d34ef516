"""Which Label Studio project holds the frames of a project: found, made, and its labels kept up to date."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from castle_core.errors import LabelStudioError
from castle_core.files import locked, make_folder
from castle_core.label_studio.client import LabelStudio
from castle_core.label_studio.credentials import credentials_id
from castle_core.label_studio.failures import LabelStudioGoneError
from castle_core.label_studio.labels_config import CONTROL, config_keypoints, is_empty_config, labels_config
from castle_core.state import castle_state

if TYPE_CHECKING:
    from castle_core.projects import Project

SECTION = "label_studio"
WAIT_S = 10.0


@dataclass(frozen=True)
class Target:
    """A Label Studio project.

    Attributes
    ----------
    id : int
    title : str
    keypoints : tuple of str
        The labels that it has.
    model_version : str
        The model whose pre-labels its people see.
    """

    id: int
    title: str
    keypoints: tuple[str, ...]
    model_version: str


@contextmanager
def one_writer(project: "Project", url: str, ls_project: int | None = None) -> Iterator[None]:
    """Hold the lock under which a Label Studio project is written: two writers at a time lose pre-labels there.

    Parameters
    ----------
    project : Project
    url : str
        The server's address.
    ls_project : int, optional
        Known only after it was found: without it, the lock of the project's own folder is held.

    Raises
    ------
    LockHeldError
        If somebody else pushes or pulls; the message says who.
    """
    if ls_project is None:
        path = make_folder(project.cache_dir / "label-studio") / "exchange with Label Studio"
    else:
        name = f"{credentials_id(url, '')}-{ls_project}"
        path = make_folder(castle_state() / "label-studio" / "writers") / name
    with locked(path, timeout_s=WAIT_S):
        yield


def castle_id(project: "Project") -> str:
    """Return the id by which a project finds its frames in Label Studio again; made and saved at its first use."""
    settings = project.settings(SECTION)
    if not settings.get("id"):
        settings["id"] = secrets.token_hex(8)
        project.save_settings(SECTION, settings)
    return str(settings["id"])


def remembered(project: "Project", url: str) -> int | None:
    """Return the Label Studio project that was used last on this server."""
    known = project.settings(SECTION).get("projects")
    entry = known.get(url) if isinstance(known, dict) else None
    number = entry.get("id") if isinstance(entry, dict) else None
    return number if isinstance(number, int) else None


def forget(project: "Project", url: str) -> None:
    """Forget which Label Studio project was used on this server."""
    settings = project.settings(SECTION)
    known = settings.get("projects")
    if isinstance(known, dict) and known.pop(url, None) is not None:
        project.save_settings(SECTION, settings)


def _remember(project: "Project", server: LabelStudio, found: dict[str, Any]) -> None:
    settings = project.settings(SECTION)
    known = settings.get("projects")
    known = dict(known) if isinstance(known, dict) else {}
    # Numbers are given again after a deletion; the time at which it was made tells the two apart.
    entry = {"id": int(found["id"]), "created_at": str(found.get("created_at", ""))}
    if known.get(server.url) != entry or settings.get("url") != server.url:
        known[server.url] = entry
        project.save_settings(SECTION, {**settings, "url": server.url, "projects": known})


def find_target(project: "Project", server: LabelStudio, ls_project: int | None = None) -> Target | None:
    """Return the Label Studio project of a project: the one that is named, else the remembered one, else ours by mark.

    Returns
    -------
    Target or None
        None if there is none yet.

    Raises
    ------
    LabelStudioError
        If the named one does not exist or is for something else, or the remembered one was deleted; then it is
        forgotten, and the next push makes a new one.
    """
    number = ls_project if ls_project is not None else remembered(project, server.url)
    if number is None:
        mark = f"castle-studio:{castle_id(project)}"
        found = next((each for each in server.projects() if mark in str(each.get("description") or "")), None)
        if found is None:
            return None
        number = int(found["id"])
    try:
        values = server.project(number)
    except LabelStudioGoneError as error:
        if ls_project is not None:
            raise LabelStudioError(
                f"There is no project {number} in Label Studio at {server.url}. Look at the number in its address."
            ) from error
        forget(project, server.url)
        raise LabelStudioError(_deleted(number)) from error
    if ls_project is None:
        known = project.settings(SECTION).get("projects")
        entry = known.get(server.url) if isinstance(known, dict) else None
        if isinstance(entry, dict) and entry.get("created_at") not in {"", None, values.get("created_at")}:
            forget(project, server.url)
            raise LabelStudioError(_deleted(number))
    _remember(project, server, values)
    return _target(values)


def _deleted(number: int) -> str:
    return (
        f"The Label Studio project {number} of these frames was deleted there. What was pulled before is kept. "
        "Push again to make a new one."
    )


def _target(values: dict[str, Any]) -> Target:
    config = str(values.get("label_config") or "")
    keypoints = config_keypoints(config)
    title = str(values.get("title") or "")
    if keypoints is None:
        if not is_empty_config(config):
            raise LabelStudioError(
                f"The Label Studio project {values['id']} ({title}) is for something else: its labels are not key "
                f"points called {CONTROL} on a picture. Give another one, or none to make a new one."
            )
        keypoints = ()
    return Target(int(values["id"]), title, keypoints, str(values.get("model_version") or ""))


def require_target(project: "Project", server: LabelStudio, ls_project: int | None = None) -> Target:
    """Return the Label Studio project as `find_target`; an error if there is none yet."""
    found = find_target(project, server, ls_project)
    if found is None:
        raise LabelStudioError(f"No frames of {project.name} are in Label Studio at {server.url} yet. Push some first.")
    return found


def make_target(project: "Project", server: LabelStudio, keypoints: Sequence[str]) -> Target:
    """Make the Label Studio project of a project."""
    title = project.name.strip()[:50].strip()
    title = title if len(title) >= 3 else f"{title} frames".strip()
    made = server.create_project(
        {
            "title": title,
            "description": f"Frames of {project.name}. Keep this mark: castle-studio:{castle_id(project)}",
            "label_config": labels_config(keypoints),
            "show_collab_predictions": True,
            "sampling": "Sequential sampling",
        }
    )
    _remember(project, server, made)
    return _target(made)


def update_labels(server: LabelStudio, target: Target, keypoints: Sequence[str]) -> tuple[Target, list[str]]:
    """Bring the labels of a Label Studio project to the project's keypoints, asking it first.

    A label that is used there and is no keypoint any more stays, with a warning: Label Studio would otherwise keep
    its points under a name that is not in the list.

    Returns
    -------
    Target
        With the labels that it has now.
    list of str
        Warnings.
    """
    wanted = tuple(keypoints)
    if target.keypoints == wanted:
        return target, []
    warnings: list[str] = []
    refusal = server.config_refusal(target.id, labels_config(wanted))
    if refusal is not None:
        kept = tuple(name for name in target.keypoints if name not in wanted)
        warnings.append(
            f"In use in Label Studio and kept there: {', '.join(kept)}. Points with these names are listed when you "
            "pull, and not written. Give the labels there the new names, or the keypoints here the old ones."
        )
        wanted = (*wanted, *kept)
        if target.keypoints == wanted:
            return target, warnings
        refusal = server.config_refusal(target.id, labels_config(wanted))
        if refusal is not None:
            raise LabelStudioError(
                f"Label Studio does not take the new keypoints in project {target.id} ({refusal}). Push with the old "
                "names, or into a new Label Studio project."
            )
    server.change_project(target.id, {"label_config": labels_config(wanted)})
    return Target(target.id, target.title, wanted, target.model_version), warnings
