"""Is this file a whole image that may be stored as it is, and if not, can it be converted without loss?

A PNG is walked chunk by chunk and its pixel data are unpacked against the size that its header promises, so a cut-off,
damaged or exploding file is found without building the picture. Conversions decode one image at a time.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_MAGIC = b"\xff\xd8\xff"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: {1, 2, 4, 8, 16}, 2: {8, 16}, 3: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}}
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_OTHER_IMAGES = {
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"BM": "BMP",
    b"GIF8": "GIF",
    b"RIFF": "WebP",
    b"8BPS": "Photoshop",
    b"\x00\x00\x00\x0cjP": "JPEG 2000",
}

Depth16 = Literal["", "any", "stretched", "small"]


class ImageProblem(Exception):
    """An image that cannot be taken: (kind, problem, fix)."""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What the checks found out about one image.

    Attributes
    ----------
    width, height : int
        Size in pixels.
    conversion : {"", "png", "jpeg"}
        Empty: an 8-bit grey or RGB PNG, stored byte for byte. "png": another kind of PNG whose pixels fit 8-bit grey or
        RGB without loss. "jpeg": a JPEG whose decoded pixels would be stored.
    what : str
        The kind of image in words, for the report ("a palette PNG").
    depth16 : {"", "any", "stretched", "small"}
        For 16-bit images, how their values fit 8 bits: "stretched": all are multiples of 257; "small": all are below
        256; "any": both, as in a black image.
    """

    width: int
    height: int
    conversion: Literal["", "png", "jpeg"]
    what: str
    depth16: Depth16 = ""


def check_image(data: bytes, *, max_pixels: int) -> ImageFacts:
    """Check one image file completely.

    Parameters
    ----------
    data : bytes
        The file.
    max_pixels : int
        The largest width times height.

    Returns
    -------
    ImageFacts

    Raises
    ------
    ImageProblem
        If the file is no PNG or JPEG, is damaged or too large, or if 8-bit grey or RGB cannot hold it without loss:
        16 bits that are used, transparency, CMYK.
    """
    if data.startswith(PNG_MAGIC):
        return _check_png(data, max_pixels)
    if data.startswith(JPEG_MAGIC):
        return _check_jpeg(data, max_pixels)
    for magic, kind in _OTHER_IMAGES.items():
        if data.startswith(magic):
            raise ImageProblem("unsupported-image", f"This is a {kind} image.", "Save the frames as 8-bit PNG.")
    what = "The file is empty." if not data else "This is not an image, whatever its name says."
    raise ImageProblem("not-an-image", what, "Save the frame again as PNG.")


def _damaged(detail: str) -> ImageProblem:
    return ImageProblem("damaged", f"The image is damaged: {detail}.", "Save the frame again as PNG.")


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Yield (type, content) of each PNG chunk up to IEND; raise if one is cut off or fails its checksum."""
    view, at = memoryview(data), len(PNG_MAGIC)
    while at + 12 <= len(view):
        (length,) = struct.unpack_from(">I", view, at)
        if at + 12 + length > len(view):
            break
        kind = bytes(view[at + 4 : at + 8])
        body = view[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack_from(">I", view, at + 8 + length)
        if zlib.crc32(view[at + 4 : at + 8 + length]) != checksum:
            raise _damaged(f"the checksum of its {kind.decode('latin-1')!r} part is wrong")
        yield kind, body
        if kind == b"IEND":
            return
        at += 12 + length
    raise _damaged("it is cut off")


def _check_png(data: bytes, max_pixels: int) -> ImageFacts:
    header: tuple[int, int, int, int, int] | None = None
    has_palette = has_transparency = False
    pixels: _PixelCounter | None = None
    for kind, body in _chunks(data):
        if header is None:
            header = _png_header(kind, body, max_pixels)
            pixels = _PixelCounter(header)
        elif kind == b"PLTE":
            has_palette = True
        elif kind == b"tRNS":
            has_transparency = True
        elif kind == b"IDAT":
            assert pixels is not None
            pixels.feed(body)
        elif kind[:1].isupper() and kind != b"IEND":
            raise _damaged(f"its {kind.decode('latin-1')!r} part is unknown")
    if header is None or pixels is None:
        raise _damaged("it holds nothing")
    pixels.finish()
    width, height, depth, colour, _ = header
    if colour == 3 and not has_palette:
        raise _damaged("its palette is missing")
    if depth == 8 and colour in {0, 2} and not has_transparency:
        return ImageFacts(width, height, "", "an 8-bit PNG")
    if colour in {4, 6} or has_transparency:
        _require_opaque(data)
        what = "a PNG with an (unused) transparency channel"
    elif colour == 3:
        what = "a palette PNG"
    else:
        what = f"a {depth}-bit PNG"
    depth16 = _depth16(data) if depth == 16 else ""
    return ImageFacts(width, height, "png", what, depth16)


def _png_header(kind: bytes, body: memoryview, max_pixels: int) -> tuple[int, int, int, int, int]:
    if kind != b"IHDR" or len(body) != 13:
        raise _damaged("its header is missing")
    width, height, depth, colour, compression, filtering, interlace = struct.unpack(">2I5B", body)
    if not width or not height or depth not in _DEPTHS.get(colour, set()) or compression or filtering or interlace > 1:
        raise _damaged("its header makes no sense")
    _check_pixels(width, height, max_pixels)
    return width, height, depth, colour, interlace


def _check_pixels(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise ImageProblem(
            "too-large",
            f"The image has {width} x {height} pixels; at most {max_pixels / 1e6:.0f} million are taken.",
            "Save the frame in the size of the video.",
        )


class _PixelCounter:
    """Unpacks a PNG's pixel data piece by piece and checks their length and each row's filter byte."""

    _PIECE = 1 << 20

    def __init__(self, header: tuple[int, int, int, int, int]) -> None:
        width, height, depth, colour, interlace = header
        bits = depth * _CHANNELS[colour]
        passes = _ADAM7 if interlace else ((0, 0, 1, 1),)
        # (start byte, row length with its filter byte) of every pass, and where the data end.
        self._passes: list[tuple[int, int]] = []
        self._expected = 0
        for x, y, dx, dy in passes:
            columns, rows = max(0, -(-(width - x) // dx)), max(0, -(-(height - y) // dy))
            if columns and rows:
                stride = 1 + -(-columns * bits // 8)
                self._passes.append((self._expected, stride))
                self._expected += rows * stride
        self._seen = 0
        self._inflate = zlib.decompressobj()

    def feed(self, body: memoryview) -> None:
        """Unpack one IDAT chunk."""
        pending: bytes = bytes(body)
        while pending and not self._inflate.eof:
            try:
                piece = self._inflate.decompress(pending, self._PIECE)
            except zlib.error as error:
                raise _damaged("its pixel data cannot be unpacked") from error
            pending = self._inflate.unconsumed_tail
            if not piece and not pending:
                return
            self._look(piece)

    def _look(self, piece: bytes) -> None:
        start, stop = self._seen, self._seen + len(piece)
        if stop > self._expected:
            raise _damaged("it unpacks to more than its size")
        values = np.frombuffer(piece, np.uint8)
        for number, (begin, stride) in enumerate(self._passes):
            end = self._passes[number + 1][0] if number + 1 < len(self._passes) else self._expected
            first = begin + max(0, -(-(start - begin) // stride)) * stride
            if first < min(stop, end) and values[first - start : min(stop, end) - start : stride].max() > 4:
                raise _damaged("its rows make no sense")
        self._seen = stop

    def finish(self) -> None:
        """Check that all pixels were there."""
        if self._seen != self._expected or not self._inflate.eof:
            raise _damaged("pixels are missing")


def _decode(data: bytes, flags: int) -> npt.NDArray[Any]:
    import cv2

    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise _damaged("it cannot be decoded") from error
    if picture is None:
        raise _damaged("it cannot be decoded")
    return np.asarray(picture)


def _require_opaque(data: bytes) -> None:
    import cv2

    picture = _decode(data, cv2.IMREAD_UNCHANGED)
    full = 65535 if picture.dtype == np.uint16 else 255
    if picture.ndim == 3 and picture.shape[2] == 4 and (picture[..., 3] != full).any():
        raise ImageProblem(
            "image-kind",
            "The image is partly transparent; what shows through is not known.",
            "Save the frame without transparency.",
        )


def _depth16(data: bytes) -> Depth16:
    import cv2

    picture = _decode(data, cv2.IMREAD_UNCHANGED)
    if picture.ndim == 3 and picture.shape[2] == 4:
        picture = picture[..., :3]
    stretched = bool((picture % 257 == 0).all())
    small = bool(picture.max() < 256)
    if stretched and small:
        return "any"
    if stretched:
        return "stretched"
    if small:
        return "small"
    raise ImageProblem(
        "image-kind",
        "The image has 16 bits a pixel and uses them; 8 bits would lose grey levels.",
        "Choose the brightness range yourself and save all frames as 8-bit PNG (in ImageJ: Image > Type > 8-bit).",
    )


def _check_jpeg(data: bytes, max_pixels: int) -> ImageFacts:
    import cv2

    width, height, components = _jpeg_size(data)
    _check_pixels(width, height, max_pixels)
    if components not in {1, 3}:
        raise ImageProblem(
            "image-kind",
            "This is a CMYK JPEG; its RGB colours depend on a printer profile.",
            "Save the frame as RGB PNG.",
        )
    if b"\xff\xd9" not in data[-4096:]:
        raise _damaged("it is cut off")
    picture = _decode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if picture.shape[:2] != (height, width):
        raise _damaged("its header makes no sense")
    return ImageFacts(width, height, "jpeg", "a JPEG image")


def _jpeg_size(data: bytes) -> tuple[int, int, int]:
    """Return (width, height, colour components) from a JPEG's frame header."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            break
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # markers without content
            at += 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            if at + 10 > len(data):
                break
            precision, height, width, components = struct.unpack_from(">BHHB", data, at + 4)
            if precision != 8 or not width or not height:
                raise _damaged("its header makes no sense")
            return width, height, components
        if marker in {0xD9, 0xDA} or length < 2:
            break
        at += 2 + length
    raise _damaged("its header makes no sense")


def convert_image(data: bytes, facts: ImageFacts, *, small_16: bool) -> bytes:
    """Return the pixels of an image as an 8-bit grey or RGB PNG.

    Parameters
    ----------
    data : bytes
        The image file, checked by `check_image`.
    facts : ImageFacts
        What the check found.
    small_16 : bool
        Whether 16-bit values are below 256 and kept, rather than multiples of 257 that are divided.

    Returns
    -------
    bytes
        The data itself if nothing needs converting.
    """
    import cv2

    if not facts.conversion:
        return data
    if facts.conversion == "jpeg":
        grey = _jpeg_size(data)[2] == 1
        kind = cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR
        picture = _decode(data, kind | cv2.IMREAD_IGNORE_ORIENTATION)
    else:
        picture = _decode(data, cv2.IMREAD_UNCHANGED)
        if picture.ndim == 3 and picture.shape[2] == 4:
            picture = picture[..., :3]
        if picture.dtype == np.uint16:
            picture = (picture if small_16 else picture // 257).astype(np.uint8)
    encoded, png = cv2.imencode(".png", np.ascontiguousarray(picture))
    if not encoded:
        raise _damaged("it cannot be converted")
    return bytes(png)


def decode_rgb(data: bytes) -> npt.NDArray[Any]:
    """Decode an image file to (height, width, 3) uint8 RGB; raises `ImageProblem` if that fails."""
    import cv2

    picture = _decode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    return picture[..., ::-1]


def same_picture(one: bytes, other: bytes) -> bool:
    """Tell whether two image files show the same pixels (as 8-bit RGB), whatever their compression."""
    if one == other:
        return True
    try:
        pictures = [decode_rgb(data) for data in (one, other)]
    except ImageProblem:
        return False
    return pictures[0].shape == pictures[1].shape and bool((pictures[0] == pictures[1]).all())
