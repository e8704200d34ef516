"""Drawings as pixels: a pixel belongs to a shape when its centre lies inside."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from castle_core.errors import RoiError
from castle_core.prompts.prompt import Prompt


def prompt_mask(prompts: Sequence[Prompt], height: int, width: int) -> npt.NDArray[np.uint8]:
    """Draw the prompts of one frame.

    Drawings of one ROI are joined in their order (one with ``positive`` False is taken away). Where two ROIs meet, the
    one whose first drawing comes later wins. Points are not drawn: they have no area.

    Parameters
    ----------
    prompts : sequence of Prompt
        Drawings of one frame.
    height, width : int
        Size of the picture (pixels).

    Returns
    -------
    (H, W) uint8 array
        ROI ids; 0 where nothing was drawn.

    Raises
    ------
    RoiError
        If a mask has another size.
    """
    mask = np.zeros((height, width), np.uint8)
    areas: dict[int, npt.NDArray[np.bool_]] = {}
    for prompt in prompts:
        if prompt.kind == "point":
            continue
        shape = _shape(prompt, height, width)
        area = areas.setdefault(prompt.roi, np.zeros((height, width), bool))
        if prompt.positive[0]:
            area |= shape
        else:
            area &= ~shape
    for roi, area in areas.items():
        mask[area] = roi
    return mask


def frame_mask(prompts: Sequence[Prompt], frame_index: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    """Draw those of `prompts` that lie on one frame; see `prompt_mask`."""
    return prompt_mask([prompt for prompt in prompts if prompt.frame_index == frame_index], height, width)


def _shape(prompt: Prompt, height: int, width: int) -> npt.NDArray[np.bool_]:
    if prompt.kind == "mask":
        if prompt.data.shape != (height, width):
            raise RoiError(
                f"The mask drawn on frame {prompt.frame_index} is {prompt.data.shape[1]} x {prompt.data.shape[0]}, "
                f"the video is {width} x {height}. Draw it again."
            )
        return np.asarray(prompt.data, bool)
    shape = np.zeros((height, width), bool)
    if prompt.kind == "box":
        x0, y0, x1, y1 = prompt.data
        shape[_first(y0, height) : _first(y1, height), _first(x0, width) : _first(x1, width)] = True
    elif prompt.kind == "polygon":
        _fill_polygon(shape, prompt.data)
    else:
        _fill_stroke(shape, prompt.data, prompt.radius)
    return shape


def _first(edge: float, size: int) -> int:
    """Return the first pixel whose centre is at or beyond `edge`, within the picture."""
    return int(np.clip(np.ceil(edge - 0.5), 0, size))


def _fill_polygon(shape: npt.NDArray[np.bool_], corners: npt.NDArray[np.float64]) -> None:
    """Fill by the even-odd rule, one row of pixel centres at a time."""
    height, width = shape.shape
    ends = np.roll(corners, -1, axis=0)
    for row in range(_first(corners[:, 1].min(), height), _first(corners[:, 1].max(), height)):
        y = row + 0.5
        crosses = (corners[:, 1] <= y) != (ends[:, 1] <= y)
        (x0, y0), (x1, y1) = corners[crosses].T, ends[crosses].T
        crossings = np.sort(x0 + (y - y0) * (x1 - x0) / (y1 - y0))
        for left, right in zip(crossings[::2], crossings[1::2], strict=True):
            shape[row, _first(left, width) : _first(right, width)] = True


def _fill_stroke(shape: npt.NDArray[np.bool_], path: npt.NDArray[np.float64], radius: float) -> None:
    """Colour all pixels whose centre lies within `radius` of the path."""
    height, width = shape.shape
    starts, ends = (path, path) if len(path) == 1 else (path[:-1], path[1:])
    for start, end in zip(starts, ends, strict=True):
        low, high = np.minimum(start, end) - radius, np.maximum(start, end) + radius
        rows = slice(_first(low[1], height), _first(high[1] + 1, height))
        columns = slice(_first(low[0], width), _first(high[0] + 1, width))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            continue
        x = np.arange(columns.start, columns.stop) + 0.5 - start[0]
        y = (np.arange(rows.start, rows.stop) + 0.5 - start[1])[:, None]
        dx, dy = end - start
        along = np.clip((x * dx + y * dy) / max(dx * dx + dy * dy, 1e-12), 0, 1)
        shape[rows, columns] |= (x - along * dx) ** 2 + (y - along * dy) ** 2 <= radius * radius
