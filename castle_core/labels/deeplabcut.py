"""DeepLabCut's label files: ``CollectedData_<scorer>.csv`` and ``.h5`` in the folder of each video."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from castle_core.errors import LabelError, PredictionError
from castle_core.files import nfc, safe_name
from castle_core.labelled import image_folder
from castle_core.labels.collected_data import DEFAULT_SCORER, new_text
from castle_core.labels.contents import Contents
from castle_core.labels.images import image_file
from castle_core.labels.model import LABELED_DATA, Labels, folder_and_name, image_path
from castle_core.labels.pandas_h5 import pandas_h5

if TYPE_CHECKING:
    from castle_core.projects import Project


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


def dlc_contents(project: "Project", labels: Labels) -> Contents:
    """Return the files that go into a DeepLabCut project: for each video its images, csv and h5 of labels.

    Images that lie flat in ``labeled-data`` go into a folder with the project's name, since DeepLabCut wants one.
    Columns other than x and y are left out: DeepLabCut has no place for them.

    Raises
    ------
    LabelError
        If there are no labels, or an image's path leads out of the project.
    """
    contents = Contents()
    scorer = labels.scorer or DEFAULT_SCORER
    stem = f"CollectedData_{scorer}"
    safe_name(stem)
    moved: dict[str, str] = {}
    for frame in labels.frames:
        folder, name = folder_and_name(frame)
        moved[frame] = image_path(folder.replace("/", "_") or project.name, name)
    if len(set(moved.values())) != len(moved):
        raise LabelError("Two images would have the same name in DeepLabCut's folders. Rename one of them.")
    if any(not folder_and_name(frame)[0] for frame in labels.frames):
        contents.notes.append(f"Images that belong to no video are in labeled-data/{project.name}.")
    renamed = replace(
        labels,
        frames=tuple(moved[frame] for frame in labels.frames),
        no_animal=frozenset(moved[frame] for frame in labels.no_animal),
        visible=None,
        scorer=scorer,
    ).ordered()
    for folder in dict.fromkeys(folder_and_name(frame)[0] for frame in renamed.frames):
        rows = [row for row, frame in enumerate(renamed.frames) if folder_and_name(frame)[0] == folder]
        part = renamed.take(rows)
        home = f"labeled-data/{folder}"
        contents.add(f"{home}/{stem}.csv", new_text(part, n_index=3).encode("utf-8"))
        contents.add(f"{home}/{stem}.h5", labels_h5(part))
    for frame in labels.frames:
        contents.add(moved[frame], image_file(project, frame))
    if labels.visible is not None:
        contents.notes.append("DeepLabCut has no place for the columns visible; they are left out.")
    return contents


def labels_h5(labels: Labels) -> bytes:
    """Return the content of a ``CollectedData_<scorer>.h5``."""
    named = labels.individuals != ("",)
    names = ["scorer", *(["individuals"] if named else []), "bodyparts", "coords"]
    columns, values = [], []
    for i, individual in enumerate(labels.individuals):
        for k, keypoint in enumerate(labels.keypoints):
            for axis, coord in enumerate("xy"):
                if labels.has[i, k]:
                    levels = [individual] if named else []
                    columns.append((labels.scorer, *levels, keypoint, coord))
                    values.append(labels.xy[:, i, k, axis])
    rows = [(LABELED_DATA, *folder_and_name(frame)) for frame in labels.frames]
    return pandas_h5(columns, names, rows, np.stack(values, axis=1))
