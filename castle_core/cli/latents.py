"""``castle latents``: one vector a frame for tracked ROIs, points or whole frames."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from castle_core.cli.output import Failed, JsonFlag, TerminalTask, print_json, say

if TYPE_CHECKING:
    from castle_core.projects import Project


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(latents)


def latents(
    project: Annotated[str, typer.Option("--project", help="The project: a folder, or a name inside CASTLE_HOME.")],
    encoder: Annotated[str, typer.Option(help="Visual model: a name of `castle models list`, a folder, or a hub id.")],
    video: Annotated[
        list[str] | None, typer.Option(help="A video of the project; repeat for more. Default: all.")
    ] = None,
    roi: Annotated[
        list[int] | None, typer.Option(help="ROI ID; repeat for several in one pass; 0 is the whole frame.")
    ] = None,
    center_roi: Annotated[int | None, typer.Option(help="Centre the picture on this ROI.")] = None,
    crop: Annotated[str, typer.Option(help="Width x height of the crop, with --center-roi.")] = "300x300",
    tail_roi: Annotated[int | None, typer.Option(help="Rotate so that this ROI points down.")] = None,
    tail_point: Annotated[str, typer.Option(help="nearest (as CASTLE) or centroid (steadier).")] = "nearest",
    remove_background: Annotated[
        str | None, typer.Option(help="Keep all ROIs (all) or only the pooled one (roi).")
    ] = None,
    smooth: Annotated[
        bool, typer.Option("--smooth", help="Smooth centre and angle over 0.1 s, without delay.")
    ] = False,
    fill_gaps: Annotated[
        int, typer.Option(min=0, help="Interpolate the crop over so many frames without the ROI.")
    ] = 0,
    letterbox: Annotated[bool, typer.Option("--letterbox", help="Keep the aspect ratio, pad with black.")] = False,
    pooling: Annotated[
        list[str] | None, typer.Option(help="roi-mean, cls, global, point or none; repeat for more.")
    ] = None,
    points: Annotated[
        list[str] | None,
        typer.Option(help="Point: a name under points/, a file frame,x,y, MODEL:KEYPOINT, or PREDICTIONS:KEYPOINT."),
    ] = None,
    interpolation: Annotated[str, typer.Option(help="bilinear or nearest, with --pooling point.")] = "bilinear",
    input_size: Annotated[int | None, typer.Option(help="Edge of the model's input in pixels.")] = None,
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")] = "auto",
    batch_size: Annotated[str, typer.Option(help="Frames in one pass of the model, or auto: what fits.")] = "32",
    start: Annotated[str, typer.Option(help="0.2, 90s, 00:01:30.5 or 1200f.")] = "0",
    stop: Annotated[str, typer.Option(help="End of the range, not included.")] = "1",
    every: Annotated[int, typer.Option(help="Every so many frames.")] = 1,
    skip_existing: Annotated[bool, typer.Option(help="Leave files that hold the same already.")] = True,
    keep_both: Annotated[
        bool, typer.Option("--keep-both", help="Keep files made with other settings beside new ones.")
    ] = False,
    rotation: Annotated[
        bool, typer.Option("--rotation", help="Rotation latent: the mean over turned pictures.")
    ] = False,
    angles: Annotated[int, typer.Option(help="How many turns, with --rotation.")] = 7,
    stack: Annotated[bool, typer.Option("--stack", help="Keep every turn, with --rotation.")] = False,
    crop_video: Annotated[bool, typer.Option("--crop-video", help="Write the crop as a video too.")] = False,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or cuda:1. Default: a GPU if there is one.")] = None,
    json_: JsonFlag = False,
) -> None:
    """Write latent/<encoder>/<video>_ROI_<id>_<encoder>….npz, a row a frame, NaN where nothing was seen."""
    from castle_core.latents.config import ExtractConfig
    from castle_core.latents.run import run_extractions
    from castle_core.preprocess import Preprocess
    from castle_core.projects import Project
    from castle_core.ranges import parse_bound

    opened = Project.open(project)
    width, height = _size(crop)
    poolings: Any = tuple(pooling or (["point"] if points else ["roi-mean"]))
    # Points without a crop need no ROI, hence no masks.
    default_roi = 0 if set(poolings) == {"point"} and center_roi is None and remove_background is None else 1
    config = ExtractConfig(
        encoder=_project_encoder(opened, encoder),
        roi_ids=tuple(roi or (default_roi,)),
        preprocess=Preprocess(
            center_roi=center_roi,
            crop_width=width,
            crop_height=height,
            tail_roi=tail_roi,
            tail_point=tail_point,  # type: ignore[arg-type]
            remove_background=remove_background,  # type: ignore[arg-type]
            smooth_s=0.1 if smooth else 0.0,
            fill_gaps=fill_gaps,
            letterbox=letterbox,
        ),
        poolings=poolings,
        points=tuple(points or ()),
        interpolation=interpolation,  # type: ignore[arg-type]
        input_size=input_size,
        precision=precision,  # type: ignore[arg-type]
        batch_size=_batch_size(batch_size),
        start=parse_bound(start),
        stop=parse_bound(stop),
        every=every,
    )
    task = TerminalTask("latents")
    report = run_extractions(
        opened,
        video,
        config,
        rotation=angles if rotation else 0,
        stack=stack,
        crop_video=crop_video,
        skip_existing=skip_existing,
        when_different="keep-both" if keep_both else "recompute",
        device=device,
        task=task,
    )
    task.close()
    if json_:
        print_json(report)
    for failure in report["failed"]:
        say(f"castle: {failure['video']}: {failure['reason']}")
    if report["failed"]:
        raise Failed


def _project_encoder(project: "Project", name: str) -> str:
    """Return the folder of a model that lies in the project's ``encoders/`` and is meant by its name; else the name."""
    from castle_core.encoders.table import ENCODERS

    folder = project.path / "encoders" / name.removeprefix("encoders/")
    known = name in ENCODERS or Path(name).exists()
    return str(folder) if not known and (folder / "config.json").is_file() else name


def _batch_size(text: str) -> int | None:
    if text.strip().lower() == "auto":
        return None
    try:
        return int(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no batch size. Write a number, or auto.") from error


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"\s*(\d{1,5})\s*[x×]\s*(\d{1,5})\s*", text)
    if match is None:
        raise typer.BadParameter(f"{text!r} is not a size. Write width x height, e.g. 300x300.")
    return int(match[1]), int(match[2])
