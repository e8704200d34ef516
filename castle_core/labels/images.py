"""The images of labelled frames on disk: where they are, and how large."""

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

_PNG = b"\x89PNG\r\n\x1a\n"


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


def image_size(path: Path) -> tuple[int, int]:
    """Return (width, height) of an image in pixels; of a PNG only the header is read.

    Raises
    ------
    LabelError
        If there is no such image, or it cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(24)
    except OSError as error:
        raise LabelError(f"The image {path} of a labelled frame cannot be read: {error.strerror}.") from error
    if len(head) == 24 and head.startswith(_PNG):
        width, height = struct.unpack(">II", head[16:24])
        if width and height:
            return int(width), int(height)
    pixels = read_image(path)
    return int(pixels.shape[1]), int(pixels.shape[0])


def read_image(path: Path) -> "npt.NDArray[np.uint8]":
    """Return an image, (H, W, 3) uint8, RGB.

    Raises
    ------
    LabelError
        If it cannot be read.
    """
    import cv2
    import numpy as np

    try:
        pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    except (OSError, cv2.error) as error:
        raise LabelError(f"The image {path} of a labelled frame cannot be read. Copy it again.") from error
    if pixels is None:
        raise LabelError(f"The image {path} of a labelled frame is damaged. Copy it again.")
    return np.ascontiguousarray(pixels[:, :, ::-1], np.uint8)
