"""Point tracks: ``frame,x,y`` files, with comma, semicolon, tab or spaces, with or without a header."""

import csv
import hashlib
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from castle_core.errors import PredictionError


@dataclass(frozen=True)
class PointTrack:
    """One point followed through a video.

    Attributes
    ----------
    name : str
        The point key: what files and pages call it.
    xy : (n, 2) float64 array
        x and y (source pixels), row i is frame i; NaN where the point is missing.
    n_duplicates : int
        Rows that named a frame again; the first row counts.
    """

    name: str
    xy: npt.NDArray[np.float64]
    n_duplicates: int = 0

    def content_hash(self) -> str:
        """Return the SHA-256 (hex) of the positions."""
        return hashlib.sha256(np.ascontiguousarray(self.xy).tobytes()).hexdigest()

    def at(self, frame_index: int) -> npt.NDArray[np.float64]:
        """Return (x, y) of a frame, NaN beyond the track's end."""
        return self.xy[frame_index] if frame_index < len(self.xy) else np.full(2, np.nan)


def read_points(path: Path, *, likelihood_threshold: float = 0.0) -> PointTrack:
    """Read a point track.

    Parameters
    ----------
    path : Path
        Lines ``frame x y`` or ``frame x y likelihood``,
        separated by comma, semicolon, tab or spaces; a header is optional.
    likelihood_threshold : float
        Points with less likelihood count as missing.

    Returns
    -------
    PointTrack
        Named after the file.

    Raises
    ------
    PredictionError
        If a line cannot be read; the message names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise PredictionError(f"There is no point file {path}. Upload it, or choose another Point Key.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise PredictionError(f"{path.name} cannot be read as text ({error}). Save it as CSV in UTF-8.") from error
    points: dict[int, tuple[float, float]] = {}
    n_duplicates = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        cells = _split(line)
        if number == 1 and not _is_number(cells[0]):
            continue
        try:
            frame, x, y = _frame(cells[0]), _value(cells[1]), _value(cells[2])
            likelihood = _value(cells[3]) if len(cells) > 3 else 1.0
        except (ValueError, IndexError) as error:
            raise PredictionError(
                f"{path.name}, line {number}: {line[:60]!r} is not `frame,x,y`. Use one line a frame, numbers only."
            ) from error
        if frame in points:
            n_duplicates += 1
            continue
        known = math.isfinite(x) and math.isfinite(y) and not likelihood < likelihood_threshold
        points[frame] = (x, y) if known else (math.nan, math.nan)
    if not points:
        raise PredictionError(f"{path.name} holds no points. It should have lines `frame,x,y`.")
    xy = np.full((max(points) + 1, 2), np.nan)
    for frame, position in points.items():
        xy[frame] = position
    return PointTrack(path.stem, xy, n_duplicates)


def _split(line: str) -> list[str]:
    for delimiter in (",", ";", "\t"):
        if delimiter in line:
            return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))]
    return re.split(r"\s+", line.strip())


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _frame(cell: str) -> int:
    value = float(cell)
    if value != int(value) or not 0 <= value < 10**9:
        raise ValueError(cell)
    return int(value)


def _value(cell: str) -> float:
    return float(cell) if cell and cell.lower() not in {"na", "null", "none"} else math.nan
