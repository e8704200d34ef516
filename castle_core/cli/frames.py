"""``castle export-frames``: chosen frames as PNG files in a project."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from castle_core.cli.output import JsonFlag, TerminalTask, print_json, say

if TYPE_CHECKING:
    from castle_core.projects import Project


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("export-frames")(export_frames)


def export_frames(
    video: Annotated[str, typer.Argument(metavar="VIDEO", help="A video file, or the name of one in the project.")],
    project: Annotated[str, typer.Option("--project", help="The project: its folder, or its name in CASTLE_HOME.")],
    indices: Annotated[str, typer.Option("--indices", help="Frames to write, as 143,1156,34567.")],
    context: Annotated[int, typer.Option("--context", min=0, help="Frames on either side to write as well.")] = 2,
    name: Annotated[
        str | None, typer.Option("--name", help="What a new video is called in the project, without its ending.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Write frames of a video as PNG files and add them to its selected_frames.csv."""
    from castle_core import frames

    wanted = parse_indices(indices)
    opened = project_for(project, [video], wanted)
    entry = opened.require_video(video, name)
    task = TerminalTask(entry.name)
    try:
        result = frames.export_frames(opened, entry.stem, wanted, context=context, task=task)
    finally:
        task.close()
    say(f"{len(result.written)} frames written, {len(result.kept)} were there: {result.directory}")
    if as_json:
        report: dict[str, Any] = {
            "video": entry.name,
            "written": list(result.written),
            "kept": list(result.kept),
            "context_written": list(result.context_written),
            "directory": str(result.directory),
            "warnings": list(result.warnings),
        }
        print_json(report)


def project_for(project: str, videos: Sequence[str], frame_indices: Sequence[int] = ()) -> "Project":
    """Open a project, or make it if it is not there yet and all `videos` can be read and have these frames.

    So a mistyped name of a project, or a frame that is not there, does not leave an empty project behind.
    """
    from castle_core.errors import ProjectError
    from castle_core.frames.export import check_frame_indices
    from castle_core.projects import Project, is_unused, resolve_project_path
    from castle_core.video import open_video
    from castle_core.video.container import open_container

    path = resolve_project_path(project)
    if is_unused(path):
        for video in videos:
            if not Path(video).is_file():
                raise ProjectError(
                    f"There is no project {path} yet, and no file {video} to make it of. Check both names."
                )
            open_container(Path(video))[0].close()
            if frame_indices:
                with open_video(Path(video)) as film:
                    check_frame_indices(frame_indices, film.n_frames, Path(video).name)
    opened, is_new = Project.open_or_create(project)
    if is_new:
        say(f"Made a new project: {opened.path}")
    return opened


def parse_indices(text: str) -> list[int]:
    """Read ``143,1156`` as frame indices; anything else is wrong usage."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() and len(part) <= 12 for part in parts):
        raise typer.BadParameter(
            f"{text!r} is not a list of frame indices. Write whole numbers with commas: 143,1156,34567.",
            param_hint="--indices",
        )
    return [int(part) for part in parts]
