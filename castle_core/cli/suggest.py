"""``castle suggest``: the frames that a pose model finds hard."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from castle_core.cli.output import JsonFlag, TerminalTask, print_json, say

if TYPE_CHECKING:
    from castle_core.hard_frames import HardSelection, Source


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""

    @app.command()
    def suggest(
        predictions: Annotated[
            list[Path] | None,
            typer.Option(help="Prediction file; give more of the same video to use where models disagree."),
        ] = None,
        video: Annotated[
            list[str] | None, typer.Option(help="The video; with --project names of videos, by default all.")
        ] = None,
        project: Annotated[str | None, typer.Option(help="Project that holds model and videos.")] = None,
        model: Annotated[str | None, typer.Option(help="Model of the project, e.g. 2026-01-12/09-30-00.")] = None,
        metrics: Annotated[
            list[Path] | None, typer.Option(help="Metric file of Lightning Pose; may be given several times.")
        ] = None,
        labels: Annotated[Path | None, typer.Option(help="CollectedData.csv: what usual poses are.")] = None,
        config: Annotated[
            Path | None, typer.Option(help="The model's config.yaml: which keypoints the PCA uses.")
        ] = None,
        individual: Annotated[str | None, typer.Option(help="Only this animal.")] = None,
        n: Annotated[int, typer.Option("-n", min=1, help="Frames; over several videos all of them together.")] = 20,
        minimum: Annotated[int, typer.Option(min=0, help="At least so many frames of each video.")] = 0,
        maximum: Annotated[int | None, typer.Option(min=1, help="At most so many frames of each video.")] = None,
        start: Annotated[str, typer.Option(help="0.1, 90s, 00:01:30.5 or 1200f.")] = "0",
        stop: Annotated[str, typer.Option(help="As --start; the frame at it is left out.")] = "1",
        exclude: Annotated[list[str] | None, typer.Option(help="A-B, an interval to leave out.")] = None,
        min_gap: Annotated[int | None, typer.Option(min=1, help="Smallest distance of two frames.")] = None,
        seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same frames.")] = 0,
        likelihood_threshold: Annotated[
            float, typer.Option(min=0.0, max=1.0, help="A keypoint at or above it is sure.")
        ] = 0.9,
        json: JsonFlag = False,
    ) -> None:
        """Suggest the frames that a pose model finds hard; nothing is written."""
        from castle_core.hard_frames import suggest_from_videos
        from castle_core.job_functions.suggest import suggest_config

        settings = {
            "n": n,
            "start": start,
            "stop": stop,
            "exclude": exclude or None,
            "min_gap": min_gap,
            "seed": seed,
            "likelihood_threshold": likelihood_threshold,
        }
        wish = suggest_config(settings)
        task = TerminalTask("suggest")
        with contextlib.ExitStack() as stack:
            if model is not None:
                if project is None or predictions:
                    raise typer.BadParameter("--model goes with --project, and without --predictions.")
                sources = stack.enter_context(_of_project(project, model, video or []))
            else:
                if not predictions:
                    raise typer.BadParameter("Give --predictions, or --project and --model.")
                if video is not None and len(video) > 1:
                    raise typer.BadParameter("--predictions belong to one --video.")
                path = video[0] if video else None
                files = _Files(predictions, metrics or [], labels, config, individual)
                sources = [_of_files(files, path, project, stack)]
            selections = suggest_from_videos(sources, wish, minimum=minimum, maximum=maximum, task=task)
        task.close()
        _tell(selections, json=json)


@dataclass(frozen=True)
class _Files:
    """What was given on the command line."""

    predictions: list[Path]
    metrics: list[Path]
    labels: Path | None
    config: Path | None
    individual: str | None


def _of_project(project: str, model: str, videos: list[str]) -> Any:
    from castle_core.projects import Project
    from castle_core.suggestions import project_sources

    return project_sources(Project.open(project), model, videos)


def _of_files(files: _Files, video: str | None, project: str | None, stack: contextlib.ExitStack) -> "Source":
    from castle_core.hard_frames import Source
    from castle_core.predictions import check_frame_count, load_predictions, metrics_by_name
    from castle_core.projects import Project
    from castle_core.score_frames import Knowledge

    owner = Project.open(project) if project is not None else None
    opened = entry = None
    if video is not None:
        if owner is not None:
            entry = owner.video(video)
            opened = stack.enter_context(owner.open_video(entry.stem))
        else:
            from castle_core.video import open_video

            opened = stack.enter_context(open_video(Path(video)))
    name = Path(video).name if video else None
    first, *others = [
        load_predictions(path, individual=files.individual, video_name=name) for path in files.predictions
    ]
    note = check_frame_count(first, opened.n_frames, name or "the video") if opened is not None else None
    labels = files.labels
    if labels is None and owner is not None:
        from castle_core.labelled import label_files

        labels = next(iter(label_files(owner.path)), None)
    return Source(
        name=name or files.predictions[0].name,
        predictions=first,
        knowledge=Knowledge(metrics_by_name(files.metrics), labels, files.config, tuple(others)),
        times_s=opened.times_s if opened is not None else None,
        fps=float(opened.average_fps) if opened is not None else float("nan"),
        covered=tuple(owner.covered(entry.stem)) if owner is not None and entry is not None else (),
        video=opened,
        notes=(note,) if note else (),
    )


def _tell(selections: "list[HardSelection]", *, json: bool) -> None:
    picks = [pick for selection in selections for pick in selection.picks]
    many = len(selections) > 1
    warnings = [f"{s.video}: {line}" if many else line for s in selections for line in s.warnings]
    if json:
        print_json(
            {
                "picks": [pick.to_json() for pick in picks],
                "min_gap_used": min(selection.min_gap_used for selection in selections),
                "frames_decoded": sum(selection.frames_decoded for selection in selections),
                "n_hard": sum(selection.n_hard for selection in selections),
                "score_sources": {selection.video: selection.sources for selection in selections},
                "warnings": warnings,
            }
        )
    for line in warnings:
        say(f"castle: {line}")
    if not json:
        for pick in picks:
            typer.echo(f"{pick.video}\t{pick.frame_index}\t{pick.reason}")
