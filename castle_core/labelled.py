"""Which frames have labels: the rows of ``CollectedData*``, csv and h5, in every dialect that the field writes.

Only rows and columns are looked at here; what a person said about each keypoint is read by the label modules.
"""

import csv
import functools
import math
import re
from dataclasses import dataclass
from pathlib import Path

from castle_core.errors import LabelError, PredictionError
from castle_core.files import nfc

_HEADERS = {"scorer", "individuals", "bodyparts", "coords"}
_IMAGE = re.compile(r"\.(png|jpe?g|tiff?|bmp)$", re.IGNORECASE)
_NUMBER = re.compile(r"^(.*?)(\d+)$", re.DOTALL)
_LABELED_DATA = "labeled-data"


@dataclass(frozen=True)
class LabelRow:
    """One row of a label file.

    Attributes
    ----------
    folder : str
        Folder of the image below ``labeled-data`` (the video's stem), NFC; empty where images lie flat in it.
    name : str
        File name of the image.
    frame_index : int or None
        The number in the name; None if it has none.
    n_points : int
        Keypoints with both coordinates. 0 means: somebody has seen the frame and no animal is in it.
    """

    folder: str
    name: str
    frame_index: int | None
    n_points: int


@dataclass(frozen=True)
class LabelTable:
    """The rows of one label file and the keypoint names in its header, in order."""

    path: Path
    keypoints: tuple[str, ...]
    rows: tuple[LabelRow, ...]


def frame_index_of(name: str) -> int | None:
    """Return the frame index in an image's file name: the number at its end (``cam1_img0005.png`` is frame 5).

    ``img00000143 2.png`` and ``img00000143 (1).png`` are copies that somebody made, and no frame 2 or 1.
    """
    found = _NUMBER.match(_IMAGE.sub("", name))
    if not found:
        return None
    before, number = found.groups()
    if before[-1:].isspace() and any(letter.isdecimal() for letter in before):
        return None
    return int(number)


def label_files(project: Path) -> list[Path]:
    """Return a project's label files: beside ``labeled-data`` (Lightning Pose) and in its folders (DeepLabCut)."""
    try:
        paths = [*project.glob("CollectedData*.csv"), *project.glob(f"{_LABELED_DATA}/*/CollectedData*.csv")]
    except OSError:
        return []
    return sorted(path for path in paths if path.is_file())


def all_label_files(project: Path) -> list[Path]:
    """Return `label_files`, and the ``CollectedData*.h5`` of DeepLabCut that have no csv beside them."""
    tables = label_files(project)
    try:
        paths = [*project.glob("CollectedData*.h5"), *project.glob(f"{_LABELED_DATA}/*/CollectedData*.h5")]
    except OSError:
        return tables
    known = {path.with_suffix("") for path in tables}
    return sorted([*tables, *(path for path in paths if path.is_file() and path.with_suffix("") not in known)])


def read_label_file(path: Path) -> LabelTable:
    """Read which frames a ``CollectedData*`` file holds, a csv or an h5 of DeepLabCut.

    The header has the rows scorer, [individuals,] bodyparts, coords; the image is named by one column (a path) or by
    two or three (``labeled-data``, video, file). Files of one row, and files whose first row is empty, read the same.

    Parameters
    ----------
    path : Path
        The label file. Files that did not change are read once.

    Returns
    -------
    LabelTable

    Raises
    ------
    LabelError
        If the file cannot be read, is not UTF-8 or has no such header.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise LabelError(f"Cannot read {path}: {error.strerror}.") from error
    return _read(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=256)
def _read(path: Path, mtime_ns: int, size: int) -> LabelTable:
    del mtime_ns, size  # only tell one content of the file from another
    if path.suffix.lower() == ".h5":
        return _read_h5(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            cells = list(csv.reader(file))
    except OSError as error:
        raise LabelError(f"Cannot read {path}: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise LabelError(f"{path} is not a UTF-8 CSV file ({error}). Save it again as CSV in UTF-8.") from error
    header, body = _split_header(cells, path)
    coords = header["coords"]
    first = next((column for column in range(1, len(coords)) if coords[column].strip()), len(coords))
    bodyparts = header.get("bodyparts", [])
    keypoints = tuple(dict.fromkeys(cell.strip() for cell in bodyparts[first:] if cell.strip()))
    pairs = [
        (column, column + 1)
        for column in range(first, len(coords) - 1)
        if coords[column].strip() == "x" and coords[column + 1].strip() == "y"
    ]
    rows = []
    for row in body:
        parts = [part for cell in row[:first] for part in cell.strip().replace("\\", "/").split("/") if part]
        if not parts or not _IMAGE.search(parts[-1]):
            continue  # a blank line, or a row in which pandas names the index
        name = nfc(parts[-1])
        n_points = sum(_is_number(row, x) and _is_number(row, y) for x, y in pairs)
        rows.append(LabelRow(image_folder(parts, path), name, frame_index_of(name), n_points))
    return LabelTable(path, keypoints, tuple(rows))


def _read_h5(path: Path) -> LabelTable:
    from castle_core.predictions.dlc_h5 import read_pandas

    try:
        table = read_pandas(path)
    except PredictionError as error:
        raise LabelError(f"{path} holds no labels that can be read. Export them again from DeepLabCut.") from error
    keypoints = tuple(dict.fromkeys(column[-2] for column in table.columns if len(column) > 1))
    places = {column: place for place, column in enumerate(table.columns)}
    pairs = [(x, places.get((*column[:-1], "y"))) for column, x in places.items() if column[-1] == "x"]
    rows = []
    for name_parts, values in zip(table.index.tolist(), table.values, strict=True):
        if not isinstance(name_parts, tuple):
            raise LabelError(f"{path} names no images in its rows: these are predictions of a video, not labels.")
        parts = [part for level in name_parts for part in level.replace("\\", "/").split("/") if part]
        if not parts or not _IMAGE.search(parts[-1]):
            continue
        n_points = sum(y is not None and math.isfinite(values[x]) and math.isfinite(values[y]) for x, y in pairs)
        name = nfc(parts[-1])
        rows.append(LabelRow(image_folder(parts, path), name, frame_index_of(name), n_points))
    return LabelTable(path, keypoints, tuple(rows))


def _split_header(cells: list[list[str]], path: Path) -> tuple[dict[str, list[str]], list[list[str]]]:
    header: dict[str, list[str]] = {}
    for depth, row in enumerate(cells):
        word = row[0].strip().lower() if row else ""
        if word not in _HEADERS:
            break
        header[word] = row
        if word == "coords":
            return header, cells[depth + 1 :]
    raise LabelError(
        f"{path} has no label header (rows scorer, bodyparts, coords). Export the labels again from the labelling tool."
    )


def image_folder(parts: list[str], path: Path) -> str:
    """Return the folder below ``labeled-data`` of an image that `parts` name in the label file `path`; may be empty."""
    if _LABELED_DATA in parts:
        after = len(parts) - 1 - parts[::-1].index(_LABELED_DATA)
        folder = parts[after + 1 : -1]
        return nfc("/".join(folder))
    if len(parts) > 1:
        return nfc(parts[-2])
    return nfc(path.parent.name) if path.parent.parent.name == _LABELED_DATA else ""


def _is_number(row: list[str], column: int) -> bool:
    try:
        return math.isfinite(float(row[column]))
    except (ValueError, IndexError):
        return False
