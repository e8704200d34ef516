"""The jobs that exchange frames and labels with Label Studio; they carry the id of a token, never the token."""

from collections.abc import Sequence
from typing import Any

from castle_core.progress import Task


def push_labels(
    task: Task,
    *,
    project: str,
    owner: str,
    credentials: str,
    ls_project: int | None = None,
    videos: Sequence[str] | None = None,
    rounds: Sequence[str] | None = None,
    frames: Sequence[str] | None = None,
    model: str | None = None,
    threshold: float = 0.0,
    update_predictions: bool = False,
) -> dict[str, Any]:
    """Send frames to Label Studio (see `castle_core.label_studio.push`).

    Parameters
    ----------
    task : Task
    project : str
        The project's folder.
    owner : str
        Whose token it is.
    credentials : str
        Id of the token.
    ls_project, videos, rounds, frames, model, threshold, update_predictions
        As in `PushConfig`.

    Returns
    -------
    dict
        The `PushReport`.
    """
    from castle_core.label_studio import LabelStudio, PushConfig, push, read_credentials
    from castle_core.projects import Project

    config = PushConfig(
        ls_project=ls_project,
        videos=None if videos is None else tuple(videos),
        rounds=None if rounds is None else tuple(rounds),
        frames=None if frames is None else tuple(frames),
        model=model,
        threshold=threshold,
        update_predictions=update_predictions,
    )
    kept = read_credentials(credentials, owner=owner)
    with LabelStudio(kept.url, kept.token) as server:
        report = push(Project.open(project), server, config, task)
    for line in report.warnings:
        task.log(line)
    return report.to_json()


def pull_labels(
    task: Task,
    *,
    project: str,
    owner: str,
    credentials: str,
    ls_project: int | None = None,
    everything: bool = False,
) -> dict[str, Any]:
    """Bring finished labels into the project (see `castle_core.label_studio.pull`).

    Returns
    -------
    dict
        The `PullReport`; of its details the first 200.
    """
    from castle_core.label_studio import LabelStudio, pull, read_credentials
    from castle_core.projects import Project

    kept = read_credentials(credentials, owner=owner)
    with LabelStudio(kept.url, kept.token) as server:
        report = pull(Project.open(project), server, ls_project=ls_project, everything=everything, task=task)
    for line in report.warnings:
        task.log(line)
    return report.to_json() | {"details": report.details[:200], "n_details": len(report.details)}
