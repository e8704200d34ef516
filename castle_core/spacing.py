"""Choosing frames that keep a minimum distance, so that the wanted number always still fits."""

import math
from bisect import bisect_left, insort
from collections.abc import Iterable

import numpy as np

GAP_FRAMES, GAP_SECONDS = 5, 0.5


def automatic_gap(n_usable: int, n: int, fps: float) -> int:
    """Return the minimum distance in frames that is used unless one is typed.

    That is five frames or half a second, whichever is longer, but never so much that `n` might not fit.
    """
    wanted = max(GAP_FRAMES, round(GAP_SECONDS * fps)) if math.isfinite(fps) else GAP_FRAMES
    return max(1, min(wanted, n_usable // (2 * max(n, 1))))


class Spacing:
    """Frames taken so far, each at least `gap` from the next, with room left for the rest.

    Parameters
    ----------
    usable : numpy.ndarray
        Ascending frame indices that may be taken.
    gap : int
        Smallest distance between two taken frames.
    """

    def __init__(self, usable: np.ndarray, gap: int) -> None:
        self._usable, self.gap = usable, gap
        self.taken: list[int] = []

    def free(self, frame_index: int) -> bool:
        """Whether a frame keeps the distance to those taken."""
        place = bisect_left(self.taken, frame_index)
        near = self.taken[max(0, place - 1) : place + 1]
        return all(abs(other - frame_index) >= self.gap for other in near)

    def room(self) -> int:
        """Return how many more frames fit."""
        count = 0
        edges = [*self.taken, None]
        after = -math.inf
        for edge in edges:
            low = 0 if after == -math.inf else int(np.searchsorted(self._usable, after + self.gap))
            high = self._usable.size if edge is None else int(np.searchsorted(self._usable, edge - self.gap, "right"))
            while low < high:
                count += 1
                low = int(np.searchsorted(self._usable, self._usable[low] + self.gap))
            if edge is not None:
                after = edge
        return count

    def take(self, frame_index: int, *, still_wanted: int | None = None) -> bool:
        """Take a frame if it keeps the distance.

        Parameters
        ----------
        frame_index : int
            The frame.
        still_wanted : int, optional
            Take it only if so many more still fit afterwards.
        """
        if not self.free(frame_index):
            return False
        insort(self.taken, frame_index)
        if still_wanted is not None and self.room() < still_wanted:
            self.taken.remove(frame_index)
            return False
        return True

    def fill(self, frames: Iterable[int], n: int) -> list[int]:
        """Take up to `n` of `frames`, in their order, and return them."""
        new: list[int] = []
        for frame_index in frames:
            if len(new) == n:
                break
            if self.take(int(frame_index), still_wanted=n - len(new) - 1):
                new.append(int(frame_index))
        return new

    def fill_freely(self, frames: np.ndarray, n: int) -> list[int]:
        """Take up to `n` of `frames`, in their order, without keeping room for others; quick for long lists."""
        new: list[int] = []
        blocked = np.zeros(int(frames.max()) + 1 if frames.size else 0, bool)
        for frame_index in frames.tolist():
            if len(new) == n:
                break
            if not blocked[frame_index]:
                insort(self.taken, frame_index)
                new.append(frame_index)
                blocked[max(0, frame_index - self.gap + 1) : frame_index + self.gap] = True
        return new
