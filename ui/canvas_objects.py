"""Drawings as objects of the canvas and back, in pixels of the video.

An object's colour says which ROI it belongs to. The canvas keeps an object's points as they were drawn; where it was
moved, stretched or turned afterwards is in its place, scale and angle, so these are always applied.
"""

import base64
import binascii
import functools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from castle_core.errors import RoiError
from castle_core.palette import roi_colour, roi_rgb
from castle_core.prompts import Prompt

LINE = 2.0
"""Width of outlines in pixels of the canvas."""

POINT_RADIUS = 5.0
"""Radius of points in pixels of the canvas."""

_PNG = "data:image/png;base64,"
_LARGEST_PICTURE = 16 << 20
_STEPS = 8  # straight pieces in place of one curve of a brush stroke
_ORIGIN = {"left": 0.0, "top": 0.0, "center": 0.5, "right": 1.0, "bottom": 1.0}
_Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class CanvasSize:
    """A canvas over a frame.

    Attributes
    ----------
    width, height : int
        Of the canvas (its own pixels).
    frame_width, frame_height : int
        Of the video (pixels).
    """

    width: int
    height: int
    frame_width: int
    frame_height: int

    @classmethod
    def fitting(cls, frame_width: int, frame_height: int, width: int) -> "CanvasSize":
        """Return a canvas `width` pixels wide with the frame's proportions."""
        return cls(width, max(1, round(width * frame_height / frame_width)), frame_width, frame_height)

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of the canvas in one pixel of the video, across and down."""
        return self.width / self.frame_width, self.height / self.frame_height


def stroke_colour(roi: int, kind: str = "outline") -> str:
    """Return the colour that marks an object as one of a ROI.

    Parameters
    ----------
    kind : str
        ``outline``; ``brush``, through which the animal can be seen; or ``erase``, nearly black.
    """
    if kind == "erase":
        return f"#0000{roi:02x}b0"
    return roi_colour(roi) + ("a0" if kind == "brush" else "")


def fill_colour(roi: int, *, hollow: bool = False) -> str:
    """Return the colour inside an object: clear enough to see the animal through; white in a point beside the ROI."""
    red, green, blue = roi_rgb(roi)
    return "#ffffff" if hollow else f"rgba({red},{green},{blue},0.3)"


@functools.lru_cache(maxsize=1)
def _rois() -> dict[str, tuple[int, bool]]:
    signs = {"outline": True, "brush": True, "erase": False}
    return {stroke_colour(roi, kind): (roi, sign) for roi in range(1, 256) for kind, sign in signs.items()}


# ---------------------------------------------------------------------------- drawings -> objects


def to_objects(prompts: Iterable[Prompt], size: CanvasSize) -> list[dict[str, Any]]:
    """Return the objects that show `prompts`."""
    objects: list[dict[str, Any]] = []
    for prompt in prompts:
        objects += _objects(prompt, np.array(size.scale))
    return objects


def _objects(prompt: Prompt, scale: _Points) -> list[dict[str, Any]]:
    look = {
        "stroke": stroke_colour(
            prompt.roi, "erase" if prompt.kind != "point" and not prompt.positive[0] else "outline"
        ),
        "fill": fill_colour(prompt.roi),
        "strokeWidth": LINE,
        "strokeUniform": True,
    }
    if prompt.kind == "box":
        x0, y0, x1, y1 = prompt.data * np.tile(scale, 2)
        corner = {"left": x0, "top": y0, "width": x1 - x0, "height": y1 - y0, "originX": "left", "originY": "top"}
        return [look | corner | {"type": "Rect"}]
    if prompt.kind == "point":
        return [
            look
            | {
                "type": "Circle",
                "radius": POINT_RADIUS,
                "left": x,
                "top": y,
                "originX": "center",
                "originY": "center",
                "stroke": stroke_colour(prompt.roi),
                "fill": roi_colour(prompt.roi) if positive else fill_colour(prompt.roi, hollow=True),
            }
            for (x, y), positive in zip(prompt.data * scale, prompt.positive, strict=True)
        ]
    if prompt.kind == "mask":
        place = {"left": 0, "top": 0, "originX": "left", "originY": "top", "scaleX": scale[0], "scaleY": scale[1]}
        locks = dict.fromkeys(("lockMovementX", "lockMovementY", "lockRotation", "lockScalingX", "lockScalingY"), True)
        height, width = prompt.data.shape
        picture = {"type": "Image", "src": _picture(prompt), "width": width, "height": height, "strokeWidth": 0}
        return [look | place | locks | picture]
    points = prompt.data * scale
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    place = {"left": middle[0], "top": middle[1], "originX": "center", "originY": "center"}
    if prompt.kind == "polygon":
        return [look | place | {"type": "Polygon", "points": [{"x": x, "y": y} for x, y in points]}]
    path: list[list[Any]] = [["M", *points[0]], *(["L", *point] for point in points[1:])]
    if len(points) == 1:
        path.append(["L", points[0][0] + 0.01, points[0][1]])
    width = 2 * prompt.radius * float(scale.mean())
    brush = {"type": "Path", "path": path, "fill": None, "strokeWidth": width, "strokeUniform": False}
    if prompt.positive[0]:
        brush["stroke"] = stroke_colour(prompt.roi, "brush")
    return [look | place | brush | {"strokeLineCap": "round", "strokeLineJoin": "round"}]


def _picture(prompt: Prompt) -> str:
    """Return a mask as a PNG in an address: the ROI's colour, half clear, where the mask is."""
    import cv2

    red, green, blue = roi_rgb(prompt.roi)
    pixels = np.zeros((*prompt.data.shape, 4), np.uint8)
    pixels[prompt.data] = (blue, green, red, 140)
    return _PNG + base64.b64encode(cv2.imencode(".png", pixels)[1].tobytes()).decode("ascii")


# ---------------------------------------------------------------------------- objects -> drawings


def to_prompts(objects: Sequence[Any], frame_index: int, size: CanvasSize) -> list[Prompt]:
    """Return the drawings that the objects of a canvas stand for, in their order; points of a ROI become one drawing.

    What is not one of ours, or has no extent (a click with a drawing tool), is passed over. The objects come from a
    browser: nothing in them is trusted.

    Parameters
    ----------
    objects : sequence of mapping
        ``objects`` of the canvas's JSON.
    frame_index : int
        Frame they were drawn on.
    size : CanvasSize
    """
    scale = np.array(size.scale)
    prompts: list[Prompt] = []
    points: dict[int, list[tuple[_Points, bool]]] = {}
    places: dict[int, int] = {}
    for value in objects:
        colour = str(value.get("stroke")).lower() if isinstance(value, Mapping) else ""
        if colour not in _rois():
            continue
        roi, positive = _rois()[colour]
        try:
            if value.get("type") == "Circle":
                at = _centre(value, np.full(2, 2 * _number(value, "radius"))) / scale
                if ((at >= 0) & (at < (size.frame_width, size.frame_height))).all():
                    places.setdefault(roi, len(prompts))
                    points.setdefault(roi, []).append((at, value.get("fill") != "#ffffff"))
                continue
            prompt = _prompt(value, frame_index, roi, positive, size)
        except (RoiError, ValueError, TypeError, LookupError, OverflowError, AttributeError):
            continue
        if prompt is not None and _reaches(prompt, size):
            prompts.append(prompt)
    for roi, place in sorted(places.items(), key=lambda item: -item[1]):
        drawn = points[roi]
        signs = [positive for _, positive in drawn]
        prompts.insert(place, Prompt(frame_index, roi, "point", [at.tolist() for at, _ in drawn], signs))
    return prompts


def _reaches(prompt: Prompt, size: CanvasSize) -> bool:
    bounds = prompt.bounds()
    return bounds is not None and (
        bounds[0] < size.frame_width and bounds[1] < size.frame_height and bounds[2] > 0 and bounds[3] > 0
    )


def _prompt(value: Mapping[str, Any], frame_index: int, roi: int, positive: bool, size: CanvasSize) -> Prompt | None:
    scale = np.array(size.scale)
    kind = value.get("type")
    if kind == "Rect":
        corners, upright = _rectangle(value)
        low, high = corners.min(axis=0), corners.max(axis=0)
        if (high - low <= 2 * LINE).all():
            return None
        if upright:
            return Prompt(frame_index, roi, "box", [*(low / scale), *(high / scale)], positive)
        return Prompt(frame_index, roi, "polygon", corners / scale, positive)
    if kind == "Polygon":
        points = np.array([[_number(p, "x"), _number(p, "y")] for p in value["points"]])
        return Prompt(frame_index, roi, "polygon", _placed(value, points) / scale, positive)
    if kind == "Path":
        points = _placed(value, _flattened(value["path"]))
        stretch = math.sqrt(abs(_number(value, "scaleX", 1) * _number(value, "scaleY", 1)))
        radius = _number(value, "strokeWidth") * stretch / 2 / float(scale.mean())
        return Prompt(frame_index, roi, "brush", _thinned(points) / scale, positive, radius)
    if kind == "Image":
        mask = mask_of_picture(value.get("src"), size.frame_height, size.frame_width)
        return Prompt(frame_index, roi, "mask", mask, positive)
    return None


def _number(value: Mapping[str, Any], name: str, default: float | None = None) -> float:
    given = value.get(name)
    number = float(value[name] if default is None else default if given is None else given)
    if not math.isfinite(number) or abs(number) > 1e6:
        raise ValueError(name)
    return number


def _axes(value: Mapping[str, Any]) -> _Points:
    """Return the 2 x 2 matrix of an object's scale and turn: its columns are where its x and y axes go."""
    across = _number(value, "scaleX", 1) * (-1 if value.get("flipX") else 1)
    down = _number(value, "scaleY", 1) * (-1 if value.get("flipY") else 1)
    angle = math.radians(_number(value, "angle", 0))
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    skew = np.array([[1, math.tan(math.radians(_number(value, "skewX", 0)))], [0, 1]])
    axes: _Points = turn @ np.diag([across, down]) @ skew
    return axes


def _centre(value: Mapping[str, Any], extent: _Points) -> _Points:
    """Return an object's centre on the canvas; `extent` (2,) is its own width and height without its outline."""
    line = _number(value, "strokeWidth", 1)
    scales = np.array([_number(value, "scaleX", 1), _number(value, "scaleY", 1)])
    full = extent * scales + line * (1 if value.get("strokeUniform") else scales)
    shares = np.array([_ORIGIN[value.get("originX", "left")], _ORIGIN[value.get("originY", "top")]])
    angle = math.radians(_number(value, "angle", 0))
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    centre: _Points = np.array([_number(value, "left"), _number(value, "top")]) + turn @ ((0.5 - shares) * full)
    return centre


def _placed(value: Mapping[str, Any], points: _Points) -> _Points:
    """Carry an object's own points (m, 2) to where they are on the canvas."""
    low, high = points.min(axis=0), points.max(axis=0)
    centre = _centre(value, high - low)
    placed = centre + (points - (low + high) / 2) @ _axes(value).T
    return np.asarray(placed, np.float64)


def _rectangle(value: Mapping[str, Any]) -> tuple[_Points, bool]:
    """Return a rectangle's corners (4, 2) on the canvas, and whether its edges are upright.

    A rectangle that is as it was drawn runs from where the mouse went down to where it went up, though its outline is
    painted half a line further; one that was stretched is taken along the middle of its outline.
    """
    width, height = _number(value, "width"), _number(value, "height")
    extent = np.array([width, height])
    corners = (np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) - 0.5) * extent
    placed = _centre(value, extent) + corners @ _axes(value).T
    as_drawn = all(_number(value, f"scale{axis}", 1) == 1 for axis in "XY") and _number(value, "angle", 0) % 360 == 0
    if as_drawn:
        shares = np.array([_ORIGIN[value.get("originX", "left")], _ORIGIN[value.get("originY", "top")]])
        placed = placed - (0.5 - shares) * _number(value, "strokeWidth", 1)
    return placed, _number(value, "angle", 0) % 90 == 0


def _flattened(path: Sequence[Sequence[Any]]) -> _Points:
    """Return a path of M, L and Q commands as points (m, 2)."""
    points: list[_Points] = []
    for command, *numbers in path:
        at = np.array([float(number) for number in numbers], np.float64).reshape(-1, 2)
        if command in ("M", "L"):
            points.append(at[0])
        elif command == "Q":
            start, t = points[-1], np.linspace(0, 1, _STEPS + 1)[1:, None]
            points += list((1 - t) ** 2 * start + 2 * t * (1 - t) * at[0] + t**2 * at[1])
    return np.array(points)


def _thinned(path: _Points) -> _Points:
    """Leave out points of a path (m, 2) without which it runs within a tenth of a pixel of the canvas."""
    import cv2

    return np.asarray(cv2.approxPolyDP(path.astype(np.float32), 0.1, False)[:, 0], np.float64)


def mask_of_picture(src: Any, height: int, width: int) -> npt.NDArray[np.bool_]:
    """Return the mask in a picture that `to_objects` made.

    Raises
    ------
    ValueError
        If it is none, or of another size.
    """
    import cv2

    if not isinstance(src, str) or not src.startswith(_PNG) or len(src) > _LARGEST_PICTURE:
        raise ValueError("no picture of a mask")
    try:
        data = base64.b64decode(src[len(_PNG) :], validate=True)
    except binascii.Error as error:
        raise ValueError("no picture of a mask") from error
    # The size stands in the first bytes: nothing large is unpacked for a picture that does not fit.
    if not re.match(rb"\x89PNG\r\n\x1a\n....IHDR", data, re.DOTALL) or data[16:24] != width.to_bytes(
        4
    ) + height.to_bytes(4):
        raise ValueError("a mask of another size")
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.shape != (height, width, 4):
        raise ValueError("a damaged mask")
    return np.asarray(pixels[..., 3] > 0)
