"""Parts of a video: bounds as a fraction, a time or a frame, and the frames between them.

All ranges are half-open: the frame at `start` belongs to the range, the one at `stop` does not.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from castle_core.errors import ConfigError

# Times that differ by less are the same: times are shown rounded to the millisecond, and the frame at 20.0666 s that is
# shown as 20.067 must be hit by what is typed so. Half of a millisecond, or less where frames are that close.
_SAME_TIME_S = 0.000501
_HOW_TO = "Write a fraction (0.8), a time (90s or 00:01:30.5) or a frame (1200f)."


@dataclass(frozen=True)
class Bound:
    """One end of a range.

    Attributes
    ----------
    kind : {"fraction", "time", "frame"}
    value : float
        0 … 1 of the frames, seconds as displayed, or a frame index; never negative.
    """

    kind: Literal["fraction", "time", "frame"]
    value: float

    def __post_init__(self) -> None:
        if self.kind not in ("fraction", "time", "frame"):
            raise ConfigError(f"{self.kind!r} is no kind of bound. There are: fraction, time, frame.")
        if not (math.isfinite(self.value) and self.value >= 0):
            raise ConfigError(f"A bound of a range cannot be {self.value}. {_HOW_TO}")
        if self.kind == "fraction" and self.value > 1:
            raise ConfigError(f"A fraction of a video lies between 0 and 1, not at {self.value:g}. {_HOW_TO}")

    def to_frame(self, times_s: NDArray[np.float64], n_frames: int) -> int:
        """Return the first frame at or after this bound.

        Parameters
        ----------
        times_s : (n_frames,) float64
            When each frame is shown, in seconds, ascending.
        n_frames : int

        Returns
        -------
        int
            0 … `n_frames`; the latter where the bound lies behind the last frame.
        """
        if self.kind == "frame":
            return min(int(self.value), n_frames)
        if self.kind == "fraction":
            return min(math.floor(self.value * n_frames + 1e-9), n_frames)
        times_s = times_s[:n_frames]
        spacing = (times_s[-1] - times_s[0]) / max(1, len(times_s) - 1) if len(times_s) else 0.0
        return int(np.searchsorted(times_s, self.value - max(1e-6, min(_SAME_TIME_S, spacing / 4)), side="left"))

    def __str__(self) -> str:
        if self.kind == "frame":
            return f"{int(self.value)}f"
        # Never in powers of ten, which `parse_bound` does not read.
        return (f"{self.value:.10f}".rstrip("0").rstrip(".") or "0") + ("s" if self.kind == "time" else "")


BEGINNING = Bound("fraction", 0.0)
END = Bound("fraction", 1.0)

_CLOCK = re.compile(r"(?:(\d{1,3}):)?(\d{1,3}):(\d{1,2}(?:\.\d*)?)")
_NUMBER = r"(\d+(?:\.\d*)?|\.\d+)"


def parse_bound(value: "str | float | Bound") -> Bound:
    """Read a bound as people write it.

    Parameters
    ----------
    value : str, float or Bound
        ``"0.8"`` or ``0.8``: fraction of the frames; ``"90s"``, ``"1:30"``, ``"00:01:30.5"``: time; ``"1200f"``: frame.

    Raises
    ------
    ConfigError
        If it is none of these.
    """
    if isinstance(value, Bound):
        return value
    if isinstance(value, bool) or value is None:
        raise ConfigError(f"{value!r} is no part of a video. {_HOW_TO}")
    if isinstance(value, int | float):
        return Bound("fraction", float(value))
    text = str(value).strip().lower()
    if match := re.fullmatch(r"(\d+)\s*f", text):
        return Bound("frame", float(match[1]))
    if match := re.fullmatch(_NUMBER + r"\s*s", text):
        return Bound("time", float(match[1]))
    if match := _CLOCK.fullmatch(text):
        return Bound("time", int(match[1] or 0) * 3600 + int(match[2]) * 60 + float(match[3]))
    if match := re.fullmatch(_NUMBER, text):
        return Bound("fraction", float(match[1]))
    raise ConfigError(f"{value!r} is no part of a video. {_HOW_TO}")


def parse_interval(value: "str | Sequence[str | float | Bound]") -> tuple[Bound, Bound]:
    """Read an interval: ``"10s-20s"``, ``"0.4-0.5"``, ``"1200f-1300f"``, or a pair of bounds.

    Raises
    ------
    ConfigError
        If it is not two bounds.
    """
    parts = value.split("-") if isinstance(value, str) else list(value)
    if len(parts) != 2:
        raise ConfigError(f"{value!r} is not an interval. Write two bounds with a dash between them, e.g. 10s-20s.")
    return parse_bound(parts[0]), parse_bound(parts[1])


def usable_mask(
    times_s: NDArray[np.float64],
    start: "str | float | Bound" = BEGINNING,
    stop: "str | float | Bound" = END,
    exclude: Sequence["str | Sequence[str | float | Bound]"] = (),
) -> NDArray[np.bool_]:
    """Mark the frames inside ``[start, stop)`` and outside every excluded interval.

    Parameters
    ----------
    times_s : (n,) float64
        When each frame is shown, in seconds.
    start, stop : Bound or what `parse_bound` takes
    exclude : sequence of intervals
        Half-open; they may overlap, or lie outside the range.

    Returns
    -------
    (n,) bool
        Possibly nowhere true, if everything is excluded.

    Raises
    ------
    ConfigError
        If the start lies behind the stop, in the range or in an excluded interval.
    """
    n_frames = len(times_s)
    mask = np.zeros(n_frames, dtype=bool)
    first, last = _frames(times_s, parse_bound(start), parse_bound(stop), "range")
    mask[first:last] = True
    for interval in exclude:
        first, last = _frames(times_s, *parse_interval(interval), "excluded interval")
        mask[first:last] = False
    return mask


def _frames(times_s: NDArray[np.float64], start: Bound, stop: Bound, what: str) -> tuple[int, int]:
    first, last = start.to_frame(times_s, len(times_s)), stop.to_frame(times_s, len(times_s))
    if (start.kind == stop.kind and start.value > stop.value) or first > last:
        raise ConfigError(f"The {what} {start}-{stop} ends before it begins. Swap the two.")
    return first, last
