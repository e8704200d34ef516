"""Small tables in the dialects of the field, for the tests of reading and scoring them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

NAMES = ("nose", "left ear", "tail")


def walk(n: int, k: int = 3, seed: int = 0, step: float = 1.0) -> np.ndarray:
    """Positions (n, k, 2) of points that wander together."""
    rng = np.random.default_rng(seed)
    middle = np.cumsum(rng.normal(0, step, (n, 1, 2)), axis=0) + 200
    offset = rng.normal(0, 30, (1, k, 2))
    return middle + offset + rng.normal(0, 0.3, (n, k, 2))


def csv_text(
    xy: np.ndarray,
    likelihood: np.ndarray | None = None,
    *,
    names: Sequence[str] = NAMES,
    scorer: str = "heatmap_tracker",
    index: Sequence[object] | None = None,
) -> str:
    """A table in Lightning Pose's layout of predictions; NaN are empty cells."""
    n, k = xy.shape[:2]
    likelihood = np.full((n, k), 0.99) if likelihood is None else likelihood
    names = names[:k]
    lines = [
        "scorer," + ",".join([scorer] * (3 * k)),
        "bodyparts," + ",".join(name for name in names for _ in range(3)),
        "coords," + ",".join(["x,y,likelihood"] * k),
    ]
    values = np.concatenate([xy, likelihood[..., None]], axis=2).reshape(n, -1)
    for row, cells in enumerate(values):
        texts = ["" if np.isnan(cell) else f"{cell:.6g}" for cell in cells]
        lines.append(",".join([str(row if index is None else index[row]), *texts]))
    return "\n".join(lines) + "\n"


def write_csv(path: Path, xy: np.ndarray, likelihood: np.ndarray | None = None, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(csv_text(xy, likelihood, **options), encoding="utf-8")
    return path


def metric_text(values: np.ndarray, names: Sequence[str] = NAMES) -> str:
    """A metric table of Lightning Pose."""
    lines = ["," + ",".join(names[: values.shape[1]])]
    for row, cells in enumerate(values):
        lines.append(",".join([str(row), *("" if np.isnan(cell) else f"{cell:.5f}" for cell in cells)]))
    return "\n".join(lines) + "\n"
