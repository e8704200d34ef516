"""Taking written frames back: one frame, or all of a round, as long as nobody has labelled them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from castle_core.errors import ProjectError
from castle_core.frames.names import images_by_index, read_list, read_selected, with_context
from castle_core.frames.record import RoundInfo, SelectionRecord, read_record
from castle_core.frames.writes import Change, Staging, frames_lock, pending, staging
from castle_core.labelled import frame_index_of
from castle_core.progress import QUIET, Task

if TYPE_CHECKING:
    from castle_core.projects import Project


@dataclass(frozen=True)
class UndoReport:
    """What undoing a round has done, by video stem: frames taken back, and frames that stay since they have labels."""

    round_id: str
    removed: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    labelled: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def n_removed(self) -> int:
        """Frames taken back, over all videos."""
        return sum(len(frames) for frames in self.removed.values())


@dataclass(frozen=True)
class RoundSummary:
    """One round over all videos of a project: what it is, its frames by video stem, and which of them are labelled."""

    info: RoundInfo
    frames: Mapping[str, tuple[int, ...]]
    labelled: Mapping[str, tuple[int, ...]]

    @property
    def n_frames(self) -> int:
        """Frames of the round, over all videos."""
        return sum(len(frames) for frames in self.frames.values())


def list_rounds(project: "Project") -> tuple[RoundSummary, ...]:
    """Return the rounds of a project, newest first; frames that are selected no more are not counted."""
    infos: dict[str, RoundInfo] = {}
    frames: dict[str, dict[str, tuple[int, ...]]] = {}
    labelled: dict[str, dict[str, tuple[int, ...]]] = {}
    for stem in project.frame_folders():
        record = read_record(project.frames_folder(stem))
        if not record.rounds:
            continue
        selected, with_labels = project.selected(stem), project.labelled(stem)
        for each in record.rounds:
            here = tuple(frame.frame_index for frame in each.frames if frame.frame_index in selected)
            if here:
                infos.setdefault(each.info.id, each.info)
                frames.setdefault(each.info.id, {})[stem] = here
                labelled.setdefault(each.info.id, {})[stem] = tuple(i for i in here if i in with_labels)
    rounds = [RoundSummary(info, frames[key], labelled[key]) for key, info in infos.items()]
    return tuple(sorted(rounds, key=lambda each: (each.info.when, each.info.id), reverse=True))


def remove_frame(project: "Project", stem: str, frame_index: int, task: Task = QUIET) -> None:
    """Take one selected, unlabelled frame back, with the context frames that no other pick needs.

    An image that was there before us stays; it is only taken from the list.

    Raises
    ------
    ProjectError
        If the frame is not selected, or has labels.
    """
    project.require_writable()
    with staging(project, stem) as staged, frames_lock(project, stem):
        if frame_index not in read_selected(project.frames_folder(stem)):
            raise ProjectError(f"Frame {frame_index} of {stem} is not among the selected frames.")
        if frame_index in project.labelled(stem):
            raise ProjectError(f"Frame {frame_index} of {stem} has labels and stays. Remove its labels first.")
        _take_back(project, stem, frozenset({frame_index}), staged, "", task)


def undo_round(project: "Project", round_id: str, task: Task = QUIET) -> UndoReport:
    """Take all unlabelled frames of a round back, in every video; labelled ones stay selected.

    Running it again after a crash finishes it.

    Raises
    ------
    ProjectError
        If the project has no such round.
    """
    project.require_writable()
    removed: dict[str, tuple[int, ...]] = {}
    kept: dict[str, tuple[int, ...]] = {}
    known = False
    stems = project.frame_folders()
    for n_done, stem in enumerate(stems):
        task.progress(n_done, len(stems), stem)
        if owed := pending(project, stem):
            known = known or round_id in owed
            with frames_lock(project, stem):  # finishes what a dead process had begun
                pass
        if read_record(project.frames_folder(stem)).round(round_id) is None:
            continue
        with staging(project, stem) as staged, frames_lock(project, stem):
            known = True
            each = read_record(project.frames_folder(stem)).round(round_id)
            if each is None:
                continue
            labelled = project.labelled(stem)
            frames = tuple(frame.frame_index for frame in each.frames)
            kept[stem] = tuple(index for index in frames if index in labelled)
            removed[stem] = tuple(index for index in frames if index not in labelled)
            if removed[stem]:
                _take_back(project, stem, frozenset(removed[stem]), staged, round_id, task)
    task.progress(len(stems), len(stems))
    if not known:
        raise ProjectError(f"The project {project.name} has no round {round_id}. Was it undone already?")
    return UndoReport(
        round_id,
        {stem: frames for stem, frames in removed.items() if frames},
        {stem: frames for stem, frames in kept.items() if frames},
    )


def _take_back(
    project: "Project", stem: str, frame_indices: frozenset[int], staged: Staging, round_id: str, task: Task
) -> None:
    folder = project.frames_folder(stem)
    record, images = read_record(folder), images_by_index(folder)
    listed, others = read_list(folder)
    others = tuple(name for name in others if frame_index_of(name) not in frame_indices)
    selected = {index: name for index, name in listed.items() if index not in frame_indices}
    needed = _needed(record, frozenset(selected), project.labelled(stem))
    near = {near for index in frame_indices for near in with_context(index, record.context_of(index))}
    undone = record.round(round_id) if round_id else None
    if undone is not None and all(frame.frame_index in frame_indices for frame in undone.frames):
        near.update(undone.others)
    delete = tuple(images[i] for i in sorted(near - needed) if i in images and images[i] in record.written)
    after = replace(record.without_frames(frame_indices), written=record.written - frozenset(delete))
    if not after.rounds and not after.written:
        after = SelectionRecord(extra=record.extra)
    staged.commit(Change((), delete, selected, after, round_id, others), task)


def _needed(record: SelectionRecord, selected: frozenset[int], labelled: frozenset[int]) -> set[int]:
    """Return the frames whose images must stay: selected or labelled ones, and what belongs to the picks among them."""
    needed = set(selected | labelled)
    for index in selected:
        needed.update(with_context(index, record.context_of(index, default=0)))
    for each in record.rounds:
        if any(frame.frame_index in selected for frame in each.frames):
            needed.update(each.others)
    return needed
