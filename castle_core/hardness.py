"""From the scores of every keypoint to one number a frame: which frames are hard, why, and how much."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from castle_core.errors import ConfigError
from castle_core.scores import SCORE_NAMES, Score, ScoreName, Spread

DEFAULT_Z: dict[ScoreName, float] = {
    "likelihood": 3.0,
    "temporal_norm": 6.0,
    "pca_singleview": 6.0,
    "pca_multiview": 6.0,
    "disagreement": 6.0,
}
"""Robust z from which a score makes a frame hard. Poses and steps have longer tails than likelihoods."""

_MOST_JUMPS = 500_000
_BLOCK = 20_000
_BLOCK_ROWS = 8192


@dataclass(frozen=True)
class Thresholds:
    """What counts as hard.

    Attributes
    ----------
    likelihood : float
        A keypoint at or above this likelihood is never unsure, whatever its z.
    z : mapping of str to float
        Robust z from which each score makes a frame hard; scores that are not named use `DEFAULT_Z`.
    """

    likelihood: float = 0.9
    z: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.likelihood <= 1:
            raise ConfigError(f"The likelihood threshold must lie between 0 and 1, not {self.likelihood}.")
        for name, value in (self.z or {}).items():
            if name not in SCORE_NAMES:
                raise ConfigError(f"There is no score {name!r}. Choose from {', '.join(SCORE_NAMES)}.")
            if not value > 0:
                raise ConfigError(f"The threshold of {name} must be above 0, not {value}.")

    def of(self, name: ScoreName) -> float:
        """Return the z from which `name` makes a frame hard."""
        return float((self.z or {}).get(name, DEFAULT_Z[name]))


@dataclass(frozen=True)
class Worst:
    """The worst keypoint of every frame by one score.

    Attributes
    ----------
    z : numpy.ndarray
        (n,) float32, its robust z; NaN where nothing is known.
    keypoint : numpy.ndarray
        (n,) int16, its column; -1 where nothing is known.
    value : numpy.ndarray
        (n,) float32, its score in the score's own unit.
    """

    z: np.ndarray
    keypoint: np.ndarray
    value: np.ndarray


@dataclass(frozen=True)
class Hardness:
    """How hard every frame is.

    Attributes
    ----------
    worst : dict of str to Worst
        One entry a score.
    total : numpy.ndarray
        (n,) float32: the sum over the scores of log(1 + z); 0 for a frame without anything odd. Scores that agree
        add up, and one huge z does not outweigh them.
    thresholds : Thresholds
        What was used for the likelihood's gate.
    """

    worst: dict[ScoreName, Worst]
    total: np.ndarray
    thresholds: Thresholds

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return int(self.total.size)

    def hard(self, thresholds: Thresholds | None = None) -> np.ndarray:
        """Return which frames are hard by at least one score, (n,) bool."""
        limits = thresholds or self.thresholds
        result = np.zeros(self.n_frames, bool)
        for name, worst in self.worst.items():
            with np.errstate(invalid="ignore"):
                result |= worst.z >= limits.of(name)
        return result

    def histogram(self, name: ScoreName, edges: np.ndarray) -> np.ndarray:
        """Return how many frames have their worst z of one score in each bin; the last one takes all above."""
        z = self.worst[name].z
        z = np.clip(z[np.isfinite(z)], edges[0], edges[-1])
        return np.histogram(z, bins=edges)[0]


def measure(
    scores: Mapping[ScoreName, Score],
    spreads: Mapping[ScoreName, Spread],
    xy: np.ndarray,
    *,
    thresholds: Thresholds,
    fps: float,
) -> Hardness:
    """Reduce the scores to the worst keypoint a frame and one number a frame.

    Parameters
    ----------
    scores : mapping
        (n, K) values each.
    spreads : mapping
        Medians and spreads of the same scores.
    xy : numpy.ndarray
        (n, K, 2) positions, to tell which side of a jump is the odd one.
    thresholds : Thresholds
        The likelihood's gate.
    fps : float
        Frames a second: a jump is judged against half a second on each side.
    """
    n_frames = xy.shape[0]
    total = np.zeros(n_frames, np.float32)
    worst: dict[ScoreName, Worst] = {}
    for name, score in scores.items():
        z = spreads[name].z(score.values)
        if name == "likelihood":
            # written so that a missing likelihood stays missing
            z[score.values <= np.float32(1.0 - thresholds.likelihood)] = 0.0
        if name == "temporal_norm":
            found = blame_jumps(z, score.values, xy, limit=thresholds.of(name), half=half_window(fps))
        else:
            found = _worst(z, score.values)
        worst[name] = found
        with np.errstate(invalid="ignore"):
            total += np.log1p(np.where(found.z > 0, found.z, 0.0))
    return Hardness(worst, total, thresholds)


def _worst(z: np.ndarray, values: np.ndarray) -> Worst:
    n_frames = z.shape[0]
    worst = Worst(np.empty(n_frames, np.float32), np.empty(n_frames, np.int16), np.empty(n_frames, np.float32))
    for start in range(0, n_frames, _BLOCK_ROWS):  # some rows at a time: no copy of a long table
        part = slice(start, start + _BLOCK_ROWS)
        filled = np.where(np.isnan(z[part]), -np.inf, z[part])
        keypoint = filled.argmax(axis=1)
        rows = np.arange(filled.shape[0])
        best = filled[rows, keypoint]
        known = np.isfinite(best)
        worst.z[part] = np.where(known, best, np.nan)
        worst.keypoint[part] = np.where(known, keypoint, -1)
        worst.value[part] = np.where(known, values[part][rows, keypoint], np.nan)
    return worst


def half_window(fps: float) -> int:
    """Return half a second in frames: the time around a frame in which a keypoint's usual place is looked for."""
    return max(2, round(fps / 2))


def blame_jumps(z: np.ndarray, values: np.ndarray, xy: np.ndarray, *, limit: float, half: int) -> Worst:
    """Give each jump to the frame that is wrong: a keypoint that jumps away and comes back jumps twice.

    The step into frame t is large both when t is wrong and when t is right again after a wrong t - 1. The one that
    is further from where the keypoint is around that time (the median of `half` frames on each side) is to blame.
    """
    n_frames = z.shape[0]
    with np.errstate(invalid="ignore"):
        frame, keypoint = np.nonzero(z >= limit)  # never where z is missing
    if frame.size > _MOST_JUMPS:
        strongest = np.argpartition(-z[frame, keypoint], _MOST_JUMPS)[:_MOST_JUMPS]
        strongest.sort()
        frame, keypoint = frame[strongest], keypoint[strongest]
    moved = z.copy()
    moved[frame, keypoint] = 0.0
    # the guilty frame's own step may be the small one: the length to tell is that of the step with this z
    steps = values.copy()
    window = np.arange(-half, half + 1)
    blamed: list[tuple[np.ndarray, np.ndarray]] = []
    for start in range(0, frame.size, _BLOCK):
        t, k = frame[start : start + _BLOCK], keypoint[start : start + _BLOCK]
        around = xy[np.clip(t[:, None] + window, 0, n_frames - 1), k[:, None]]
        middle = _median_of(around)
        after = np.linalg.norm(xy[t, k] - middle, axis=1)
        before = np.linalg.norm(xy[t - 1, k] - middle, axis=1)
        guilty = np.where(before > after, t - 1, t)
        strength = z[t, k]
        np.fmax.at(moved, (guilty, k), strength)
        blamed.append((guilty, k))
    for row, column in blamed:
        taken = moved[row, column] > np.nan_to_num(z[row, column], nan=-np.inf)
        row, column = row[taken], column[taken]
        steps[row, column] = values[np.minimum(row + 1, n_frames - 1), column]
    return _worst(moved, steps)


def _median_of(points: np.ndarray) -> np.ndarray:
    """Return the median position of (m, w, 2) points, ignoring missing ones; NaN without any."""
    ordered = np.sort(points, axis=1)  # NaN go last
    count = np.isfinite(ordered).sum(axis=1)
    rows = np.arange(points.shape[0])[:, None]
    axes = np.arange(2)[None, :]
    # the lower of the two middle ones where their number is even: half a pixel does not matter here
    middle: np.ndarray = ordered[rows, np.maximum((count - 1) // 2, 0), axes]
    return middle
