"""What is known of a video's masks beside the masks: who made them (``tracking.json``) and how sure (``tracking.npz``).

Both lie beside ``mask_list.h5`` and count only as long as that file is the one that was written with them.
"""

import hashlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from castle_core.files import atomic_write_bytes, atomic_write_json
from castle_core.progress import QUIET, Task
from castle_core.projects import Project, VideoEntry
from castle_core.projects.documents import read_document
from castle_core.rois import MaskFile, find_masks
from castle_core.video import fingerprint

FORMAT_VERSION = 1
_SAMPLE = 24  # masks of a file of others that are looked into for ids beyond its number of ROIs


@dataclass(frozen=True, eq=False)
class RoiSummary:
    """One ROI over a video.

    Attributes
    ----------
    area : (n,) int64
        Pixels.
    confidence : (n,) float64
        0 … 1; NaN where nothing is known.
    lost : (n,) bool
        Whether the frame was tracked and the ROI is not there.
    """

    area: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float64]
    lost: npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class TrackSummary:
    """All ROIs over a video.

    Attributes
    ----------
    tracked : (n,) bool
        Which frames have a mask.
    rois : dict of int to RoiSummary
        By id, ascending.
    """

    tracked: npt.NDArray[np.bool_]
    rois: dict[int, RoiSummary]

    def lost_share(self) -> float:
        """Return the share of tracked frames on which the ROI that is lost most is lost; 1 if nothing is tracked."""
        n = int(self.tracked.sum())
        return (
            max((float((roi.lost & self.tracked).sum()) / n for roi in self.rois.values()), default=1.0) if n else 1.0
        )


class SummaryBuilder:
    """Collects a summary frame by frame.

    Parameters
    ----------
    n_frames : int
    """

    def __init__(self, n_frames: int) -> None:
        self._n = n_frames
        self._tracked = np.zeros(n_frames, bool)
        self._area: dict[int, npt.NDArray[np.int64]] = {}
        self._confidence: dict[int, npt.NDArray[np.float64]] = {}

    def add(self, frame_index: int, areas: npt.NDArray[np.int64], confidence: dict[int, float]) -> None:
        """Note one frame.

        Parameters
        ----------
        areas : (256,) int64
            Pixels of each id.
        confidence : dict of int to float
            Of each ROI for which it is known.
        """
        self._tracked[frame_index] = True
        for roi in {*np.flatnonzero(areas[1:] > 0) + 1, *confidence}:
            roi = int(roi)
            if roi not in self._area:
                self._area[roi] = np.zeros(self._n, np.int64)
                self._confidence[roi] = np.full(self._n, np.nan)
            self._area[roi][frame_index] = areas[roi]
            self._confidence[roi][frame_index] = confidence.get(roi, np.nan)

    def finish(self) -> TrackSummary:
        """Return the summary; a ROI counts as lost on every tracked frame without a pixel of it."""
        return TrackSummary(
            self._tracked,
            {
                roi: RoiSummary(area, self._confidence[roi], self._tracked & (area == 0))
                for roi, area in sorted(self._area.items())
            },
        )


def record_path(masks: Path) -> Path:
    """Return where ``tracking.json`` lies beside a mask file."""
    return masks.with_name("tracking.json")


def is_ours(masks: Path) -> bool:
    """Say whether a mask file is the one that its ``tracking.json`` was written with."""
    known = read_document(record_path(masks)).get("mask_list")
    if not isinstance(known, dict) or not masks.is_file():
        return False
    found = masks.stat()
    if found.st_size != known.get("size"):
        return False
    return found.st_mtime_ns == known.get("mtime_ns") or _sha256(masks) == known.get("sha256")


def _sha256(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_record(masks: Path, summary: TrackSummary, entry: dict[str, Any], *, video: str, fresh: bool) -> None:
    """Write ``tracking.npz`` and ``tracking.json`` for a mask file that has just been written.

    Parameters
    ----------
    entry : dict
        What was done this time; earlier entries stay before it.
    fresh : bool
        Whether the file before was not ours: then the list of what was done begins with a note of that.
    """
    earlier = [] if fresh else read_document(record_path(masks)).get("runs", [])
    rois = list(summary.rois)
    stream = io.BytesIO()
    np.savez_compressed(
        stream,
        rois=np.array(rois, np.int64),
        tracked=summary.tracked,
        area=np.array([summary.rois[r].area for r in rois], np.int32).reshape(len(rois), -1),
        confidence=np.array([summary.rois[r].confidence for r in rois], np.float32).reshape(len(rois), -1),
    )
    atomic_write_bytes(masks.with_name("tracking.npz"), stream.getvalue())
    found = masks.stat()
    document = {
        "format": FORMAT_VERSION,
        "video": video,
        "mask_list": {"size": found.st_size, "mtime_ns": found.st_mtime_ns, "sha256": _sha256(masks)},
        "runs": [*earlier, entry] if isinstance(earlier, list) else [entry],
    }
    atomic_write_json(record_path(masks), document)


def made_of_another_file(masks: Path, video: Path, n_frames: int) -> bool:
    """Say whether some masks of ours were tracked on another file than the one that now bears the video's name.

    Parameters
    ----------
    masks, video : Path
        ``mask_list.h5``, and the video of that name today.
    n_frames : int
        Of that video. What later runs over it wrote anew does not count.

    Returns
    -------
    bool
        False where nothing is known: masks that were not tracked here.

    Raises
    ------
    VideoError
        If the video cannot be read.
    """
    if not is_ours(masks):
        return False
    runs = read_document(record_path(masks)).get("runs")
    known = [run for run in runs if isinstance(run, dict)] if isinstance(runs, list) else []
    current = fingerprint(video)
    replaced: dict[int, npt.NDArray[np.bool_]] = {}  # frames of each ROI that later runs, over this file, wrote anew
    for run in reversed(known):
        try:
            frames = np.zeros(n_frames, bool)
            for ends in run["runs"]:
                frames[min(ends) : max(ends) + 1] = True
            rois = [int(roi) for roi in run["rois"]]
        except (KeyError, TypeError, ValueError):  # not a run of the tracker, or edited by hand
            continue
        if run.get("video_fingerprint", current) == current:
            for roi in rois:
                replaced[roi] = replaced.get(roi, False) | frames
        elif not all((replaced.get(roi, False) | ~frames).all() for roi in rois):
            return True
    return False


def stored_summary(masks: Path) -> TrackSummary | None:
    """Return the summary that was written with a mask file; None if there is none, or not of this file."""
    if not is_ours(masks):
        return None
    try:
        with np.load(masks.with_name("tracking.npz"), allow_pickle=False) as archive:
            tracked, rois = archive["tracked"], archive["rois"]
            area, confidence = archive["area"].astype(np.int64), archive["confidence"].astype(np.float64)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return TrackSummary(
        tracked,
        {int(r): RoiSummary(area[k], confidence[k], tracked & (area[k] == 0)) for k, r in enumerate(rois)},
    )


def known_rois(masks: MaskFile) -> list[int] | None:
    """Return the ids that a mask file can hold, as far as that is known without reading every mask.

    Returns
    -------
    list of int or None
        Those with pixels, of a file of ours. Of other files the numbers up to that of ROIs, and what some masks hold
        beyond; None if the number of ROIs is not stored.
    """
    summary = stored_summary(masks.path)
    if summary is not None:
        return [roi for roi, track in sorted(summary.rois.items()) if track.area.any()]
    if not masks.n_rois:
        return None
    found = set(range(1, masks.n_rois + 1))
    for place in np.unique(np.linspace(0, len(masks.frame_indices) - 1, _SAMPLE).astype(int)):
        mask = masks.mask_at(int(masks.frame_indices[place]))
        found |= set() if mask is None else set(np.flatnonzero(np.bincount(mask.ravel(), minlength=256)[1:]) + 1)
    return sorted(int(roi) for roi in found)


def measure_masks(masks: Path, n_frames: int, task: Task = QUIET) -> TrackSummary:
    """Read every mask of a file once: areas and losses, without confidence.

    Raises
    ------
    RoiError
        If the file is damaged.
    """
    builder = SummaryBuilder(n_frames)
    with MaskFile(masks) as source:
        for number, frame_index in enumerate(source.frame_indices):
            mask = source.mask_at(int(frame_index))
            if mask is not None and frame_index < n_frames:
                builder.add(int(frame_index), np.bincount(mask.ravel(), minlength=256), {})
            task.progress(number + 1, len(source.frame_indices), "reading masks")
    return builder.finish()


def track_summary(project: Project, stem: str, task: Task = QUIET) -> TrackSummary | None:
    """Return areas, confidence and losses of a video's masks; None where it has no masks.

    What we tracked is known at once; CASTLE's files are read through, a millisecond or two a frame.

    Raises
    ------
    RoiError
        If the masks are damaged.
    """
    entry = project.video(stem)
    masks = find_masks(project, entry.name)
    if not masks.is_file():
        return None
    known = stored_summary(masks)
    if known is not None:
        return known
    with MaskFile(masks) as source:
        n_frames = max(source.n_frames, int(source.frame_indices[-1]) + 1)
    return measure_masks(masks, n_frames, task)


def worst_first(
    summaries: Sequence[tuple[VideoEntry, TrackSummary | None]],
) -> list[tuple[VideoEntry, float | None]]:
    """Return videos by the share of lost frames, the worst first; those without masks come last, with None."""
    shares = [(entry, None if summary is None else summary.lost_share()) for entry, summary in summaries]
    return sorted(shares, key=lambda pair: (pair[1] is None, -(pair[1] or 0.0), pair[0].stem.casefold()))
