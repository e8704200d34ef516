"""Pictures and masks by an affine map of `castle_core.preprocess`: the crop at source scale, and the model's input."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from castle_core.preprocess import Affine, Preprocess, compose, crop_size, resize_affine
from castle_core.rois import Mask

Frame = npt.NDArray[np.uint8]
_UNMOVED = np.eye(2, 3)
# Pixels around a crop that bicubic interpolation at its edge may look at, and one for rounding.
_MARGIN = 4


def source_box(
    affines: Sequence[Affine], preprocess: Preprocess, source_width: int, source_height: int
) -> tuple[int, int, int, int] | None:
    """Return the part of the source that crops are made from, so that only its colours need to be known.

    Parameters
    ----------
    affines : sequence of (2, 3) float64 arrays
        Source to crop pixels; one for each turn of the crop.
    preprocess : Preprocess
        Without a centre ROI, the whole frame is the crop.
    source_width, source_height : int
        Size of the source (pixels).

    Returns
    -------
    tuple of int or None
        (x0, y0, x1, y1), half open and not empty; None for the whole frame.
    """
    if preprocess.center_roi is None:
        return None
    xs, ys = [], []
    right, bottom = preprocess.crop_width - 0.5, preprocess.crop_height - 0.5
    for affine in affines:
        (a, b, c), (d, e, f) = affine.tolist()
        determinant = a * e - b * d
        for x, y in ((-0.5, -0.5), (right, -0.5), (-0.5, bottom), (right, bottom)):
            xs.append((e * (x - c) - b * (y - f)) / determinant)
            ys.append((a * (y - f) - d * (x - c)) / determinant)
    # Beyond the border the edge pixels are looked at.
    x0 = min(max(0, math.floor(min(xs)) - _MARGIN), source_width - 1)
    y0 = min(max(0, math.floor(min(ys)) - _MARGIN), source_height - 1)
    x1 = max(min(source_width, math.ceil(max(xs)) + _MARGIN + 1), x0 + 1)
    y1 = max(min(source_height, math.ceil(max(ys)) + _MARGIN + 1), y0 + 1)
    return x0, y0, x1, y1


def warp_frame(
    frame: Frame, affine: Affine, width: int, height: int, *, interpolation: Literal["bilinear", "bicubic"] = "bilinear"
) -> Frame:
    """Warp a frame; beyond its edges the picture is black, without a dark fringe at the edge.

    Parameters
    ----------
    frame : (H, W, 3) uint8 array
        RGB.
    affine : (2, 3) float64 array
        Source to target pixels, without much shrinking (see `render_input`).
    width, height : int
        Size of the result.
    interpolation : {"bilinear", "bicubic"}
        Between pixels.

    Returns
    -------
    (height, width, 3) uint8 array
    """
    import cv2

    flag = cv2.INTER_CUBIC if interpolation == "bicubic" else cv2.INTER_LINEAR
    # Edge pixels are continued outwards, so that interpolation at the border does not mix in black; then blackened.
    result = cv2.warpAffine(frame, affine, (width, height), flags=flag, borderMode=cv2.BORDER_REPLICATE)
    outside = outside_source(affine, frame.shape[1], frame.shape[0], width, height)
    if outside is not None:
        result[outside] = 0
    return np.asarray(result)


def outside_source(
    affine: Affine, source_width: int, source_height: int, width: int, height: int
) -> npt.NDArray[np.bool_] | None:
    """Return the (height, width) mask of target pixels that lie outside the source picture; None if there are none."""
    inverse = np.linalg.inv(affine[:, :2])
    corners = np.array([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]], dtype=np.float64)
    source = (corners - affine[:, 2]) @ inverse.T
    low, high = np.array([-0.5, -0.5]), np.array([source_width - 0.5, source_height - 0.5])
    slack = 1e-6
    if (source >= low - slack).all() and (source <= high + slack).all():
        return None
    xs = (np.arange(width) - affine[0, 2])[None, :]
    ys = (np.arange(height) - affine[1, 2])[:, None]
    x = inverse[0, 0] * xs + inverse[0, 1] * ys
    y = inverse[1, 0] * xs + inverse[1, 1] * ys
    return np.asarray((x < low[0] - slack) | (x > high[0] + slack) | (y < low[1] - slack) | (y > high[1] + slack))


def warp_mask(mask: Mask, affine: Affine, width: int, height: int) -> Mask:
    """Warp a mask to (height, width) by the nearest pixel, so that ids never mix; 0 beyond the edges."""
    import cv2

    return np.asarray(
        cv2.warpAffine(mask, affine, (width, height), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)
    )


def blacken(frame: Frame, mask: Mask, roi_id: int | None) -> Frame:
    """Blacken the background: everything that is no ROI, or not ROI `roi_id`. Same geometry for both arrays."""
    keep = mask != 0 if roi_id is None else mask == roi_id
    return np.asarray(frame * keep[..., None])


@dataclass(frozen=True)
class ModelInput:
    """What the model sees of one frame.

    Attributes
    ----------
    image : (S, S, 3) uint8 array
        RGB.
    mask : (S, S) uint8 array
        ROI ids in the same geometry.
    affine : (2, 3) float64 array
        Source pixels to input pixels; points go the same way.
    """

    image: Frame
    mask: Mask
    affine: Affine


def render_crop(
    frame: Frame, mask: Mask, preprocess: Preprocess, affine: Affine, *, background_roi: int | None
) -> tuple[Frame, Mask]:
    """Render the crop at source scale: what the crop video shows and what the model's input is made of.

    Parameters
    ----------
    frame : (H, W, 3) uint8 array
        RGB source frame.
    mask : (H, W) uint8 array
        ROI ids.
    preprocess : Preprocess
        Settings; without a centre ROI the whole frame is the crop.
    affine : (2, 3) float64 array
        Source to crop pixels.
    background_roi : int or None
        The ROI that is kept where ``remove_background`` is "roi".
    """
    width, height = crop_size(preprocess, frame.shape[1], frame.shape[0])
    ids = mask if _is_whole(preprocess, affine) else warp_mask(mask, affine, width, height)
    return _crop_alone(frame, mask, preprocess, affine, background_roi, ids), ids


def _is_whole(preprocess: Preprocess, affine: Affine) -> bool:
    return preprocess.center_roi is None and np.array_equal(affine, _UNMOVED)


def _crop_alone(
    frame: Frame,
    mask: Mask,
    preprocess: Preprocess,
    affine: Affine,
    background_roi: int | None,
    ids: Mask | None = None,
) -> Frame:
    """Render the crop; its mask is warped only where the background is removed, unless it is at hand."""
    whole = _is_whole(preprocess, affine)
    width, height = crop_size(preprocess, frame.shape[1], frame.shape[0])
    image = frame if whole else warp_frame(frame, affine, width, height)
    if preprocess.remove_background is not None:
        if ids is None:
            ids = mask if whole else warp_mask(mask, affine, width, height)
        image = blacken(image, ids, background_roi if preprocess.remove_background == "roi" else None)
    return image


def render_input(
    frame: Frame,
    mask: Mask,
    preprocess: Preprocess,
    affine: Affine,
    size: int,
    *,
    interpolation: Literal["bilinear", "bicubic"] = "bilinear",
    antialias: bool = True,
    background_roi: int | None = None,
) -> ModelInput:
    """Render what the model sees: the crop of `render_crop`, brought to the model's square.

    Where the crop is enlarged, frame and mask are warped once, straight from the source. Where it shrinks, the crop is
    rendered at source scale and then reduced with a prefilter (DINOv2), so that no detail aliases; DINOv3 is reduced
    without one, as CASTLE does.

    Parameters
    ----------
    frame, mask, preprocess, affine, background_roi
        See `render_crop`.
    size : int
        Edge of the model's input (pixels).
    interpolation, antialias
        See `Encoder`.
    """
    width, height = crop_size(preprocess, frame.shape[1], frame.shape[0])
    resize = resize_affine(width, height, size, letterbox=preprocess.letterbox)
    whole = compose(resize, affine)
    ids = warp_mask(mask, whole, size, size)
    if min(resize[0, 0], resize[1, 1]) >= 1:
        image = warp_frame(frame, whole, size, size, interpolation=interpolation)
        if preprocess.letterbox:  # the source beside the crop is not part of it
            image[_outside_box(resize, width, height, size)] = 0
            ids[_outside_box(resize, width, height, size)] = 0
        if preprocess.remove_background is not None:
            image = blacken(image, ids, background_roi if preprocess.remove_background == "roi" else None)
        return ModelInput(image, ids, whole)
    crop = _crop_alone(frame, mask, preprocess, affine, background_roi)
    image = np.zeros((size, size, 3), np.uint8)
    inner_width, inner_height = round(width * resize[0, 0]), round(height * resize[1, 1])
    left, top = (size - inner_width) // 2, (size - inner_height) // 2
    inner = _resize(crop, max(1, inner_width), max(1, inner_height), interpolation, antialias)
    image[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    if preprocess.letterbox:
        ids[_outside_box(resize, width, height, size)] = 0
    return ModelInput(image, ids, whole)


def _outside_box(resize: Affine, width: int, height: int, size: int) -> npt.NDArray[np.bool_]:
    left, top = resize[0, 2] - 0.5 * resize[0, 0] + 0.5, resize[1, 2] - 0.5 * resize[1, 1] + 0.5
    x = np.arange(size) + 0.5
    in_x = (x >= left) & (x <= left + width * resize[0, 0])
    in_y = (x >= top) & (x <= top + height * resize[1, 1])
    return np.asarray(~(in_y[:, None] & in_x[None, :]))


def _resize(
    image: Frame, width: int, height: int, interpolation: Literal["bilinear", "bicubic"], antialias: bool
) -> Frame:
    import torch

    # As a batch whose memory torch knows as RGB by pixel: so it neither sorts the colours apart nor back.
    pixels = torch.from_numpy(np.ascontiguousarray(image)[None]).permute(0, 3, 1, 2)
    resized = torch.nn.functional.interpolate(
        pixels, (height, width), mode=interpolation, align_corners=False, antialias=antialias
    )
    return np.ascontiguousarray(resized[0].permute(1, 2, 0).numpy())
