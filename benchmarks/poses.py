"""How well picked frames cover the poses of a video."""

import csv
from pathlib import Path

import numpy as np


def read_poses(path: Path) -> np.ndarray:
    """Read x and y of a table in Lightning Pose's prediction format: (n, keypoints, 2) float64, NaN where missing."""
    with open(path, newline="") as stream:
        rows = list(csv.reader(stream))
    coords = next(row for row in rows[:4] if row[0] == "coords")
    columns = [i for i, name in enumerate(coords) if name in ("x", "y")]
    body = [row for row in rows if row and row[0].isdigit()]
    table = np.array([[float(row[i]) if row[i] else np.nan for i in columns] for row in body])
    return table.reshape(len(table), -1, 2)


def coverage(poses: np.ndarray, picks: np.ndarray) -> float:
    """Return the mean over frames of the distance, in pixels, from their pose to the nearest picked one.

    The distance of two poses is the root mean square over the keypoints that both have. Frames without any count not.
    """
    present = ~np.isnan(poses).any(axis=2)
    filled = np.nan_to_num(poses)
    nearest = np.full(len(poses), np.inf)
    for pick in picks:
        both = present & present[pick]
        squared = ((filled - filled[pick]) ** 2).sum(axis=2) * both
        with np.errstate(invalid="ignore"):
            distance = np.sqrt(squared.sum(axis=1) / both.sum(axis=1))
        nearest = np.fmin(nearest, distance)
    return float(nearest[np.isfinite(nearest) & present.any(axis=1)].mean())


def stride(n_frames: int, n: int) -> np.ndarray:
    """Return the middles of `n` equal intervals."""
    return ((2 * np.arange(n) + 1) * n_frames) // (2 * n)
