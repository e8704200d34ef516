"""Points in pixels to regions of Label Studio and back: the only home of its percent coordinates.

A region's ``x`` and ``y`` are percent of the picture's width and height; ``width``, the size of the dot, is percent of
the width. Without it Label Studio's page loses points of a prediction.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from castle_core.files import nfc
from castle_core.label_studio.labels_config import CONTROL, IMAGE

DOT_PERCENT = 0.75


@dataclass(frozen=True)
class Regions:
    """Regions to send, and the keypoints that were left out since they lie outside of the picture."""

    result: list[dict[str, Any]]
    outside: tuple[str, ...] = ()


def regions_of(lp_path: str, keypoints: Sequence[str], xy: np.ndarray, size: tuple[int, int]) -> Regions:
    """Turn the points of one frame into regions.

    Parameters
    ----------
    lp_path : str
        The frame; the ids of its regions follow from it and the keypoint's name.
    keypoints : sequence of str
        K names.
    xy : numpy.ndarray
        (K, 2), pixels; NaN where there is no point.
    size : tuple of int
        Width and height of the picture in pixels.
    """
    width, height = size
    result, outside = [], []
    for name, (x, y) in zip(keypoints, np.asarray(xy, float).tolist(), strict=True):
        if not (math.isfinite(x) and math.isfinite(y)):
            continue
        if not (0 <= x <= width and 0 <= y <= height):
            outside.append(name)
            continue
        result.append(
            {
                "id": hashlib.sha256(f"{lp_path}\0{name}".encode()).hexdigest()[:10],
                "type": "keypointlabels",
                "from_name": CONTROL,
                "to_name": IMAGE,
                "image_rotation": 0,
                "original_width": width,
                "original_height": height,
                "value": {
                    "x": 100 * x / width,
                    "y": 100 * y / height,
                    "width": DOT_PERCENT,
                    "keypointlabels": [name],
                },
            }
        )
    return Regions(result, tuple(outside))


@dataclass(frozen=True)
class Point:
    """One region that came back.

    Attributes
    ----------
    label : str
        The keypoint's name, NFC; empty where the region has none.
    xy : tuple of float or None
        Pixels; None where the region cannot be used.
    origin : str
        ``prediction`` (accepted), ``prediction-changed`` (moved), ``manual`` (set by a person), or empty.
    trouble : str
        Why it cannot be used, or what is odd about it; empty if nothing is.
    """

    label: str
    xy: tuple[float, float] | None
    origin: str
    trouble: str = ""


def points_of(result: Sequence[Any], size: tuple[int, int] | None) -> list[Point]:
    """Read the key point regions of one annotation or prediction.

    Parameters
    ----------
    result : sequence
        ``result`` of the annotation. Regions of other tags (``from_name``) are passed over.
    size : tuple of int or None
        Width and height of the project's own picture; None where it is not at hand, and the region's word counts.
    """
    return [
        _point(region, size)
        for region in result
        if isinstance(region, Mapping) and region.get("type") == "keypointlabels" and region.get("from_name") == CONTROL
    ]


def _point(region: Mapping[str, Any], size: tuple[int, int] | None) -> Point:
    value = region.get("value")
    value = value if isinstance(value, Mapping) else {}
    labels = value.get("keypointlabels")
    names = [nfc(str(label)) for label in labels] if isinstance(labels, list) else []
    label, origin = names[0] if names else "", str(region.get("origin") or "")
    x, y = _number(value.get("x")), _number(value.get("y"))
    said = (_number(region.get("original_width")), _number(region.get("original_height")))
    if not names:
        return Point("", None, origin, "a point without a name")
    if len(names) > 1:
        return Point(label, None, origin, f"one point with {len(names)} names: {', '.join(names)}")
    if x is None or y is None:
        return Point(label, None, origin, "a point without a place")
    if _number(region.get("image_rotation")) not in {None, 0.0}:
        return Point(label, None, origin, "the picture was turned while it was set: its place is not sure")
    if not (0 <= x <= 100 and 0 <= y <= 100):
        return Point(label, None, origin, f"outside of the picture ({x:.1f} %, {y:.1f} %)")
    trouble = ""
    if size is None:
        if said[0] is None or said[1] is None:
            return Point(label, None, origin, "neither the picture nor its size is known")
        width, height = said[0], said[1]
    else:
        width, height = float(size[0]), float(size[1])
        if said[0] is not None and said[1] is not None and (said[0], said[1]) != (width, height):
            trouble = f"Label Studio says the picture is {said[0]:g}x{said[1]:g}; the project's is {width:g}x{height:g}"
    return Point(label, (x / 100 * width, y / 100 * height), origin, trouble)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
