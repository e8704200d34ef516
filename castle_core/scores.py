"""How hard each frame was for a pose model: raw scores per frame and keypoint, and robust z values of them.

Five scores: likelihood; temporal norm (how far a keypoint moved since the frame before); distance from the subspace
of usual poses, for one view and for several mirrored ones; and how much models disagree. Each becomes a robust z per
keypoint, ``(value - median) / (1.4826 MAD)``, so that one huge jump does not hide the others. Missing numbers stay
missing: they never make a frame hard, and never remove it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from castle_core.errors import PredictionError
from castle_core.predictions.model import Predictions

ScoreName = Literal["likelihood", "temporal_norm", "pca_singleview", "pca_multiview", "disagreement"]
SCORE_NAMES: tuple[ScoreName, ...] = (
    "likelihood",
    "temporal_norm",
    "pca_singleview",
    "pca_multiview",
    "disagreement",
)

# The smallest spread that counts as one z: a perfect model must not turn rounding into outliers.
FLOORS: dict[ScoreName, float] = {
    "likelihood": 0.05,
    "temporal_norm": 0.5,
    "pca_singleview": 0.5,
    "pca_multiview": 0.5,
    "disagreement": 0.5,
}
MAD_TO_SIGMA = 1.4826
_SAMPLE = 100_000
_BLOCK_ROWS = 8192


@dataclass(frozen=True)
class Score:
    """One score of every frame and keypoint.

    Attributes
    ----------
    name : str
        One of `SCORE_NAMES`.
    values : numpy.ndarray
        (n, K) float32. Pixels, or for the likelihood 1 minus it: higher is always harder. NaN where unknown.
    source : str
        Where the values come from, for people ("read from x.csv", "computed from 90 labelled frames").
    """

    name: ScoreName
    values: np.ndarray
    source: str


@dataclass(frozen=True)
class Spread:
    """Centre and spread of one score for every keypoint, (K,) float64 each; NaN for a keypoint without numbers."""

    median: np.ndarray
    sigma: np.ndarray

    def z(self, values: np.ndarray) -> np.ndarray:
        """Return the robust z of `values` (n, K) as float32; NaN stays NaN."""
        z = values.astype(np.float32)
        z -= self.median.astype(np.float32)
        z /= self.sigma.astype(np.float32)
        return z


def temporal_norm(xy: np.ndarray) -> np.ndarray:
    """Return how far each keypoint moved since the frame before.

    Parameters
    ----------
    xy : numpy.ndarray
        (n, K, 2) positions in pixels.

    Returns
    -------
    numpy.ndarray
        (n, K) float32 in pixels. Row 0 is NaN, and so is every step from or to a missing point.
    """
    n_frames, n_keypoints = xy.shape[:2]
    result = np.full((n_frames, n_keypoints), np.nan, np.float32)
    for start in range(1, n_frames, _BLOCK_ROWS):  # some rows at a time: no second copy of a long table
        step = np.diff(xy[start - 1 : start - 1 + _BLOCK_ROWS + 1], axis=0)
        result[start : start + _BLOCK_ROWS] = np.sqrt(np.einsum("nkc,nkc->nk", step, step))
    return result


def ensemble_disagreement(members: Sequence[np.ndarray]) -> np.ndarray:
    """Return the root mean square distance between models' positions of the same keypoint.

    Parameters
    ----------
    members : sequence of numpy.ndarray
        Two or more (n, K, 2) in pixels.

    Returns
    -------
    numpy.ndarray
        (n, K) float32 in pixels, for two models simply their distance; NaN where fewer than two have the point.
    """
    n_frames, n_keypoints = members[0].shape[:2]
    result = np.full((n_frames, n_keypoints), np.nan, np.float32)
    for column in range(n_keypoints):
        points = np.stack([member[:, column] for member in members])
        known = np.isfinite(points).all(axis=2)
        count = known.sum(axis=0)
        points = np.where(known[..., None], points, 0.0)
        mean = points.sum(axis=0) / np.maximum(count, 1)[:, None]
        square = (((points - mean) ** 2).sum(axis=2) * known).sum(axis=0)
        enough = count >= 2
        result[enough, column] = np.sqrt(2.0 * square[enough] / (count[enough] - 1))
    return result


def eks_disagreement(predictions: Predictions) -> np.ndarray | None:
    """Return the same from the ensemble variances in an EKS file, (n, K) float32 in pixels; None if it has none."""
    x, y = predictions.extra.get("x_ens_var"), predictions.extra.get("y_ens_var")
    if x is None or y is None:
        return None
    with np.errstate(invalid="ignore"):
        result = np.sqrt(2.0 * np.where(x + y >= 0, x + y, np.nan)).astype(np.float32)
    return result if np.isfinite(result).any() else None


def spread_of(name: ScoreName, tables: Iterable[np.ndarray]) -> Spread:
    """Measure median and robust sigma of one score per keypoint over one or more videos.

    Parameters
    ----------
    name : str
        The score; it decides about the smallest sigma.
    tables : iterable of numpy.ndarray
        (n_i, K) each. Of very long tables every k-th row is measured.
    """
    tables = list(tables)
    step = max(1, -(-sum(table.shape[0] for table in tables) // _SAMPLE))
    sample = np.concatenate([table[::step] for table in tables])
    n_keypoints = sample.shape[1]
    median, sigma = np.full(n_keypoints, np.nan), np.full(n_keypoints, np.nan)
    for column in range(n_keypoints):
        values = sample[:, column]
        values = values[np.isfinite(values)]
        if values.size:
            middle = float(np.median(values))
            mad = float(np.median(np.abs(values - middle)))
            median[column] = middle
            sigma[column] = max(MAD_TO_SIGMA * mad, FLOORS[name])
    return Spread(median, sigma)


def likelihood_score(predictions: Predictions) -> Score | None:
    """Return 1 - likelihood; None if the file has no likelihood."""
    if not predictions.has_likelihood:
        return None
    values = np.empty(predictions.likelihood.shape, np.float32)
    np.subtract(1.0, predictions.likelihood, out=values, casting="same_kind")  # no float64 copy of a long table
    return Score("likelihood", values, f"read from {predictions.path.name}")


@dataclass(frozen=True)
class PcaColumns:
    """Which keypoints the subspaces are made of.

    Attributes
    ----------
    singleview : tuple of tuple of int
        Groups of columns, a subspace each; one group for one animal.
    mirrored : tuple of tuple of int
        One tuple a view, equally long: entry i of each is the same body part. Empty without mirrored views.
    """

    singleview: tuple[tuple[int, ...], ...] = ()
    mirrored: tuple[tuple[int, ...], ...] = field(default=())

    def __post_init__(self) -> None:
        if len({len(view) for view in self.mirrored}) > 1:
            raise PredictionError("mirrored_column_matches: every view must list the same number of keypoints.")


def default_pca_columns(predictions: Predictions) -> PcaColumns:
    """Return one group for each animal with all of its keypoints."""
    groups: dict[str, list[int]] = {}
    for column, animal in enumerate(predictions.individuals or ("",) * len(predictions.keypoints)):
        groups.setdefault(animal, []).append(column)
    return PcaColumns(tuple(tuple(group) for group in groups.values() if len(group) > 1))
