"""``castle info``: what a video really holds."""

from pathlib import Path
from typing import Annotated

import typer

from castle_core.cli.output import JsonFlag, print_json


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""

    @app.command()
    def info(
        video: Annotated[Path, typer.Argument(metavar="VIDEO", help="A video file.")],
        json: JsonFlag = False,
    ) -> None:
        """Tell how many frames a video has, its size, rate and codec; the file's header is not believed."""
        from castle_core.video import open_video

        with open_video(video) as opened:
            facts = opened.info
        if json:
            print_json(facts.to_json())
            return
        rate = "variable frame rate" if facts.variable_frame_rate else "frames/s"
        typer.echo(f"{facts.path}")
        typer.echo(f"{facts.n_frames} frames of {facts.width}x{facts.height} pixels, {facts.duration_s:.3f} s")
        typer.echo(
            f"{facts.average_fps:.6g} {rate}, {facts.codec} ({facts.pixel_format}), {facts.n_keyframes} key frames"
        )
        if facts.truncated:
            typer.echo("The file breaks off before its end; the frames counted here are those that are whole.")
