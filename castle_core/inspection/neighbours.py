"""Frames whose latents are most like that of one frame."""

from dataclasses import dataclass

import numpy as np

from castle_core.errors import SelectionError
from castle_core.inspection.rows import Rows
from castle_core.inspection.summary import Summary
from castle_core.selection.threads import one_thread

_LEAST = 1e-3
"""Rows nearer to the medians than so much of the medians' own length are rounding noise, and are like nothing."""


@dataclass(frozen=True)
class Neighbour:
    """A frame and how like it is: the cosine of the angle between the rows, less their channels' medians."""

    frame_index: int
    similarity: float


def nearest_frames(
    rows: Rows,
    summary: Summary,
    frame_index: int,
    *,
    n: int = 12,
    min_gap: int = 1,
) -> list[Neighbour]:
    """Find the frames most like one frame, over all channels, best first; at least `min_gap` frames from it and apart.

    The rows are centred on each channel's median first: what all frames share says nothing about which are alike.

    Parameters
    ----------
    rows, summary
        Of one file.
    frame_index : int
    n : int
        Frames to find; fewer come back where there are fewer.
    min_gap : int
        Frames next to each other look alike anyway.

    Raises
    ------
    SelectionError
        If the frame itself has no value.
    """
    valid = summary.valid
    if not (0 <= frame_index < rows.n and valid[frame_index]):
        raise SelectionError(f"Frame {frame_index} has no latent: nothing can be compared with it.")
    one = rows.read(frame_index, frame_index + 1)[0] - summary.centre
    one /= max(float(np.linalg.norm(one)), 1e-12)
    similarity = np.full(rows.n, -np.inf, np.float32)
    along = float(summary.centre @ one)
    with one_thread():
        for first, part in rows.scan():
            similarity[first : first + len(part)] = part @ one - along
    with np.errstate(invalid="ignore"):
        similarity /= np.maximum(summary.length, max(1e-6, _LEAST * float(np.linalg.norm(summary.centre))))
    similarity[~valid] = -np.inf
    found: list[Neighbour] = []
    similarity[max(0, frame_index - min_gap + 1) : frame_index + min_gap] = -np.inf
    while len(found) < n:
        best = int(similarity.argmax())
        if not np.isfinite(similarity[best]):
            break
        found.append(Neighbour(best, float(np.clip(similarity[best], -1, 1))))
        similarity[max(0, best - min_gap + 1) : best + min_gap] = -np.inf
    return found
