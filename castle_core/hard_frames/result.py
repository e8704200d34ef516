"""Hard frames that were chosen, each with its reason."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from castle_core.hardness import Hardness

FILLER = "diverse filler"


@dataclass(frozen=True)
class HardPick:
    """One suggested frame.

    Attributes
    ----------
    video : str
    frame_index : int
    time_s : float
        Seconds; NaN where no video is at hand.
    reason : str
        Why, for people: "nose jumped 84 px".
    score : float
        Hardness: sum over the scores of log(1 + robust z); 0 is an ordinary frame.
    scores : dict
        Score name to ``{"keypoint", "value", "z"}`` of the frame's worst keypoint.
    alternatives : tuple of int
        Other frames of the same kind that may take its place.
    """

    video: str
    frame_index: int
    time_s: float
    reason: str
    score: float
    scores: dict[str, dict[str, Any]]
    alternatives: tuple[int, ...] = ()

    @property
    def hard(self) -> bool:
        """Whether it is hard, not a filler."""
        return self.reason != FILLER

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {key: value for key, value in vars(self).items() if key != "alternatives"}


@dataclass(frozen=True)
class HardSelection:
    """The frames suggested from one video.

    Attributes
    ----------
    video : str
    picks : tuple of HardPick
        By frame index.
    min_gap_used : int
        Frames.
    n_hard : int
        How many usable frames of the video are hard.
    frames_decoded : int
        Frames that had to be decoded, for fillers.
    sources : dict
        Score name to where its values come from.
    hardness : Hardness
        Of every frame, for histograms and counts.
    usable : numpy.ndarray
        (n,) bool, the frames that could be suggested.
    warnings : tuple of str
    """

    video: str
    picks: tuple[HardPick, ...]
    min_gap_used: int
    n_hard: int
    frames_decoded: int
    sources: dict[str, str]
    hardness: Hardness
    usable: np.ndarray
    warnings: tuple[str, ...] = ()
