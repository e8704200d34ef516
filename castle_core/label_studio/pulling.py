"""Finished labels into the project: what changed since the last time, merged, and everything odd told."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from castle_core.errors import LabelError, LabelStudioError
from castle_core.files import nfc
from castle_core.label_studio.address import task_url
from castle_core.label_studio.annotations import Said, read_task, starts_from_model
from castle_core.label_studio.client import LabelStudio
from castle_core.label_studio.failures import LabelStudioGoneError
from castle_core.label_studio.known import KnownTask, known_tasks
from castle_core.label_studio.pictures import picture_at, picture_sha, picture_size
from castle_core.label_studio.pull_state import PullState, read_state, write_state
from castle_core.label_studio.statistics import frame_record, statistics_json, summarise
from castle_core.label_studio.target import Target, one_writer, require_target
from castle_core.progress import QUIET, Task

if TYPE_CHECKING:
    from castle_core.labels import Labels, MergeReport
    from castle_core.projects import Project

_AT_ONCE = 500  # tasks held in memory
_STEP = 50  # tasks between two words on progress
_MANY = 2000  # in a project of so many tasks, predictions are asked for by task only


@dataclass
class PullReport:
    """What a pull found.

    Attributes
    ----------
    ls_project : int
    title, url, link : str
        Of the Label Studio project; its server; its list of tasks.
    tasks, labelled, empty, skipped, open, drafts : int
        All tasks of ours; submitted with points; submitted without any (no animal); skipped; nobody was there yet;
        moved points that nobody has submitted.
    created : int
        Frames of CollectedData.csv that are new, or differ now.
    added, changed : list of str
        Their paths.
    unchanged, kept : int
        Frames that came again and are the same; rows that Label Studio does not know, all of which stay.
    warnings : list of str
        What a person should look at, a line each; `details` has every single one.
    details : list of dict
        ``frame`` and ``note``.
    statistics : list of dict
        As `KeypointStatistics`.
    by_video : dict
        Video → ``labelled``, ``empty``, ``skipped``, ``open``.
    """

    ls_project: int
    title: str
    url: str
    link: str = ""
    tasks: int = 0
    labelled: int = 0
    empty: int = 0
    skipped: int = 0
    open: int = 0
    drafts: int = 0
    created: int = 0
    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: int = 0
    kept: int = 0
    warnings: list[str] = field(default_factory=list)
    details: list[dict[str, str]] = field(default_factory=list)
    statistics: list[dict[str, Any]] = field(default_factory=list)
    by_video: dict[str, dict[str, int]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return dict(vars(self))


def pull(
    project: "Project",
    server: LabelStudio,
    *,
    ls_project: int | None = None,
    everything: bool = False,
    task: Task = QUIET,
) -> PullReport:
    """Bring what was submitted since the last pull into CollectedData.csv.

    Only tasks whose ``updated_at`` changed are read in full, and those whose labels the project does not have (any
    more). Frames are known by their path and, where it was sent with them, the SHA-256 of the picture; numbers of tasks
    are given again after a deletion. Nothing is ever deleted here because it is gone there.

    Parameters
    ----------
    project : Project
    server : LabelStudio
    ls_project : int, optional
        The Label Studio project; by default the one used before.
    everything : bool
        Read every labelled task, as the first pull does.
    task : Task
        Told about tasks read; may cancel before anything is written.

    Raises
    ------
    LabelError, LabelStudioError, ProjectError, LockHeldError
        One line that says what is wrong; CollectedData.csv is as it was then.
    """
    from castle_core.labels import project_labels

    project.require_writable()
    labels = project_labels(project).for_one_animal("Label Studio")
    with one_writer(project, server.url):
        target = require_target(project, server, ls_project)
        try:
            return _Pull(project, server, target, labels, task).run(everything=everything)
        except LabelStudioGoneError as error:
            raise LabelStudioError(
                f"Label Studio project {target.id} was deleted while labels were pulled. What was pulled before is "
                "kept."
            ) from error


class _Pull:
    """The steps of one pull."""

    def __init__(self, project: "Project", server: LabelStudio, target: Target, labels: "Labels", task: Task) -> None:
        self._project, self._server, self._target, self._labels, self._task = project, server, target, labels, task
        self._keypoints = tuple(dict.fromkeys((*project.keypoints, *labels.keypoints))) or target.keypoints
        self._report = PullReport(target.id, target.title, server.url, link=task_url(server.url, target.id))
        self._predictions: Mapping[int, Any] | None = None

    def run(self, *, everything: bool) -> PullReport:
        """Read, merge, write, and remember."""
        report = self._report
        known = known_tasks(self._server.task_overview(self._target.id))
        before = PullState() if everything else read_state(self._project, self._server.url, self._target.id)
        wanted = self._wanted(known.by_path, before)
        said = self._read(wanted, len(known.by_path) + known.foreign)
        merged = self._merge(said)
        after = self._remember(known.by_path, before, said)
        report.added, report.changed = list(merged.added), list(merged.changed)
        report.created = len(report.added) + len(report.changed)
        report.unchanged, report.kept = len(merged.unchanged), merged.kept
        if merged.emptied:
            report.warnings.append(
                f"{len(merged.emptied)} frames had points and were submitted without any, such as {merged.emptied[0]}. "
                "The file as it was before is in .castle/last-good."
            )
        self._count(known.by_path, after)
        self._warn(known.by_path, known.doubled, known.foreign, before, after)
        write_state(self._project, self._server.url, self._target.id, after)
        return report

    # ------------------------------------------------------------------ reading

    def _wanted(self, known: Mapping[str, KnownTask], before: PullState) -> dict[int, KnownTask]:
        have = set(self._labels.frames)
        wanted = {}
        for path, one in known.items():
            if not (one.annotations or one.cancelled):
                continue
            old = before.frames.get(path)
            same = (
                set(before.keypoints) == set(self._keypoints)
                and old is not None
                and (old.get("task"), old.get("updated_at")) == (one.id, one.updated_at)
            )
            lost = same and old is not None and old.get("state") in {"labelled", "empty"} and path not in have
            if not same or lost:
                wanted[one.id] = one
        return wanted

    def _read(self, wanted: Mapping[int, KnownTask], n_tasks: int) -> dict[str, tuple[Said, KnownTask]]:
        """Return what was submitted, by frame; pictures are hashed while Label Studio puts its answers together."""
        with ThreadPoolExecutor(1) as pool:
            hashed = {one.lp_path: pool.submit(self._sha, one.lp_path) for one in wanted.values()}
            try:
                return self._read_tasks(wanted, n_tasks, hashed)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _sha(self, lp_path: str) -> str | None:
        return picture_sha(picture_at(self._project, lp_path))

    def _read_tasks(
        self, wanted: Mapping[int, KnownTask], n_tasks: int, hashed: Mapping[str, "Future[str | None]"]
    ) -> dict[str, tuple[Said, KnownTask]]:
        said: dict[str, tuple[Said, KnownTask]] = {}
        done = 0
        self._task.progress(0, len(wanted), "reading labels")
        for batch in _batched(self._server.tasks_in_full(self._target.id, sorted(wanted), of=n_tasks), _AT_ONCE):
            for full in self._with_predictions(batch, n_tasks):
                one = wanted.get(int(full["id"]))
                path = nfc(str(full["data"].get("lp_path") or "").replace("\\", "/"))
                done += 1
                if one is None or path != one.lp_path:
                    continue  # its number was given to another frame a moment ago: the next pull sees it
                said[path] = (self._one(full, one, hashed[path]), self._at(one, full))
                if done % _STEP == 0:
                    self._task.progress(min(done, len(wanted)), len(wanted), "reading labels")
        if wanted:
            self._task.progress(len(wanted), len(wanted), "reading labels")
        return said

    def _with_predictions(self, tasks: Sequence[dict[str, Any]], n_tasks: int) -> Sequence[dict[str, Any]]:
        """Return the tasks with their predictions, where somebody began with them, asked for in the cheaper way."""
        wanted = [int(task["id"]) for task in tasks if starts_from_model(task)]
        if not wanted:
            return tasks
        if n_tasks <= _MANY and 20 * len(wanted) > n_tasks:
            if self._predictions is None:
                self._predictions = self._server.predictions(self._target.id)
            found: Mapping[int, Any] = self._predictions
        else:
            full = self._server.tasks_in_full(self._target.id, wanted, predictions=True)
            found = {int(task["id"]): task.get("predictions") for task in full}
        return [{**task, "predictions": found.get(int(task["id"])) or ()} for task in tasks]

    def _at(self, one: KnownTask, full: Mapping[str, Any]) -> KnownTask:
        """Return the task with the time at which it was read in full, which may be later than the overview."""
        return KnownTask(**{**vars(one), "updated_at": str(full.get("updated_at") or one.updated_at)})

    def _one(self, full: Mapping[str, Any], one: KnownTask, hashed: "Future[str | None]") -> Said:
        try:
            picture, sha = picture_at(self._project, one.lp_path), hashed.result()
        except LabelError as error:
            return Said("unclear", notes=(str(error),))
        if one.sha256 and sha is not None and sha != one.sha256:
            note = (
                "the picture in the project is another one than the one that was labelled; its labels are not written"
            )
            return Said("unclear", notes=(note,))
        found = read_task(full, self._keypoints, picture_size(picture) or _data_size(full["data"]))
        if sha is None and found.state != "open":
            found = Said(**{**vars(found), "notes": (*found.notes, "its picture is not in the project")})
        return found

    # ------------------------------------------------------------------ writing

    def _merge(self, said: Mapping[str, tuple[Said, KnownTask]]) -> "MergeReport":
        from castle_core.labels import Labels, MergeReport, update_project_labels

        rows = [(path, one) for path, (one, _) in sorted(said.items()) if one.state in {"labelled", "empty"}]
        if not rows:
            return MergeReport(kept=len(self._labels.frames))
        # Names of Label Studio's list first: a keypoint that it does not have is not spoken of
        names = tuple(name for name in self._keypoints if name in self._target.keypoints) or self._keypoints
        xy = np.full((len(rows), 1, len(names), 2), np.nan)
        have = {path: row for row, path in enumerate(self._labels.frames)}
        for place, (path, one) in enumerate(rows):
            for column, name in enumerate(names):
                if name in one.xy:
                    xy[place, 0, column] = one.xy[name]
                elif name in one.unsure and path in have and name in self._labels.keypoints:
                    xy[place, 0, column] = self._labels.xy[have[path], 0, self._labels.keypoints.index(name)]
        new = Labels(
            names,
            ("",),
            tuple(path for path, _ in rows),
            xy,
            no_animal=frozenset(path for path, one in rows if one.state == "empty"),
        )
        return update_project_labels(self._project, new, publish=self._task.publish)

    def _remember(
        self, known: Mapping[str, KnownTask], before: PullState, said: Mapping[str, tuple[Said, KnownTask]]
    ) -> PullState:
        after = PullState(self._keypoints)
        for path, one in known.items():
            if path in said:
                answer, at = said[path]
                after.frames[path] = {
                    "task": at.id,
                    "updated_at": at.updated_at,
                    "state": answer.state,
                    **frame_record(answer),
                    "notes": list(answer.notes),
                    "unread": False,
                }
            elif one.annotations or one.cancelled:
                old = before.frames.get(path)
                if old is not None:
                    after.frames[path] = dict(old)
            else:
                after.frames[path] = {"task": one.id, "updated_at": one.updated_at, "state": "open"}
        for path, old in before.frames.items():
            if path not in known and old.get("state") != "open":
                after.frames[path] = {**old, "vanished": True}
        return after

    # ------------------------------------------------------------------ telling

    def _count(self, known: Mapping[str, KnownTask], after: PullState) -> None:
        report = self._report
        report.tasks = len(known)
        report.drafts = sum(one.drafts for one in known.values())
        words = {"labelled": "labelled", "empty": "empty", "skipped": "skipped", "open": "open", "unclear": "open"}
        for path in known:
            word = words[str(after.frames.get(path, {}).get("state", "open"))]
            setattr(report, word, getattr(report, word) + 1)
            video = path.split("/")[-2] if path.count("/") > 1 else ""
            bars = report.by_video.setdefault(video, {"labelled": 0, "empty": 0, "skipped": 0, "open": 0})
            bars[word] += 1
        live = [value for path, value in after.frames.items() if path in known]
        report.statistics = statistics_json(summarise(live, self._keypoints))

    def _warn(
        self,
        known: Mapping[str, KnownTask],
        doubled: Mapping[str, Sequence[KnownTask]],
        foreign: int,
        before: PullState,
        after: PullState,
    ) -> None:
        report = self._report
        for path in sorted(known):
            for note in after.frames.get(path, {}).get("notes") or ():
                report.details.append({"frame": path, "note": str(note)})
        if report.details:
            first = report.details[0]
            report.warnings.append(
                f"{len(report.details)} remarks on frames, such as {first['frame']}: {first['note']}."
            )
        if report.drafts:
            report.warnings.append(
                f"{report.drafts} frames have drafts that were not submitted: they come when somebody presses Submit."
            )
        gone = sorted(path for path, value in after.frames.items() if value.get("vanished"))
        report.details += [
            {"frame": path, "note": "its task is gone from Label Studio; its labels stay"} for path in gone
        ]
        if gone:
            report.warnings.append(
                f"{len(gone)} labelled frames are gone from Label Studio, such as {gone[0]}. Their labels stay in "
                "CollectedData.csv."
            )
        taken = sorted(
            path
            for path, value in before.frames.items()
            if path in known
            and value.get("state") in {"labelled", "empty"}
            and after.frames[path].get("state") == "open"
        )
        report.details += [{"frame": path, "note": "its annotation was deleted; its labels stay"} for path in taken]
        if taken:
            report.warnings.append(
                f"The annotations of {len(taken)} frames were deleted in Label Studio, such as {taken[0]}. Their "
                "labels stay in CollectedData.csv."
            )
        if doubled:
            path = next(iter(doubled))
            report.warnings.append(f"{len(doubled)} frames are in Label Studio more than once, such as {path}.")
            report.details += [
                {"frame": path, "note": f"also task {', '.join(str(each.id) for each in tasks)}; not read"}
                for path, tasks in sorted(doubled.items())
            ]
        if foreign:
            report.warnings.append(f"{foreign} tasks there are no frames of this project, and were passed over.")


def _batched(tasks: Iterable[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    """Yield the tasks in lists of at most `size`."""
    rest = iter(tasks)
    while batch := list(islice(rest, size)):
        yield batch


def _data_size(data: Mapping[str, Any]) -> tuple[int, int] | None:
    width, height = data.get("width"), data.get("height")
    if isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0:
        return width, height
    return None
