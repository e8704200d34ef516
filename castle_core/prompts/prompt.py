"""One drawing on one frame for one ROI, and what may be wrong with it.

Coordinates are pixels of the video as displayed, measured from the picture's top left corner: pixel (i, j) covers
[i, i + 1) x [j, j + 1), so its centre is (i + 0.5, j + 0.5), and a picture of 640 x 480 ends at (640, 480).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from castle_core.errors import RoiError

PromptKind = Literal["box", "polygon", "brush", "point", "mask"]
PROMPT_KINDS: tuple[PromptKind, ...] = ("box", "polygon", "brush", "point", "mask")
_FEWEST = {"polygon": 3, "brush": 1, "point": 1}


@dataclass(frozen=True, eq=False)
class Prompt:
    """One drawing.

    Attributes
    ----------
    frame_index : int
        Frame on which it was drawn.
    roi : int
        1 … 255.
    kind : {"box", "polygon", "brush", "point", "mask"}
    data : numpy.ndarray
        Box: (4,) float64 ``x0, y0, x1, y1`` with x0 < x1 and y0 < y1. Polygon: (m, 2) float64 corners. Brush: (m, 2)
        float64, the path of one stroke. Point: (m, 2) float64. Mask: (H, W) bool.
    positive : (m,) bool array
        Points: whether each lies on the ROI (True) or beside it. Everything else: one value; False takes the shape
        away from what was drawn before it, as an eraser does.
    radius : float
        Half the width of a brush stroke (pixels); 0 for other kinds.

    Raises
    ------
    RoiError
        If the id, the kind, the numbers or their shape cannot be.
    """

    frame_index: int
    roi: int
    kind: PromptKind
    data: npt.NDArray[Any]
    positive: npt.NDArray[np.bool_]
    radius: float = 0.0

    def __init__(
        self,
        frame_index: int,
        roi: int,
        kind: PromptKind,
        data: npt.ArrayLike,
        positive: npt.ArrayLike = True,
        radius: float = 0.0,
    ) -> None:
        if not 1 <= roi <= 255:
            raise RoiError(f"ROI {roi} cannot be: ids run from 1 to 255.")
        if kind not in PROMPT_KINDS:
            raise RoiError(f"A drawing is one of {', '.join(PROMPT_KINDS)}, not {kind!r}.")
        if frame_index < 0:
            raise RoiError(f"Frame {frame_index} cannot be drawn on: frames are counted from 0.")
        array = _checked_data(kind, data, frame_index)
        signs = np.atleast_1d(np.asarray(positive, bool))
        expected = len(array) if kind == "point" else 1
        if len(signs) == 1:
            signs = np.repeat(signs, expected)
        if signs.shape != (expected,):
            raise RoiError(f"Frame {frame_index}: {expected} points need as many signs, not {signs.size}.")
        if kind == "brush" and not (np.isfinite(radius) and radius > 0):
            raise RoiError(f"Frame {frame_index}: a brush needs a radius above 0 pixels, not {radius}.")
        array.setflags(write=False)
        signs.setflags(write=False)
        for name, value in (
            ("frame_index", int(frame_index)),
            ("roi", int(roi)),
            ("kind", kind),
            ("data", array),
            ("positive", signs),
            ("radius", float(radius) if kind == "brush" else 0.0),
        ):
            object.__setattr__(self, name, value)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Prompt)
            and (self.frame_index, self.roi, self.kind, self.radius)
            == (other.frame_index, other.roi, other.kind, other.radius)
            and np.array_equal(self.data, other.data)
            and np.array_equal(self.positive, other.positive)
        )

    def __hash__(self) -> int:
        return hash((self.frame_index, self.roi, self.kind, self.data.tobytes(), self.positive.tobytes(), self.radius))

    def bounds(self) -> tuple[float, float, float, float] | None:
        """Return the box x0, y0, x1, y1 around the drawing (a brush with its width); None for an empty mask."""
        if self.kind == "box":
            x0, y0, x1, y1 = (float(v) for v in self.data)
            return x0, y0, x1, y1
        if self.kind == "mask":
            ys, xs = np.nonzero(self.data)
            if not len(xs):
                return None
            return float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1)
        low, high = self.data.min(axis=0) - self.radius, self.data.max(axis=0) + self.radius
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    def to_json(self) -> dict[str, Any]:
        """Return the drawing as JSON values, to a thousandth of a pixel; without frame index and a mask's picture."""
        value: dict[str, Any] = {"roi": self.roi, "kind": self.kind}
        if self.kind != "mask":
            value["data"] = np.round(self.data, 3).tolist()
        if self.kind == "point":
            value["positive"] = self.positive.tolist()
        elif not self.positive[0]:
            value["positive"] = False
        if self.kind == "brush":
            value["radius"] = round(self.radius, 3)
        return value

    @classmethod
    def from_json(cls, frame_index: int, value: Mapping[str, Any], mask: npt.ArrayLike | None = None) -> "Prompt":
        """Build a drawing from `to_json`'s value and, for a mask, its picture.

        Raises
        ------
        RoiError
            If the value is not one of ours.
        """
        try:
            kind = value["kind"]
            data = mask if kind == "mask" else value["data"]
            if data is None:
                raise KeyError("mask")
            return cls(frame_index, int(value["roi"]), kind, data, value.get("positive", True), value.get("radius", 0))
        except (KeyError, TypeError, ValueError) as error:
            raise RoiError(f"A drawing on frame {frame_index} is damaged ({error}). Draw it again.") from error


def _checked_data(kind: str, data: npt.ArrayLike, frame_index: int) -> npt.NDArray[Any]:
    if kind == "mask":
        mask = np.array(data, bool)
        if mask.ndim != 2 or not mask.any():
            raise RoiError(f"Frame {frame_index}: the mask is empty. Paint something, or remove it.")
        return mask
    try:
        array = np.array(data, np.float64)
    except (TypeError, ValueError) as error:
        raise RoiError(f"Frame {frame_index}: the {kind} holds something that is no number. Draw it again.") from error
    if not np.isfinite(array).all():
        raise RoiError(f"Frame {frame_index}: the {kind} holds something that is no number. Draw it again.")
    if kind == "box":
        if array.shape != (4,):
            raise RoiError(f"Frame {frame_index}: a box has four numbers x0, y0, x1, y1.")
        x0, y0, x1, y1 = array
        if x0 >= x1 or y0 >= y1:
            raise RoiError(
                f"Frame {frame_index}: the box {x0:g},{y0:g},{x1:g},{y1:g} is empty. Give left, top, right, bottom."
            )
        return array
    if array.ndim != 2 or array.shape[1] != 2 or len(array) < _FEWEST[kind]:
        raise RoiError(f"Frame {frame_index}: a {kind} needs at least {_FEWEST[kind]} x, y pairs.")
    return array


def check_prompts(prompts: Sequence[Prompt], *, height: int, width: int, n_frames: int, video_name: str = "") -> None:
    """Check that drawings fit a video.

    Raises
    ------
    RoiError
        If one lies on a frame that the video does not have, wholly outside the picture, or is a mask of another size;
        the message says which. A shape that reaches over the edge is fine; a point beyond it is not.
    """
    where = f" of {video_name}" if video_name else ""
    for prompt in prompts:
        if prompt.frame_index >= n_frames:
            raise RoiError(
                f"Frame {prompt.frame_index}{where} cannot be drawn on: the video has frames 0 to {n_frames - 1}."
            )
        place = f"on frame {prompt.frame_index}{where} for ROI {prompt.roi}"
        if prompt.kind == "mask" and prompt.data.shape != (height, width):
            raise RoiError(
                f"The mask {place} is {prompt.data.shape[1]} x {prompt.data.shape[0]}, the video is {width} x {height}."
            )
        if prompt.kind == "point":
            inside = (prompt.data >= 0).all(axis=1) & (prompt.data < (width, height)).all(axis=1)
            if not inside.all():
                x, y = prompt.data[~inside][0]
                raise RoiError(
                    f"The point {x:g}, {y:g} {place} lies outside the {width} x {height} picture. Remove it."
                )
            continue
        bounds = prompt.bounds()
        if bounds and (bounds[0] >= width or bounds[1] >= height or bounds[2] <= 0 or bounds[3] <= 0):
            raise RoiError(
                f"The {prompt.kind} {place} lies outside the {width} x {height} picture. Draw it over the animal."
            )
