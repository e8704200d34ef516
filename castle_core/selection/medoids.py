"""Real frames that stand for all others best: k-medoids by swaps, within the rules."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from castle_core.selection.clustering import squared_distances

Matrix = NDArray[np.float32]
Rows = NDArray[np.int64]
# Which (pick, newcomer) pairs may be swapped: picks (k,), newcomers (H,) -> (k, H) bool.
Allowed = Callable[[Rows, Rows], NDArray[np.bool_]]


def improve_by_swaps(
    rows: Matrix,
    weights: Matrix,
    picks: Rows,
    *,
    covered_squared: Matrix,
    allowed: Allowed,
    judges: Rows,
    newcomers: Rows,
    max_swaps: int,
) -> Rows:
    """Swap picks for other rows as long as that lowers the mean distance to the nearest pick.

    All swaps of one pick with one newcomer are judged at once from two matrices (nearest and second nearest pick), and
    the best is made: the result is a local optimum of k-medoids, among the `newcomers` and as seen by the `judges`.

    Parameters
    ----------
    rows : (N, d) float32
    weights : (N,) float32
    picks : (k,) int64
        Rows to start from.
    covered_squared : (N,) float32
        Squared distance of each row to what is covered already; infinite where nothing is.
    allowed : callable
        Says which swaps keep the rules (minimum gap, quotas).
    judges, newcomers : (E,), (H,) int64
        Rows whose distances count, and rows that may become picks.
    max_swaps : int

    Returns
    -------
    (k,) int64
        The picks, each at the place of the one it replaced.
    """
    picks = picks.copy()
    weight = weights[judges]
    to_new = np.sqrt(squared_distances(rows[judges], rows[newcomers]))
    to_picks = np.sqrt(squared_distances(rows[judges], rows[picks]))
    covered = np.sqrt(covered_squared[judges])
    everyone = np.arange(len(judges))
    for _ in range(max_swaps):
        owner = to_picks.argmin(axis=1)
        first = to_picks[everyone, owner]
        others = to_picks.copy()
        others[everyone, owner] = np.inf
        second = np.minimum(others.min(axis=1), covered)
        owned = first < covered
        first = np.minimum(first, covered)
        near_first = np.minimum(to_new, first[:, None])
        gain = weight @ (near_first - first[:, None])
        # Whoever loses its pick falls back on the second nearest, or on the newcomer.
        loss = np.minimum(to_new, second[:, None])
        loss -= near_first
        ownership = np.zeros((len(picks), len(judges)), dtype=np.float32)
        ownership[owner[owned], everyone[owned]] = weight[owned]
        change = ownership @ loss + gain
        change[~allowed(picks, newcomers)] = np.inf
        out, new = np.unravel_index(int(change.argmin()), change.shape)
        if not change[out, new] < -1e-5 * float(weight @ first) - 1e-12:
            break
        picks[out] = newcomers[new]
        to_picks[:, out] = to_new[:, new]
    return picks
