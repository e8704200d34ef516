"""A set of frames drawn on the map, and which of them to send to labelling."""

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from castle_core.selection.clustering import kmeans, nearest, squared_distances
from castle_core.selection.threads import one_thread


def inside_polygon(points: npt.NDArray[np.floating], polygon: Sequence[tuple[float, float]]) -> npt.NDArray[np.bool_]:
    """Say which points lie inside a polygon (even-odd rule: each crossing of a ray to the right changes sides).

    Parameters
    ----------
    points : (n, 2) array
        NaN lies outside.
    polygon : sequence of (x, y)
        At least three corners; it is closed by itself.
    """
    inside = np.zeros(len(points), np.bool_)
    if len(polygon) < 3:
        return inside
    corners = np.asarray(polygon, np.float64)
    low, high = corners.min(axis=0), corners.max(axis=0)
    near = np.flatnonzero(((points >= low) & (points <= high)).all(axis=1))
    x, y = points[near, 0].astype(np.float64), points[near, 1].astype(np.float64)
    crossed = np.zeros(len(near), np.bool_)
    for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y1 == y2:
            continue
        spans = (y1 > y) != (y2 > y)
        crossed ^= spans & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
    inside[near] = crossed
    return inside


def spread_over(
    scores: npt.NDArray[np.float32],
    frames: npt.NDArray[np.int64],
    n: int,
    *,
    taken: Collection[int] = (),
    min_gap: int = 1,
    seed: int = 0,
) -> tuple[npt.NDArray[np.int64], dict[int, tuple[int, ...]]]:
    """Choose `n` of a set of frames that stand for all of them: the members of k-means clusters nearest to the centres.

    Parameters
    ----------
    scores : (n_frames, d) float32
        Principal components of all frames.
    frames : (m,) int64
        The set.
    n : int
        Fewer come back where the set, without `taken`, is smaller.
    taken : collection of int
        Frames that are selected or labelled already.
    min_gap : int
        Least distance between two chosen frames; halved until `n` fit, since frames that follow each other are alike.

    Returns
    -------
    chosen : (n,) int64
        Sorted.
    others : dict
        Chosen frame → up to four frames of its cluster that may take its place, nearest first.
    """
    with one_thread():
        return _spread_over(scores, frames, n, taken, min_gap, seed)


def _spread_over(
    scores: npt.NDArray[np.float32],
    frames: npt.NDArray[np.int64],
    n: int,
    taken: Collection[int],
    min_gap: int,
    seed: int,
) -> tuple[npt.NDArray[np.int64], dict[int, tuple[int, ...]]]:
    free = np.setdiff1d(frames, np.fromiter(taken, np.int64, len(taken)))
    free = free[np.isfinite(scores[free]).all(axis=1)]
    if len(free) <= n:
        return free, {}
    fit = free[np.unique(np.linspace(0, len(free) - 1, 12_000).astype(np.int64))]
    rows = np.ascontiguousarray(scores[fit])
    centres = kmeans(
        rows,
        np.ones(len(rows), np.float32),
        min(n, len(rows)),
        covered_squared=np.full(len(rows), np.inf, np.float32),
        rng=np.random.default_rng(seed),
        restarts=2,
        max_steps=15,
    )
    rows = np.ascontiguousarray(scores[free])
    index, _ = nearest(rows, centres)
    by_distance = []
    for place in range(len(centres)):
        members = np.flatnonzero(index == place)
        distance = squared_distances(rows[members], centres[place : place + 1])[:, 0]
        by_distance.append(free[members[np.argsort(distance, kind="stable")]])
    # Equal rows share a centre: what lacks is filled up at even distances.
    even = free[np.unique(np.linspace(0, len(free) - 1, 8 * n).astype(np.int64))]
    while True:
        used, others = _apart(by_distance, even, n, min_gap)
        if len(used) == n or min_gap <= 1:
            break
        min_gap //= 2
    if (lacking := n - len(used)) > 0:
        spare = np.setdiff1d(free, np.fromiter(used, np.int64, len(used)))
        used.update(int(f) for f in spare[np.linspace(0, len(spare) - 1, lacking).astype(np.int64)])
    return np.array(sorted(used), np.int64), others


def _apart(
    by_distance: list[npt.NDArray[np.int64]], even: npt.NDArray[np.int64], n: int, min_gap: int
) -> tuple[set[int], dict[int, tuple[int, ...]]]:
    """Take the first frame of each list that keeps its distance, with those next to it; then of `even`, up to `n`."""
    used: set[int] = set()
    others: dict[int, tuple[int, ...]] = {}
    chosen = np.empty(0, np.int64)
    for members in [*by_distance, *even[:, None]]:
        if len(used) == n:
            break
        far = members if not len(used) else members[_distance(members, chosen) >= min_gap]
        if len(far) == 0:
            continue
        first = int(far[0])
        used.add(first)
        chosen = np.sort(np.append(chosen, first))
        if len(members) > 1:
            others[first] = tuple(int(f) for f in members[:6] if f != first)[:4]
    return used, others


def _distance(frames: npt.NDArray[np.int64], chosen: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return how far each frame is from the nearest chosen one; `chosen` is sorted and not empty."""
    after = np.clip(np.searchsorted(chosen, frames), 0, len(chosen) - 1)
    before = np.maximum(after - 1, 0)
    return np.asarray(np.minimum(np.abs(frames - chosen[after]), np.abs(frames - chosen[before])))
