"""Puts the rows of a keypoint CSV where their frames are: predictions by frame, labels by image."""

from pathlib import Path

import numpy as np

from castle_core.errors import LabelError, PredictionError
from castle_core.predictions.keypoint_csv import (
    SPARSE,
    Header,
    blocks,
    check_widths,
    count_lines,
    first_rows,
    frame_rows,
    read_header,
)
from castle_core.predictions.model import Predictions, finish


def read_prediction_csv(path: Path, *, individual: str | None = None) -> Predictions:
    """Read predictions of Lightning Pose, EKS or DeepLabCut; columns are found by their names.

    Raises
    ------
    PredictionError
        If the file is no such table, or damaged; one line says where.
    """
    header = read_header(path)
    layout = count_lines(path)
    check_widths(path, layout, header.n_lines, header.n_columns)
    rows_at_most = max(0, layout.n_lines - header.n_lines) + 1
    points = header.points
    coords = [c for c in header.coords if c in {"x", "y", "likelihood"} or _all_have(header, c)]
    where = [
        (header.columns[(animal, part, coord)], point, coord)
        for point, (animal, part) in enumerate(points)
        for coord in coords
        if (animal, part, coord) in header.columns
    ]
    where.sort()
    names = list(dict.fromkeys(["likelihood", *(coord for coord in coords if coord not in {"x", "y"})]))
    shape = (rows_at_most, len(points))
    arrays = {name: np.empty(shape) if _all_have(header, name) else np.full(shape, np.nan) for name in names}
    xy = np.empty((rows_at_most, len(points), 2))  # every keypoint has both columns
    frames, at = [], 0
    columns = [column for column, _, _ in where]
    for cells, numbers in blocks(path, header.n_lines, header.n_columns, header.n_index, columns):
        rows = slice(at, at + cells.shape[0])
        frames.append(frame_rows(path, cells))
        for column, point, coord in where:
            if coord in {"x", "y"}:
                xy[rows, point, "xy".index(coord)] = numbers[column]
            else:
                arrays[coord][rows, point] = numbers[column]
        at = rows.stop
    frame_index = np.concatenate(frames) if frames else np.empty(0, np.int64)
    xy, *others = place_rows(path, frame_index, [xy[:at], *(array[:at] for array in arrays.values())])
    arrays = dict(zip(arrays, others, strict=True))
    likelihood = arrays.pop("likelihood")
    return finish(path, _software(header), points, xy, likelihood, arrays, individual=individual)


def _all_have(header: Header, coord: str) -> bool:
    return all((animal, part, coord) in header.columns for animal, part in header.points)


def _software(header: Header) -> str:
    if "ensemble-kalman" in header.scorer.lower() or "x_ens_var" in header.coords:
        return "EKS"
    if header.scorer.lower().endswith("tracker"):
        return "Lightning Pose"
    return "DeepLabCut" if "DLC" in header.scorer or any(a for a, _ in header.points) else "keypoint table"


def place_rows(path: Path, frame_index: np.ndarray, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Move each row to its frame; the usual table (0, 1, 2, …) stays where it is."""
    rows = frame_index.size
    if np.array_equal(frame_index, np.arange(rows)):
        return arrays
    n_frames = int(frame_index.max()) + 1
    ordered = np.sort(frame_index)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if twice.size:
        raise PredictionError(f"{path.name}: frame {twice[0]} is there twice. Remove one of the rows.")
    if n_frames > SPARSE * rows + 1000:
        raise PredictionError(
            f"{path.name} has {rows} rows but a frame index of {n_frames - 1}. Is its first column the frame index?"
        )
    placed = []
    for array in arrays:
        target = np.full((n_frames, *array.shape[1:]), np.nan)
        target[frame_index] = array
        placed.append(target)
    return placed


def read_label_csv(path: Path) -> tuple[tuple[str, ...], list[str], np.ndarray]:
    """Read ``CollectedData*.csv``: keypoint names (K), image paths (n), positions (n, K, 2) float64 in pixels.

    Unlabelled keypoints are NaN; rows may be cut short after their last label, as spreadsheets save them. Where
    a column ``visible`` exists, 0 (not labelled) makes the point NaN.

    Raises
    ------
    PredictionError
        If the file is no label table, or damaged.
    """
    from castle_core.labels import read_collected_data

    try:
        labels = read_collected_data(path)
    except LabelError as error:
        raise PredictionError(str(error)) from error
    at = [(i, k) for i, _ in enumerate(labels.individuals) for k, _ in enumerate(labels.keypoints) if labels.has[i, k]]
    keypoints = tuple(
        f"{labels.individuals[i]} {labels.keypoints[k]}"
        if labels.several_animals and labels.individuals[i]
        else labels.keypoints[k]
        for i, k in at
    )
    animals, parts = [i for i, _ in at], [k for _, k in at]
    return keypoints, list(labels.frames), labels.xy[:, animals, parts]


def read_metric_csv(path: Path, keypoints: tuple[str, ...], n_frames: int) -> np.ndarray:
    """Read a metric file of Lightning Pose: one header row of keypoint names, one row a frame.

    Parameters
    ----------
    path : Path
        ``<video>_temporal_norm.csv`` or ``<video>_pca_…_error.csv``.
    keypoints : tuple of str
        Names wanted, in this order.
    n_frames : int
        Rows that the predictions have.

    Returns
    -------
    numpy.ndarray
        (n_frames, K) float32 in pixels; NaN where the file has no number or no such keypoint.

    Raises
    ------
    PredictionError
        If the file is no metric table, has another number of rows, or none of the keypoints.
    """
    rows, lines = first_rows(path)
    if not rows:
        raise PredictionError(f"{path.name} is empty. Run the model again, or leave the file away.")
    names = [cell.strip() for cell in rows[0]]
    if names[0].lower() in {"scorer", "bodyparts"}:
        raise PredictionError(f"{path.name} is a table of keypoints, not of a metric. Choose a *_temporal_norm.csv.")
    where = {name: column for column, name in enumerate(names) if column and name}
    if len(where) < sum(1 for name in names[1:] if name):
        twice = next(name for name in names[1:] if names.count(name) > 1)
        raise PredictionError(f"{path.name}: the column {twice!r} is there twice. Remove one of them.")
    found = [name for name in keypoints if name in where]
    if not found:
        raise PredictionError(f"{path.name} holds none of the model's keypoints ({', '.join(keypoints[:4])}, …).")
    layout = count_lines(path)
    check_widths(path, layout, lines[0], len(names))
    columns = sorted(where[name] for name in found)
    frames, tables = [np.empty(0, np.int64)], [np.empty((0, len(columns)), np.float32)]
    for cells, numbers in blocks(path, lines[0], len(names), 1, columns):
        frames.append(frame_rows(path, cells))
        tables.append(np.stack([numbers[column] for column in columns], axis=1).astype(np.float32))
    frame_index, table = np.concatenate(frames), np.concatenate(tables)
    if frame_index.size != n_frames or not np.array_equal(np.sort(frame_index), np.arange(n_frames)):
        raise PredictionError(
            f"{path.name} has {frame_index.size} rows, but the predictions have {n_frames}. They belong to different "
            "videos or runs: leave the metric file away, and it is computed."
        )
    result = np.full((n_frames, len(keypoints)), np.nan, np.float32)
    for position, column in enumerate(columns):
        result[frame_index, keypoints.index(names[column])] = table[:, position]
    result[~np.isfinite(result)] = np.nan
    return result
