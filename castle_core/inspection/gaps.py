"""Where a latent file has no value, and why."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from castle_core.preprocess import OK, STATUS_NAMES


@dataclass(frozen=True)
class Gap:
    """Frames ``[start, stop)`` without a value, all for one reason (a status code)."""

    start: int
    stop: int
    code: int


def status_words(code: int) -> str:
    """Return a status code in words."""
    return STATUS_NAMES[code] if code < len(STATUS_NAMES) else f"unknown status {code}"


def find_gaps(status: npt.NDArray[np.uint8]) -> list[Gap]:
    """Return the runs of frames whose status is one and the same code other than OK, in the order of time."""
    if len(status) == 0:
        return []
    edges = np.flatnonzero(np.diff(status)) + 1
    starts = np.concatenate(([0], edges))
    stops = np.concatenate((edges, [len(status)]))
    return [Gap(int(a), int(b), int(status[a])) for a, b in zip(starts, stops, strict=True) if status[a] != OK]


def count_by_status(status: npt.NDArray[np.uint8]) -> dict[int, int]:
    """Return how many frames have each status code that occurs."""
    counts = np.bincount(status)
    return {code: int(count) for code, count in enumerate(counts) if count}
