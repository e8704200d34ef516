"""What a small grey picture looks like, as a vector.

Frame selection compares frames by these vectors, and the visual model ``hog`` gives them as latents.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

CELLS = 8
BINS = 9
PIXEL_GRID = 24


def gradient_histograms(gray: NDArray[np.uint8], *, cells: int = CELLS, bins: int = BINS) -> NDArray[np.float32]:
    """Describe pictures by which way their edges run, in a grid of cells.

    A gradient's strength is shared between the two nearest orientations. The square root tames single strong edges, and
    unit length makes brightness and contrast drop out. Unlike pixels, the result changes little when an edge moves
    within its cell.

    Parameters
    ----------
    gray : (N, h, w) uint8
        Luma, 0 … 255. Any size; the grid of cells is stretched over the picture.
    cells : int
        Cells along each side.
    bins : int
        Orientations between 0° and 180° (an edge and its negative are the same).

    Returns
    -------
    (N, cells * cells * bins) float32
        By cell row, cell column, orientation; Euclidean length 1, or 0 for a picture without any edge.

    Raises
    ------
    ValueError
        If `gray` does not have three dimensions or an empty picture.
    """
    n, height, width = _check(gray)
    length = cells * cells * bins
    lower_bin, upper_bin, lower_part, upper_part = _gradient_table(bins)
    rows, columns = np.arange(height) * cells // height, np.arange(width) * cells // width
    cell = (rows[:, None] * cells + columns) * bins
    histograms = np.empty((n, length), dtype=np.float32)
    for first in range(0, n, size := max(1, _BLOCK_PIXELS // (height * width))):
        block = np.pad(gray[first : first + size], ((0, 0), (1, 1), (1, 1)), mode="edge").astype(np.int32)
        # Central differences lie in -255 … 255, so all that follows from them is looked up.
        code = block[:, 1:-1, 2:] - block[:, 1:-1, :-2] + _LARGEST
        code += (block[:, 2:, 1:-1] - block[:, :-2, 1:-1] + _LARGEST) * (2 * _LARGEST + 1)
        base = np.arange(len(block))[:, None, None] * length + cell
        sums = np.bincount((base + lower_bin[code]).ravel(), lower_part[code].ravel(), len(block) * length)
        sums += np.bincount((base + upper_bin[code]).ravel(), upper_part[code].ravel(), len(block) * length)
        histograms[first : first + size] = sums.reshape(-1, length)
    return _unit_length(np.sqrt(histograms))


_LARGEST = 255
_BLOCK_PIXELS = 1 << 18  # what is computed at once stays in the processor's cache


@lru_cache(maxsize=4)
def _gradient_table(bins: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """Return for every (dy, dx) the two nearest orientation bins and what each gets of the gradient's strength."""
    d = np.arange(-_LARGEST, _LARGEST + 1, dtype=np.float32)
    strength = np.hypot(d[:, None], d).ravel()
    angle = np.arctan2(d[:, None], d).ravel() % np.float32(np.pi)
    # Orientation in units of bins; bin b is centred at b + 0.5, and the last is next to the first.
    place = angle * np.float32(bins / np.pi) - np.float32(0.5)
    lower = np.floor(place)
    share = place - lower
    lower_bin = lower.astype(np.intp) % bins
    parts = strength * (1 - share), strength * share
    return lower_bin, (lower_bin + 1) % bins, parts[0].astype(np.float64), parts[1].astype(np.float64)


def pixel_features(gray: NDArray[np.uint8], *, grid: int = PIXEL_GRID) -> NDArray[np.float32]:
    """Describe pictures by their brightness on a coarse grid.

    Parameters
    ----------
    gray : (N, h, w) uint8
        Luma, 0 … 255.
    grid : int
        Rows and columns of the grid that the picture is averaged to.

    Returns
    -------
    (N, grid * grid) float32
        0 … 1, divided by `grid` so that a distance is the root mean square difference of the pictures.

    Raises
    ------
    ValueError
        If `gray` does not have three dimensions or an empty picture.
    """
    import cv2

    _check(gray)
    rows = [cv2.resize(picture, (grid, grid), interpolation=cv2.INTER_AREA).ravel() for picture in gray]
    if not rows:
        return np.zeros((0, grid * grid), dtype=np.float32)
    return np.stack(rows).astype(np.float32) / np.float32(255 * grid)


def _check(gray: NDArray[np.uint8]) -> tuple[int, int, int]:
    if gray.ndim != 3 or 0 in gray.shape[1:]:
        raise ValueError(f"expected pictures of shape (N, h, w), got {gray.shape}")
    n, height, width = gray.shape
    return n, height, width


def _unit_length(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(norm > 0, norm, 1), dtype=np.float32)
