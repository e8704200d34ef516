"""Do the frames of a zip look like the frames of the project's video that their numbers say?

Many programs count frames from 1, and zips get the names of other videos. Both give labels on the wrong frames, which
no check of names can find; so a few images are compared with what the video holds there.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from castle_core.errors import CastleError
from castle_core.zips.images import ImageProblem, decode_rgb
from castle_core.zips.names import ZippedFrame
from castle_core.zips.report import Findings
from castle_core.zips.target import Target

if TYPE_CHECKING:
    from castle_core.projects import Project

_N_COMPARED = 5
_OFFSETS = (0, -1, 1)
_SAME_LEVELS = 0.05  # mean grey levels below which two pictures are one
_CLEARLY = 0.5  # a neighbour must fit so much better: compression adds the same to all
_OTHER_LEVELS = 40.0  # two pictures of one scene differ by less


def compare_with_video(
    project: "Project",
    target: Target,
    frames: list[ZippedFrame],
    image: Callable[[ZippedFrame], bytes],
    findings: Findings,
) -> None:
    """Compare a few images with the video's frames of the same, the previous and the next index.

    Parameters
    ----------
    project : Project
        The project with the video.
    target : Target
        The video; nothing is done if it is not in the project, cannot be read or has another size.
    frames : list of ZippedFrame
        The zip's images, checked.
    image : callable
        Gives the PNG of one of them.
    findings : Findings
        Gets a warning if all compared images look like the neighbouring frame, or like another video.
    """
    if target.n_frames is None or target.size is None or not frames:
        return
    places = np.linspace(0, len(frames) - 1, _N_COMPARED).round().astype(int)
    chosen = [frames[place] for place in sorted(set(places.tolist()))]
    try:
        differences = np.array([_differences(project, target, frame, image(frame)) for frame in chosen])
    except (CastleError, ImageProblem):
        return  # what cannot be decoded is reported elsewhere
    if np.isnan(differences).all(axis=0).any():
        return
    at_index = differences[:, 0]
    for column, offset in enumerate(_OFFSETS):
        other = differences[:, column]
        if offset and (at_index > _SAME_LEVELS).all() and (other < _CLEARLY * at_index).all():
            findings.warning(
                "video-offset",
                chosen[0].file,
                f"The images look like the video's frames numbered {'one lower' if offset < 0 else 'one higher'}; "
                f"{chosen[0].base} like frame {chosen[0].frame_index + offset}.",
                "Frames count from 0. Was the zip made by a program that counts from 1?",
            )
            return
    if (np.nanmin(differences, axis=1) > _OTHER_LEVELS).all():
        findings.warning(
            "video-offset",
            chosen[0].file,
            f"The images do not look like the video {target.video!r} at these frames.",
            "Is the zip named like the right video, and are its frames numbered from the video's start?",
        )


def _differences(project: "Project", target: Target, frame: ZippedFrame, png: bytes) -> npt.NDArray[np.float64]:
    """Return the mean absolute difference (grey levels) to the frames at each of `_OFFSETS`; NaN outside the video."""
    assert target.n_frames is not None
    mine = _grey(decode_rgb(png))
    found = np.full(len(_OFFSETS), np.nan)
    inside = [i for i, offset in enumerate(_OFFSETS) if 0 <= frame.frame_index + offset < target.n_frames]
    with project.open_video(target.video) as video:
        batch = video.frames_at([frame.frame_index + _OFFSETS[i] for i in inside])
        for i, picture in zip(inside, batch.data, strict=True):
            found[i] = np.abs(_grey(picture) - mine).mean()
    return found


def _grey(rgb: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    grey: npt.NDArray[np.float32] = rgb.mean(axis=2, dtype=np.float32)
    return grey
