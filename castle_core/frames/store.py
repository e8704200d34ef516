"""Putting frames into a video's folder: images merged in, lists extended, nothing replaced."""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from castle_core.errors import ProjectError
from castle_core.frames.names import SELECTED, frame_name, images_by_index, read_list, read_selected, with_context
from castle_core.frames.record import Round, RoundFrame, RoundInfo, read_record
from castle_core.frames.writes import Change, frames_lock, staging
from castle_core.progress import QUIET, Task

if TYPE_CHECKING:
    from castle_core.projects import Project

Images = Callable[[Sequence[int]], Iterator[tuple[int, bytes]]]
"""Gives the files of the frames that are asked for: pairs of frame index and PNG (or JPEG) bytes, in any order."""


@dataclass(frozen=True)
class Exported:
    """What an export has done.

    Attributes
    ----------
    written : tuple of int
        Frames that are selected now and were not before, sorted.
    kept : tuple of int
        Frames that were selected already and stay as they are.
    directory : Path
        The video's folder in ``labeled-data``.
    context_written : tuple of int
        Context frames whose image is new.
    warnings : tuple of str
        Context frames that could not be decoded, as sentences.
    """

    written: tuple[int, ...]
    kept: tuple[int, ...]
    directory: Path
    context_written: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()


def store_frames(
    project: "Project",
    stem: str,
    frames: Sequence[RoundFrame],
    images: Images,
    *,
    context_indices: Iterable[int] = (),
    context: int = 2,
    round_info: RoundInfo,
    video_name: str = "",
    task: Task = QUIET,
) -> Exported:
    """Merge frames into ``labeled-data/<stem>`` in one step: all of them, or nothing.

    Images that are there, under whatever padding, stay and are not asked for. Frames that are selected already stay in
    the round that picked them.

    Parameters
    ----------
    project : Project
    stem : str
        The video's stem; the video itself need not be in the project.
    frames : sequence of RoundFrame
        The frames to select; the name of one that has no image yet may be empty.
    images : callable
        Gives the images of those that are not there yet.
    context_indices : iterable of int
        Other frames whose images are wanted, as context or (further away than `context`) as the round's others. Images
        that `images` leaves out are not written.
    context : int
        Frames on either side that count as a pick's context.
    round_info : RoundInfo
        What is said about these frames in selection.json.
    video_name : str
        The video's file name, for selection.json.
    task : Task
        Is told the progress; its `publish` is what makes the change happen.

    Returns
    -------
    Exported

    Raises
    ------
    ProjectError, LockHeldError
        If the folder cannot be written, or `images` leaves out a frame that is to be selected.
    """
    project.require_writable()
    folder = project.frames_folder(stem)
    wanted = {frame.frame_index: frame for frame in sorted(frames, key=lambda frame: frame.frame_index)}
    context_only = sorted(set(context_indices) - set(wanted))
    staged_names: dict[int, str] = {}
    asked: set[int] = set()
    with staging(project, stem) as staged:
        while True:
            on_disk, listed = images_by_index(folder), read_selected(folder)
            needed = sorted(index for index in (*wanted, *context_only) if index not in on_disk and index not in asked)
            asked.update(needed)
            task.progress(0, len(needed), folder.name)
            for n_done, (index, data) in enumerate(images(needed) if needed else (), start=1):
                staged_names[index] = _name(index, listed, wanted)
                staged.add(staged_names[index], data)
                task.progress(n_done, len(needed), folder.name)
            _check_complete(wanted, on_disk, staged_names, asked, stem)
            with frames_lock(project, stem):
                on_disk = images_by_index(folder)
                gone = [index for index in (*wanted, *context_only) if index not in on_disk and index not in asked]
                if gone:  # somebody took an image back while ours were made
                    continue
                near = {other for index in wanted for other in with_context(index, context)}
                others = tuple(index for index in context_only if index in staged_names and index not in near)
                change, result = _merged(
                    project, stem, wanted, staged_names, on_disk, context, others, round_info, video_name
                )
                if change is not None:
                    staged.commit(change, task)
                return result


def _check_complete(
    wanted: Collection[int], on_disk: Collection[int], staged: Collection[int], asked: Collection[int], stem: str
) -> None:
    missing = [index for index in wanted if index in asked and index not in on_disk and index not in staged]
    if missing:
        raise ProjectError(f"There is no image of frame {missing[0]} of {stem}, so it cannot be selected.")


def _merged(
    project: "Project",
    stem: str,
    wanted: Mapping[int, RoundFrame],
    staged_names: Mapping[int, str],
    on_disk: Mapping[int, str],
    context: int,
    others: tuple[int, ...],
    round_info: RoundInfo,
    video_name: str,
) -> tuple[Change | None, Exported]:
    """Work out, under the lock, what the folder becomes; None if it stays as it is."""
    folder = project.frames_folder(stem)
    (selected, unnumbered), record = read_list(folder), read_record(folder)
    new = {index: name for index, name in staged_names.items() if index not in on_disk}
    names = {**on_disk, **new}
    if not (folder / SELECTED).exists() and not record.rounds:
        record = replace(record, found=tuple(name for name in on_disk.values() if name not in record.written))
    picked = [
        replace(frame, name=names[index], score=_finite(frame.score), time_s=_finite(frame.time_s))
        for index, frame in wanted.items()
        if index not in selected
    ]
    result = Exported(
        written=tuple(frame.frame_index for frame in picked),
        kept=tuple(index for index in wanted if index in selected),
        directory=folder,
        context_written=tuple(sorted(index for index in new if index not in wanted)),
    )
    if not picked and not new:
        return None, result
    if not new.keys() <= set(wanted):
        record = record.with_context_of(selected.keys() & wanted.keys(), context)
    if picked:
        record = record.with_round(Round(round_info, tuple(picked), context, others))
    record = replace(record, video=record.video or video_name, written=record.written | frozenset(new.values()))
    again = {index: name for index, name in new.items() if index in selected}  # a listed image that was lost
    listed = selected | again | {frame.frame_index: frame.name for frame in picked}
    change = Change(tuple(new.values()), (), dict(sorted(listed.items())), record, round_info.id, unnumbered)
    return change, result


def _name(frame_index: int, listed: Mapping[int, str], wanted: Mapping[int, RoundFrame]) -> str:
    """Return the name that a frame without an image gets: the listed one if that is lost, else the usual one."""
    if listed.get(frame_index, "").lower().endswith(".png"):
        return listed[frame_index]
    frame = wanted.get(frame_index)
    return frame.name if frame is not None and frame.name else frame_name(frame_index)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
