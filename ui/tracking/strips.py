"""What the review shows of a tracked video: strips of a few hundred columns, losses, and the worst frame."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from castle_core.tracking.record import RoiSummary, TrackSummary
from ui.components.mask_player import RoiStrip

COLUMNS = 500
MOST_LOSSES = 2000


def fitted(summary: TrackSummary, n_frames: int) -> TrackSummary:
    """Return the summary of exactly `n_frames` frames: masks may be of fewer or more than the video has."""
    n = min(len(summary.tracked), n_frames)
    if n == n_frames == len(summary.tracked):
        return summary
    tracked = np.zeros(n_frames, bool)
    tracked[:n] = summary.tracked[:n]
    rois = {}
    for roi, found in summary.rois.items():
        area, confidence, lost = np.zeros(n_frames, np.int64), np.full(n_frames, np.nan), np.zeros(n_frames, bool)
        area[:n], confidence[:n], lost[:n] = found.area[:n], found.confidence[:n], found.lost[:n]
        rois[roi] = RoiSummary(area, confidence, lost)
    return TrackSummary(tracked, rois)


def lost_share(track: RoiSummary, tracked: npt.NDArray[np.bool_]) -> float:
    """Return the share of tracked frames without the ROI; 1 where nothing was tracked."""
    n = int(tracked.sum())
    return float((track.lost & tracked).sum() / n) if n else 1.0


def strip_of(roi: int, name: str, track: RoiSummary, tracked: npt.NDArray[np.bool_]) -> RoiStrip:
    """Shorten a ROI's arrays (n,) to at most `COLUMNS` columns: mean area, lowest confidence, any loss, any gap."""
    n = len(track.area)
    edges = np.linspace(0, n, min(COLUMNS, n) + 1).astype(int)
    top = float(np.percentile(track.area[track.area > 0], 99)) if (track.area > 0).any() else 1.0
    starts, sizes = edges[:-1], np.diff(edges)
    area = np.add.reduceat(track.area.astype(np.float64), starts) / sizes / top
    known = np.isfinite(track.confidence)
    confidence = None
    if known.any():
        lowest = np.minimum.reduceat(np.where(known, track.confidence, np.inf), starts)
        confidence = tuple(float(np.clip(value, 0, 1)) if np.isfinite(value) else None for value in lowest)
    n_lost = int((track.lost & tracked).sum())
    words = f"lost {100 * lost_share(track, tracked):.1f} % ({n_lost:,})" if n_lost else "never lost"
    return RoiStrip(
        roi,
        name,
        words,
        tuple(np.clip(area, 0, 1).tolist()),
        confidence,
        tuple(np.logical_or.reduceat(track.lost & tracked, starts).tolist()),
        tuple(np.logical_or.reduceat(~tracked, starts).tolist()),
    )


def loss_starts(tracks: Mapping[int, RoiSummary], tracked: npt.NDArray[np.bool_]) -> list[int]:
    """Return the frames at which a ROI begins to be lost, sorted; the first `MOST_LOSSES`."""
    starts: set[int] = set()
    for track in tracks.values():
        lost = track.lost & tracked
        before = np.concatenate([[False], lost[:-1]])
        starts |= set(np.flatnonzero(lost & ~before).tolist())
    return sorted(starts)[:MOST_LOSSES]


def worst_frame(tracks: Mapping[int, RoiSummary], tracked: npt.NDArray[np.bool_]) -> int | None:
    """Return the frame where most is wrong: the middle of the longest loss, else the lowest confidence.

    None where nothing was tracked, or nothing is lost and no confidence is known.
    """
    longest: tuple[int, int] = (0, 0)
    for track in tracks.values():
        lost = np.concatenate([[False], track.lost & tracked, [False]]).astype(np.int8)
        steps = np.diff(lost)
        for start, stop in zip(np.flatnonzero(steps == 1), np.flatnonzero(steps == -1), strict=True):
            longest = max(longest, (int(stop - start), -int(start)))
    if longest[0]:
        return -longest[1] + longest[0] // 2
    confidences = [np.where(tracked, track.confidence, np.nan) for track in tracks.values()]
    if not confidences or not np.isfinite(np.stack(confidences)).any():
        return None
    return int(np.nanargmin(np.where(np.isfinite(np.stack(confidences)), np.stack(confidences), np.inf).min(axis=0)))
