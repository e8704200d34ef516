"""Where in a project the frames of a zip belong, and what is already there."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from castle_core.errors import CastleError, NameRefusedError
from castle_core.files import safe_name
from castle_core.zips.directory import zip_stem
from castle_core.zips.report import Findings

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from castle_core.projects import Project

_VIDEO_SUFFIXES = {".mp4", ".avi", ".mov", ".mkv", ".m4v", ".webm", ".mpg", ".mpeg", ".wmv", ".mts", ".ts", ".h264"}
_COPY = re.compile(r"^(.+?)(?: ?\(\d+\)| - Copy|_copy)$")


@dataclass
class Target:
    """The video that a zip's frames belong to, as far as the project knows it.

    Attributes
    ----------
    video : str
        The stem; frames go to ``labeled-data/<video>``. Empty if the zip's name is no name for a folder.
    n_frames : int or None
        Number of frames of the video; None if it is not in the project or cannot be read.
    video_name : str
        File name of the video; empty if it is not in the project.
    size : (int, int) or None
        Width and height of the video in pixels.
    times_s : ndarray of float64, shape (n_frames,), or None
        When each frame is shown, in seconds.
    existing : dict of int to Path
        The images of this video that are in the project, by frame index.
    """

    video: str
    n_frames: int | None = None
    video_name: str = ""
    size: tuple[int, int] | None = None
    times_s: "npt.NDArray[np.float64] | None" = None
    existing: dict[int, Path] = field(default_factory=dict)


def find_target(name: str, project: "Project | None", findings: Findings) -> Target:
    """Work out the video of a zip from the zip's name.

    A name such as ``session.mp4.zip``, or one that differs from a video of the project only in upper and lower case, is
    offered as a fix; a name that only resembles one ("session (1)") is mentioned.

    Parameters
    ----------
    name : str
        The zip's file name.
    project : Project or None
        Where it would be imported; without one only the name is checked.
    findings : Findings
        Gets what is wrong with the name.

    Returns
    -------
    Target
    """
    stem = zip_stem(name)
    try:
        stem = safe_name(stem.strip())
    except NameRefusedError as error:
        findings.error("video-name", name, str(error), "Name the zip like its video: <video>.zip.")
        return Target("")
    if stem.startswith("."):
        findings.error("video-name", name, "The name starts with a dot.", "Name the zip like its video: <video>.zip.")
        return Target("")
    if not name.lower().endswith(".zip"):
        findings.fixable(
            "video-name", name, "The name does not end in .zip.", f"It is read as a zip of the video {stem!r}."
        )
    if Path(stem).suffix.lower() in _VIDEO_SUFFIXES and Path(stem).stem:
        stem = Path(stem).stem
        findings.fixable(
            "video-name", name, "The name holds the video's file type.", f"Its frames go to the video {stem!r}."
        )
    if project is None:
        return Target(stem)
    return _in_project(stem, name, project, findings)


def _in_project(stem: str, name: str, project: "Project", findings: Findings) -> Target:
    from castle_core.frames import images_by_index

    videos = {entry.stem: entry.name for entry in project.videos()}
    known = [*videos, *project.frame_folders()]
    if stem not in known:
        twin = next((other for other in known if other.casefold() == stem.casefold()), None)
        if twin is not None:
            findings.fixable(
                "video-name",
                name,
                f"The project calls this video {twin!r}, in other upper and lower case.",
                f"Its frames go to the video {twin!r}.",
            )
            stem = twin
    folder = project.frames_folder(stem)
    existing = {index: folder / file for index, file in images_by_index(folder).items()}
    target = Target(stem, existing=existing)
    if stem in videos:
        target.video_name = videos[stem]
        _look_at_video(target, name, project, findings)
        return target
    copied = _COPY.match(stem)
    similar = copied[1] if copied and copied[1] in known else None
    findings.warning(
        "video-missing",
        name,
        f"The project has no video {stem!r}, so the frames cannot be compared with it.",
        f"Should it belong to {similar!r}? Then rename the zip to {similar}.zip."
        if similar
        else "Fine if you only want to label. Otherwise name the zip like its video.",
    )
    return target


def _look_at_video(target: Target, name: str, project: "Project", findings: Findings) -> None:
    try:
        with project.open_video(target.video) as video:
            target.n_frames, target.size = video.n_frames, (video.width, video.height)
            target.times_s = video.times_s
    except CastleError as error:
        findings.warning(
            "video-missing", name, f"The video cannot be read: {error}", "The frames are not compared with it."
        )
