"""``castle select``: diverse frames of videos."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from castle_core.cli.frames import project_for
from castle_core.cli.output import JsonFlag, TerminalTask, print_json, say

if TYPE_CHECKING:
    from castle_core.projects import Project, VideoEntry
    from castle_core.selection import Selection, SelectionConfig
    from castle_core.video import Video


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("select")(select)


def select(
    videos: Annotated[list[str], typer.Argument(metavar="VIDEO...", help="Video files, or names in the project.")],
    n: Annotated[int, typer.Option("-n", "--frames", min=1, help="Frames to choose in each video.")] = 20,
    method: Annotated[str, typer.Option(help="kmeans, kcenter, uniform, random or latents.")] = "kmeans",
    start: Annotated[str, typer.Option(help="Leave out what is before: 0.1, 90s, 00:01:30 or 1200f.")] = "0",
    stop: Annotated[str, typer.Option(help="Leave out what is from here on.")] = "1",
    exclude: Annotated[list[str] | None, typer.Option(help="Leave out an interval: 10s-20s. May be repeated.")] = None,
    min_gap: Annotated[int | None, typer.Option(min=1, help="Smallest distance between two picks, in frames.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same frames.")] = 0,
    exhaustive: Annotated[bool, typer.Option("--exhaustive", help="Look at every frame.")] = False,
    features: Annotated[str, typer.Option(help="What frames are compared by: gradients or pixels.")] = "gradients",
    latents: Annotated[
        str,
        typer.Option(
            help="For the method latents: an .npz file, a folder, or a kind of latents of the project. "
            "Default: the only kind that its videos have."
        ),
    ] = "",
    budget: Annotated[int | None, typer.Option(min=1, help="So many frames over all videos together.")] = None,
    minimum: Annotated[int, typer.Option(min=0, help="With a budget: frames of each video at least.")] = 0,
    maximum: Annotated[int | None, typer.Option(min=1, help="With a budget: frames of each video at most.")] = None,
    project: Annotated[
        str | None,
        typer.Option(help="Write the frames into this project (folder, or name in CASTLE_HOME); add to what is there."),
    ] = None,
    context: Annotated[int, typer.Option(min=0, help="With a project: frames on either side to write as well.")] = 2,
    json: JsonFlag = False,
) -> None:
    """Choose frames that differ as much as the animal's poses do. Writes nothing unless a project is given."""
    from castle_core.selection import SelectionConfig

    values: dict[str, Any] = {
        "n": n,
        "method": method,
        "features": features,
        "start": start,
        "stop": stop,
        "exclude": exclude or [],
        "min_gap": min_gap,
        "seed": seed,
        "exhaustive": exhaustive,
        "latents": Path(latents) if latents or method == "latents" else None,
    }
    config = SelectionConfig.from_json(values)
    opened, entries = _in_project(project, videos)
    with ExitStack() as stack:
        if opened is None:
            from castle_core.video import open_video

            paths = [_path_of(name) for name in videos]
            folders = {path.parent.parent for path in paths if path.parent.name == "videos"}
            home = next(iter(folders)) if len(folders) == 1 else None
            configs = _with_latents(config, latents, [path.stem for path in paths], home)
            readers = [stack.enter_context(open_video(path)) for path in paths]
            covered: list[Sequence[int]] = [()] * len(readers)
        else:
            configs = _with_latents(config, latents, [entry.stem for entry in entries], opened.path)
            readers = [stack.enter_context(opened.open_video(entry.stem)) for entry in entries]
            covered = [opened.covered(entry.stem) for entry in entries]
        selections = _choose(readers, covered, configs, budget, minimum, maximum)
    report = _report(selections, readers, joint=budget is not None)
    if opened is not None:
        report["written"] = _write(opened, entries, selections, configs, budget, context)
        report["directory"] = [str(opened.frames_folder(entry.stem)) for entry in entries]
    for selection in selections:
        for line in selection.warnings:
            say(f"Note: {line}")
    if json:
        print_json(report)
    else:
        _print(selections, joint=budget is not None)


def _path_of(name: str) -> Path:
    """Take a path as it is, or as one inside ``CASTLE_HOME``."""
    from castle_core.state import castle_home

    path = Path(name).expanduser()
    inside = castle_home() / name
    return inside if not path.exists() and inside.is_file() else path


def _in_project(project: str | None, videos: Sequence[str]) -> "tuple[Project | None, list[VideoEntry]]":
    if project is None:
        return None, []
    opened = project_for(project, videos)
    opened.require_writable()
    return opened, [opened.require_video(name) for name in videos]


def _with_latents(
    config: "SelectionConfig", latents: str, stems: Sequence[str], project: Path | None
) -> "list[SelectionConfig]":
    """Return the settings of each video, with the latents of their project where no file or folder was named."""
    from dataclasses import replace

    from castle_core.errors import ConfigError
    from castle_core.latent_files import choose_latents

    if config.method != "latents" or (latents and Path(latents).exists()):
        return [config] * len(stems)
    if project is None:
        raise ConfigError(
            f"There is no file of latents {latents}. Name one with --latents."
            if latents
            else "These videos are not in a project, so name their latents: --latents FILE.npz, or a folder."
        )
    found = choose_latents(project, stems, latents)
    return [replace(config, latents=found[stem]) for stem in stems]


def _choose(
    readers: "Sequence[Video]",
    covered: Sequence[Sequence[int]],
    configs: "Sequence[SelectionConfig]",
    budget: int | None,
    minimum: int,
    maximum: int | None,
) -> "list[Selection]":
    from castle_core.selection import select_frames, select_from_videos

    if budget is not None:
        task = TerminalTask(f"{len(readers)} videos")
        try:
            before = {str(video.path): frames for video, frames in zip(readers, covered, strict=True)}
            return select_from_videos(
                readers, configs, budget=budget, minimum=minimum, maximum=maximum, covered=before, task=task
            )
        finally:
            task.close()
    selections = []
    for video, config, frames in zip(readers, configs, covered, strict=True):
        task = TerminalTask(video.path.name)
        try:
            selections.append(select_frames(video, config, covered=frames, task=task))
        finally:
            task.close()
    return selections


def _report(selections: "Sequence[Selection]", readers: "Sequence[Video]", *, joint: bool) -> dict[str, Any]:
    """Build the JSON of the command; with several videos, coverage is the mean over them unless chosen jointly."""
    coverages = [selection.coverage.to_json() for selection in selections]
    coverage = coverages[0]
    if len(coverages) > 1 and not joint:
        coverage = {
            key: sum(each[key] for each in coverages) / len(coverages)
            for key in ("mean", "p95", "uniform_mean", "random_mean")
        }
    return {
        "picks": [pick.to_json() for selection in selections for pick in selection.picks],
        "coverage": coverage,
        "min_gap_used": min(selection.min_gap_used for selection in selections),
        "frames_decoded": sum(selection.frames_decoded for selection in selections),
        "videos": [
            {
                "video": video.path.name,
                "n_frames": video.n_frames,
                "n_picks": len(selection.picks),
                "coverage": each,
                "min_gap_used": selection.min_gap_used,
                "frames_decoded": selection.frames_decoded,
            }
            for video, selection, each in zip(readers, selections, coverages, strict=True)
        ],
        "warnings": [line for selection in selections for line in selection.warnings],
    }


def _write(
    project: "Project",
    entries: "Sequence[VideoEntry]",
    selections: "Sequence[Selection]",
    configs: "Sequence[SelectionConfig]",
    budget: int | None,
    context: int,
) -> int:
    from castle_core import frames

    written = 0
    round_id = frames.new_id()
    for entry, selection, config in zip(entries, selections, configs, strict=True):
        if not selection.picks:
            continue
        settings = {**config.to_json(), "context": context, **({"budget": budget} if budget is not None else {})}
        info = frames.new_round(
            config.method, settings=settings, seed=config.seed, coverage=selection.coverage.to_json(), id=round_id
        )
        task = TerminalTask(entry.name)
        try:
            result = frames.export_frames(
                project,
                entry.stem,
                selection.frame_indices,
                context=context,
                picks=selection.picks,
                round_info=info,
                task=task,
            )
        finally:
            task.close()
        written += len(result.written)
        say(f"{len(result.written)} frames written: {result.directory}")
    return written


def _print(selections: "Sequence[Selection]", *, joint: bool) -> None:
    for selection in selections:
        for pick in selection.picks:
            typer.echo(f"{pick.video}\t{pick.frame_index}\t{pick.time_s:.3f} s\t{pick.reason}")
        if not joint:
            say(selection.coverage.sentence(len(selection.picks)))
    if joint:
        say(selections[0].coverage.sentence(sum(len(selection.picks) for selection in selections)))
