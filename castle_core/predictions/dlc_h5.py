"""DeepLabCut's ``.h5`` results: pandas tables, read with h5py so that nothing in them is unpickled."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from castle_core.errors import PredictionError
from castle_core.predictions.model import Predictions, finish
from castle_core.predictions.pickled_names import plain_value

Column = tuple[str, ...]


def is_pandas_file(file: Any) -> bool:
    """Say whether an open h5py file holds a pandas frame."""
    return any("pandas_type" in group.attrs for group in file.values() if hasattr(group, "attrs"))


def read_dlc_h5(path: Path, *, individual: str | None = None) -> Predictions:
    """Read the predictions of a whole video.

    Raises
    ------
    PredictionError
        If the file is no DeepLabCut result of a video.
    """
    table = read_pandas(path)
    return _by_name(path, table.columns, table.values, table.index, individual)


@dataclass(frozen=True)
class PandasTable:
    """A pandas frame of numbers.

    Attributes
    ----------
    columns : list of tuple of str
        The levels of each column's name.
    values : numpy.ndarray
        (n, len(columns)) float64.
    index : numpy.ndarray
        (n,), the rows' names: int64 frame indices, or objects that are tuples of str, the levels of an image's path.
    """

    columns: list[Column]
    values: np.ndarray
    index: np.ndarray


def read_pandas(path: Path) -> PandasTable:
    """Read ``df_with_missing`` (or the file's only frame), in pandas' layouts *table* and *fixed*.

    Raises
    ------
    PredictionError
        If the file holds no such frame.
    """
    import h5py

    try:
        with h5py.File(path, "r", locking=False) as file:
            groups = [name for name, group in file.items() if "pandas_type" in group.attrs]
            if not groups:
                raise PredictionError("it holds no pandas table")
            name = "df_with_missing" if "df_with_missing" in groups else groups[0]
            group = file[name]
            kind = _text(group.attrs["pandas_type"])
            columns, values, index = (_read_table if kind == "frame_table" else _read_fixed)(group)
    except PredictionError as error:
        raise PredictionError(f"{path.name} is no DeepLabCut result: {error}.") from error
    except (OSError, KeyError, ValueError, TypeError, IndexError, RuntimeError) as error:
        raise PredictionError(f"{path.name} is no readable DeepLabCut result. Copy or export it again.") from error
    return PandasTable(columns, values, index)


def _by_name(
    path: Path, columns: list[Column], values: np.ndarray, index: np.ndarray, individual: str | None
) -> Predictions:
    from castle_core.predictions.tables import place_rows

    if index.dtype.kind not in "iu":
        raise PredictionError(
            f"{path.name} holds predictions or labels of single images, not of a whole video. Choose the video's file."
        )
    if index.size and int(index.min()) < 0:
        raise PredictionError(f"{path.name}: a frame index is negative. Run the model on the video again.")
    where: dict[tuple[str, str, str], int] = {}
    for position, column in enumerate(columns):
        if len(column) not in {3, 4}:
            raise PredictionError(f"{path.name}: its columns have {len(column)} levels; 3 or 4 are expected.")
        key = (column[-3] if len(column) == 4 else "", column[-2], column[-1].lower())
        if key in where:
            raise PredictionError(f"{path.name}: the column {' '.join(key).strip()!r} is there twice.")
        where[key] = position
    points = list(dict.fromkeys((animal, part) for animal, part, _ in where))
    xy = np.full((values.shape[0], len(points), 2), np.nan)
    likelihood = np.full((values.shape[0], len(points)), np.nan)
    for point, (animal, part) in enumerate(points):
        for axis, coord in enumerate("xy"):
            if (animal, part, coord) not in where:
                raise PredictionError(f"{path.name}: the keypoint {part!r} has no column {coord}.")
            xy[:, point, axis] = values[:, where[(animal, part, coord)]]
        if (animal, part, "likelihood") in where:
            likelihood[:, point] = values[:, where[(animal, part, "likelihood")]]
    xy, likelihood = place_rows(path, index.astype(np.int64), [xy, likelihood])
    return finish(path, "DeepLabCut", points, xy, likelihood, individual=individual)


def _read_table(group: Any) -> tuple[list[Column], np.ndarray, np.ndarray]:
    table = group["table"]
    rows = table[()]
    columns: list[Column] = []
    parts = []
    for field in rows.dtype.names:
        if field == "index":
            continue
        kind = table.attrs.get(f"{field}_kind")
        if kind is None:
            raise PredictionError(f"the names of {field} are missing")
        names = plain_value(_bytes(kind))
        block = np.asarray(rows[field], np.float64)
        block = block.reshape(rows.shape[0], -1)
        if not isinstance(names, list) or len(names) != block.shape[1]:
            raise PredictionError("column names and columns differ in number")
        columns += [_column(name) for name in names]
        parts.append(block)
    if not parts:
        raise PredictionError("it holds no numbers")
    return columns, np.concatenate(parts, axis=1), _rows(rows["index"])


def _read_fixed(group: Any) -> tuple[list[Column], np.ndarray, np.ndarray]:
    columns: list[Column] = []
    parts = []
    for block in range(int(group.attrs["nblocks"])):
        columns += _axis(group, f"block{block}_items")
        values = np.asarray(group[f"block{block}_values"][()], np.float64)
        parts.append(values.reshape(values.shape[0], -1))
    index = _rows(group["axis1"][()] if "axis1" in group else _axis(group, "axis1"))
    values = np.concatenate(parts, axis=1)
    if values.shape[1] != len(columns):
        raise PredictionError("column names and columns differ in number")
    return columns, values, index


def _axis(group: Any, name: str) -> list[Column]:
    if name in group:
        return [_column(value) for value in group[name][()]]
    levels: list[list[str]] = []
    number = 0
    while f"{name}_level{number}" in group:
        words = [_text(value) for value in group[f"{name}_level{number}"][()]]
        codes = group[f"{name}_label{number}"][()]
        levels.append([words[int(code)] for code in codes])
        number += 1
    if not levels:
        raise PredictionError("its column names are missing")
    return list(zip(*levels, strict=True))


def _rows(names: Any) -> np.ndarray:
    """Return the rows' names: integers as they are, all others as tuples of text."""
    if isinstance(names, np.ndarray) and names.dtype.kind in "iu":
        return names
    index = np.empty(len(names), dtype=object)
    index[:] = [_column(name) for name in (names.tolist() if isinstance(names, np.ndarray) else names)]
    return index


def _column(value: Any) -> Column:
    if isinstance(value, tuple | list):
        return tuple(_text(part) for part in value)
    return (_text(value),)


def _bytes(value: Any) -> bytes:
    return value.encode("latin-1") if isinstance(value, str) else bytes(value)


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
