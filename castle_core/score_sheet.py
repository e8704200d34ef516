"""The scores of a model on its videos in a small file, so that a page can count hard frames while a slider moves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from castle_core.errors import PredictionError
from castle_core.files import atomic_path
from castle_core.hardness import DEFAULT_Z
from castle_core.scores import SCORE_NAMES, Score, ScoreName, Spread

LIKELIHOOD_STEPS = tuple(round(0.05 * i, 2) for i in range(1, 21))
"""Likelihood thresholds for which the counts are exact."""

N_BINS = 40
LARGEST_Z = 20.0


@dataclass(frozen=True)
class Sheet:
    """The worst robust z of each frame by each score, of several videos one after the other.

    Attributes
    ----------
    z : dict
        Score → (n,) float32, NaN where nothing is known. The likelihood is apart.
    likelihood_z : numpy.ndarray or None
        (n, `LIKELIHOOD_STEPS`) float16: worst z among the keypoints below that likelihood; None without likelihoods.
    """

    z: dict[ScoreName, npt.NDArray[np.float32]]
    likelihood_z: npt.NDArray[np.float16] | None

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

    def count_hard(self, thresholds: Mapping[ScoreName, float], likelihood: float) -> int:
        """Count the frames that are hard by at least one score (see `castle_core.hardness.Thresholds`)."""
        hard: npt.NDArray[np.bool_] | None = None
        for name in self.names:
            with np.errstate(invalid="ignore"):
                here = self.of(name, likelihood) >= thresholds.get(name, DEFAULT_Z[name])
            hard = here if hard is None else hard | here
        return 0 if hard is None else int(np.count_nonzero(hard))

    def histogram(self, name: ScoreName, likelihood: float) -> list[int]:
        """Count frames by their worst z in `N_BINS` bins from 0 to `LARGEST_Z`; the last bin takes all above."""
        z = self.of(name, likelihood)
        z = np.clip(z[np.isfinite(z)], 0.0, LARGEST_Z)
        return [int(count) for count in np.histogram(z, bins=np.linspace(0.0, LARGEST_Z, N_BINS + 1))[0]]


def make_sheet(scores: Sequence[Mapping[ScoreName, Score]], spreads: Mapping[ScoreName, Spread]) -> Sheet:
    """Reduce the scores of several videos, (n_i, K) each, to one sheet.

    Parameters
    ----------
    scores : sequence of mapping
        One a video, as `castle_core.score_frames.score_frames` gives them.
    spreads : mapping
        Medians and spreads over all the videos.
    """
    lengths = [max((s.values.shape[0] for s in video.values()), default=0) for video in scores]
    z: dict[ScoreName, npt.NDArray[np.float32]] = {}
    for name in spreads:
        if name == "likelihood":
            continue
        parts = [
            _worst(spreads[name].z(video[name].values)) if name in video else np.full(n, np.nan, np.float32)
            for video, n in zip(scores, lengths, strict=True)
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
                columns.append(np.minimum(_worst(gated), 60_000.0).astype(np.float16))
            steps.append(np.stack(columns, axis=1))
        likelihood = np.concatenate(steps) if steps else None
    return Sheet(z, likelihood)


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
            return Sheet(z, file.get("likelihood"))
    except (OSError, ValueError, KeyError) as error:
        raise PredictionError("The scores of this model are no longer here. Choose the model again.") from error
