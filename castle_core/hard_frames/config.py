"""What is asked of hard frames, and what they are chosen from."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from castle_core.errors import ConfigError
from castle_core.hardness import Thresholds
from castle_core.predictions import Predictions
from castle_core.ranges import BEGINNING, END, Bound, parse_bound, parse_interval
from castle_core.score_frames import Knowledge

if TYPE_CHECKING:
    from castle_core.video import Video

UNKNOWN_FPS = 30.0


@dataclass(frozen=True)
class SuggestConfig:
    """What to suggest.

    Attributes
    ----------
    n : int
        Frames to suggest; over many videos the budget.
    start, stop : Bound
        Half-open range of each video.
    exclude : tuple
        Half-open intervals to leave out.
    min_gap : int or None
        Binding smallest distance in frames; None chooses it (`automatic_gap`).
    seed : int
        Of the clustering.
    thresholds : Thresholds
        From where on a frame is hard.
    """

    n: int = 20
    start: Bound | str | float = BEGINNING
    stop: Bound | str | float = END
    exclude: tuple[Any, ...] = ()
    min_gap: int | None = None
    seed: int = 0
    thresholds: Thresholds = field(default_factory=Thresholds)

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ConfigError(f"Ask for at least one frame, not {self.n}.")
        if self.min_gap is not None and self.min_gap < 1:
            raise ConfigError(f"The minimum gap must be at least 1 frame, not {self.min_gap}.")


@dataclass(frozen=True)
class Source:
    """One video and what a model predicted on it.

    Attributes
    ----------
    name : str
        The video's file name, or that of the predictions where no video is at hand.
    predictions : Predictions
    knowledge : Knowledge
        Metric files, labels, other models.
    times_s : numpy.ndarray or None
        (n,) float64, when each frame is shown; None without the video.
    fps : float
        Frames a second; NaN without the video.
    covered : tuple of int
        Frames that are labelled or selected: never suggested.
    video : Video or None
        Open video, from which frames fill up when too few are hard.
    start, stop, exclude
        As in `SuggestConfig`, for this video only; None means what holds for all.
    notes : tuple of str
        What was odd about it so far, for the warnings.
    """

    name: str
    predictions: Predictions
    knowledge: Knowledge = field(default_factory=Knowledge)
    times_s: np.ndarray | None = None
    fps: float = math.nan
    covered: tuple[int, ...] = ()
    video: "Video | None" = None
    start: Bound | str | float | None = None
    stop: Bound | str | float | None = None
    exclude: tuple[Any, ...] | None = None
    notes: tuple[str, ...] = ()

    def part(self, config: SuggestConfig) -> tuple[Bound, Bound, tuple[tuple[Bound, Bound], ...]]:
        """Return start, stop and excluded intervals of this video."""
        exclude = config.exclude if self.exclude is None else self.exclude
        return (
            parse_bound(config.start if self.start is None else self.start),
            parse_bound(config.stop if self.stop is None else self.stop),
            tuple(parse_interval(pair) for pair in exclude),
        )
