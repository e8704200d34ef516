"""The images of frames in ``labeled-data``: where they are, how large, and what is in them."""

import struct
from pathlib import Path
from typing import TYPE_CHECKING

from castle_core.errors import LabelError
from castle_core.files import nfc
from castle_core.labels.model import LABELED_DATA, folder_and_name

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from castle_core.projects import Project

_PNG, _HEAD = b"\x89PNG\r\n\x1a\n", 24


def image_file(project: "Project", frame: str) -> Path:
    """Return where the image of a frame is or would be.

    Raises
    ------
    LabelError
        If its path leads out of the project.
    """
    folder, name = folder_and_name(frame)
    parts = [part for part in folder.split("/") if part]
    if not frame.startswith(f"{LABELED_DATA}/") or any(part in {".", ".."} for part in [*parts, name]):
        raise LabelError(f"{frame!r} is not an image in {LABELED_DATA}. Correct its row in the label file.")
    home = project.path / LABELED_DATA
    home = project.frames_folder(parts[0]) if len(parts) == 1 else home.joinpath(*parts)
    path = home / name
    if not path.exists() and not name.isascii() and home.is_dir():
        return next((other for other in home.iterdir() if nfc(other.name) == name), path)
    return path


def two_images(project: "Project", one: str, other: str) -> bool:
    """Say whether two frames are both on disk: then they are two, even if only their zero-padding differs."""
    return image_file(project, one).is_file() and image_file(project, other).is_file()


def image_size(path: Path) -> tuple[int, int]:
    """Return (width, height) of an image in pixels; of a PNG only the header is read.

    Raises
    ------
    LabelError
        If there is no such image, or it cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
            return size_of(head if head.startswith(_PNG) else head + file.read(), str(path))
    except OSError as error:
        raise LabelError(f"The image {path} cannot be read: {error.strerror}.") from error


def size_of(data: bytes, name: str) -> tuple[int, int]:
    """Return (width, height) of an image in memory; of a PNG its first 24 bytes are enough.

    Raises
    ------
    LabelError
        If it is none, or damaged; the message calls it `name`.
    """
    if data.startswith(_PNG) and data[12:16] == b"IHDR" and len(data) >= _HEAD:
        width, height = struct.unpack(">II", data[16:_HEAD])
        if width and height:
            return int(width), int(height)
    height, width, _ = _decoded(data, name).shape
    return int(width), int(height)


def read_image(path: Path) -> "npt.NDArray[np.uint8]":
    """Return an image, (H, W, 3) uint8, RGB.

    Raises
    ------
    LabelError
        If it cannot be read.
    """
    import numpy as np

    try:
        data = path.read_bytes()
    except OSError as error:
        raise LabelError(f"The image {path} cannot be read: {error.strerror}.") from error
    return np.ascontiguousarray(_decoded(data, str(path))[:, :, ::-1])


def _decoded(data: bytes, name: str) -> "npt.NDArray[np.uint8]":
    """Return an image, (H, W, 3) uint8, BGR."""
    import cv2
    import numpy as np

    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if pixels is None:
        raise LabelError(f"{name} is no picture, or is damaged. Write or copy it again.")
    return np.asarray(pixels, np.uint8)
