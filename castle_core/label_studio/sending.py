"""One chunk of frames to Label Studio: upload the pictures, make the tasks, and see that nothing got lost."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from castle_core.label_studio.client import LabelStudio
from castle_core.label_studio.pictures import Picture

_UPLOAD = re.compile(r"-castle-([0-9a-f]{32})(?:_[A-Za-z0-9]{7})?\.[a-z]+$")


@dataclass
class Outgoing:
    """One frame on its way: the picture's bytes, the task's data, and what comes with it."""

    source: Picture
    picture: bytes
    data: dict[str, Any]
    prefix: str
    annotation: list[dict[str, Any]] | None = None
    prediction: dict[str, Any] | None = None

    @property
    def sha(self) -> str:
        """The part of the picture's SHA-256 that its upload is named after."""
        return str(self.data["sha256"])[:32]

    def upload_name(self) -> str:
        """Return a file name in plain letters, by which an upload without a task is found again."""
        return f"frame-castle-{self.sha}{self.source.path.suffix.lower()}"

    def as_task(self, upload: str) -> dict[str, Any]:
        """Return the task; `upload` is the picture's path below ``/data`` on the server."""
        made: dict[str, Any] = {"data": {"image": f"{self.prefix}/data/{upload}", **self.data}}
        if self.prediction is not None:
            made["predictions"] = [self.prediction]
        if self.annotation is not None:
            # Label Studio would call an imported annotation the ground truth, and then it outranks every later one
            made["annotations"] = [{"result": self.annotation, "ground_truth": False}]
        return made


@dataclass
class Sent:
    """What became of one chunk."""

    created: int = 0
    labelled: int = 0
    predictions: int = 0
    warnings: list[str] = field(default_factory=list)


class Sender:
    """Sends chunks to one Label Studio project.

    Parameters
    ----------
    server : LabelStudio
    ls_project : int
        Its lock is held by the caller: of two importers at a time one loses pre-labels.
    """

    def __init__(self, server: LabelStudio, ls_project: int) -> None:
        self._server, self._ls_project = server, ls_project
        self._there = self._uploads_without_end()

    def _uploads_without_end(self) -> dict[tuple[str, int], str]:
        """Return pictures that an interrupted push has left on the server: (part of SHA-256, bytes) → path."""
        found = {}
        for upload in self._server.uploads(self._ls_project):
            name = _UPLOAD.search(str(upload.get("file", "")))
            if name is not None:
                found[name.group(1), int(upload.get("size") or 0)] = str(upload["file"])
        return found

    def send(self, frames: Sequence[Outgoing]) -> Sent:
        """Make one task a frame; returns what was made."""
        if not frames:
            return Sent()
        paths = self._upload(frames)
        tasks = [frame.as_task(path) for frame, path in zip(frames, paths, strict=True)]
        answer = self._server.import_tasks(self._ls_project, tasks)
        sent = Sent(
            created=len(tasks),
            labelled=sum(frame.annotation is not None for frame in frames),
            predictions=sum(frame.prediction is not None for frame in frames),
        )
        ids = [int(number) for number in answer.get("task_ids") or ()]
        complete = (
            len(ids) == len(tasks)
            and int(answer.get("prediction_count") or 0) == sent.predictions
            and int(answer.get("annotation_count") or 0) == sent.labelled
        )
        if not complete:
            self._repair(frames, ids)
        return sent

    def _upload(self, frames: Sequence[Outgoing]) -> list[str]:
        missing = [frame for frame in frames if (frame.sha, len(frame.picture)) not in self._there]
        unique = list({frame.sha: frame for frame in missing}.values())
        if unique:
            ids = self._server.upload_images(self._ls_project, [(each.upload_name(), each.picture) for each in unique])
            files = {int(upload["id"]): str(upload["file"]) for upload in self._server.uploads(self._ls_project, ids)}
            for frame, number in zip(unique, ids, strict=True):
                self._there[frame.sha, len(frame.picture)] = files[number]
        return [self._there[frame.sha, len(frame.picture)] for frame in frames]

    def _repair(self, frames: Sequence[Outgoing], ids: Sequence[int]) -> None:
        """Add what an import under load has lost: predictions, and labels."""
        by_path = {frame.data["lp_path"]: frame for frame in frames}
        predictions = []
        for task in self._server.tasks_in_full(self._ls_project, ids, predictions=True):
            frame = by_path.get(task["data"].get("lp_path"))
            if frame is None:
                continue
            if frame.prediction is not None and not task.get("predictions"):
                predictions.append({"task": task["id"], **frame.prediction})
            if frame.annotation is not None and not task.get("annotations"):
                self._server.add_annotation(int(task["id"]), frame.annotation)
        if predictions:
            self._server.add_predictions(self._ls_project, predictions)
