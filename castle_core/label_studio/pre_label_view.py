"""Points as a page draws them over a picture: in shares of its width and height, with the colours of the labels."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from castle_core.label_studio.labels_config import colours
from castle_core.label_studio.pictures import Picture, picture_size
from castle_core.label_studio.prelabels import PreLabels

if TYPE_CHECKING:
    from castle_core.labels import Labels
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

    def points(picture: Picture) -> list[list[Any]]:
        found = source.of(picture)
        return [] if found is None else _shares(picture, keypoints, found.xy)

    return points


def label_points(keypoints: Sequence[str], labels: "Labels", pictures: Sequence[Picture]) -> dict[str, list[list[Any]]]:
    """Return the points of those pictures (lp_path) that have labels of one animal, drawn in the same way."""
    names = tuple(keypoints) or labels.keypoints
    columns = [labels.keypoints.index(name) if name in labels.keypoints else None for name in names]
    rows = {frame: row for row, frame in enumerate(labels.frames)}
    found = {}
    for picture in pictures:
        row = rows.get(picture.lp_path)
        if row is None:
            continue
        xy = np.full((len(names), 2), np.nan)
        for place, column in enumerate(columns):
            if column is not None:
                xy[place] = labels.xy[row, 0, column]
        if np.isfinite(xy).any() or picture.lp_path in labels.no_animal:
            found[picture.lp_path] = _shares(picture, names, xy)
    return found


def _shares(picture: Picture, keypoints: Sequence[str], xy: np.ndarray) -> list[list[Any]]:
    """Return the points (K, 2) that lie in the picture as [x, y, colour, name]."""
    size = picture_size(picture)
    if size is None:
        return []
    shades = colours(len(keypoints))
    shares = xy / np.array(size, float)
    inside = np.isfinite(shares).all(axis=1) & (shares >= 0).all(axis=1) & (shares <= 1).all(axis=1)
    return [
        [round(float(shares[k, 0]), 4), round(float(shares[k, 1]), 4), shades[k], keypoints[k]]
        for k in np.flatnonzero(inside).tolist()
    ]
