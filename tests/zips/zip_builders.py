"""Small zips of frames for the tests."""

import io
import struct
import zipfile
from pathlib import Path

import cv2
import numpy as np

WINDOWS = [*range(141, 146), *range(1154, 1159), *range(34565, 34570)]
SELECTED = [143, 1156, 34567]


def picture(frame_index: int, *, size=(12, 8)) -> np.ndarray:
    """An image (height, width, 3) that differs for every frame index below 2**24."""
    image = np.full((size[1], size[0], 3), frame_index % 199, np.uint8)
    image[0, 0] = [frame_index & 255, frame_index >> 8 & 255, frame_index >> 16 & 255]
    return image


def png(frame_index: int, *, size=(12, 8)) -> bytes:
    return bytes(cv2.imencode(".png", picture(frame_index, size=size))[1])


def encode(suffix: str, image: np.ndarray) -> bytes:
    return bytes(cv2.imencode(suffix, image)[1])


def name(frame_index: int) -> str:
    return f"img{frame_index:08d}.png"


def csv(frame_indices) -> bytes:
    return "".join(f"{name(index)}\n" for index in frame_indices).encode()


def documented() -> dict[str, bytes]:
    """The example of the documentation, as name → content."""
    files = {name(index): png(index) for index in WINDOWS}
    files["selected_frames.csv"] = csv(SELECTED)
    return files


def write_zip(path: Path, files, *, compression=zipfile.ZIP_DEFLATED) -> Path:
    """Write a zip; `files` maps names (or ZipInfo) to contents, or is a list of such pairs."""
    pairs = files.items() if isinstance(files, dict) else files
    with zipfile.ZipFile(path, "w", compression) as archive:
        for key, content in pairs:
            archive.writestr(key, content)
    return path


def zip_bytes(files) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, content in files.items() if isinstance(files, dict) else files:
            archive.writestr(key, content)
    return stream.getvalue()


def png_header(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG that promises a size and holds no pixels."""
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">2I5B", width, height, depth, colour, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


def kinds(report, severity=None) -> set[str]:
    return {p.kind for p in report.problems if severity in {None, p.severity}}
