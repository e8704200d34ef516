"""From a decoded frame to numbers: RGB as FFmpeg converts by default, or a small gray picture of its luma."""

from dataclasses import dataclass
from typing import Any

import av  # noqa: TID251
import av.video.reformatter  # noqa: TID251
import cv2
import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]

_QUARTER_TURNS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}
_BICUBIC = av.video.reformatter.Interpolation.BICUBIC

# Formats in which FFmpeg gives a pixel the same colour whether it converts the whole frame or a part, and how many
# columns and rows share a chroma sample there.
_IN_PARTS = {
    "yuv420p": (2, 2),
    "yuvj420p": (2, 2),
    "yuv422p": (2, 1),
    "yuvj422p": (2, 1),
    "yuv444p": (1, 1),
    "yuvj444p": (1, 1),
    "gray": (1, 1),
}
# Parts begin at a multiple of this many columns, so that vectorised loops split a part as they split the whole frame.
_COLUMNS = 32
# Parts grow in such steps, since FFmpeg sets up its tables anew for every other size.
_GROWTH = 64
# Of the frame's pixels: above, a part costs as much as the whole.
_LARGEST_PART = 0.7


class Converter:
    """Turns decoded frames into arrays; keeps FFmpeg's conversion tables between frames."""

    def __init__(self, rotation_deg: int) -> None:
        self._turn = _QUARTER_TURNS.get(rotation_deg)
        self._reformatter = av.video.reformatter.VideoReformatter()
        self._part_size = (0, 0)
        self._parts: dict[tuple[str, int, int], tuple[Any, Any]] = {}

    def rgb_inside(self, frame: Any, out: Bytes, box: Box) -> Bytes:
        """Convert at least the pixels inside a box; they equal those of `rgb`, the others may stay as they are.

        Parameters
        ----------
        frame : av.VideoFrame
            The decoded frame.
        out : (H, W, 3) uint8 array
            Where RGB is written.
        box : tuple of int
            (x0, y0, x1, y1), half open, inside the picture as displayed.
        """
        part = self._part_around(frame, box)
        if part is None:
            return self.rgb(frame, out)
        x, y, width, height = part
        key = (frame.format.name, width, height)
        if key not in self._parts:
            if len(self._parts) >= 4:
                self._parts.clear()
            self._parts[key] = av.VideoFrame(width, height, frame.format.name), av.video.reformatter.VideoReformatter()
        cut, reformatter = self._parts[key]
        columns, rows = _IN_PARTS[frame.format.name]
        for number, (source, target) in enumerate(zip(frame.planes, cut.planes, strict=True)):
            sx, sy = (columns, rows) if number else (1, 1)
            place = _rows(source)[y // sy : (y + height) // sy, x // sx : (x + width) // sx]
            _rows(target)[: height // sy, : width // sx] = place
        cut.colorspace, cut.color_range = frame.colorspace, frame.color_range
        bgr = reformatter.reformat(cut, format="bgr24", interpolation=_BICUBIC, threads=1)
        cv2.cvtColor(_plane(bgr, 0, 3), cv2.COLOR_BGR2RGB, dst=out[y : y + height, x : x + width])
        return out

    def _part_around(self, frame: Any, box: Box) -> Box | None:
        """Return x, y, width and height of the part to convert for a box; None where that is the whole frame."""
        shared = _IN_PARTS.get(frame.format.name)
        if shared is None or self._turn is not None or (shared != (1, 1) and (frame.width % 2 or frame.height % 2)):
            return None
        x0, y0, x1, y1 = box
        left, top = x0 // _COLUMNS * _COLUMNS, y0 // 2 * 2
        width = max(self._part_size[0], -(-(x1 - left) // _GROWTH) * _GROWTH)
        height = max(self._part_size[1], -(-(y1 - top) // _GROWTH) * _GROWTH)
        if width * height > _LARGEST_PART * frame.width * frame.height:
            return None
        self._part_size = width, height
        if left + width > frame.width:  # up to the edge, from a multiple of the columns
            left = max(0, (frame.width - width) // _COLUMNS * _COLUMNS)
            width = frame.width - left
        if top + height > frame.height:
            top = max(0, (frame.height - height) // 2 * 2)
            height = frame.height - top
        return left, top, width, height

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


@dataclass(frozen=True)
class DecodedFrame:
    """A decoded frame whose colours are still to be made, all of them or those that are looked at.

    Attributes
    ----------
    frame : av.VideoFrame
        As the decoder puts it out.
    converter : Converter
        Makes the colours; in one thread at a time.
    """

    frame: Any
    converter: Converter

    def rgb(self, out: Bytes, box: Box | None = None) -> Bytes:
        """Write the picture as displayed into `out`, (H, W, 3) uint8 RGB, and return it.

        Parameters
        ----------
        out : (H, W, 3) uint8 array
            Where RGB is written.
        box : tuple of int, optional
            (x0, y0, x1, y1), half open: the part of the picture that is looked at. Outside of it, pixels of `out` may
            stay as they were.
        """
        if box is None:
            return self.converter.rgb(self.frame, out)
        return self.converter.rgb_inside(self.frame, out, box)


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
