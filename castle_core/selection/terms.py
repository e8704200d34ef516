"""What can be picked from a video, before looking at it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from castle_core.errors import SelectionError
from castle_core.ranges import usable_mask
from castle_core.selection.config import SelectionConfig
from castle_core.selection.spacing import Placement, capacity, default_gap

if TYPE_CHECKING:
    from castle_core.video import Video

Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Terms:
    """What can be picked from one video.

    Attributes
    ----------
    n : int
        Frames to pick.
    usable : (n_frames,) bool
        In the range, not excluded, not covered.
    pickable : (n_frames,) bool
        As `usable`, and at least the gap away from covered frames where enough remains.
    covered : (c,) int64
        Frames selected or labelled before, ascending.
    gap : int
        Smallest distance between two picks, in frames.
    """

    n: int
    usable: Mask
    pickable: Mask
    covered: Indices
    gap: int

    def fitting(self, frames: Indices) -> int:
        """Count how many of `frames` (ascending) can be picked together, up to `n`."""
        return capacity(frames[self.pickable[frames]], self.gap, self.n)


def usable_frames(video: "Video", config: SelectionConfig, covered: Sequence[int]) -> tuple[Mask, Indices, list[str]]:
    """Return the frames that may be picked (n_frames,) bool, the covered ones (c,) int64, and warnings.

    Raises
    ------
    SelectionError
        If the range holds no frame.
    """
    usable = usable_mask(video.times_s, config.start, config.stop, config.exclude)
    if not usable.any():
        raise SelectionError(
            f"The chosen part of {video.path.name} holds no frame. Choose a longer part or exclude less."
        )
    asked = np.unique(np.asarray(covered, dtype=np.int64)) if len(covered) else np.zeros(0, dtype=np.int64)
    inside = asked[(asked >= 0) & (asked < video.n_frames)]
    warnings = []
    if len(inside) < len(asked):
        warnings.append(
            f"{len(asked) - len(inside)} labelled or selected frames lie outside {video.path.name}, which has "
            f"{video.n_frames} frames. Do they belong to another video?"
        )
    usable[inside] = False
    return usable, inside, warnings


def make_terms(video: "Video", config: SelectionConfig, n: int, usable: Mask, covered: Indices) -> Terms:
    """Work out the gap to keep, and refuse what cannot be.

    Raises
    ------
    SelectionError
        If `n` frames cannot be picked.
    """
    name = video.path.name
    n_usable = int(usable.sum())
    if n_usable < n:
        part = usable_mask(video.times_s, config.start, config.stop, config.exclude)
        in_part, gone = int(part.sum()), int(part.sum()) - n_usable
        already = f", of which {gone} are already selected or labelled" if gone else ""
        advice = f"Ask for {n_usable} or fewer, or choose a longer part." if n_usable else "Choose another part."
        raise SelectionError(f"{name} has {in_part} frames in the chosen part{already}; {n} were asked for. {advice}")
    gap = default_gap(max(n, 1), n_usable, video.average_fps) if config.min_gap is None else config.min_gap
    fitting = capacity(np.flatnonzero(usable), gap, n)
    if fitting < n:
        raise SelectionError(
            f"Only {fitting} frames of {name} fit with a minimum gap of {gap} frames; {n} were asked for. "
            "Ask for fewer, or type a smaller gap."
        )
    return Terms(n, usable, _away_from(usable, covered, gap, n), covered, gap)


def _away_from(usable: Mask, covered: Indices, gap: int, n: int) -> Mask:
    """Keep the gap from covered frames as well, unless too little remains."""
    if len(covered) == 0:
        return usable
    change = np.zeros(len(usable) + 1, dtype=np.int64)
    np.add.at(change, np.maximum(covered - gap + 1, 0), 1)
    np.add.at(change, np.minimum(covered + gap, len(usable)), -1)
    away = usable & (np.cumsum(change[:-1]) == 0)
    return away if capacity(np.flatnonzero(away), gap, n) >= n else usable


def midpoints(n_frames: int, n: int) -> Indices:
    """Return the middles of `n` equal intervals of 0 … `n_frames` - 1."""
    return ((2 * np.arange(n, dtype=np.int64) + 1) * n_frames) // (2 * n)


def frames_without_looking(terms: Terms, method: str, rng: np.random.Generator) -> Indices | None:
    """Return what ``uniform`` and ``random`` choose, (n,) int64 ascending; None for methods that look at the frames."""
    if method not in ("uniform", "random"):
        return None
    frames = np.flatnonzero(terms.pickable)
    placement = Placement(frames, terms.gap, terms.n)
    if method == "uniform":
        for place in midpoints(len(frames), terms.n):
            placement.take_nearest(np.abs(np.arange(len(frames)) - place))
    else:
        for _ in range(terms.n):
            placement.take(int(rng.choice(np.flatnonzero(placement.open))))
    return np.sort(frames[np.array(placement.taken, dtype=np.int64)])
