"""Centre, rotate, crop, remove background, resize: one affine map from the source frame to what the model sees.

`castle_core.rendering` makes the pictures of it.

Order and conventions are CASTLE's: the centroid of the centre ROI's largest piece comes to (width // 2, height // 2) of
the crop, and the tail points down, so that the body axis stands upright. Coordinates are pixels with whole numbers at
pixel centres, x to the right and y down.
"""

import itertools
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from castle_core.errors import ConfigError
from castle_core.rois import Mask, MaskSource, component_centroid, largest_piece

Affine = npt.NDArray[np.float64]

OK, NO_MASK, ROI_ABSENT, POINT_MISSING, DECODE_ERROR, POINT_OUTSIDE, TAIL_ABSENT, NOT_REQUESTED = range(8)
STATUS_NAMES = (
    "ok",
    "no mask",
    "ROI absent",
    "point missing or low likelihood",
    "frame cannot be decoded",
    "point out of frame",
    "tail ROI absent",
    "not requested",
)


@dataclass(frozen=True)
class Preprocess:
    """What is done to a frame before the model sees it.

    Attributes
    ----------
    center_roi : int or None
        ROI whose centroid comes to the middle of the crop; None leaves the whole frame (and ignores size and rotation).
    crop_width, crop_height : int
        Size of the crop (source pixels).
    tail_roi : int or None
        ROI towards which the body axis points down; None does not rotate.
    tail_point : {"nearest", "centroid"}
        CASTLE's reference (the tail contour's pixel nearest to the centre), or the tail's centroid, which is steadier.
    remove_background : {"all", "roi"} or None
        Blacken everything but all ROIs (as CASTLE), or but the ROI that is pooled; None keeps the background.
    smooth_s : float
        Zero-phase smoothing of centre and angle with this time constant (seconds); 0 is off.
    fill_gaps : int
        Interpolate centre and angle over at most so many frames without the ROI.
    letterbox : bool
        Keep the crop's aspect ratio and pad with black, instead of squashing it to the model's square.
    """

    center_roi: int | None = None
    crop_width: int = 300
    crop_height: int = 300
    tail_roi: int | None = None
    tail_point: Literal["nearest", "centroid"] = "nearest"
    remove_background: Literal["all", "roi"] | None = None
    smooth_s: float = 0.0
    fill_gaps: int = 0
    letterbox: bool = False

    def __post_init__(self) -> None:
        for name, roi in (("centre", self.center_roi), ("tail", self.tail_roi)):
            if roi is not None and not 1 <= roi <= 255:
                raise ConfigError(f"The {name} ROI cannot be {roi}: ids run from 1 to 255.")
        if self.tail_roi is not None and self.center_roi is None:
            raise ConfigError("Rotation by the tail acts only with Center ROI on. Choose a centre ROI as well.")
        if self.tail_roi is not None and self.tail_roi == self.center_roi:
            raise ConfigError(f"Tail ROI and centre ROI are both {self.tail_roi}. Choose two different ones.")
        if not (2 <= self.crop_width <= 8192 and 2 <= self.crop_height <= 8192):
            raise ConfigError(
                f"A crop of {self.crop_width} x {self.crop_height} px cannot be: each side is 2 to 8192 px."
            )
        if self.tail_point not in ("nearest", "centroid"):
            raise ConfigError(f"tail_point is 'nearest' or 'centroid', not {self.tail_point!r}.")
        if self.remove_background not in (None, "all", "roi"):
            raise ConfigError(f"remove_background is 'all', 'roi' or nothing, not {self.remove_background!r}.")
        if self.smooth_s < 0 or self.fill_gaps < 0:
            raise ConfigError("Smoothing time and gap length cannot be negative.")

    def to_json(self) -> dict[str, Any]:
        """Return the settings that matter, so that equal results have equal settings."""
        settings = asdict(self)
        if self.center_roi is None:
            for name in ("crop_width", "crop_height", "tail_roi", "tail_point", "smooth_s", "fill_gaps"):
                settings.pop(name)
        elif self.tail_roi is None:
            settings.pop("tail_point")
        return settings


@dataclass(frozen=True)
class Poses:
    """Where the animal is and where its tail points, for every frame of a video.

    Attributes
    ----------
    center : (n, 2) float64 array
        x and y of the centre (pixels); NaN where it is not known.
    angle_deg : (n,) float64 array
        Direction from the centre to the tail's reference, degrees clockwise on the screen from +x; 0 without rotation.
    status : (n,) uint8 array
        OK, NO_MASK, ROI_ABSENT or TAIL_ABSENT.
    """

    center: npt.NDArray[np.float64]
    angle_deg: npt.NDArray[np.float64]
    status: npt.NDArray[np.uint8]


def measure_pose(mask: Mask | None, preprocess: Preprocess) -> tuple[float, float, float, int]:
    """Return x and y of the centre (pixels), the tail's angle (degrees) and the status of one mask."""
    nan = float("nan")
    if mask is None:
        return nan, nan, nan, NO_MASK
    assert preprocess.center_roi is not None
    body = largest_piece(mask, preprocess.center_roi)
    if body is None:
        return nan, nan, nan, ROI_ABSENT
    x, y = component_centroid(body[0])
    x, y = x + body[1], y + body[2]
    if preprocess.tail_roi is None:
        return x, y, 0.0, OK
    tail = largest_piece(mask, preprocess.tail_roi)
    if tail is None:
        return x, y, nan, TAIL_ABSENT
    piece, left, top = tail
    tail_x, tail_y = tail_reference(piece, (x - left, y - top), preprocess.tail_point)
    return x, y, float(np.degrees(np.arctan2(tail_y + top - y, tail_x + left - x))), OK


def tail_reference(
    tail: Mask, center: tuple[float, float], kind: Literal["nearest", "centroid"]
) -> tuple[float, float]:
    """Return the point (x, y; pixels) of a 0/1 tail mask that gives the direction of the body axis."""
    import cv2

    if kind == "centroid":
        return component_centroid(tail)
    contours, _ = cv2.findContours(tail, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = np.concatenate([contour[:, 0] for contour in contours])
    nearest = points[np.argmin(((points - np.array(center)) ** 2).sum(axis=1))]
    return float(nearest[0]), float(nearest[1])


def measure_poses(
    masks: MaskSource,
    preprocess: Preprocess,
    n_frames: int,
    *,
    average_fps: float,
    on_progress: Callable[[int, int], None] | None = None,
) -> Poses:
    """Measure centre and angle of every frame, fill gaps and smooth, before any work is split into shards.

    Parameters
    ----------
    masks : MaskSource
        The tracked ROIs.
    preprocess : Preprocess
        With `center_roi` set.
    n_frames : int
        Frames of the video.
    average_fps : float
        Frames a second, for the smoothing time.
    on_progress : callable, optional
        Called with (done, total).

    Returns
    -------
    Poses
        Frames that were filled keep status OK.
    """
    measured = np.full((n_frames, 3), np.nan)
    status = np.zeros(n_frames, np.uint8)
    for frame_index in range(n_frames):
        x, y, angle, code = measure_pose(masks.mask_at(frame_index), preprocess)
        measured[frame_index] = x, y, angle
        status[frame_index] = code
        if on_progress is not None and frame_index % 100 == 0:
            on_progress(frame_index, n_frames)
    center = measured[:, :2]
    direction = np.exp(1j * np.radians(measured[:, 2]))
    direction[np.isnan(measured[:, 2])] = np.nan
    if preprocess.fill_gaps:
        center, direction, status = _fill(center, direction, status, preprocess.fill_gaps)
    if preprocess.smooth_s:
        width = preprocess.smooth_s * average_fps
        center = _smooth(center, width)
        direction = _smooth(np.stack([direction.real, direction.imag], axis=1), width) @ np.array([1, 1j])
    angle = np.degrees(np.angle(direction))
    return Poses(center, angle, status)


def _fill(
    center: npt.NDArray[np.float64], direction: npt.NDArray[np.complex128], status: npt.NDArray[np.uint8], longest: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.complex128], npt.NDArray[np.uint8]]:
    """Interpolate over gaps of at most `longest` frames that have good frames on both sides."""
    good = np.flatnonzero(status == OK)
    center, direction, status = center.copy(), direction.copy(), status.copy()
    for before, after in itertools.pairwise(good):
        gap = int(after - before - 1)
        if not 1 <= gap <= longest:
            continue
        share = (np.arange(1, gap + 1) / (gap + 1))[:, None]
        inside = slice(before + 1, after)
        between = (1 - share) * center[before] + share * center[after]
        center[inside] = np.where(np.isnan(center[inside]), between, center[inside])  # only the tail may be lost
        turn = np.angle(direction[after] / direction[before])  # the shorter way round
        direction[inside] = direction[before] * np.exp(1j * turn * share[:, 0])
        status[inside] = OK
    return center, direction, status


def _smooth(values: npt.NDArray[np.float64], width: float) -> npt.NDArray[np.float64]:
    """Smooth columns with a zero-phase Gaussian of standard deviation `width` frames; NaN neither spread nor vanish."""
    from scipy.ndimage import gaussian_filter1d

    known = ~np.isnan(values)
    weight = gaussian_filter1d(known.astype(np.float64), width, axis=0, mode="nearest")
    total = gaussian_filter1d(np.where(known, values, 0.0), width, axis=0, mode="nearest")
    return np.where(known, total / np.maximum(weight, 1e-12), np.nan)


def crop_affine(preprocess: Preprocess, center: npt.NDArray[np.float64], angle_deg: float) -> Affine:
    """Return the (2, 3) map from source pixels to crop pixels.

    The centre comes to (width // 2, height // 2); with rotation, the tail's direction comes to straight down.
    """
    turn = np.radians(90.0 - angle_deg) if preprocess.tail_roi is not None else 0.0
    cosine, sine = np.cos(turn), np.sin(turn)
    rotation = np.array([[cosine, -sine], [sine, cosine]])
    middle = np.array([preprocess.crop_width // 2, preprocess.crop_height // 2], dtype=np.float64)
    return np.column_stack([rotation, middle - rotation @ center])


def turned(affine: Affine, degrees: float, width: int, height: int) -> Affine:
    """Turn a crop about its middle, counter-clockwise on the screen by `degrees`, after `affine`."""
    turn = np.radians(-degrees)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    middle = np.array([width // 2, height // 2], dtype=np.float64)
    return np.column_stack([rotation @ affine[:, :2], rotation @ (affine[:, 2] - middle) + middle])


def resize_affine(width: int, height: int, size: int, *, letterbox: bool) -> Affine:
    """Return the (2, 3) map from crop pixels to the pixels of the model's square input.

    Picture edges meet: ``x' = (x + 0.5) · s - 0.5``. Squashed to the square, or letterboxed in its middle.
    """
    inner_width = inner_height = size
    if letterbox:  # whole pixels, so that picture, mask and points agree exactly
        scale = size / max(width, height)
        inner_width, inner_height = max(1, round(width * scale)), max(1, round(height * scale))
    scale_x, scale_y = inner_width / width, inner_height / height
    left, top = (size - inner_width) // 2, (size - inner_height) // 2
    return np.array([[scale_x, 0.0, 0.5 * scale_x - 0.5 + left], [0.0, scale_y, 0.5 * scale_y - 0.5 + top]])


def compose(second: Affine, first: Affine) -> Affine:
    """Return the (2, 3) map that applies `first`, then `second`."""
    result = np.empty((2, 3))
    result[:, :2] = second[:, :2] @ first[:, :2]
    result[:, 2] = second[:, :2] @ first[:, 2] + second[:, 2]
    return result


def apply_affine(affine: Affine, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Map (..., 2) points; NaN stay NaN."""
    return points @ affine[:, :2].T + affine[:, 2]


def crop_size(preprocess: Preprocess, source_width: int, source_height: int) -> tuple[int, int]:
    """Return width and height (pixels) of the crop."""
    if preprocess.center_roi is None:
        return source_width, source_height
    return preprocess.crop_width, preprocess.crop_height
