"""Files with a row for every k-th frame only: which frames were asked for, and which one stands for the others."""

import numpy as np
import numpy.typing as npt

from castle_core.preprocess import NOT_REQUESTED

Status = npt.NDArray[np.uint8]


def requested_frames(status: Status) -> npt.NDArray[np.int64]:
    """Return the frames that the extraction was asked for, (m,), sorted; the others are no gaps."""
    return np.flatnonzero(status != NOT_REQUESTED).astype(np.int64)


def step_of(status: Status) -> int:
    """Return k where every k-th frame was asked for; 1 for every frame, and for frames in no such order."""
    frames = requested_frames(status)
    return max(1, int(np.gcd.reduce(np.diff(frames)))) if len(frames) > 1 else 1


def stand_ins(status: Status) -> npt.NDArray[np.int64]:
    """Return for each frame the one whose row stands for it, (n,).

    That is the last frame asked for, if it is fewer than k frames before; else the frame itself, as before and after
    the range that was extracted.
    """
    index = np.arange(len(status), dtype=np.int64)
    frames = requested_frames(status)
    if len(frames) == 0:
        return index
    step = step_of(status)
    last = np.searchsorted(frames, index, side="right") - 1
    found = frames[np.maximum(last, 0)]
    return np.where((last >= 0) & (index - found < step), found, index)


def runs(values: npt.NDArray[np.uint8], status: Status) -> list[tuple[int, int, int, int]]:
    """Return the runs of one value over the frames asked for: first frame, end, value, number of rows.

    The end is that of the frames for which the last row stands, so that runs lie side by side. Frames that lie more
    than k apart are in different runs.
    """
    frames, step = requested_frames(status), step_of(status)
    if len(frames) == 0:
        return []
    part = values[frames]
    edges = np.flatnonzero((np.diff(part) != 0) | (np.diff(frames) > step)) + 1
    starts, stops = np.concatenate(([0], edges)), np.concatenate((edges, [len(frames)]))
    n = len(status)
    return [
        (int(frames[a]), min(int(frames[b - 1]) + step, n), int(part[a]), int(b - a))
        for a, b in zip(starts, stops, strict=True)
    ]


def every_words(step: int) -> str:
    """Return ``every 2nd frame``; ``every frame`` for 1."""
    if step == 1:
        return "every frame"
    ending = "th" if step % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(step % 10, "th")
    return f"every {step:,}{ending} frame"


def sampling_words(status: Status) -> str:
    """Say which frames were asked for: ``every 5th frame: 60 of 300``; empty where all were."""
    m, n, step = len(requested_frames(status)), len(status), step_of(status)
    if m == n:
        return ""
    return f"{every_words(step)}: {m:,} of {n:,}" if step > 1 else f"{m:,} of {n:,} frames were asked for"
