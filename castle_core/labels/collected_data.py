"""``CollectedData.csv`` of Lightning Pose and DeepLabCut: read and written without losing a cell.

The header has the rows scorer, [individuals,] bodyparts, coords; one to three columns name the image. What we do not
know (columns of other tools, the scorers, the way a number is spelled) is kept as it stands in the file.
"""

import csv
import io
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from castle_core.errors import LabelError
from castle_core.files import atomic_path, nfc
from castle_core.labelled import image_folder
from castle_core.labels.model import Labels, folder_and_name, image_path

DEFAULT_SCORER = "scorer"
_HEADERS = ("scorer", "individuals", "bodyparts", "coords")
_MISSING = {"", "nan", "na", "n/a", "null", "none", "<na>", "#n/a", "-nan", "#na"}
_EXPECTED = "Expected are the rows scorer, bodyparts, coords, as Lightning Pose and DeepLabCut write them."
_IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")

Column = tuple[str, str, str]  # individual, keypoint, kind (x, y, visible, …)


@dataclass(frozen=True)
class Table:
    """The cells of a label file.

    Attributes
    ----------
    header : dict
        Kind of header row to its cells, in the order of the file.
    index_rows : list
        Rows between header and images: pandas names the index there.
    n_index : int
        How many columns name the image.
    columns : dict
        (individual, keypoint, kind) → position of the column.
    rows : dict
        Frame → its cells, padded to the width of the header, in the order of the file.
    line_end, mark : str
        How lines end; the byte order mark, or nothing.
    """

    header: dict[str, list[str]]
    index_rows: list[list[str]]
    n_index: int
    columns: dict[Column, int]
    rows: dict[str, list[str]]
    line_end: str = "\n"
    mark: str = ""

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.header["coords"])

    @property
    def scorer(self) -> str:
        """The first scorer in the header."""
        return next((name.strip() for name in self.header.get("scorer", [])[self.n_index :] if name.strip()), "")


def read_collected_data(path: str | PathLike[str]) -> Labels:
    """Read a ``CollectedData*.csv`` in any dialect.

    One to three columns may name the image; several animals, and objects that come once, may be there; rows may be
    cut short after their last label, as spreadsheets save them; the first row may be empty.

    Parameters
    ----------
    path : path
        The file. In a file inside ``labeled-data/<stem>`` that names images without their folder, they lie there.

    Returns
    -------
    Labels
        In the order of the file. A point needs both coordinates, and where a ``visible`` column says 0, there is none.

    Raises
    ------
    LabelError
        If the file cannot be read, or a cell is no number; the message names file, line and column.
    """
    return labels_of(read_table(Path(path)))


def labels_of(table: Table) -> Labels:
    """Return what the cells of a label file say."""
    individuals = tuple(dict.fromkeys(individual for individual, _, _ in table.columns)) or ("",)
    keypoints = tuple(dict.fromkeys(keypoint for _, keypoint, _ in table.columns))
    shape = (len(table.rows), len(individuals), len(keypoints))
    xy = np.full((*shape, 2), np.nan)
    visible = np.full(shape, np.nan)
    has = np.zeros(shape[1:], bool)
    seen = False
    for (individual, keypoint, kind), column in table.columns.items():
        at = (individuals.index(individual), keypoints.index(keypoint))
        has[at] = True
        if kind not in {"x", "y", "visible"}:
            continue
        values = [_number(cells[column]) for cells in table.rows.values()]
        if kind == "visible":
            visible[:, *at], seen = values, True
        else:
            xy[:, *at, "xy".index(kind)] = values
    xy[visible == 0] = np.nan
    xy[~np.isfinite(xy).all(axis=3)] = np.nan
    frames = tuple(table.rows)
    empty = ~np.isfinite(xy[..., 0]).any(axis=(1, 2))
    no_animal = frozenset(frame for frame, none in zip(frames, empty, strict=True) if none)
    return Labels(keypoints, individuals, frames, xy, visible if seen else None, table.scorer, no_animal, has)


def read_table(path: Path) -> Table:
    """Read the cells of a label file and check them.

    Raises
    ------
    LabelError
        As `read_collected_data`.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise LabelError(f"Cannot read {path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise LabelError(f"{path} is not a UTF-8 CSV file ({error}). Save it again as CSV in UTF-8.") from error
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    reader = csv.reader(io.StringIO(text[len(mark) :], newline=""))
    try:
        lines = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise LabelError(f"{path} is no CSV table ({error}). Copy or export it again.") from error
    lines = [(number, row) for number, row in lines if any(cell.strip() for cell in row)]
    header: dict[str, list[str]] = {}
    for _, row in lines:
        kind = row[0].strip().lower()
        if kind not in _HEADERS or kind in header:
            break
        header[kind] = row
        if kind == "coords":
            break
    if "bodyparts" not in header or "coords" not in header:
        raise LabelError(f"{path} has no label header. {_EXPECTED}")
    width = max(len(row) for row in header.values())
    header = {kind: row + [""] * (width - len(row)) for kind, row in header.items()}
    coords = header["coords"]
    n_index = next((column for column in range(1, width) if coords[column].strip()), width)
    columns = _columns(path, header, n_index)
    body = lines[len(header) :]
    index_rows: list[list[str]] = []
    rows: dict[str, list[str]] = {}
    at_line: dict[str, int] = {}
    for number, row in body:
        frame = _frame(row[:n_index], path)
        if frame is None:
            if rows or any(cell.strip() for cell in row[n_index:]):
                raise LabelError(f"{path}, line {number}: {','.join(row)[:60]!r} names no image. Repair the line.")
            index_rows.append(row)
            continue
        if len(row) > width and any(cell.strip() for cell in row[width:]):
            raise LabelError(
                f"{path}, line {number} has {len(row)} cells instead of {width}. Is the file damaged? Copy it again."
            )
        if frame in rows:
            raise LabelError(
                f"{path}: the image {frame} is there twice (lines {at_line[frame]} and {number}). Remove one of them."
            )
        rows[frame], at_line[frame] = (row + [""] * (width - len(row)))[:width], number
        _check_numbers(path, number, rows[frame], columns)
    line_end = "\r\n" if "\r\n" in text else "\n"
    return Table(header, index_rows, n_index, columns, rows, line_end, mark)


def _columns(path: Path, header: dict[str, list[str]], n_index: int) -> dict[Column, int]:
    coords, parts = header["coords"], header["bodyparts"]
    animals = header.get("individuals", [""] * len(coords))
    columns: dict[Column, int] = {}
    for column in range(n_index, len(coords)):
        key = (nfc(animals[column].strip()), nfc(parts[column].strip()), coords[column].strip().lower())
        if not key[1] and not key[2]:
            continue  # an empty column, as spreadsheets add them; it stays in the file
        if not key[1] or not key[2]:
            raise LabelError(f"{path}: column {column + 1} has no name in the header. {_EXPECTED}")
        if key in columns:
            raise LabelError(f"{path}: the column {' '.join(key).strip()!r} is there twice. Remove one of them.")
        columns[key] = column
    for animal, part in dict.fromkeys((animal, part) for animal, part, _ in columns):
        for coord in "xy":
            if (animal, part, coord) not in columns:
                raise LabelError(f"{path}: the keypoint {part!r} has no column {coord}. {_EXPECTED}")
    return columns


def _frame(cells: list[str], path: Path) -> str | None:
    parts = [part for cell in cells for part in cell.strip().replace("\\", "/").split("/") if part and part != "."]
    if not parts or not parts[-1].lower().endswith(_IMAGE_ENDINGS):
        return None
    return image_path(image_folder(parts, path), parts[-1])


def _check_numbers(path: Path, line: int, cells: list[str], columns: dict[Column, int]) -> None:
    for (_, keypoint, kind), column in columns.items():
        if kind not in {"x", "y", "visible"}:
            continue
        try:
            value = _number(cells[column])
        except ValueError:
            value = math.inf
        if math.isinf(value):
            raise LabelError(
                f"{path}, line {line}: {cells[column][:40]!r} in column {column + 1} ({keypoint} {kind}) is no number. "
                "Repair the cell, or empty it."
            )


def _number(cell: str) -> float:
    text = cell.strip()
    return math.nan if text.lower() in _MISSING else float(text)


# ---------------------------------------------------------------------------------------------------------- writing


def write_collected_data(
    path: str | PathLike[str],
    labels: Labels,
    *,
    template: str | PathLike[str] | None = None,
    n_index: int = 1,
    individuals_row: bool | None = None,
    publish: Callable[[Path, Path], None] = os.replace,
) -> None:
    """Write labels as ``CollectedData.csv``, sorted by folder and frame, in one step.

    Parameters
    ----------
    path : path
        The file. Its folder must exist.
    labels : Labels
        The rows of the new file: no others are kept (`merge_labels` keeps them).
    template : path, optional
        A label file whose dialect, columns and spelling of unchanged numbers the new file keeps: by default `path`
        itself, if it exists. Columns that `labels` does not know stay for the rows that stay.
    n_index : int
        Without a template: how many columns name the image (1, or 3 as DeepLabCut writes it).
    individuals_row : bool, optional
        Without a template: whether to write the row of individuals; by default where animals have names.
    publish : callable
        Gives the finished file its name; a job passes its `Task.publish`.

    Raises
    ------
    LabelError
        If the template is damaged.
    ProjectError
        If the disk is full or the folder may not be written.
    """
    path = Path(path)
    source = Path(template) if template is not None else (path if path.exists() else None)
    if source is not None:
        text = table_text(read_table(source), labels)
    else:
        text = new_text(labels, n_index=n_index, individuals_row=individuals_row)
    with atomic_path(path, publish=publish) as temporary:
        temporary.write_bytes(text.encode("utf-8"))


def table_text(table: Table, labels: Labels) -> str:
    """Return the content of a label file that says what `labels` says and keeps everything else of `table`."""
    labels = labels.ordered()
    before = labels_of(table)
    table = _with_columns(table, labels)
    old_row = {frame: row for row, frame in enumerate(before.frames)}
    places = [
        (column, kind, (labels.individuals.index(individual), labels.keypoints.index(keypoint)), (individual, keypoint))
        for (individual, keypoint, kind), column in table.columns.items()
        if kind in {"x", "y", "visible"} and individual in labels.individuals and keypoint in labels.keypoints
    ]
    old_at = {
        (individual, keypoint): (i, k)
        for i, individual in enumerate(before.individuals)
        for k, keypoint in enumerate(before.keypoints)
        if before.has[i, k]
    }
    rows = []
    for row, frame in enumerate(labels.frames):
        cells = list(table.rows.get(frame) or [])
        known = bool(cells)
        cells = cells or [*_index_cells(frame, table.n_index), *[""] * (table.width - table.n_index)]
        cells += [""] * (table.width - len(cells))
        for column, kind, at, key in places:
            where = old_at.get(key) if known else None
            value = _said(labels, row, at, kind)
            old = _said(before, old_row[frame], where, kind) if where is not None else math.nan
            if value is None or old is None or value == old or (math.isnan(value) and math.isnan(old)):
                continue
            cells[column] = "" if math.isnan(value) else repr(float(value))
        rows.append(cells)
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator=table.line_end)
    writer.writerows(table.header.values())
    writer.writerows(table.index_rows)
    writer.writerows(rows)
    return table.mark + out.getvalue()


def _said(labels: Labels, row: int, at: tuple[int, int], kind: str) -> float | None:
    if kind == "visible":
        return None if labels.visible is None else float(labels.visible[row, *at])
    return float(labels.xy[row, *at, "xy".index(kind)])


def new_text(labels: Labels, *, n_index: int = 1, individuals_row: bool | None = None) -> str:
    """Return the content of a new label file (see `write_collected_data`)."""
    return table_text(_new_table(labels, n_index, individuals_row), labels)


def _new_table(labels: Labels, n_index: int, individuals_row: bool | None) -> Table:
    named = labels.individuals != ("",) if individuals_row is None else individuals_row
    kinds = ("scorer", "individuals", "bodyparts", "coords") if named else ("scorer", "bodyparts", "coords")
    header = {kind: [kind, *[""] * (n_index - 1)] for kind in kinds}
    empty = Table(header, [], n_index, {}, {})
    return _with_columns(empty, labels)


def _with_columns(table: Table, labels: Labels) -> Table:
    """Add the columns that `labels` needs and `table` has not, behind those of the same animal or at the end."""
    kinds = ["x", "y", *(["visible"] if labels.visible is not None else [])]
    missing = [
        (individual, keypoint, kind)
        for i, individual in enumerate(labels.individuals)
        for k, keypoint in enumerate(labels.keypoints)
        for kind in kinds
        if labels.has[i, k] and (individual, keypoint, kind) not in table.columns
    ]
    if not missing:
        return table
    if "individuals" not in table.header and any(individual for individual, _, _ in missing):
        raise LabelError(
            "The label file has one animal without a name, and the new labels name their animals. Give the animal's "
            "labels the same form first."
        )
    header = {kind: list(cells) for kind, cells in table.header.items()}
    scorer = table.scorer or labels.scorer or DEFAULT_SCORER
    columns = dict(table.columns)
    for key in missing:
        columns[key] = len(header["coords"])
        words = {"scorer": scorer, "individuals": key[0], "bodyparts": key[1], "coords": key[2]}
        for kind, cells in header.items():
            cells.append(words[kind])
    return Table(header, table.index_rows, table.n_index, columns, table.rows, table.line_end, table.mark)


def _index_cells(frame: str, n_index: int) -> list[str]:
    if n_index == 1:
        return [frame]
    folder, name = folder_and_name(frame)
    return ["labeled-data", folder, name] if n_index == 3 else [folder, name]
