"""The smallest distance between picks, and choosing under it so that the number asked for always fits."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def default_gap(n: int, n_usable: int, average_fps: float) -> int:
    """Return the gap that is kept where none was typed.

    Half a second, at least 5 frames, but so small that `n` picks fit in whatever order they are chosen: a pick takes
    at most ``2 * gap - 1`` usable frames away from the others.

    Parameters
    ----------
    n : int
        Picks.
    n_usable : int
        Frames that may be picked.
    average_fps : float

    Returns
    -------
    int
        Frames, at least 1.
    """
    wanted = max(5, round(0.5 * average_fps)) if np.isfinite(average_fps) else 5
    return max(1, min(wanted, n_usable // (2 * n)))


def fit_from_left(positions: Indices, gap: int, limit: int) -> Indices:
    """Return the first `limit` of the ascending `positions` that fit at least `gap` apart, taken as early as can be."""
    fitting: list[int] = []
    at = 0
    while at < len(positions) and len(fitting) < limit:
        fitting.append(int(positions[at]))
        at = int(np.searchsorted(positions, positions[at] + gap, side="left"))
    return np.array(fitting, dtype=np.int64)


def capacity(positions: Indices, gap: int, limit: int) -> int:
    """Count how many of the ascending `positions` fit at least `gap` apart; stop counting at `limit`."""
    return len(fit_from_left(positions, gap, limit))


class Placement:
    """Takes picks one by one out of `positions`, so that they keep the gap and the remaining ones still fit.

    Parameters
    ----------
    positions : (N,) int64
        Where on the time axis the candidates are: ascending within each group.
    gap : int or (groups,) int64
        Smallest distance between two picks of a group (video).
    quota : int or (groups,) int64
        Picks that will be taken of each group. At least so many must fit.
    group : (N,) int64, optional
        The group of each candidate, ascending.
    pickable : (N,) bool, optional
        Candidates that may be taken at all.

    Attributes
    ----------
    open : (N,) bool
        Candidates that can be taken now: they keep the gap and leave room for all that is still to come.
    taken : list of int
        Rows of the picks in the order in which they were taken.
    """

    def __init__(
        self,
        positions: Indices,
        gap: "int | Indices",
        quota: "int | Indices",
        group: "Indices | None" = None,
        pickable: "NDArray[np.bool_] | None" = None,
    ) -> None:
        self._positions = positions
        self._left = np.atleast_1d(np.asarray(quota, dtype=np.int64)).copy()
        self._gap = np.broadcast_to(np.asarray(gap, dtype=np.int64), self._left.shape)
        self._group = np.zeros(len(positions), dtype=np.int64) if group is None else group
        self._edges = np.searchsorted(self._group, np.arange(len(self._left) + 1))
        self._free = np.ones(len(positions), dtype=bool) if pickable is None else pickable.copy()
        self.open = np.zeros(len(positions), dtype=bool)
        self.taken: list[int] = []
        for number in range(len(self._left)):
            self._update(number)

    @property
    def n_left(self) -> int:
        """How many picks are still to be taken."""
        return int(self._left.sum())

    def _update(self, group: int) -> None:
        part = slice(self._edges[group], self._edges[group + 1])
        left, gap = int(self._left[group]), int(self._gap[group])
        if left <= 0:
            self.open[part] = False
            return
        here = self._positions[part]
        free = here[self._free[part]]
        # What fits before a position is what the earliest fit has there, and likewise from the right.
        earliest = fit_from_left(free, gap, left)
        latest = -fit_from_left(-free[::-1], gap, left)[::-1]
        room = np.searchsorted(earliest, here - gap, side="right")
        room += len(latest) - np.searchsorted(latest, here + gap, side="left")
        self.open[part] = self._free[part] & (room >= left - 1)

    def take(self, row: int) -> bool:
        """Take a candidate if it keeps the gap and leaves room for the rest; return whether it was taken."""
        if not self.open[row]:
            return False
        group = int(self._group[row])
        self._free[around(self._positions, row, int(self._gap[group]), self._edges[group : group + 2])] = False
        self._left[group] -= 1
        self.taken.append(int(row))
        self._update(group)
        return True

    def take_nearest(self, cost: "NDArray[np.floating[Any]]") -> int | None:
        """Take the candidate of the lowest `cost` (N,) that can be taken; return it, or None if there is none."""
        if not self.open.any():
            return None
        row = int(np.where(self.open, cost, np.inf).argmin())
        return row if self.take(row) else None


def around(positions: Indices, row: int, gap: int, edges: Indices) -> slice:
    """Return the rows less than `gap` from a row, within its group, which lies between the two `edges`."""
    here = positions[edges[0] : edges[1]]
    first = np.searchsorted(here, positions[row] - gap, side="right")
    last = np.searchsorted(here, positions[row] + gap, side="left")
    return slice(int(edges[0] + first), int(edges[0] + last))
