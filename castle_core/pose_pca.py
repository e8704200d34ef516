"""The subspace of usual poses, and how far a pose lies from it: Lightning Pose's PCA reprojection errors."""

from dataclasses import dataclass

import numpy as np

from castle_core.scores import PcaColumns

SINGLEVIEW_VARIANCE = 0.99
MULTIVIEW_COMPONENTS = 3
CONFIDENT = 0.9
_FIT_ROWS = 50_000
_BLOCK = 16_384
_MAX_PATTERNS = 512  # of missing points, in one block: each costs a small fit


@dataclass(frozen=True)
class Subspace:
    """Mean and principal axes of a set of vectors.

    Attributes
    ----------
    mean : numpy.ndarray
        (D,) float64.
    components : numpy.ndarray
        (C, D) float64, orthonormal rows.
    n_rows : int
        How many vectors it was fitted to.
    """

    mean: np.ndarray
    components: np.ndarray
    n_rows: int

    def distances(self, rows: np.ndarray) -> np.ndarray:
        """Return how far each point of each vector lies from its reprojection.

        Where points are missing, the axes are fitted to those that are there.

        Parameters
        ----------
        rows : numpy.ndarray
            (n, D) vectors of D/2 points (x, y alternating).

        Returns
        -------
        numpy.ndarray
            (n, D/2) float64; NaN for missing points, and for a vector with too few points to fit the axes to.
        """
        offset = rows - self.mean
        rest = (offset @ self.components.T) @ self.components
        np.subtract(offset, rest, out=rest)
        # a missing number makes its whole vector NaN, so that one look at each finds them
        gaps = np.flatnonzero(np.isnan(rest[:, 0]) | np.isnan(rest[:, -1]))
        if gaps.size:
            known = np.zeros(rows.shape, bool)
            known[gaps] = np.isfinite(rows[gaps])
            offset[gaps] = np.where(known[gaps], offset[gaps], 0.0)
            rest[gaps] = np.nan
            patterns, which = np.unique(known[gaps], axis=0, return_inverse=True)
            frequent = np.argsort(-np.bincount(which.ravel()), kind="stable")[:_MAX_PATTERNS]
            for pattern in frequent:
                there = patterns[pattern]
                if there.sum() < self.components.shape[0] + 2:
                    continue
                some = gaps[which.ravel() == pattern]
                axes = self.components[:, there]
                part = offset[np.ix_(some, there)]
                rest[np.ix_(some, there)] = part - (part @ np.linalg.pinv(axes)) @ axes
        points = rest.reshape(rows.shape[0], -1, 2)
        distances: np.ndarray = np.sqrt(np.einsum("nkc,nkc->nk", points, points))
        return distances


def fit_subspace(rows: np.ndarray, keep: float | int) -> Subspace | None:
    """Fit the principal axes to vectors that may have gaps.

    Mean and covariance use, for each pair of entries, the vectors that have both.

    Parameters
    ----------
    rows : numpy.ndarray
        (N, D) float64.
    keep : float or int
        Share of the variance (as many axes as reach it), or a number of axes.

    Returns
    -------
    Subspace or None
        None if there are fewer vectors than entries, or an entry is never there.
    """
    rows = rows[np.isfinite(rows).any(axis=1)]
    n_rows, width = rows.shape
    if n_rows < width or not np.isfinite(rows).any(axis=0).all():
        return None
    covariance = _covariance(rows)
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = np.clip(values[::-1], 0.0, None), vectors[:, ::-1]
    if isinstance(keep, int):
        count = min(keep, width)
    elif values.sum() <= 0:
        count = 1
    else:
        share = np.cumsum(values) / values.sum()
        count = min(int(np.searchsorted(share, keep)) + 1, width)
    return Subspace(np.nanmean(rows, axis=0), np.ascontiguousarray(vectors[:, :count].T), n_rows)


def _covariance(rows: np.ndarray) -> np.ndarray:
    """Return the covariance (D, D) of vectors with gaps, each entry from the vectors that have both numbers."""
    known = np.isfinite(rows)
    offset = np.where(known, rows - np.nanmean(rows, axis=0), 0.0)
    count = known.T.astype(np.float64) @ known
    covariance: np.ndarray = (offset.T @ offset) / np.maximum(count - 1.0, 1.0)
    return covariance


def _vectors(xy: np.ndarray, group: tuple[int, ...]) -> np.ndarray:
    vectors: np.ndarray = np.ascontiguousarray(xy[:, group]).reshape(xy.shape[0], 2 * len(group))
    return vectors


def _view_vectors(xy: np.ndarray, mirrored: tuple[tuple[int, ...], ...]) -> np.ndarray:
    """Return one vector for each frame and body part, with its position in every view: (n * parts, 2 * views)."""
    views = np.stack([xy[:, view] for view in mirrored], axis=2)
    vectors: np.ndarray = views.reshape(-1, 2 * len(mirrored))
    return vectors


def confident_poses(xy: np.ndarray, likelihood: np.ndarray, columns: tuple[int, ...]) -> np.ndarray:
    """Return poses to trust where there are no labels.

    A point counts if its likelihood is above `CONFIDENT`, or, for a keypoint of which the model is never that sure,
    above its median. Frames without a gap are taken if there are plenty of them, else those with at most half of the
    points missing.

    Parameters
    ----------
    xy : numpy.ndarray
        (n, K, 2) positions.
    likelihood : numpy.ndarray
        (n, K); a keypoint without any counts wherever it is.
    columns : tuple of int
        The keypoints that matter.

    Returns
    -------
    numpy.ndarray
        (m, K, 2) float64, a copy, NaN where a point does not count; evenly thinned out to 50,000 frames.
    """
    count = np.zeros(xy.shape[0], np.int32)
    limits = {}
    for column in columns:
        scores = likelihood[:, column]
        known = scores[np.isfinite(scores)]
        if 2 * np.count_nonzero(known >= CONFIDENT) > known.size:  # then the median is above it too
            limits[column] = CONFIDENT
        else:
            limits[column] = min(CONFIDENT, float(np.median(known))) if known.size else -np.inf
        count += _trusted(xy, likelihood, column, limits[column])
    whole = np.flatnonzero(count == len(columns))
    rows = whole if whole.size >= 10 * len(columns) else np.flatnonzero(2 * count >= max(1, len(columns)))
    rows = rows[:: max(1, -(-rows.size // _FIT_ROWS))]
    poses, scores = xy[rows], likelihood[rows]
    for column, limit in limits.items():
        poses[~_trusted(poses, scores, column, limit), column] = np.nan
    return poses


def _trusted(xy: np.ndarray, likelihood: np.ndarray, column: int, limit: float) -> np.ndarray:
    there: np.ndarray = np.isfinite(xy[:, column, 0])
    if np.isneginf(limit):
        return there
    with np.errstate(invalid="ignore"):
        sure: np.ndarray = there & (likelihood[:, column] >= limit)
    return sure


def singleview_error(
    xy: np.ndarray, fit_xy: np.ndarray, columns: PcaColumns, *, keep: float | int = SINGLEVIEW_VARIANCE
) -> tuple[np.ndarray, int] | None:
    """Return each keypoint's distance from the subspace of whole poses.

    Parameters
    ----------
    xy : numpy.ndarray
        (n, K, 2) poses to judge, pixels.
    fit_xy : numpy.ndarray
        (N, K, 2) poses that are right: labels, or confident predictions.
    columns : PcaColumns
        Its ``singleview`` groups; other keypoints are NaN.
    keep : float or int
        As in `fit_subspace`.

    Returns
    -------
    tuple or None
        (n, K) float32 errors in pixels, and the number of poses fitted to. None if no group has enough poses.
    """
    result = np.full(xy.shape[:2], np.nan, np.float32)
    n_fitted = 0
    for group in columns.singleview:
        subspace = fit_subspace(_vectors(fit_xy, group), keep)
        if subspace is None:
            continue
        n_fitted = max(n_fitted, subspace.n_rows)
        for start in range(0, xy.shape[0], _BLOCK):
            rows = slice(start, start + _BLOCK)
            result[rows, group] = subspace.distances(_vectors(xy[rows], group))
    return (result, n_fitted) if n_fitted else None


def multiview_error(xy: np.ndarray, fit_xy: np.ndarray, columns: PcaColumns) -> tuple[np.ndarray, int] | None:
    """Return each keypoint's distance from the three-dimensional subspace that mirrored views of a point share.

    Parameters and result are those of `singleview_error`; ``mirrored`` of `columns` counts.
    """
    if len(columns.mirrored) < 2:
        return None
    subspace = fit_subspace(_view_vectors(fit_xy, columns.mirrored), MULTIVIEW_COMPONENTS)
    if subspace is None:
        return None
    result = np.full(xy.shape[:2], np.nan, np.float32)
    parts, views = len(columns.mirrored[0]), len(columns.mirrored)
    for start in range(0, xy.shape[0], _BLOCK):
        rows = slice(start, start + _BLOCK)
        errors = subspace.distances(_view_vectors(xy[rows], columns.mirrored)).reshape(-1, parts, views)
        for view, group in enumerate(columns.mirrored):
            result[rows, group] = errors[:, :, view]
    return result, subspace.n_rows
