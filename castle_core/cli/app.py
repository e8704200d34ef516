"""Put the commands together. Command modules import what they need inside their functions, so that --help is quick."""

import importlib
import sys
from typing import Annotated

import typer

from castle_core import __version__
from castle_core.cli.output import run_app

# One module a command; each has `register(app)`.
_COMMAND_MODULES: list[str] = [
    "demo",
    "frames",
    "import_zip",
    "info",
    "jobs",
    "labels",
    "label_studio",
    "latents",
    "models",
    "rois",
    "select",
    "serve",
    "users",
    "suggest",
]

app = typer.Typer(
    name="castle",
    help="Frames worth labelling, labels there and back, and latents of tracked animals.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"castle-studio {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    debug: Annotated[bool, typer.Option("--debug", help="Show the full traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    del debug, version  # --debug is read by `run_app` from the arguments, --version by its callback


for _name in _COMMAND_MODULES:
    importlib.import_module(f"castle_core.cli.{_name}").register(app)


def main() -> None:
    """Run the command line; the exit code is 0, 1 (something failed) or 2 (wrong usage)."""
    sys.exit(run_app(app, sys.argv[1:]))
