"""Keypoint tables as CSV: the header rows scorer, [individuals,] bodyparts, coords, and numbers below, by name.

Lightning Pose, EKS and DeepLabCut (single and multi-animal, one or three index columns) write this layout, for
predictions and for labels alike. Long tables are read in blocks, so that little more than the result is in memory.
"""

import csv
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from castle_core.errors import PredictionError

_HEADER_ROWS = ("scorer", "individuals", "bodyparts", "coords")
_BLOCK_ROWS = 65_536
_NUMBERS = "empty, nan or a number"
SPARSE = 64  # a table may leave out frames, but one row in this many must be there


@dataclass(frozen=True)
class Header:
    """What the first rows of a keypoint table say.

    Attributes
    ----------
    n_lines : int
        Physical lines that the header takes.
    n_index : int
        Leading columns that name the frame: 1, or 3 in new DeepLabCut label files.
    n_columns : int
        All columns.
    scorer : str
        The first scorer.
    columns : dict
        (individual, bodypart, coord) to the position of its column. Individuals are empty for a single animal.
    """

    n_lines: int
    n_index: int
    n_columns: int
    scorer: str
    columns: dict[tuple[str, str, str], int]

    @property
    def points(self) -> list[tuple[str, str]]:
        """(individual, bodypart) in the order of the file."""
        return list(dict.fromkeys((individual, part) for individual, part, _ in self.columns))

    @property
    def coords(self) -> list[str]:
        """All kinds of columns, in the order of the file."""
        return list(dict.fromkeys(coord for _, _, coord in self.columns))


def read_header(path: Path) -> Header:
    """Read and check the header rows.

    Raises
    ------
    PredictionError
        If the file is empty, not UTF-8 text, has other header rows, a keypoint without x or y, or a column twice.
    """
    rows, lines = first_rows(path)
    if not rows:
        raise PredictionError(f"{path.name} is empty. Run the model again, or copy the file again.")
    kinds: dict[str, list[str]] = {}
    used = 0
    for row in rows:
        kind = row[0].strip().lower() if row else ""
        if kind not in _HEADER_ROWS:
            break
        if kind in kinds:
            raise PredictionError(f"{path.name}: the header row {kind!r} is there twice. {_EXPECTED}")
        kinds[kind] = row
        used += 1
    if "bodyparts" not in kinds or "coords" not in kinds:
        found = ", ".join(kinds) or f"{','.join(rows[0])[:60]!r}"
        raise PredictionError(f"{path.name} is no keypoint table: its header is {found}. {_EXPECTED}")
    parts, coords = kinds["bodyparts"], kinds["coords"]
    if len({len(row) for kind, row in kinds.items() if kind != "scorer"}) != 1:  # some files name fewer scorers
        raise PredictionError(f"{path.name}: its header rows have different numbers of columns. {_EXPECTED}")
    n_index = next((column for column in range(1, len(coords)) if coords[column].strip()), len(coords))
    animals = kinds.get("individuals", [""] * len(coords))
    scorers = (kinds.get("scorer", []) + [""] * len(coords))[: len(coords)]
    columns: dict[tuple[str, str, str], int] = {}
    for column in range(n_index, len(coords)):
        part, coord = parts[column].strip(), coords[column].strip()
        if scorers[column].strip() == "set" and not (part and coord):
            continue  # Lightning Pose marks its predictions on labelled frames: the index says what they are
        key = (animals[column].strip(), part, coord.lower())
        if not part or not coord:
            raise PredictionError(f"{path.name}: column {column + 1} has no name in the header. {_EXPECTED}")
        if key in columns:
            name = " ".join(piece for piece in key if piece)
            raise PredictionError(f"{path.name}: the column {name!r} is there twice. Remove one of them.")
        columns[key] = column
    if not columns:
        raise PredictionError(f"{path.name} holds no keypoint: its header has no columns. {_EXPECTED}")
    for animal, part in dict.fromkeys((animal, part) for animal, part, _ in columns):
        for coord in ("x", "y"):
            if (animal, part, coord) not in columns:
                raise PredictionError(f"{path.name}: the keypoint {part!r} has no column {coord}. {_EXPECTED}")
    # pandas writes the name of the index as one more row, whose other cells are empty
    if len(rows) > used and _is_index_name(rows[used]):
        used += 1
    scorer = next((name.strip() for name in scorers[n_index:] if name.strip()), "")
    return Header(lines[used - 1], n_index, len(coords), scorer, columns)


_EXPECTED = "Expected are the rows scorer, bodyparts, coords, as Lightning Pose and DeepLabCut write them."


def _is_index_name(row: list[str]) -> bool:
    if any(cell.strip() for cell in row[1:]) or len(row) < 2:
        return False
    name = row[0].strip()
    return bool(name) and not _is_number(name) and "/" not in name and "." not in name


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def first_rows(path: Path) -> tuple[list[list[str]], list[int]]:
    """Return up to six rows, and after how many physical lines each of them ends."""
    rows, lines = [], []
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            for row in reader:
                if row:
                    rows.append(row)
                    lines.append(reader.line_num)
                elif rows:
                    break
                if len(rows) == 6:
                    break
    except UnicodeDecodeError as error:
        raise _not_text(path) from error
    except csv.Error as error:
        raise PredictionError(f"{path.name} is no CSV table ({error}). Copy or export it again.") from error
    except OSError as error:
        raise PredictionError(f"Cannot read {path}: {error.strerror}. Check the path and your rights.") from error
    return rows, lines


def _not_text(path: Path) -> PredictionError:
    return PredictionError(f"{path.name} is not UTF-8 text. Save it as CSV in UTF-8.")


@dataclass(frozen=True)
class Layout:
    """How the lines of a file are made up: counted without parsing."""

    n_lines: int
    quoted: bool
    n_commas: int


def count_lines(path: Path) -> Layout:
    """Count lines and commas in one quick pass."""
    n_lines = n_commas = 0
    quoted = False
    last = b"\n"
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            # a carriage return alone ends a line too; of a pair that two blocks share, the second half is no line
            n_lines += block.count(b"\n")
            if b"\r" in block:
                n_lines += block.count(b"\r") - block.count(b"\r\n")
            n_lines -= last == b"\r" and block[:1] == b"\n"
            n_commas += int(np.count_nonzero(np.frombuffer(block, np.uint8) == ord(",")))  # many: bytes.count is slow
            quoted = quoted or b'"' in block
            last = block[-1:]
    return Layout(n_lines + (last not in b"\r\n"), quoted, n_commas)


def blocks(path: Path, header_lines: int, n_columns: int, n_index: int, columns: list[int]) -> Iterator[Any]:
    """Parse the rows below the header, block by block.

    Parameters
    ----------
    path : Path
        The table.
    header_lines, n_columns, n_index : int
        As in `Header`.
    columns : list of int
        Columns of numbers to return, ascending.

    Yields
    ------
    tuple
        Index cells (rows, n_index) as float64, or as str where they are no numbers; and for each of `columns` its
        numbers, (rows,) float64.

    Raises
    ------
    PredictionError
        If a cell is no number, or a row has too many or too few cells; the message names the line.
    """
    import pandas as pd

    index = list(range(n_index))
    options: dict[str, Any] = {
        "header": None,
        "names": list(range(n_columns)),
        "index_col": False,
        "skiprows": header_lines,
        "usecols": [*index, *columns],
        "engine": "c",
        "encoding": "utf-8",
        "skipinitialspace": True,
        "chunksize": _BLOCK_ROWS,
    }
    texts: type | str = str if n_index > 1 else "float64"
    types: dict[int, Any] = dict.fromkeys(columns, "float64")
    done = 0
    while True:
        try:
            with pd.read_csv(path, dtype={**types, **dict.fromkeys(index, texts)}, **options) as reader:
                for frame in itertools.islice(reader, done, None):
                    cells = frame[index].to_numpy(dtype=object if texts is str else None)
                    yield cells, {column: frame[column].to_numpy() for column in columns}
                    done += 1
            return
        except (pd.errors.EmptyDataError, IndexError):  # pandas' ways to say that no row follows
            return
        except UnicodeDecodeError as error:
            raise _not_text(path) from error
        except (ValueError, OverflowError) as error:  # ParserError is a ValueError
            if texts is not str and done == 0:
                texts = str  # the index names images, or it is damaged: the caller decides
                continue
            raise _bad_cell(path, header_lines, n_columns, columns, error) from error


def _bad_cell(
    path: Path, header_lines: int, n_columns: int, columns: list[int], error: BaseException
) -> PredictionError:
    """Find the line that could not be parsed, to name it."""
    wanted = set(columns)
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.reader(file)
            for row in reader:
                if reader.line_num <= header_lines or not row:
                    continue
                if len(row) > n_columns:
                    return _wrong_width(path, reader.line_num, len(row), n_columns)
                for column, cell in enumerate(row):
                    text = cell.strip()
                    if column in wanted and text and not _is_number(text) and text.lower() not in _MISSING:
                        return PredictionError(
                            f"{path.name}, line {reader.line_num}: {text[:40]!r} in column {column + 1} is not "
                            f"{_NUMBERS}. Repair the line, or run the model again."
                        )
    except UnicodeDecodeError:
        return _not_text(path)
    except csv.Error as csv_error:
        return PredictionError(f"{path.name} is no CSV table ({csv_error}). Copy or export it again.")
    reason = " ".join(str(error).split())[:120]
    return PredictionError(f"{path.name} cannot be read as a table ({reason}). Copy or export it again.")


_MISSING = {"na", "n/a", "null", "none", "<na>", "#n/a", "#na", "-nan", "1.#ind", "1.#qnan", "-1.#ind", "-1.#qnan"}


def _wrong_width(path: Path, line: int, cells: int, n_columns: int) -> PredictionError:
    return PredictionError(
        f"{path.name}, line {line} has {cells} cells instead of {n_columns}. Is the file still being written, or cut "
        "off? Copy it again."
    )


def check_widths(path: Path, layout: Layout, header_lines: int, n_columns: int) -> None:
    """Refuse a table with a short row: pandas would fill it with NaN in silence.

    The commas of the whole file decide; only where they do not add up are the lines looked at.

    Raises
    ------
    PredictionError
        The message names the first line with too many or too few cells.
    """
    if layout.n_commas == layout.n_lines * (n_columns - 1):
        return
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.reader(file)
            for row in reader:
                if reader.line_num > header_lines and row and len(row) != n_columns and any(c.strip() for c in row):
                    raise _wrong_width(path, reader.line_num, len(row), n_columns)
    except UnicodeDecodeError as error:
        raise _not_text(path) from error
    except csv.Error as error:
        raise PredictionError(f"{path.name} is no CSV table ({error}). Copy or export it again.") from error


def frame_rows(path: Path, cells: np.ndarray) -> np.ndarray:
    """Turn the index cells of a table of predictions into frame indices, (rows,) int64.

    Raises
    ------
    PredictionError
        If the rows are named by images (predictions on labelled frames) or by anything that is no frame index.
    """
    if cells.shape[1] != 1 or cells.dtype == object:
        texts = [str(cell) for cell in cells.ravel()]
        if any(text.lower().endswith((".png", ".jpg", ".jpeg")) for text in texts):
            raise PredictionError(
                f"{path.name} holds predictions or labels of single images, not of a whole video. "
                "Choose the file of the video (Lightning Pose: in video_preds)."
            )
        odd = next((text for text in texts if not _is_number(text)), texts[0] if texts else "")
        raise PredictionError(f"{path.name}: {odd[:40]!r} in the first column is not a frame index (0, 1, 2, …).")
    values = cells[:, 0]
    whole = np.isfinite(values) & (values >= 0) & (values < 2**53)
    whole &= np.floor(np.where(whole, values, 0)) == np.where(whole, values, 0)
    if not whole.all():
        odd_value = values[~whole][0]
        text = "an empty cell" if math.isnan(odd_value) else f"{odd_value:g}"
        raise PredictionError(f"{path.name}: {text} in the first column is not a frame index (0, 1, 2, …).")
    return values.astype(np.int64)
