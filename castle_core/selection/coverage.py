"""How well picks cover all frames, beside as many evenly spaced and random ones."""

import numpy as np
from numpy.typing import NDArray

from castle_core.selection.clustering import nearest, squared_distances
from castle_core.selection.result import Coverage

Matrix = NDArray[np.float32]
Rows = NDArray[np.int64]
_JUDGES = 1024
_DRAWS = 8
_MOST_RANDOM = 2000


def weighted_percentile(values: Matrix, weights: Matrix, share: float) -> float:
    """Return the smallest value below or at which `share` (0 … 1) of the weight lies."""
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weights[order], dtype=np.float64)
    return float(values[order][min(int(np.searchsorted(cumulative, share * cumulative[-1])), len(values) - 1)])


def measure_coverage(
    rows: Matrix,
    weights: Matrix,
    picks: Rows,
    uniform: Rows,
    covered_squared: Matrix,
    rng: np.random.Generator,
) -> Coverage:
    """Compare `picks` with evenly spaced and random rows; frames covered before help all three alike.

    Parameters
    ----------
    rows : (N, d) float32
        Features of the frames that were looked at.
    weights : (N,) float32
        How many frames each row stands for.
    picks, uniform : (n,) int64
        Rows chosen, and as many evenly spaced rows.
    covered_squared : (N,) float32
        Squared distance to what was covered before; infinite where nothing was.
    rng : numpy Generator
        For the random rows: the mean over several draws is reported.
    """
    share = weights / weights.sum()

    def distances(points: Rows) -> Matrix:
        return np.sqrt(np.minimum(nearest(rows, rows[points])[1], covered_squared))

    mine = distances(picks)
    mean = float(share @ mine)
    judges = np.unique(np.linspace(0, len(rows) - 1, _JUDGES).round().astype(np.int64))
    curve = _random_curve(rows, share, judges, covered_squared, min(len(rows), _MOST_RANDOM), rng)
    # Judged by the same rows as the random frames, so that sampling them cancels out.
    judged = float(mine[judges] @ share[judges] / share[judges].sum())
    reached = np.flatnonzero(curve <= judged + 1e-9)
    return Coverage(
        mean=mean,
        p95=weighted_percentile(mine, share, 0.95),
        uniform_mean=float(share @ distances(uniform)),
        random_mean=float(curve[len(picks) - 1]) if len(picks) <= len(curve) else float(curve[-1]),
        equivalent_random_n=int(reached[0]) + 1 if len(reached) else len(curve),
        equivalent_is_bound=len(reached) == 0,
    )


def _random_curve(
    rows: Matrix,
    share: Matrix,
    judges: Rows,
    covered_squared: Matrix,
    most: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Return the mean distance for 1, 2, … `most` random frames: (most,) float64, never rising."""
    weight = share[judges] / share[judges].sum()
    total = np.zeros(most)
    for _ in range(_DRAWS):
        # Drawn by weight: a row that stands for many frames is as likely as one of them.
        order = np.argsort(rng.exponential(size=len(rows)) / np.maximum(share, 1e-12), kind="stable")[:most]
        closest = np.minimum(covered_squared[judges], np.inf)
        for first in range(0, most, 256):
            squared = squared_distances(rows[judges], rows[order[first : first + 256]])
            np.minimum(squared[:, 0], closest, out=squared[:, 0])
            np.minimum.accumulate(squared, axis=1, out=squared)
            total[first : first + 256] += weight @ np.sqrt(squared)
            closest = squared[:, -1].copy()
    return np.minimum.accumulate(total / _DRAWS)
