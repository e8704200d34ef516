"""A stretch of a latent file, reduced for a display: traces of channels and the heat map."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from castle_core.inspection.rows import PIECE_BYTES, Rows
from castle_core.inspection.sampling import requested_frames, step_of
from castle_core.inspection.summary import Summary
from castle_core.selection.threads import one_thread

Matrix = npt.NDArray[np.float32]
MAX_EXACT = 20_000
"""Frames that are read anew for a closer look; longer stretches come from the summary."""
_MAX_NUMBERS = 2e7  # and so many numbers at most: 26,000 frames of 768 channels


@dataclass(frozen=True)
class Window:
    """Rows reduced to `m` stretches of equal length.

    In a file with every k-th frame a row stands for the k frames from its own on, so no stretch is between two rows.

    Attributes
    ----------
    edges : (m + 1,) int64
        First frame of each stretch, and the end of the last one, which may lie behind the last frame.
    mean, least, largest : (m, c) float32
        Of the channels asked for; NaN where no frame has a value.
    """

    edges: npt.NDArray[np.int64]
    mean: Matrix
    least: Matrix
    largest: Matrix


def window_of(
    rows: Rows,
    summary: Summary,
    start: int,
    stop: int,
    channels: npt.NDArray[np.int64] | None = None,
    n_bins: int = 800,
) -> Window:
    """Reduce frames ``[start, stop)`` to at most about `n_bins` stretches; exact, or rounded outwards to the summary's.

    Parameters
    ----------
    rows, summary
        Of one file.
    start, stop : int
        Cut to the file's length.
    channels : (c,) int64, optional
        Which; by default all.
    n_bins : int
        Of the display.
    """
    start, stop = max(0, min(start, rows.n - 1)), max(1, min(stop, rows.n))
    stop = max(stop, start + 1)
    pick: npt.NDArray[np.int64] | slice = slice(None) if channels is None else channels
    if stop - start > min(MAX_EXACT, max(1, int(_MAX_NUMBERS // max(1, rows.dim)))):
        frames = requested_frames(summary.status)
        if len(frames):
            start, stop = max(start, int(frames[0])), min(stop, int(frames[-1]) + step_of(summary.status))
        a = start // summary.bin_rows
        b = max(a + 1, -(-stop // summary.bin_rows))
        edges = np.minimum(np.arange(a, b + 1, dtype=np.int64) * summary.bin_rows, rows.n)
        return Window(edges, summary.mean[a:b, pick], summary.least[a:b, pick], summary.largest[a:b, pick])
    per, frames, edges = _stretches(summary, start, stop, n_bins)
    m = len(edges) - 1
    n_channels = rows.dim if channels is None else len(channels)
    mean, least, largest = (np.full((m, n_channels), np.nan, np.float32) for _ in range(3))
    good = summary.valid[frames]
    at_once = max(1, PIECE_BYTES // max(1, (edges[1] - edges[0]) * rows.dim * 4))  # stretches
    for first in range(0, m, at_once):
        mine = frames[first * per : (first + at_once) * per]
        part = rows.read(int(mine[0]), int(mine[-1]) + 1)[mine - mine[0]][:, pick]
        for place in range(first, min(first + at_once, m)):
            inside = slice((place - first) * per, (place - first + 1) * per)
            values = part[inside][good[place * per : (place + 1) * per]]
            if len(values):
                mean[place], least[place], largest[place] = values.mean(axis=0), values.min(axis=0), values.max(axis=0)
    return Window(edges, mean, least, largest)


def scores_window(
    summary: Summary, start: int, stop: int, channels: npt.NDArray[np.int64], n_bins: int = 800
) -> Window:
    """Reduce principal components as `window_of` does channels; always exact, since they are in memory."""
    start, stop = max(0, min(start, summary.n - 1)), max(1, min(stop, summary.n))
    stop = max(stop, start + 1)
    per, frames, edges = _stretches(summary, start, stop, n_bins)
    part = summary.scores[frames][:, channels]
    starts = np.arange(0, len(frames), per)
    least, largest = np.fmin.reduceat(part, starts, axis=0), np.fmax.reduceat(part, starts, axis=0)
    return Window(edges, np.asarray((least + largest) / 2, np.float32), least, largest)


def _stretches(
    summary: Summary, start: int, stop: int, n_bins: int
) -> tuple[int, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return how many rows a stretch has, the frames of all rows, and the stretches' edges."""
    asked, step = requested_frames(summary.status), step_of(summary.status)
    if len(asked):  # else there is nothing to draw, and that is drawn
        first, end = int(asked[0]), int(asked[-1]) + step
        start = min(max(start, first), end - 1)
        start -= (start - first) % step
        stop = max(start + 1, min(stop, end))
    frames = np.arange(start, stop, step, dtype=np.int64)
    per = -(-len(frames) // n_bins)
    end = int(frames[-1]) + step
    edges = np.append(frames[::per], end if step == 1 else int(frames[::per][-1]) + per * step)
    return per, frames, edges


def channel_order(summary: Summary) -> npt.NDArray[np.int64]:
    """Return the channels so that those that go up and down together lie side by side.

    They are sorted by the angle of their weights on the two widest components of the heat map's own columns.
    """
    # a channel that hardly ever moves has next to no spread: its squares must stay numbers
    scaled = np.clip(np.nan_to_num(_scaled(summary.mean, summary)), -1e6, 1e6)
    scaled -= scaled.mean(axis=0)
    narrow = scaled if len(scaled) < summary.dim else scaled.T  # the shorter way round, (m, more)
    m = len(narrow)
    if m < 2:
        return np.arange(summary.dim, dtype=np.int64)
    from scipy.linalg import eigh

    with one_thread():
        _, found = eigh(narrow @ narrow.T, subset_by_index=(m - 2, m - 1))
        axes = (narrow.T @ found).T if narrow is scaled else found.T
    axes = axes / np.maximum(np.linalg.norm(axes, axis=1, keepdims=True), 1e-12)
    axes *= np.where(axes[np.arange(2), np.abs(axes).argmax(axis=1)] < 0, -1, 1)[:, None]
    return np.argsort(np.arctan2(axes[0], axes[1]), kind="stable").astype(np.int64)


def _scaled(mean: Matrix, summary: Summary) -> Matrix:
    spread = np.where(summary.spread > 0, summary.spread, 1.0)
    return np.asarray((mean - summary.centre) / spread, np.float32)


def heat_map(
    window: Window, summary: Summary, order: npt.NDArray[np.int64] | None = None, reach: float = 3.0
) -> npt.NDArray[np.uint8]:
    """Paint a window of all channels: one column a stretch, one row a channel.

    Parameters
    ----------
    window : Window
        Of all channels.
    summary : Summary
        Its `centre` and `spread` scale each channel: white is the median, full colour `reach` robust standard
        deviations from it (blue below, red above), grey no value.
    order : (D,) int64, optional
        Channels from top to bottom.

    Returns
    -------
    (D, m, 3) uint8
        RGB.
    """
    scaled = _scaled(window.mean, summary).T
    if order is not None:
        scaled = scaled[order]
    missing = ~np.isfinite(scaled)
    value = np.clip(np.nan_to_num(scaled) / reach, -1, 1)[..., None]
    white = np.array([247, 247, 247], np.float32)
    blue, red = np.array([5, 74, 145], np.float32), np.array([165, 15, 35], np.float32)
    colour = white + np.where(value < 0, (blue - white) * -value, (red - white) * value)
    image: npt.NDArray[np.uint8] = colour.round().astype(np.uint8)
    image[missing] = (128, 128, 128)
    return image
