"""Streams keypoint tables row by row, in Lightning Pose's layout of predictions and metrics."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np


class PredictionTable:
    """Writes ``scorer/bodyparts/coords`` CSV predictions: x, y, likelihood for every keypoint; a context manager.

    Parameters
    ----------
    path : Path
        File to create.
    keypoints : sequence of str
        Names of the columns.
    scorer : str
        First header row; Lightning Pose writes ``heatmap_tracker``.
    """

    def __init__(self, path: Path, keypoints: Sequence[str], *, scorer: str = "heatmap_tracker") -> None:
        self._file = open(path, "w", encoding="utf-8", newline="")  # noqa: SIM115  closed by __exit__
        names = [name for name in keypoints for _ in range(3)]
        self._file.write("scorer," + ",".join([scorer] * len(names)) + "\n")
        self._file.write("bodyparts," + ",".join(names) + "\n")
        self._file.write("coords," + ",".join(["x", "y", "likelihood"] * len(keypoints)) + "\n")
        self._row = "%d," + ",".join(["%.3f,%.3f,%.5f"] * len(keypoints)) + "\n"

    def write(self, frame_index: int, prediction: np.ndarray) -> None:
        """Add one row; `prediction` is (K, 3): x, y in pixels, likelihood."""
        self._file.write(self._row % (frame_index, *prediction.ravel().tolist()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


class TemporalNormTable:
    """Writes how far each keypoint moved since the frame before, as Lightning Pose does; a context manager.

    Parameters
    ----------
    path : Path
        File to create.
    keypoints : sequence of str
        Names of the columns.
    """

    def __init__(self, path: Path, keypoints: Sequence[str]) -> None:
        self._file = open(path, "w", encoding="utf-8", newline="")  # noqa: SIM115  closed by __exit__
        self._file.write("," + ",".join(keypoints) + "\n")
        self._row = "%d," + ",".join(["%.5f"] * len(keypoints)) + "\n"
        self._empty = "%d" + "," * len(keypoints) + "\n"
        self._before: np.ndarray | None = None

    def write(self, frame_index: int, xy: np.ndarray) -> None:
        """Add one row; `xy` is (K, 2) in pixels. The first row is empty."""
        if self._before is None:
            self._file.write(self._empty % frame_index)
        else:
            step = np.sqrt(((xy - self._before) ** 2).sum(axis=1))
            self._file.write(self._row % (frame_index, *step.tolist()))
        self._before = xy

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
