"""Weighted k-means with centres that may not move, small enough to start quickly.

scikit-learn's takes neither weights for seeding with fixed centres nor less than two seconds of processor time to
import, which is more than all the rest of a selection.
"""

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]
_CHUNK = 1 << 15


def squared_distances(rows: Matrix, points: Matrix) -> Matrix:
    """Return the (N, k) squared Euclidean distances of (N, d) `rows` to (k, d) `points`, never negative."""
    product = rows @ points.T
    product *= -2
    product += np.einsum("nd,nd->n", rows, rows)[:, None]
    product += np.einsum("kd,kd->k", points, points)
    np.maximum(product, 0, out=product)
    return np.asarray(product, dtype=np.float32)


def nearest(rows: Matrix, points: Matrix) -> tuple[NDArray[np.int64], Matrix]:
    """Return for each row its nearest point (N,) and the squared distance (N,), in bounded memory.

    Without any points the distances are infinite and the indices -1.
    """
    index = np.full(len(rows), -1, dtype=np.int64)
    distance = np.full(len(rows), np.inf, dtype=np.float32)
    if len(points) == 0:
        return index, distance
    for first in range(0, len(rows), _CHUNK):
        part = slice(first, first + _CHUNK)
        squared = squared_distances(rows[part], points)
        index[part] = squared.argmin(axis=1)
        distance[part] = squared[np.arange(len(squared)), index[part]]
    return index, distance


def kmeans(
    rows: Matrix,
    weights: Matrix,
    k: int,
    *,
    covered_squared: Matrix,
    rng: np.random.Generator,
    restarts: int = 4,
    max_steps: int = 30,
) -> Matrix:
    """Find `k` centres that, together with points that are covered already, lie close to all rows.

    Parameters
    ----------
    rows : (N, d) float32
    weights : (N,) float32
        How much each row counts; positive.
    k : int
        At most N.
    covered_squared : (N,) float32
        Squared distance of each row to the nearest covered point, infinite where there is none. Rows nearer to those
        than to any centre pull on no centre.
    rng : numpy Generator
    restarts : int
        Seedings (k-means++, a few trials a centre) of which the best result is kept.
    max_steps : int

    Returns
    -------
    (k, d) float32
    """
    best, best_cost = rows[:k], np.inf
    for _ in range(restarts):
        centres = _seed(rows, weights, k, covered_squared, rng)
        centres, cost = _move(rows, weights, centres, covered_squared, max_steps)
        if cost < best_cost:
            best, best_cost = centres, cost
    return best


def _seed(rows: Matrix, weights: Matrix, k: int, covered_squared: Matrix, rng: np.random.Generator) -> Matrix:
    closest = covered_squared.astype(np.float64)
    chosen: list[int] = []
    trials = 2 + int(np.log(k + 1))
    while len(chosen) < k:
        first = not np.isfinite(closest[0])
        chance = weights.astype(np.float64) * (1.0 if first else closest)
        chance[chosen] = 0
        total = chance.sum()
        if total <= 0:  # fewer different rows than centres
            chance = np.ones(len(rows))
            chance[chosen] = 0
            total = chance.sum()
        drawn = np.searchsorted(np.cumsum(chance), rng.random(1 if first else trials) * total, side="right")
        drawn = np.minimum(drawn, len(rows) - 1)
        after = np.minimum(closest[:, None], squared_distances(rows, rows[drawn]))
        best = int((weights @ after).argmin())
        closest = after[:, best]
        chosen.append(int(drawn[best]))
    return rows[chosen].copy()


def _move(
    rows: Matrix, weights: Matrix, centres: Matrix, covered_squared: Matrix, max_steps: int
) -> tuple[Matrix, float]:
    k, before = len(centres), np.inf
    cost = before
    for _ in range(max_steps):
        index, squared = nearest(rows, centres)
        mine = squared < covered_squared
        cost = float(weights @ np.minimum(squared, covered_squared))
        if cost >= before * (1 - 1e-4):
            break
        before = cost
        pull = np.where(mine, weights, 0)
        mass = np.bincount(index, pull, minlength=k)
        order = np.zeros((k, len(rows)), dtype=np.float32)
        order[index, np.arange(len(rows))] = pull
        sums = order @ rows
        held = mass > 0
        centres = centres.copy()
        centres[held] = sums[held] / mass[held, None].astype(np.float32)
        if not held.all():  # a centre that nobody is nearest to moves to the rows that are worst off
            far = np.argsort(-(weights * np.minimum(squared, covered_squared)), kind="stable")
            centres[~held] = rows[far[: int((~held).sum())]]
    return centres, cost
