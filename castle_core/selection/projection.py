"""Principal components of features, in float32."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from castle_core.selection.threads import one_thread

Matrix = NDArray[np.float32]
MAX_COMPONENTS = 32
MIN_COMPONENTS = 16
_KEEP_VARIANCE = 0.9


@dataclass(frozen=True)
class Projection:
    """An affine map to the directions in which features vary most.

    Attributes
    ----------
    mean : (D,) float32
    axes : (D, d) float32
        Orthonormal columns, so that distances never grow.
    """

    mean: Matrix
    axes: Matrix

    def __call__(self, features: Matrix) -> Matrix:
        """Project (N, D) float32 features to (N, d) float32."""
        return np.asarray((features - self.mean) @ self.axes, dtype=np.float32)


def fit_projection(features: Matrix, weights: Matrix | None = None) -> Projection:
    """Find the 16 to 32 directions in which `features` vary most; fewer if they span fewer.

    Parameters
    ----------
    features : (N, D) float32
        N >= 1.
    weights : (N,) float32, optional
        How much each row counts.

    Returns
    -------
    Projection
        With as many directions as hold 90 % of the variance, within the limits.
    """
    n, length = features.shape
    share = np.full(n, 1.0 / n, np.float32) if weights is None else (weights / weights.sum()).astype(np.float32)
    mean = share @ features
    scaled = (features - mean) * np.sqrt(share)[:, None]
    with one_thread():
        if n >= length:
            values, axes = np.linalg.eigh(scaled.T @ scaled)
            values, axes = values[::-1], axes[:, ::-1]
        else:  # fewer rows than columns: the smaller of the two products has the same eigenvalues
            values, left = np.linalg.eigh(scaled @ scaled.T)
            values, left = values[::-1], left[:, ::-1]
            axes = scaled.T @ left / np.sqrt(np.maximum(values, 1e-30))
    real = int((values > max(float(values[0]), 0.0) * 1e-6).sum())
    if real == 0:
        return Projection(mean, np.zeros((length, 1), dtype=np.float32))
    wanted = int(np.searchsorted(np.cumsum(values[:real]) / values[:real].sum(), _KEEP_VARIANCE)) + 1
    kept = min(real, int(np.clip(wanted, MIN_COMPONENTS, MAX_COMPONENTS)))
    return Projection(mean, np.ascontiguousarray(axes[:, :kept], dtype=np.float32))
