"""Pre-labels of tasks that exist already: what is missing is added, and a new model's replace the old ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from castle_core.label_studio.client import LabelStudio
from castle_core.label_studio.known import KnownTask
from castle_core.label_studio.pictures import Picture, picture_size
from castle_core.progress import Task

_AT_ONCE = 50
Size = tuple[int, int]
Pairs = Sequence[tuple[Picture, KnownTask]]


class Source(Protocol):
    """What knows the points of frames."""

    def prediction(self, picture: Picture, size: Size) -> dict[str, Any] | None:
        """Return a frame's pre-labels as Label Studio takes them."""

    def annotation(self, picture: Picture, size: Size) -> list[dict[str, Any]] | None:
        """Return a frame's labels as regions."""


@dataclass
class Completed:
    """How many tasks got labels, and how many pre-labels."""

    labelled: int = 0
    predictions: int = 0


def complete_pre_labels(server: LabelStudio, ls_project: int, pairs: Pairs, source: Source) -> Completed:
    """Give open tasks without pre-labels the project's labels or else the model's pre-labels."""
    done = Completed()
    for start in range(0, len(pairs), _AT_ONCE):
        wanted, labelled = [], {}
        for picture, known in pairs[start : start + _AT_ONCE]:
            size = picture_size(picture)
            if size is None:
                continue
            annotation = source.annotation(picture, size)
            if annotation is not None:
                labelled[known.id] = annotation
                continue
            prediction = source.prediction(picture, size)
            if prediction is not None:
                wanted.append({"task": known.id, **prediction})
        # Somebody may have labelled a task since the list was made: then it would have two annotations.
        for there in list(server.tasks_in_full(ls_project, list(labelled))):
            if not there.get("annotations") and not there.get("draft_exists"):
                server.add_annotation(int(there["id"]), labelled[int(there["id"])])
                done.labelled += 1
        if wanted:
            done.predictions += server.add_predictions(ls_project, wanted)
    return done


def update_pre_labels(server: LabelStudio, ls_project: int, pairs: Pairs, source: Source, task: Task) -> int:
    """Replace the pre-labels of open tasks by the source's; return how many tasks got others.

    The new ones are added before the old ones are deleted: an interruption leaves both, and the next run removes
    what is old.
    """
    changed = 0
    open_pairs = [(picture, known) for picture, known in pairs if known.open]
    for start in range(0, len(open_pairs), _AT_ONCE):
        part = open_pairs[start : start + _AT_ONCE]
        task.progress(start, len(open_pairs), "updating pre-labels")
        ids = [known.id for _, known in part]
        full = {int(each["id"]): each for each in server.tasks_in_full(ls_project, ids, predictions=True)}
        wanted, old = [], []
        for picture, known in part:
            size = picture_size(picture)
            there = full.get(known.id)
            if size is None or there is None or there.get("annotations") or there.get("draft_exists"):
                continue
            prediction = source.prediction(picture, size)
            if prediction is None:
                continue
            present = list(there.get("predictions") or ())
            same = [each for each in present if _same(each, prediction)]
            stale = [int(each["id"]) for each in present if each is not (same[0] if same else None)]
            old += stale
            if not same:
                wanted.append({"task": known.id, **prediction})
            changed += bool(stale or not same)
        if wanted:
            server.add_predictions(ls_project, wanted)
        for number in old:
            server.delete_prediction(number)
    if open_pairs:
        task.progress(len(open_pairs), len(open_pairs), "updating pre-labels")
    return changed


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    def places(result: Any) -> dict[str, tuple[Any, Any]]:
        return {
            str(region["value"]["keypointlabels"][0]): (region["value"]["x"], region["value"]["y"]) for region in result
        }

    try:
        return one["model_version"] == other["model_version"] and places(one["result"]) == places(other["result"])
    except (KeyError, IndexError, TypeError):
        return False
