"""What Label Studio has of a project's frames, in few words: its tasks by the frame's path."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from castle_core.files import nfc


@dataclass(frozen=True)
class KnownTask:
    """One task of ours.

    Attributes
    ----------
    id : int
        Given again after a deletion: never the identity of a frame.
    lp_path : str
        The frame.
    sha256 : str
        Of the picture that was sent; empty for tasks that others made.
    updated_at : str
        When an annotation was last made, changed or deleted.
    annotations, cancelled : int
        Annotations that count; those of people who skipped.
    drafts : bool
        Whether there is unsubmitted work of anybody.
    models : str
        The models of its pre-labels; empty without any.
    """

    id: int
    lp_path: str
    sha256: str
    updated_at: str
    annotations: int
    cancelled: int
    drafts: bool
    models: str

    @property
    def open(self) -> bool:
        """Whether nobody has worked on it: no annotation, not skipped, no draft."""
        return not (self.annotations or self.cancelled or self.drafts)


@dataclass(frozen=True)
class KnownTasks:
    """The tasks of a Label Studio project by frame.

    Attributes
    ----------
    by_path : mapping of str to KnownTask
        One a frame, the oldest one with an annotation, else the oldest.
    doubled : mapping of str to tuple of KnownTask
        Further tasks of the same frames.
    foreign : int
        Tasks without a path of ours.
    first : int or None
        The task with which labelling begins.
    """

    by_path: Mapping[str, KnownTask] = field(default_factory=dict)
    doubled: Mapping[str, tuple[KnownTask, ...]] = field(default_factory=dict)
    foreign: int = 0
    first: int | None = None


def known_tasks(overview: Iterable[Mapping[str, Any]]) -> KnownTasks:
    """Sort the tasks of `LabelStudio.task_overview` by frame."""
    found: dict[str, list[KnownTask]] = {}
    foreign = 0
    for task in overview:
        data = task.get("data")
        path = data.get("lp_path") if isinstance(data, Mapping) else None
        if not isinstance(path, str) or not path:
            foreign += 1
            continue
        assert isinstance(data, Mapping)
        cancelled = int(task.get("cancelled_annotations") or 0)
        one = KnownTask(
            id=int(task["id"]),
            lp_path=nfc(path.replace("\\", "/")),
            sha256=str(data.get("sha256") or ""),
            updated_at=str(task.get("updated_at") or ""),
            annotations=int(task.get("total_annotations") or 0),
            cancelled=cancelled,
            drafts=bool(task.get("draft_exists")),
            models=str(task.get("predictions_model_versions") or ""),
        )
        found.setdefault(one.lp_path, []).append(one)
    by_path, doubled = {}, {}
    for path, tasks in found.items():
        ordered = sorted(tasks, key=lambda task: (not task.annotations, task.id))
        by_path[path] = ordered[0]
        if len(ordered) > 1:
            doubled[path] = tuple(ordered[1:])
    everything = sorted(by_path.values(), key=lambda task: task.id)
    first = next((task.id for task in everything if task.open), everything[0].id if everything else None)
    return KnownTasks(by_path, doubled, foreign, first)
