"""Which pictures of a project can go to Label Studio: the selected frames and the labelled ones."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from castle_core.errors import LabelError, LabelStudioError
from castle_core.files import nfc
from castle_core.labelled import frame_index_of
from castle_core.labels.images import image_file, image_size, size_of
from castle_core.labels.model import folder_and_name

if TYPE_CHECKING:
    from castle_core.projects import Project

_SHOWN = {".png", ".jpg", ".jpeg", ".bmp"}


@dataclass(frozen=True)
class Picture:
    """One frame on disk.

    Attributes
    ----------
    lp_path : str
        Its identity: the path inside the project, ``labeled-data/<stem>/<name>``, NFC.
    path : Path
        The file, which may be missing.
    video : str
        Stem of its video; empty for pictures that lie flat in ``labeled-data``.
    frame_index : int or None
        The number in its name.
    """

    lp_path: str
    path: Path
    video: str
    frame_index: int | None

    @property
    def order(self) -> tuple[str, int, str]:
        """Sorts by video and frame."""
        return self.video, -1 if self.frame_index is None else self.frame_index, self.lp_path


def picture_at(project: "Project", lp_path: str) -> Picture:
    """Return the picture of a path inside the project, given with ``/`` between its parts.

    The path is the identity as it stands: ``img0012.png`` and ``img00000012.png`` are two frames.

    Raises
    ------
    LabelError
        If it leads out of the project.
    """
    frame = nfc("/".join(part for part in lp_path.split("/") if part))
    folder, name = folder_and_name(frame)
    return Picture(frame, image_file(project, frame), folder, frame_index_of(name))


def project_pictures(project: "Project", labelled: Collection[str] = ()) -> list[Picture]:
    """Return the selected frames of all videos and the labelled ones, each once, sorted by video and frame.

    Parameters
    ----------
    project : Project
    labelled : collection of str
        Paths (lp_path) of frames that have labels.
    """
    paths = {
        f"labeled-data/{stem}/{nfc(name)}"
        for stem in project.frame_folders()
        for name in project.selected(stem).values()
    }
    found = [picture_at(project, path) for path in paths | {nfc(path) for path in labelled}]
    return sorted(found, key=lambda picture: picture.order)


def choose_pictures(
    project: "Project",
    pictures: Sequence[Picture],
    *,
    videos: Collection[str] | None = None,
    rounds: Collection[str] | None = None,
    frames: Collection[str] | None = None,
) -> list[Picture]:
    """Keep the pictures of these videos (stems), of these rounds (ids) and of this list (lp_path); None keeps all."""
    kept = list(pictures)
    if videos is not None:
        stems = {nfc(video) for video in videos}
        kept = [picture for picture in kept if picture.video in stems]
    if rounds is not None:
        from castle_core.frames import list_rounds

        of_rounds = {
            (stem, index)
            for each in list_rounds(project)
            if each.info.id in rounds
            for stem, indices in each.frames.items()
            for index in indices
        }
        kept = [picture for picture in kept if (picture.video, picture.frame_index) in of_rounds]
    if frames is not None:
        paths = {nfc(path) for path in frames}
        kept = [picture for picture in kept if picture.lp_path in paths]
    return kept


def read_picture(picture: Picture) -> tuple[bytes, tuple[int, int], str]:
    """Return a picture's bytes, its (width, height) in pixels, and its SHA-256.

    Raises
    ------
    LabelError
        If it is missing, is no picture, or is of a kind that browsers do not show.
    """
    if picture.path.suffix.lower() not in _SHOWN:
        raise LabelStudioError(f"{picture.lp_path} is a {picture.path.suffix} file, which browsers do not show.")
    try:
        data = picture.path.read_bytes()
    except OSError as error:
        raise LabelStudioError(f"{picture.lp_path} cannot be read: {error.strerror}.") from error
    return data, size_of(data, picture.lp_path), hashlib.sha256(data).hexdigest()


def picture_size(picture: Picture) -> tuple[int, int] | None:
    """Return (width, height) of a picture on disk; None if it is not there or cannot be read."""
    try:
        return image_size(picture.path)
    except LabelError:
        return None


def picture_sha(picture: Picture) -> str | None:
    """Return the SHA-256 of a picture on disk; None if it is not there."""
    try:
        with picture.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
