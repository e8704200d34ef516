"""``castle demo``: make a complete made-up project."""

import os
import re
from pathlib import Path
from typing import Annotated

import typer

from castle_core.cli.output import JsonFlag, TerminalTask, print_json, say


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""

    @app.command()
    def demo(
        project: Annotated[
            str, typer.Argument(metavar="PROJECT", help="Folder of the new project, or its name inside CASTLE_HOME.")
        ],
        seconds: Annotated[float, typer.Option(help="Length of each video in seconds; hours are fine.")] = 60.0,
        size: Annotated[str, typer.Option(help="Width x height in pixels.")] = "640x480",
        seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same project.")] = 0,
        videos: Annotated[int, typer.Option(min=1, help="How many videos.")] = 2,
        encoder: Annotated[bool, typer.Option(help="Write the tiny visual model encoders/tiny-dinov2.")] = True,
        json: JsonFlag = False,
    ) -> None:
        """Make a complete made-up project: videos of an animal, exact masks and keypoints, predictions, a zip."""
        from castle_core.demo import make_demo

        path = _project_path(project)
        task = TerminalTask("demo")
        made = make_demo(
            path, seconds=seconds, size=_size(size), seed=seed, n_videos=videos, encoder=encoder, task=task
        )
        task.close()
        if json:
            print_json(made)
        else:
            say(f"{len(made['videos'])} videos of {made['n_frames']} frames in {made['project']}")


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"\s*(\d{1,5})\s*[x×*]\s*(\d{1,5})\s*", text)
    if match is None:
        raise typer.BadParameter(f"{text!r} is not a size. Write width x height, e.g. 640x480.")
    return int(match[1]), int(match[2])


def _project_path(name: str) -> Path:
    """Take a path as it is; a bare name lies inside ``CASTLE_HOME``."""
    from castle_core.files import safe_name
    from castle_core.state import castle_home

    path = Path(name).expanduser()
    if path.is_absolute() or os.sep in name or name in {".", ".."}:
        return path.absolute()
    return castle_home() / safe_name(name)
