"""Divide a budget between videos."""

import numpy as np
from numpy.typing import NDArray

from castle_core.errors import SelectionError


def split_budget(shares: NDArray[np.float64], budget: int, minimum: int, most: NDArray[np.int64]) -> NDArray[np.int64]:
    """Divide `budget` in proportion to `shares`, between `minimum` and `most` for each.

    Parameters
    ----------
    shares : (V,) float64
        Not negative.
    budget, minimum : int
    most : (V,) int64
        Upper limits, none below `minimum`.

    Returns
    -------
    (V,) int64
        Whole numbers that sum to `budget`.

    Raises
    ------
    SelectionError
        If the limits do not allow that.
    """
    n = len(shares)
    if minimum * n > budget or int(most.sum()) < budget or (most < minimum).any():
        raise SelectionError(f"{budget} frames cannot be divided among {n} videos within the limits for each.")
    counts = np.full(n, minimum, dtype=np.int64)
    wanted = shares / shares.sum() * budget if shares.sum() > 0 else np.full(n, budget / n)
    for _ in range(budget - minimum * n):
        # Whoever lacks most gets the next one; of equals, the one that lacks most in proportion.
        lack = np.where(counts < most, wanted - counts, -np.inf)
        counts[int(lack.argmax())] += 1
    return counts
