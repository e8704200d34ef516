"""What a pose model said about a video, without the format it was said in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from castle_core.errors import PredictionError


@dataclass(frozen=True)
class Predictions:
    """One model's keypoints for every frame of one video.

    Attributes
    ----------
    path : Path
        File they were read from.
    software : str
        ``Lightning Pose``, ``EKS``, ``DeepLabCut`` or ``SLEAP``, as far as the file tells.
    keypoints : tuple of str
        K names. With several animals in one table they read ``<individual> <keypoint>``.
    xy : numpy.ndarray
        (n, K, 2) float64, pixels, x to the right and y down; NaN where nothing was predicted. Row i is frame i.
    likelihood : numpy.ndarray
        (n, K) float64 in [0, 1]; NaN where the file has none.
    individuals : tuple of str
        The animal of each keypoint, K entries; empty strings for a single animal.
    extra : mapping of str to numpy.ndarray
        Further columns by their name, (n, K) float64 each, such as ``x_ens_var`` of EKS.
    warnings : tuple of str
        What was odd about the file, a line each.
    """

    path: Path
    software: str
    keypoints: tuple[str, ...]
    xy: np.ndarray
    likelihood: np.ndarray
    individuals: tuple[str, ...] = ()
    extra: Mapping[str, np.ndarray] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def n_frames(self) -> int:
        """Number of rows."""
        return int(self.xy.shape[0])

    @property
    def has_likelihood(self) -> bool:
        """Whether the file holds any usable likelihood."""
        return bool(np.isfinite(self.likelihood).any())


FRAME_COUNT_TOLERANCE = 2
"""Decoders differ by a frame or two at the end of a video; more than that is another video."""
_BLOCK_ROWS = 8192


def check_frame_count(predictions: Predictions, n_frames: int, video_name: str) -> str | None:
    """Compare the rows of a prediction file with the frames of its video.

    Parameters
    ----------
    predictions : Predictions
        What was read.
    n_frames : int
        Frames of the video, as the decoder puts them out.
    video_name : str
        For the message.

    Returns
    -------
    str or None
        A warning when the last frame or two differ; None when the numbers agree.

    Raises
    ------
    PredictionError
        If they differ by more than `FRAME_COUNT_TOLERANCE`: the file belongs to another video.
    """
    rows = predictions.n_frames
    if rows == n_frames:
        return None
    difference = f"{predictions.path.name} has {rows} rows, but {video_name} has {n_frames} frames"
    if abs(rows - n_frames) > FRAME_COUNT_TOLERANCE:
        raise PredictionError(f"{difference}. Choose the predictions of this video, or run the model on it again.")
    return f"{difference}; the frames that only one of them has are left out."


def finish(
    path: Path,
    software: str,
    names: list[tuple[str, str]],
    xy: np.ndarray,
    likelihood: np.ndarray,
    extra: dict[str, np.ndarray] | None = None,
    *,
    individual: str | None = None,
) -> Predictions:
    """Check the numbers that a reader found and put them into `Predictions`.

    Infinite values become NaN; a keypoint without both coordinates has none; likelihoods outside of [0, 1] are
    clipped; a file whose likelihoods are all 0 (some versions of EKS) has no likelihood. Each of these is a warning.

    Parameters
    ----------
    path, software
        As in `Predictions`.
    names : list of tuple
        (individual, keypoint) of each column; the individual is empty for a single animal.
    xy, likelihood, extra
        As in `Predictions`; changed in place.
    individual : str, optional
        Keep only this animal.

    Raises
    ------
    PredictionError
        If nothing is left: no row, no keypoint, no position at all, no such individual.
    """
    animals = list(dict.fromkeys(name for name, _ in names))
    if individual is not None:
        if individual not in animals:
            known = ", ".join(name for name in animals if name) or "one animal without a name"
            raise PredictionError(f"{path.name} has no individual {individual!r}; it has: {known}.")
        keep = [column for column, (name, _) in enumerate(names) if name == individual]
        names = [names[column] for column in keep]
        xy, likelihood = xy[:, keep], likelihood[:, keep]
        extra = {key: values[:, keep] for key, values in (extra or {}).items()}
        animals = [individual]
    if not names:
        raise PredictionError(f"{path.name} holds no keypoint. Is it a prediction file?")
    if not xy.shape[0]:
        raise PredictionError(f"{path.name} holds no frame. Run the model on the video again.")
    warnings = _clean(xy, likelihood)
    if not np.isfinite(xy).any():
        raise PredictionError(f"{path.name} holds no position at all: every x and y is empty.")
    several = len(animals) > 1
    return Predictions(
        path=path,
        software=software,
        keypoints=tuple(f"{animal} {name}" if several and animal else name for animal, name in names),
        xy=xy,
        likelihood=likelihood,
        individuals=tuple(animal for animal, _ in names),
        extra=extra or {},
        warnings=tuple(warnings),
    )


def _clean(xy: np.ndarray, likelihood: np.ndarray) -> list[str]:
    """Repair odd numbers in place, some rows at a time so that no copy of a long table is made."""
    warnings = []
    infinite = above = below = 0
    largest, smallest, anything, given = 0.0, 0.0, False, False
    for start in range(0, xy.shape[0], _BLOCK_ROWS):
        points, scores = xy[start : start + _BLOCK_ROWS], likelihood[start : start + _BLOCK_ROWS]
        # further than any picture is wide: such a number is damage, and its square would overflow
        bad = np.abs(points) > 1e9
        if bad.any():
            infinite += int(bad.sum())
            points[bad] = np.nan
        missing = np.isnan(points)
        if missing.any():
            points[missing.any(axis=2)] = np.nan
        known = np.isfinite(scores)
        infinite += int(np.isinf(scores).sum())
        scores[~known] = np.nan
        if not known.any():
            continue
        given = True
        high, low = scores > 1.0, scores < 0.0
        if high.any():
            above, largest = above + int(high.sum()), max(largest, float(np.max(scores[high])))
            scores[high] = 1.0
        if low.any():
            below, smallest = below + int(low.sum()), min(smallest, float(np.min(scores[low])))
            scores[low] = 0.0
        anything = anything or bool((scores > 0).any())
    if infinite:
        warnings.append(f"{infinite} numbers are infinite or absurdly large; they count as missing.")
    if above:
        warnings.append(f"{above} likelihoods are above 1 (largest {largest:.4g}); they count as 1.")
    if below:
        warnings.append(f"{below} likelihoods are below 0 (smallest {smallest:.4g}); they count as 0.")
    if given and not anything:
        likelihood[...] = np.nan
        warnings.append("Every likelihood is 0, which tells nothing; likelihood is not used.")
    return warnings
