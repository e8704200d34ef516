"""What a selection gives."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Pick:
    """One chosen frame.

    Attributes
    ----------
    video : str
        File name of the video.
    frame_index : int
    time_s : float
        When the frame is shown, in seconds.
    reason : str
        Why it was chosen, for people.
    score : float
        0 … 1: the share of the frames that it stands for, i.e. to which it is the nearest of all picks.
    """

    video: str
    frame_index: int
    time_s: float
    reason: str
    score: float

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return dict(vars(self))


@dataclass(frozen=True)
class Coverage:
    """How far frames are from the nearest pick (or covered frame), in the space of the features.

    Attributes
    ----------
    mean, p95 : float
        Mean and 95th percentile of the distance over the frames looked at.
    uniform_mean, random_mean : float
        The mean for as many evenly spaced, and as many random frames.
    equivalent_random_n : int
        How many random frames it takes to reach `mean`.
    equivalent_is_bound : bool
        It takes more than `equivalent_random_n`: no number that was tried sufficed.
    """

    mean: float
    p95: float
    uniform_mean: float
    random_mean: float
    equivalent_random_n: int
    equivalent_is_bound: bool = False

    def sentence(self, n: int) -> str:
        """Say what `n` picks are worth, for people."""
        frames = "this frame covers" if n == 1 else f"these {n} frames cover"
        if self.mean <= 0 and self.random_mean <= 0:
            return f"{frames[0].upper()}{frames[1:]} everything: all frames look the same."
        more = "more than " if self.equivalent_is_bound else ""
        one = self.equivalent_random_n == 1 and not more
        return f"{frames[0].upper()}{frames[1:]} as much as {more}{self.equivalent_random_n} random " + (
            "one." if one else "ones."
        )

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return dict(vars(self))


@dataclass(frozen=True)
class Selection:
    """The frames chosen from one video, and what to know about them.

    Attributes
    ----------
    picks : tuple of Pick
        By frame index; distinct, and at least `min_gap_used` frames apart.
    coverage : Coverage
        Of the picks together with the frames that were covered before.
    min_gap_used : int
        Frames.
    frames_decoded : int
        Frames that had to be decoded.
    alternatives : dict of int to tuple of int
        For each pick's frame index the next best frames, best first. Any of them may replace their picks, all at
        once if need be, and all frames still keep the gap.
    warnings : tuple of str
        E.g. frames that could not be decoded.
    """

    picks: tuple[Pick, ...]
    coverage: Coverage
    min_gap_used: int
    frames_decoded: int
    alternatives: dict[int, tuple[int, ...]]
    warnings: tuple[str, ...] = ()

    @property
    def frame_indices(self) -> tuple[int, ...]:
        """The chosen frames, ascending."""
        return tuple(pick.frame_index for pick in self.picks)
