"""``castle rois``: masks of tracked animals into a project."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from castle_core.cli.output import JsonFlag, TerminalTask, print_json, say
from castle_core.cli.track import track

if TYPE_CHECKING:
    from castle_core.roi_files import RoiReport

ProjectOption = Annotated[str, typer.Option("--project", help="The project: a folder, or a name inside CASTLE_HOME.")]
VideoOption = Annotated[str, typer.Option("--video", help="The video: its file name or stem.")]


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(help="Masks of tracked animals (ROIs).", no_args_is_help=True)
    group.command("import")(import_)
    group.command("from-points")(from_points)
    group.command("track")(track)
    app.add_typer(group, name="rois")


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CASTLE's mask_list.h5.")],
    project: ProjectOption,
    video: VideoOption,
    json_: JsonFlag = False,
) -> None:
    """Copy CASTLE's masks to a video of the project, after checking that they fit."""
    from castle_core.projects import Project
    from castle_core.roi_files import import_masks

    task = TerminalTask("masks")
    report = import_masks(Project.open(project), video, file, task=task)
    task.close()
    _say(report, json_)


def from_points(
    project: ProjectOption,
    video: VideoOption,
    predictions: Annotated[Path, typer.Option(help="Predicted keypoints: Lightning Pose, DeepLabCut or SLEAP.")],
    keypoints: Annotated[str, typer.Option(help="Names, with commas: nose,neck,tailbase.")],
    shape: Annotated[str, typer.Option(help="disc, hull or capsule.")] = "disc",
    radius: Annotated[float, typer.Option(help="Radius in pixels.")] = 20.0,
    roi: Annotated[int, typer.Option(help="ROI ID, 1 to 255.")] = 1,
    likelihood_threshold: Annotated[float, typer.Option(help="Keypoints below count as missing.")] = 0.6,
    json_: JsonFlag = False,
) -> None:
    """Draw a ROI around predicted keypoints and write it as the video's masks; other ROIs stay."""
    from castle_core.projects import Project
    from castle_core.roi_files import masks_from_points

    if shape not in ("disc", "hull", "capsule"):
        raise typer.BadParameter(f"The shape is disc, hull or capsule, not {shape!r}.")
    task = TerminalTask("masks")
    report = masks_from_points(
        Project.open(project),
        video,
        predictions,
        keypoints=tuple(name.strip() for name in keypoints.split(",") if name.strip()),
        shape=shape,  # type: ignore[arg-type]
        radius=radius,
        roi_id=roi,
        likelihood_threshold=likelihood_threshold,
        task=task,
    )
    task.close()
    _say(report, json_)


def _say(report: "RoiReport", json_: bool) -> None:
    if json_:
        lost = {str(roi): count for roi, count in report.lost.items()}
        print_json({"frames": report.frames, "rois": list(report.rois), "lost": lost, "path": str(report.path)})
        return
    for roi in report.rois:
        say(f"ROI {roi}: in {report.frames - report.lost[roi]} of {report.frames} frames")
    say(f"{report.path}")
