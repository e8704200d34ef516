"""One ``mask_list.h5`` from shards and the file that was there: copied as stored where nothing has to be joined."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from castle_core.errors import RoiError
from castle_core.files import atomic_path, locked, make_folder
from castle_core.hdf5 import open_hdf5
from castle_core.latents.plan import replace_keeping
from castle_core.mask_writer import MaskListWriter
from castle_core.progress import Task
from castle_core.rois import Mask, MaskFile
from castle_core.tracking.record import (
    SummaryBuilder,
    TrackSummary,
    is_ours,
    measure_masks,
    stored_summary,
    write_record,
)
from castle_core.tracking.shards import Rows, bounding_box, read_rows

_COPIES_BEFORE_REOPENING = 500
_LOCK_S = 120.0


@dataclass(frozen=True)
class Target:
    """The file to write.

    Attributes
    ----------
    masks : Path
        ``track/<video file name>/mask_list.h5``.
    video_name : str
    n_frames, height, width : int
        Of the video.
    cache : Path
        The folder that holds the trash.
    """

    masks: Path
    video_name: str
    n_frames: int
    height: int
    width: int
    cache: Path


class _Source:
    """Masks of one file, opened again now and then: HDF5 keeps something of every data set in memory."""

    def __init__(self, path: Path) -> None:
        self._path, self._count = path, 0
        self.file: Any = open_hdf5(path)

    def used(self) -> Any:
        self._count += 1
        if self._count % _COPIES_BEFORE_REOPENING == 0:
            self.close()
            self.file = open_hdf5(self._path)
        return self.file

    def mask(self, frame_index: int) -> Mask:
        return np.asarray(self.used()[str(frame_index)][()], np.uint8)

    def close(self) -> None:
        self.file.close()


def merge_shards(
    target: Target, shards: list[Path], rois: tuple[int, ...], entry: dict[str, Any], task: Task
) -> TrackSummary:
    """Write tracked frames into a video's mask file; other frames, and other ROIs on these frames, stay.

    Where what was tracked now meets another ROI, it lies on top. Later shards count before earlier ones. A file that
    was not written by us is linked or copied to ``.castle/trash`` before it is replaced; of our own the last one before
    is kept there, in ``masks-before/<video>``.

    Parameters
    ----------
    shards : list of Path
        Folders of `run_shards`.
    rois : tuple of int
        Ids that were tracked.
    entry : dict
        What ``tracking.json`` says of this.

    Raises
    ------
    RoiError
        If the earlier file is damaged or of another size.
    ProjectError, LockHeldError
        If nothing can be written, or somebody else is writing it.
    """
    make_folder(target.masks.parent)
    with locked(target.masks, timeout_s=_LOCK_S):
        before, earlier = _earlier(target, task)
        n_rois = max([*rois, *(earlier.rois if earlier else ())])
        builder = SummaryBuilder(target.n_frames)
        with atomic_path(target.masks, publish=_publisher(target, task)) as temporary:
            with (
                contextlib.ExitStack() as stack,
                MaskListWriter(
                    temporary,
                    width=target.width,
                    height=target.height,
                    n_rois=n_rois,
                    n_frames=target.n_frames,
                ) as writer,
            ):
                base = None
                if before:
                    base = _Source(target.masks)
                    stack.callback(base.close)
                _merge(writer, builder, base, earlier, shards, rois, task)
            summary = builder.finish()
            _check_written(temporary, summary)
        fresh = earlier is None or not before
        write_record(target.masks, summary, entry, video=target.video_name, fresh=fresh)
    return summary


def _earlier(target: Target, task: Task) -> tuple[bool, TrackSummary | None]:
    """Return whether there is a file before ours, and what it holds."""
    if not target.masks.is_file():
        return False, None
    with MaskFile(target.masks) as masks:
        if (masks.height, masks.width) != (target.height, target.width) or masks.frame_indices[-1] >= target.n_frames:
            raise RoiError(
                f"{target.masks} holds masks of another video ({masks.width} x {masks.height}, up to frame "
                f"{masks.frame_indices[-1]}). Move that file away, then track {target.video_name} again."
            )
    known = stored_summary(target.masks)
    if known is None or len(known.tracked) != target.n_frames:  # the video was replaced by one of another length
        known = measure_masks(target.masks, target.n_frames, task)
    return True, known


def _merge(
    writer: MaskListWriter,
    builder: SummaryBuilder,
    base: _Source | None,
    earlier: TrackSummary | None,
    shards: list[Path],
    rois: tuple[int, ...],
    task: Task,
) -> None:
    rows = [read_rows(shard) for shard in shards]
    plan = _Plan(rows, shards, rois)
    done, total = 0, plan.n_tracked
    if base is not None and earlier is not None:
        kept = [int(f) for f in np.flatnonzero(earlier.tracked) if not plan.has(int(f))]
        total += len(kept)
        for frame in kept:
            writer.copy(base.used(), frame)
            builder.add(frame, *_known(earlier, frame))
            done += 1
            task.progress(done, total, "joining masks")
    for number, (row, shard) in enumerate(zip(rows, shards, strict=True)):
        source = _Source(shard / "masks.h5")
        try:
            for place, frame in enumerate(row.frames.tolist()):
                if not plan.is_last(frame, number):
                    continue
                areas = np.zeros(256, np.int64)
                for roi in rois:
                    areas[roi] = row.area[roi][place]
                _join(writer, builder, source, plan.layers(frame, number, place), areas, frame, base, earlier)
                done += 1
                task.progress(done, total, "joining masks")
        finally:
            source.close()


class _Plan:
    """Which shards hold which frames; a long video takes a few bytes a frame."""

    def __init__(self, rows: list[Rows], shards: list[Path], rois: tuple[int, ...]) -> None:
        self._rows, self._shards, self._rois = rows, shards, rois
        self._last = np.full(1 + max((int(row.frames.max()) for row in rows if len(row.frames)), default=0), -1)
        often = np.zeros(len(self._last), np.int64)
        for number, row in enumerate(rows):
            self._last[row.frames] = number
            often[row.frames] += 1
        # Only frames that were tracked more than once need their places kept.
        self._doubled: dict[int, list[tuple[int, int]]] = {int(f): [] for f in np.flatnonzero(often > 1)}
        for number, row in enumerate(rows):
            for place in np.flatnonzero(often[row.frames] > 1).tolist():
                self._doubled[int(row.frames[place])].append((number, place))
        self.n_tracked = int((often > 0).sum())

    def has(self, frame: int) -> bool:
        return frame < len(self._last) and bool(self._last[frame] >= 0)

    def is_last(self, frame: int, number: int) -> bool:
        return bool(self._last[frame] == number)

    def layers(self, frame: int, number: int, place: int) -> "list[_Layer]":
        """Return the layers of a frame, the last one on top; those that it covers wholly are left out."""
        found: list[_Layer] = []
        for shard, where in self._doubled.get(frame, [(number, place)]):
            confidence = {roi: float(self._rows[shard].confidence[roi][where]) for roi in self._rois}
            layer = _Layer(self._shards[shard], where, confidence)
            found = [*(under for under in found if not under.known.keys() <= layer.known.keys()), layer]
        return found


class _Layer:
    """One shard's mask of a frame, and the ROIs that were tracked there with their confidence."""

    __slots__ = ("known", "place", "shard")

    def __init__(self, shard: Path, place: int, confidence: dict[int, float]) -> None:
        self.shard, self.place = shard, place
        self.known = {roi: value for roi, value in confidence.items() if np.isfinite(value)}


def _join(
    writer: MaskListWriter,
    builder: SummaryBuilder,
    source: _Source,
    layers: list[_Layer],
    areas: npt.NDArray[np.int64],
    frame: int,
    base: _Source | None,
    earlier: TrackSummary | None,
) -> None:
    """Write one frame: as it is stored, or over those ROIs of other runs and of the earlier file that stay."""
    known: dict[int, float] = {}
    for layer in layers:
        known |= layer.known
    others: dict[int, float | None] = {}
    if base is not None and earlier is not None and earlier.tracked[frame]:
        areas_before, confidence = _known(earlier, frame)
        others = {int(r): confidence.get(int(r)) for r in np.flatnonzero(areas_before) if int(r) not in known}
    if not others and len(layers) == 1:
        writer.copy(source.used(), frame)
        builder.add(frame, areas, known)
        return
    mask = np.zeros_like(source.mask(frame))
    if base is not None and others:
        under = base.mask(frame)
        mask = np.where(np.isin(under, list(others)), under, 0).astype(np.uint8)
    for layer in layers:
        if layer is layers[-1]:
            over = source.mask(frame)
        else:
            other = _Source(layer.shard / "masks.h5")
            try:
                over = other.mask(frame)
            finally:
                other.close()
        mask[np.isin(mask, list(layer.known))] = 0
        mask = np.where(over > 0, over, mask)
    writer.write(mask, bounding_box(mask), frame)
    sure = {roi: value for roi, value in others.items() if value is not None}
    builder.add(frame, np.bincount(mask.ravel(), minlength=256), {**sure, **known})


def _known(summary: TrackSummary, frame: int) -> tuple[npt.NDArray[np.int64], dict[int, float]]:
    areas = np.zeros(256, np.int64)
    confidence = {}
    for roi, values in summary.rois.items():
        areas[roi] = values.area[frame]
        if np.isfinite(values.confidence[frame]):
            confidence[roi] = float(values.confidence[frame])
    return areas, confidence


def _check_written(path: Path, summary: TrackSummary) -> None:
    """Check that every frame reads back by name: HDF5 can lose writes to a full disk without a word."""
    with MaskFile(path) as written:
        missing = np.setdiff1d(np.flatnonzero(summary.tracked), written.frame_indices)
        if len(missing):
            raise RoiError(f"The mask of frame {missing[0]} is missing after writing. Is the disk full? Try again.")
        written.mask_at(int(written.frame_indices[-1]))  # raises where it does not read back


def _publisher(target: Target, task: Task, *, always: bool = False) -> Any:
    def publish(temporary: Path, final: Path) -> None:
        if final.exists() and (always or not is_ours(final)):
            kept = replace_keeping(temporary, final, target.cache, task.publish)
            task.log(f"  the earlier masks of {target.video_name} are kept in {kept}")
        else:
            if final.exists():
                _keep_one_before(final, target)
            task.publish(temporary, final)

    return publish


def _keep_one_before(masks: Path, target: Target) -> None:
    """Keep masks of ours that are about to be replaced, in the place of those that were kept before."""
    kept = make_folder(target.cache / "trash" / "masks-before" / target.video_name) / masks.name
    with atomic_path(kept) as temporary:
        temporary.unlink(missing_ok=True)
        try:
            os.link(masks, temporary)
        except OSError:  # not every disk has hard links
            shutil.copy2(masks, temporary)


def rewrite_masks(
    target: Target,
    change: Callable[[TrackSummary], Iterator[tuple[int, Mask]]],
    entry: dict[str, Any],
    task: Task,
) -> tuple[TrackSummary, int]:
    """Replace some frames of a mask file by others; the rest is copied as stored, the earlier file kept in the trash.

    Parameters
    ----------
    change : callable
        Given what the file holds, yields (frame index, (H, W) uint8 mask), ascending. It is called, and reads the file,
        only once nobody else can write it: what a tracker wrote meanwhile is not overwritten by older masks.

    Returns
    -------
    tuple of TrackSummary and int
        What the file holds now, and how many frames were replaced.

    Raises
    ------
    RoiError
        If there is no file, or it is damaged.
    """
    with locked(target.masks, timeout_s=_LOCK_S):
        present, earlier = _earlier(target, task)
        if not present or earlier is None:
            raise RoiError(f"{target.video_name} has no masks yet. Track it first.")
        builder = SummaryBuilder(target.n_frames)
        fresh = not is_ours(target.masks)
        with atomic_path(target.masks, publish=_publisher(target, task, always=True)) as temporary:
            base = _Source(target.masks)
            try:
                with MaskListWriter(
                    temporary,
                    width=target.width,
                    height=target.height,
                    n_rois=max(earlier.rois, default=0),
                    n_frames=target.n_frames,
                ) as writer:
                    done: set[int] = set()
                    for frame, mask in change(earlier):
                        writer.write(mask, bounding_box(mask), frame)
                        builder.add(frame, np.bincount(mask.ravel(), minlength=256), _known(earlier, frame)[1])
                        done.add(frame)
                    rest = [int(f) for f in np.flatnonzero(earlier.tracked) if int(f) not in done]
                    for number, frame in enumerate(rest):
                        writer.copy(base.used(), frame)
                        builder.add(frame, *_known(earlier, frame))
                        task.progress(number + 1, len(rest), "joining masks")
            finally:
                base.close()
            summary = builder.finish()
            _check_written(temporary, summary)
        write_record(target.masks, summary, entry, video=target.video_name, fresh=fresh)
    return summary, len(done)
