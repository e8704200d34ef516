"""``castle rois track``: follow drawn ROIs through videos."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from castle_core.cli.output import Failed, JsonFlag, TerminalTask, print_json, say

if TYPE_CHECKING:
    from castle_core.prompts import Prompt

_NUMBER = r"-?\d+(?:\.\d*)?"
_BOX = re.compile(rf"(\d+):(\d+):({_NUMBER}),({_NUMBER}),({_NUMBER}),({_NUMBER})")
_POINT = re.compile(rf"(\d+):(\d+):({_NUMBER}),({_NUMBER})(:neg)?")
_MASK = re.compile(r"(\d+):(.+)")


def track(
    project: Annotated[str, typer.Option("--project", help="The project: a folder, or a name inside CASTLE_HOME.")],
    video: Annotated[list[str], typer.Option("--video", help="The video: its file name or stem; repeat for more.")],
    tracker: Annotated[
        str, typer.Option(help="background (a camera that stands still; no download) or sam2.")
    ] = "background",
    box: Annotated[
        list[str] | None, typer.Option(metavar="FRAME:ROI:X0,Y0,X1,Y1", help="A box; repeat for more.")
    ] = None,
    point: Annotated[
        list[str] | None,
        typer.Option(metavar="FRAME:ROI:X,Y[:neg]", help="A point on the ROI, or (neg) beside it; for sam2."),
    ] = None,
    mask: Annotated[
        list[str] | None,
        typer.Option(metavar="FRAME:FILE.png", help="A picture whose values are ROI IDs, of the video's size."),
    ] = None,
    prompts_from: Annotated[
        str | None, typer.Option(help="Video whose drawings serve those without their own. Default: the first.")
    ] = None,
    start: Annotated[str, typer.Option(help="0.2, 90s, 00:01:30.5 or 1200f.")] = "0",
    stop: Annotated[str, typer.Option(help="End of the range, not included.")] = "1",
    direction: Annotated[str, typer.Option(help="forward, backward or both, from the drawn frame.")] = "both",
    from_frame: Annotated[
        int | None, typer.Option(help="Start from the drawing on this frame. Default: the first in the range.")
    ] = None,
    until_next_prompt: Annotated[
        bool, typer.Option("--until-next-prompt", help="Stop at the next frame with a drawing.")
    ] = False,
    model: Annotated[
        str, typer.Option(help="SAM 2: a hub id, or owner/model@revision, or a folder.")
    ] = "facebook/sam2.1-hiera-small",
    json_: JsonFlag = False,
) -> None:
    """Follow what is drawn, here or on the page, and write track/<video file>/mask_list.h5.

    Drawings given here are saved in the project, on the first video; without any, the saved ones are taken.
    """
    from castle_core.errors import CastleError
    from castle_core.projects import Project
    from castle_core.prompts import prompts_path, save_prompts
    from castle_core.ranges import parse_bound
    from castle_core.tracking.run import track_videos
    from castle_core.tracking.settings import TrackSettings

    opened = Project.open(project)
    drawn = _drawings(box or [], point or [], mask or [])
    first = opened.video(video[0]).stem
    before = _Drawings(prompts_path(opened, first)) if drawn else None
    with opened.open_video(first) as timed:
        bounds = [parse_bound(text).to_frame(timed.times_s, timed.n_frames) for text in (start, stop)]
        ends: Any = None if bounds[1] == timed.n_frames else bounds[1]
    settings = TrackSettings(
        tracker=tracker,  # type: ignore[arg-type]
        start=bounds[0] or None,
        stop=ends,
        direction=direction,  # type: ignore[arg-type]
        from_frame=from_frame,
        until_next_prompt=until_next_prompt,
        model=model,
    )
    task = TerminalTask("tracking")
    try:
        for frame_index in sorted({prompt.frame_index for prompt in drawn}):
            save_prompts(opened, first, frame_index, [p for p in drawn if p.frame_index == frame_index])
        report = track_videos(opened, video, settings, prompts_from=prompts_from or first, task=task)
        if before and not report["tracked"]:
            before.put_back()
    except CastleError:
        if before:  # what cannot be followed must not take the place of what was drawn before
            before.put_back()
        raise
    finally:
        task.close()
    if json_:
        print_json(report)
    else:
        for one in report["tracked"]:
            for roi, lost in one["lost"].items():
                say(f"{one['video']}: ROI {roi} in {one['frames'] - lost} of {one['frames']} frames")
            say(one["path"])
    for failure in report["failed"]:
        say(f"castle: {failure['video']}: {failure['reason']}")
    if report["failed"]:
        raise Failed


class _Drawings:
    """A video's drawings as they are on the disk now, with their pictures."""

    def __init__(self, path: Path) -> None:
        self._path = path
        found = [path, *(path.parent / "prompts").glob("*.png")]
        self._files = {each: each.read_bytes() for each in found if each.is_file()}

    def put_back(self) -> None:
        from castle_core.files import atomic_path

        if self._path not in self._files:
            self._path.unlink(missing_ok=True)
        for path, content in reversed(self._files.items()):  # the document last: it names the pictures
            with atomic_path(path) as temporary:
                temporary.write_bytes(content)


def _drawings(boxes: list[str], points: list[str], masks: list[str]) -> "list[Prompt]":
    from castle_core.prompts import Prompt

    drawn: list[Prompt] = []
    for text in masks:
        found = _MASK.fullmatch(text.strip())
        if found is None:
            raise typer.BadParameter(f"{text!r} is no mask. Write FRAME:FILE.png, as in 143:mask.png.")
        drawn += _read_mask(int(found[1]), Path(found[2]))
    for text in boxes:
        found = _BOX.fullmatch(text.strip())
        if found is None:
            raise typer.BadParameter(f"{text!r} is no box. Write FRAME:ROI:X0,Y0,X1,Y1, as in 0:1:120,80,240,200.")
        drawn.append(Prompt(int(found[1]), int(found[2]), "box", [float(found[k]) for k in range(3, 7)]))
    for text in points:
        found = _POINT.fullmatch(text.strip())
        if found is None:
            raise typer.BadParameter(f"{text!r} is no point. Write FRAME:ROI:X,Y or FRAME:ROI:X,Y:neg.")
        place = [[float(found[3]), float(found[4])]]
        drawn.append(Prompt(int(found[1]), int(found[2]), "point", place, found[5] is None))
    return drawn


def _read_mask(frame_index: int, path: Path) -> "list[Prompt]":
    import cv2
    import numpy as np

    from castle_core.errors import RoiError
    from castle_core.prompts import Prompt

    try:
        picture = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    except (OSError, cv2.error):
        picture = None
    if picture is None or picture.ndim != 2 or picture.dtype != np.uint8:
        raise RoiError(f"{path} is no mask: it must be a grey picture (8 bit) whose values are ROI ids, 0 elsewhere.")
    if not picture.any():
        raise RoiError(f"{path} is empty: no pixel has a ROI id (1 to 255).")
    return [Prompt(frame_index, int(roi), "mask", picture == roi) for roi in np.unique(picture) if roi]
