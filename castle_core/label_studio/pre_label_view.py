"""Pre-labels as a page draws them over a picture: in shares of its width and height, with the colours of the labels."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from castle_core.label_studio.labels_config import colours
from castle_core.label_studio.pictures import Picture, picture_size
from castle_core.label_studio.prelabels import PreLabels

if TYPE_CHECKING:
    from castle_core.projects import Project

PointsOf = Callable[[Picture], list[list[Any]]]
"""Picture → a list of [x, y, colour, name], x and y from 0 to 1."""


def pre_label_points(project: "Project", model: str, keypoints: Sequence[str], threshold: float) -> PointsOf:
    """Return what gives the points of a picture. Ask by video: one video's predictions are held at a time.

    Raises
    ------
    PredictionError
        If there is no such model; the function itself raises it for a file that cannot be read.
    """
    source = PreLabels(project, model, keypoints, threshold)
    shades = colours(len(keypoints))

    def points(picture: Picture) -> list[list[Any]]:
        found, size = source.of(picture), picture_size(picture)
        if found is None or size is None:
            return []
        shares = found.xy / np.array(size, float)
        inside = np.isfinite(shares).all(axis=1) & (shares >= 0).all(axis=1) & (shares <= 1).all(axis=1)
        return [
            [round(float(shares[k, 0]), 4), round(float(shares[k, 1]), 4), shades[k], keypoints[k]]
            for k in np.flatnonzero(inside).tolist()
        ]

    return points
