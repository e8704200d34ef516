"""``castle export-frames``: chosen frames as PNG files in a project."""

from typing import Annotated, Any

import typer

from castle_core.cli.output import JsonFlag, TerminalTask, print_json, say


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("export-frames")(export_frames)


def export_frames(
    video: Annotated[str, typer.Argument(help="A video file, or the name of one in the project.")],
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
    from castle_core.projects import Project

    wanted = parse_indices(indices)
    opened, is_new = Project.open_or_create(project)
    if is_new:
        say(f"Made a new project: {opened.path}")
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


def parse_indices(text: str) -> list[int]:
    """Read ``143,1156`` as frame indices; anything else is wrong usage."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() and len(part) <= 12 for part in parts):
        raise typer.BadParameter(
            f"{text!r} is not a list of frame indices. Write whole numbers with commas: 143,1156,34567.",
            param_hint="--indices",
        )
    return [int(part) for part in parts]
