"""Frames to Label Studio: pictures, pre-labels and existing labels, each once, whatever interrupts it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from castle_core.errors import ConfigError, LabelError, LabelStudioError
from castle_core.label_studio.address import path_prefix, task_url
from castle_core.label_studio.client import LabelStudio
from castle_core.label_studio.failures import LabelStudioGoneError
from castle_core.label_studio.known import KnownTask, known_tasks
from castle_core.label_studio.pictures import Picture, choose_pictures, project_pictures, read_picture
from castle_core.label_studio.prelabel_update import complete_pre_labels, update_pre_labels
from castle_core.label_studio.prelabels import PreLabels
from castle_core.label_studio.pull_state import note_sent
from castle_core.label_studio.regions import regions_of
from castle_core.label_studio.sending import Outgoing, Sender
from castle_core.label_studio.target import castle_id, find_target, make_target, one_writer, update_labels
from castle_core.progress import QUIET, Task

if TYPE_CHECKING:
    from castle_core.labels import Labels
    from castle_core.projects import Project

CHUNK_FILES = 50
CHUNK_BYTES = 24 * 2**20  # far below Label Studio's 250 MB, and small enough for every proxy


@dataclass(frozen=True)
class PushConfig:
    """What to push.

    Attributes
    ----------
    ls_project : int or None
        The Label Studio project; None takes the one used before, or makes one.
    videos, rounds, frames : tuple of str or None
        Only frames of these videos (stems), of these rounds (ids), and of this list (lp_path); None means all.
    model : str or None
        The model whose predictions become pre-labels.
    threshold : float
        Smallest likelihood of a pre-label.
    update_predictions : bool
        Replace the pre-labels of tasks that nobody has worked on.
    """

    ls_project: int | None = None
    videos: tuple[str, ...] | None = None
    rounds: tuple[str, ...] | None = None
    frames: tuple[str, ...] | None = None
    model: str | None = None
    threshold: float = 0.0
    update_predictions: bool = False

    def __post_init__(self) -> None:
        if self.update_predictions and not self.model:
            raise ConfigError("Choose the model whose predictions should replace the pre-labels.")
        if not 0 <= self.threshold <= 1:
            raise ConfigError(f"The likelihood threshold must be within 0 and 1, not {self.threshold}.")


@dataclass
class PushReport:
    """What a push did.

    Attributes
    ----------
    ls_project : int
    title : str
        Of the Label Studio project.
    url, link : str
        The server; the page of the first task to label.
    created, skipped, labelled : int
        New tasks; frames that were there before; tasks that got the project's labels as annotation.
    predictions, updated : int
        Tasks that got pre-labels; tasks whose pre-labels were replaced.
    warnings : list of str
    """

    ls_project: int
    title: str
    url: str
    link: str = ""
    created: int = 0
    skipped: int = 0
    labelled: int = 0
    predictions: int = 0
    updated: int = 0
    warnings: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return dict(vars(self))


def push(project: "Project", server: LabelStudio, config: PushConfig, task: Task = QUIET) -> PushReport:
    """Send frames that Label Studio does not have yet, sorted by video and frame.

    A frame is known by its path (lp_path). After any interruption the same call sends the rest: pictures that were
    uploaded already are used, tasks that are there get what they lack.

    Parameters
    ----------
    project : Project
    server : LabelStudio
    config : PushConfig
    task : Task
        Told about each frame; may cancel between two chunks.

    Returns
    -------
    PushReport

    Raises
    ------
    LabelError, LabelStudioError, PredictionError, ConfigError, LockHeldError
        One line that says what is wrong; what was sent stays.
    """
    from castle_core.labels import project_labels

    project.require_writable()
    labels = project_labels(project).for_one_animal("Label Studio")
    keypoints = project.keypoints or labels.keypoints
    if not keypoints:
        raise LabelStudioError("The project has no keypoints yet. Name them on the page Label export, then push.")
    pictures = choose_pictures(
        project,
        project_pictures(project, labels.frames),
        videos=config.videos,
        rounds=config.rounds,
        frames=config.frames,
    )
    if not pictures:
        raise LabelStudioError("No frame is chosen. Write some on the page Extract frames, or choose other ones.")
    pre_labels = PreLabels(project, config.model, keypoints, config.threshold) if config.model else None
    with one_writer(project, server.url):
        target = find_target(project, server, config.ls_project) or make_target(project, server, keypoints)
        with one_writer(project, server.url, target.id):
            target, warnings = update_labels(server, target, keypoints)
            report = PushReport(target.id, target.title, server.url, warnings=warnings)
            known = known_tasks(server.task_overview(target.id))
            if known.doubled:
                report.warnings.append(
                    f"{len(known.doubled)} frames are in Label Studio more than once; the first counts."
                )
            run = _Push(project, server, report, keypoints, labels, pre_labels, task)
            try:
                run.send_new([each for each in pictures if each.lp_path not in known.by_path])
                run.complete(
                    [(each, known.by_path[each.lp_path]) for each in pictures if each.lp_path in known.by_path]
                )
                run.show_model(config, pictures, known.by_path, target.model_version)
            except LabelStudioGoneError as error:
                raise LabelStudioError(
                    f"Label Studio project {target.id} is gone: it was deleted while frames were sent. Push again to "
                    "make a new one."
                ) from error
            after = known_tasks(server.task_overview(target.id)) if report.created else known
            note_sent(project, server.url, target.id, after)
    report.link = task_url(server.url, target.id, after.first)
    return report


class _Push:
    """The steps of one push, which share the report."""

    def __init__(
        self,
        project: "Project",
        server: LabelStudio,
        report: PushReport,
        keypoints: Sequence[str],
        labels: "Labels",
        pre_labels: PreLabels | None,
        task: Task,
    ) -> None:
        self._project, self._server, self._report = project, server, report
        self._keypoints, self._labels, self._pre_labels, self._task = tuple(keypoints), labels, pre_labels, task
        self._row_of = {path: row for row, path in enumerate(labels.frames)}
        self._columns = [labels.keypoints.index(name) if name in labels.keypoints else None for name in keypoints]
        self._unread: list[str] = []
        self._outside: list[str] = []

    def points(self, lp_path: str) -> np.ndarray | None:
        """Return the project's own points of a frame (K, 2) in the order of the keypoints; None if it has no labels."""
        row = self._row_of.get(lp_path)
        if row is None:
            return None
        xy = np.full((len(self._keypoints), 2), np.nan)
        for place, column in enumerate(self._columns):
            if column is not None:
                xy[place] = self._labels.xy[row, 0, column]
        return xy

    # ------------------------------------------------------------------ new frames

    def send_new(self, pictures: Sequence[Picture]) -> None:
        """Send frames that are not there, in chunks."""
        if not pictures:
            return
        sender = Sender(self._server, self._report.ls_project)
        done = 0
        self._task.progress(0, len(pictures), "sending frames")
        for chunk in self._chunks(pictures):
            sent = sender.send([each for each in chunk if each is not None])
            self._report.created += sent.created
            self._report.labelled += sent.labelled
            self._report.predictions += sent.predictions
            self._report.warnings += sent.warnings
            done += len(chunk)
            self._task.progress(done, len(pictures), "sending frames")
        if self._unread:
            shown = "; ".join(self._unread[:3])
            more = f"; and {len(self._unread) - 3} more" if len(self._unread) > 3 else ""
            self._report.warnings.append(f"Not sent: {shown}{more}")
        if self._outside:
            self._report.warnings.append(
                f"{len(self._outside)} points lie outside of their picture and were not sent, such as "
                f"{self._outside[0]}."
            )

    def _chunks(self, pictures: Sequence[Picture]) -> Iterator[list[Outgoing | None]]:
        """Yield frames ready to be sent; None stands for one that cannot be."""
        chunk: list[Outgoing | None] = []
        n_bytes = 0
        for picture in pictures:
            ready = self._prepare(picture)
            size = len(ready.picture) if ready is not None else 0
            if chunk and (len(chunk) == CHUNK_FILES or n_bytes + size > CHUNK_BYTES):
                yield chunk
                chunk, n_bytes = [], 0
            chunk.append(ready)
            n_bytes += size
        if chunk:
            yield chunk

    def _prepare(self, picture: Picture) -> Outgoing | None:
        try:
            data, size, sha = read_picture(picture)
        except LabelError as error:
            self._unread.append(str(error))
            return None
        values = {
            "video": picture.video,
            "frame": picture.frame_index if picture.frame_index is not None else -1,
            "lp_path": picture.lp_path,
            "castle_project": castle_id(self._project),
            "width": size[0],
            "height": size[1],
            "sha256": sha,
        }
        ready = Outgoing(picture, data, values, path_prefix(self._server.url))
        xy = self.points(picture.lp_path)
        if xy is not None and (np.isfinite(xy).any() or picture.lp_path in self._labels.no_animal):
            ready.annotation = self._regions(picture, xy, size)
        if ready.annotation is None:
            ready.prediction = self.prediction(picture, size)
        return ready

    def _regions(self, picture: Picture, xy: np.ndarray, size: tuple[int, int]) -> list[dict[str, Any]]:
        regions = regions_of(picture.lp_path, self._keypoints, xy, size)
        self._outside += [f"{name} in {picture.lp_path}" for name in regions.outside]
        return regions.result

    def prediction(self, picture: Picture, size: tuple[int, int]) -> dict[str, Any] | None:
        """Return the pre-labels of a frame as Label Studio takes them; None where there are none."""
        found = self._pre_labels.of(picture) if self._pre_labels is not None else None
        if self._pre_labels is None or found is None:
            return None
        # a prediction outside of the picture is left out without a word: models do that
        result = regions_of(picture.lp_path, self._keypoints, found.xy, size).result
        if not result:
            return None
        return {"model_version": self._pre_labels.model, "score": found.score, "result": result}

    # ------------------------------------------------------------------ frames that are there

    def complete(self, pairs: Sequence[tuple[Picture, KnownTask]]) -> None:
        """Give tasks of an interrupted push what they lack; tasks on which somebody has worked stay as they are."""
        self._report.skipped += len(pairs)
        lacking = [
            (picture, known)
            for picture, known in pairs
            if known.open and not known.models and (picture.lp_path in self._row_of or self._pre_labels is not None)
        ]
        report = complete_pre_labels(self._server, self._report.ls_project, lacking, self)
        self._report.labelled += report.labelled
        self._report.predictions += report.predictions

    def annotation(self, picture: Picture, size: tuple[int, int]) -> list[dict[str, Any]] | None:
        """Return the project's labels of a frame as regions; None where it has none."""
        xy = self.points(picture.lp_path)
        if xy is None or not (np.isfinite(xy).any() or picture.lp_path in self._labels.no_animal):
            return None
        return self._regions(picture, xy, size)

    def show_model(
        self,
        config: PushConfig,
        pictures: Sequence[Picture],
        known: Mapping[str, KnownTask],
        before: str,
    ) -> None:
        """Replace pre-labels where that was asked for, and let Label Studio show those of this model."""
        if self._pre_labels is None:
            return
        model = self._pre_labels.model
        if config.update_predictions:
            pairs = [(each, known[each.lp_path]) for each in pictures if each.lp_path in known]
            self._report.updated = update_pre_labels(self._server, self._report.ls_project, pairs, self, self._task)
        if self._report.predictions or self._report.updated or before != model:
            self._server.change_project(self._report.ls_project, {"model_version": model})
        if without := sorted(self._pre_labels.without):
            names = ", ".join(name or "pictures without a video" for name in without[:4])
            self._report.warnings.append(f"The model {model} has no predictions of {names}: sent without pre-labels.")
        if before and before != model and not config.update_predictions:
            others = sum(
                task.open and bool(task.models) and model not in task.models.split(",") for task in known.values()
            )
            if others:
                self._report.warnings.append(
                    f"{others} open tasks keep pre-labels of {before}, which Label Studio shows no more. Update the "
                    f"pre-labels to give them those of {model}."
                )
