"""DeepLabCut's label files: ``CollectedData_<scorer>.csv`` and ``.h5`` in the folder of each video."""

from pathlib import Path

import numpy as np

from castle_core.errors import LabelError, PredictionError
from castle_core.files import nfc
from castle_core.labelled import image_folder
from castle_core.labels.model import Labels, image_path


def read_dlc_labels_h5(path: Path) -> Labels:
    """Read a ``CollectedData_<scorer>.h5``, in the order of the file.

    Raises
    ------
    LabelError
        If it is no label file of DeepLabCut.
    """
    from castle_core.predictions.dlc_h5 import read_pandas

    try:
        table = read_pandas(path)
    except PredictionError as error:
        raise LabelError(f"{path} holds no labels that can be read. Export them again from DeepLabCut.") from error
    if any(len(column) not in {3, 4} for column in table.columns):
        raise LabelError(f"{path}: its columns have {len(table.columns[0])} levels; 3 or 4 are expected.")
    keys = [(nfc(c[-3]) if len(c) == 4 else "", nfc(c[-2]), c[-1].lower()) for c in table.columns]
    individuals = tuple(dict.fromkeys(individual for individual, _, _ in keys)) or ("",)
    keypoints = tuple(dict.fromkeys(keypoint for _, keypoint, _ in keys))
    frames = []
    for name in table.index.tolist():
        parts = [part for level in (name if isinstance(name, tuple) else ()) for part in level.split("/") if part]
        parts = [part for level in parts for part in level.replace("\\", "/").split("/") if part]
        if not parts:
            raise LabelError(f"{path} names no images in its rows: these are predictions of a video, not labels.")
        frames.append(image_path(image_folder(parts, path), parts[-1]))
    xy = np.full((len(frames), len(individuals), len(keypoints), 2), np.nan)
    has = np.zeros(xy.shape[1:3], bool)
    for column, (individual, keypoint, kind) in enumerate(keys):
        at = (individuals.index(individual), keypoints.index(keypoint))
        has[at] = True
        if kind in {"x", "y"}:
            xy[:, *at, "xy".index(kind)] = table.values[:, column]
    empty = ~np.isfinite(xy).all(axis=3).any(axis=(1, 2))
    no_animal = frozenset(frame for frame, none in zip(frames, empty, strict=True) if none)
    return Labels(keypoints, individuals, tuple(frames), xy, None, table.columns[0][0], no_animal, has)
