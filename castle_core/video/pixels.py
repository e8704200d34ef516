"""From a decoded frame to numbers: RGB as FFmpeg converts by default, or a small gray picture of its luma."""

from typing import Any

import av  # noqa: TID251
import av.video.reformatter  # noqa: TID251
import cv2
import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

_QUARTER_TURNS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}
_BICUBIC = av.video.reformatter.Interpolation.BICUBIC


class Converter:
    """Turns decoded frames into arrays; keeps FFmpeg's conversion tables between frames."""

    def __init__(self, rotation_deg: int) -> None:
        self._turn = _QUARTER_TURNS.get(rotation_deg)
        self._reformatter = av.video.reformatter.VideoReformatter()

    def rgb(self, frame: Any, out: Bytes | None = None) -> Bytes:
        """Return the frame as displayed, (H, W, 3) uint8 RGB, in `out` if given.

        The conversion goes through BGR with FFmpeg's default (bicubic) chroma, which is what OpenCV does; for 10-bit
        video FFmpeg's direct conversion to RGB differs by rounding. Interlaced frames are shown as they are stored,
        both fields at once.
        """
        if frame.interlaced_frame:
            frame = _as_progressive(frame)
        bgr = self._reformatter.reformat(frame, format="bgr24", interpolation=_BICUBIC, threads=1)
        plane = _plane(bgr, 0, 3)
        if self._turn is None:
            return np.asarray(cv2.cvtColor(plane, cv2.COLOR_BGR2RGB, dst=out))
        return np.asarray(cv2.rotate(cv2.cvtColor(plane, cv2.COLOR_BGR2RGB), self._turn, dst=out))

    def gray(self, frame: Any, width: int, height: int) -> Bytes:
        """Return the frame's luma, area-averaged to (height, width) uint8 as displayed.

        Luma is taken as stored: 16 … 235 in most videos, 0 … 255 in full-range ones.
        """
        small_width, small_height = (width, height) if self._turn in (None, cv2.ROTATE_180) else (height, width)
        small = shrink(_luma(frame, self._reformatter), small_width, small_height)
        if small.dtype != np.uint8:
            depth = frame.format.components[0].bits
            small = (small >> (depth - 8)).astype(np.uint8)
        return small if self._turn is None else np.asarray(cv2.rotate(small, self._turn))


def shrink(plane: npt.NDArray[Any], width: int, height: int) -> npt.NDArray[Any]:
    """Area-average a (H, W) picture to (height, width), or interpolate where it grows.

    Large pictures are halved first, as long as four pixels remain for each one wanted: OpenCV halves some forty times
    quicker than it averages over fractions of pixels, and the result is the same but for the edges of the boxes. Where
    a side is odd, its last row or column is left out.
    """
    if plane.shape == (height, width):
        return plane.copy()
    while plane.shape[1] >= 8 * width and plane.shape[0] >= 8 * height:
        half = (plane.shape[1] // 2, plane.shape[0] // 2)
        plane = cv2.resize(plane[: 2 * half[1], : 2 * half[0]], half, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA))


def _plane(frame: Any, number: int, n_channels: int = 1, dtype: type = np.uint8) -> npt.NDArray[Any]:
    """View one plane as an array without copying; rows may be padded."""
    plane = frame.planes[number]
    item = np.dtype(dtype).itemsize
    shape: tuple[int, ...] = (plane.height, plane.width)
    strides: tuple[int, ...] = (plane.line_size, item * n_channels)
    if n_channels > 1:
        shape, strides = (*shape, n_channels), (*strides, item)
    return np.ndarray(shape, dtype, buffer=plane, strides=strides)


def _as_progressive(frame: Any) -> Any:
    """Copy a frame without its interlaced mark: with it, FFmpeg would convert the colours of each field apart."""
    copy = av.VideoFrame(frame.width, frame.height, frame.format.name)
    for source, target in zip(frame.planes, copy.planes, strict=True):
        n_bytes = min(source.line_size, target.line_size)
        _rows(target)[:, :n_bytes] = _rows(source)[:, :n_bytes]
    copy.colorspace, copy.color_range = frame.colorspace, frame.color_range
    return copy


def _rows(plane: Any) -> Bytes:
    return np.ndarray((plane.height, plane.line_size), np.uint8, buffer=plane)


def _luma(frame: Any, reformatter: Any) -> npt.NDArray[Any]:
    layout = frame.format
    if not layout.is_rgb and layout.name.startswith(("yuv4", "yuvj4", "yuva4", "gray", "nv1", "nv2")):
        depth = layout.components[0].bits
        if depth == 8:
            return _plane(frame, 0)
        if not layout.is_big_endian and depth <= 16 and not layout.name.startswith("grayf"):
            return _plane(frame, 0, dtype=np.uint16)
    return _plane(reformatter.reformat(frame, format="gray", threads=1), 0)
