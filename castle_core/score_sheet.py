"""The scores of a model on its videos in a small file, so that a page can count hard frames while a slider moves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from castle_core.errors import PredictionError
from castle_core.files import atomic_path
from castle_core.hardness import DEFAULT_Z, blame_jumps, half_window
from castle_core.scores import SCORE_NAMES, Score, ScoreName, Spread
from castle_core.trims import Part

LIKELIHOOD_STEPS = tuple(round(0.05 * i, 2) for i in range(1, 21))
"""Likelihood thresholds for which the counts are exact."""

N_BINS = 40
SMALLEST_Z, LARGEST_Z = 1.0, 20.0
"""The thresholds among which a user may choose; multiples of one half, which float16 holds exactly."""


@dataclass(frozen=True)
class Sheet:
    """The worst robust z of each frame by each score, of several videos one after the other.

    Attributes
    ----------
    z : dict
        Score → (n,) float32, NaN where nothing is known. The likelihood is apart.
    likelihood_z : numpy.ndarray or None
        (n, `LIKELIHOOD_STEPS`) float16: worst z among the keypoints below that likelihood; None without likelihoods.
    lengths : dict
        Stem of each video → its number of rows, in their order.
    """

    z: dict[ScoreName, npt.NDArray[np.float32]]
    likelihood_z: npt.NDArray[np.float16] | None
    lengths: dict[str, int]

    @property
    def names(self) -> tuple[ScoreName, ...]:
        """The scores that there are, in their usual order."""
        return tuple(n for n in SCORE_NAMES if n in self.z or (n == "likelihood" and self.likelihood_z is not None))

    def of(self, name: ScoreName, likelihood: float) -> npt.NDArray[np.float32]:
        """Return the worst z of every frame by one score, (n,) float32, at a likelihood threshold."""
        if name != "likelihood":
            return self.z[name]
        if self.likelihood_z is None:
            raise PredictionError("These predictions have no likelihood.")
        step = min(range(len(LIKELIHOOD_STEPS)), key=lambda i: abs(LIKELIHOOD_STEPS[i] - likelihood))
        return self.likelihood_z[:, step].astype(np.float32)

    def usable(self, parts: Mapping[str, Part], covered: Mapping[str, Sequence[int]]) -> npt.NDArray[np.bool_]:
        """Return which rows may be picked, (n,) bool.

        Parameters
        ----------
        parts : mapping of str to Part
            By stem, the frames to use; all of a video that is not named.
        covered : mapping of str to sequence of int
            By stem, the frames that are selected or labelled already.
        """
        masks = [np.empty(0, bool)]
        for stem, n in self.lengths.items():
            part = parts.get(stem, Part(0, n))
            mask = np.zeros(n, bool)
            mask[max(0, part.start) : max(0, part.stop)] = True
            for start, stop in part.exclude:
                mask[max(0, start) : max(0, stop)] = False
            mask[[frame_index for frame_index in covered.get(stem, ()) if 0 <= frame_index < n]] = False
            masks.append(mask)
        return np.concatenate(masks)

    def count_hard(
        self,
        thresholds: Mapping[ScoreName, float],
        likelihood: float,
        usable: npt.NDArray[np.bool_] | None = None,
    ) -> int:
        """Count the usable frames that are hard by at least one score (see `castle_core.hardness.Thresholds`)."""
        hard: npt.NDArray[np.bool_] | None = None
        for name in self.names:
            with np.errstate(invalid="ignore"):
                here = self.of(name, likelihood) >= thresholds.get(name, DEFAULT_Z[name])
            hard = here if hard is None else hard | here
        if hard is None:
            return 0
        return int(np.count_nonzero(hard if usable is None else hard & usable))

    def histogram(self, name: ScoreName, likelihood: float, usable: npt.NDArray[np.bool_] | None = None) -> list[int]:
        """Count usable frames by their worst z in `N_BINS` bins from 0 to `LARGEST_Z`; the last takes all above."""
        z = self.of(name, likelihood)
        z = z if usable is None else z[usable]
        z = np.clip(z[np.isfinite(z)], 0.0, LARGEST_Z)
        return [int(count) for count in np.histogram(z, bins=np.linspace(0.0, LARGEST_Z, N_BINS + 1))[0]]


@dataclass(frozen=True)
class Scored:
    """The scores of one video.

    Attributes
    ----------
    stem : str
        Stem of the video.
    scores : mapping
        (n, K) values each, as `castle_core.score_frames.score_frames` gives them.
    xy : numpy.ndarray
        (n, K, 2) positions, which tell which side of a jump is the odd one.
    fps : float
        Frames a second.
    """

    stem: str
    scores: Mapping[ScoreName, Score]
    xy: npt.NDArray[Any]
    fps: float


def make_sheet(videos: Sequence[Scored], spreads: Mapping[ScoreName, Spread]) -> Sheet:
    """Reduce the scores of several videos to one sheet.

    Parameters
    ----------
    videos : sequence of Scored
    spreads : mapping
        Medians and spreads over all the videos.
    """
    scores = [video.scores for video in videos]
    lengths = [video.xy.shape[0] for video in videos]
    z: dict[ScoreName, npt.NDArray[np.float32]] = {}
    for name in spreads:
        if name == "likelihood":
            continue
        parts = [
            _worst_of(name, spreads[name], video) if name in video.scores else np.full(n, np.nan, np.float32)
            for video, n in zip(videos, lengths, strict=True)
        ]
        z[name] = np.concatenate(parts) if parts else np.empty(0, np.float32)
    likelihood = None
    if "likelihood" in spreads:
        steps = []
        for video, n in zip(scores, lengths, strict=True):
            if "likelihood" not in video:
                steps.append(np.full((n, len(LIKELIHOOD_STEPS)), np.nan, np.float16))
                continue
            values = video["likelihood"].values
            raw = spreads["likelihood"].z(values)
            columns = []
            for step in LIKELIHOOD_STEPS:
                gated = np.where(values <= np.float32(1.0 - step), np.float32(0.0), raw)
                columns.append(_not_above(np.minimum(_worst(gated), 60_000.0)))
            steps.append(np.stack(columns, axis=1))
        likelihood = np.concatenate(steps) if steps else None
    return Sheet(z, likelihood, {video.stem: n for video, n in zip(videos, lengths, strict=True)})


def _worst_of(name: ScoreName, spread: Spread, video: Scored) -> npt.NDArray[np.float32]:
    values = video.scores[name].values
    z = spread.z(values)
    if name != "temporal_norm":
        return _worst(z)
    # Which frame is to blame for a jump does not depend on the threshold, so one sheet serves all of them.
    return blame_jumps(z, values, video.xy, limit=SMALLEST_Z, half=half_window(video.fps)).z


def _not_above(z: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    """Round down to float16, so that what lies below a threshold stays below it."""
    short = z.astype(np.float16)
    with np.errstate(invalid="ignore"):
        above = short.astype(np.float32) > z
    short[above] = np.nextafter(short[above], np.float16(-np.inf))
    return short


def _worst(z: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    known = np.isfinite(z).any(axis=1) if z.size else np.zeros(z.shape[0], bool)
    worst = np.full(z.shape[0], np.nan, np.float32)
    if known.any():
        worst[known] = np.nanmax(np.where(np.isfinite(z[known]), z[known], np.nan), axis=1)
    return worst


def save_sheet(path: Path, sheet: Sheet) -> None:
    """Keep a sheet as .npz."""
    arrays: dict[str, npt.NDArray[Any]] = {str(name): z for name, z in sheet.z.items()}
    if sheet.likelihood_z is not None:
        arrays["likelihood"] = sheet.likelihood_z
    arrays["stems"] = np.array(list(sheet.lengths), dtype=np.str_)
    arrays["lengths"] = np.array(list(sheet.lengths.values()), dtype=np.int64)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def load_sheet(path: Path) -> Sheet:
    """Read a kept sheet.

    Raises
    ------
    PredictionError
        If it is gone or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            names: list[ScoreName] = [name for name in SCORE_NAMES if name in file and name != "likelihood"]
            z = {name: file[name] for name in names}
            lengths = dict(zip(file["stems"].tolist(), file["lengths"].tolist(), strict=True))
            return Sheet(z, file.get("likelihood"), lengths)
    except (OSError, ValueError, KeyError) as error:
        raise PredictionError("The scores of this model are no longer here. Choose the model again.") from error
