"""Where a latent file has no value, and why. Frames that nobody asked for are no gaps."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from castle_core.inspection.sampling import runs
from castle_core.preprocess import OK, STATUS_NAMES


@dataclass(frozen=True)
class Gap:
    """Frames ``[start, stop)`` without a value, all for one reason (a status code); `n` of them were asked for."""

    start: int
    stop: int
    code: int
    n: int


def status_words(code: int) -> str:
    """Return a status code in words."""
    return STATUS_NAMES[code] if code < len(STATUS_NAMES) else f"unknown status {code}"


def find_gaps(status: npt.NDArray[np.uint8]) -> list[Gap]:
    """Return the runs of frames asked for whose status is one and the same code other than OK, in the order of time."""
    return [Gap(start, stop, code, n) for start, stop, code, n in runs(status, status) if code != OK]


def count_by_status(status: npt.NDArray[np.uint8]) -> dict[int, int]:
    """Return how many frames have each status code that occurs."""
    counts = np.bincount(status)
    return {code: int(count) for code, count in enumerate(counts) if count}
