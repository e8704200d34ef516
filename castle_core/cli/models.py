"""``castle models``: which visual models are here, what a download needs, and how to bring one along."""

from pathlib import Path
from typing import Annotated, Any

import typer

from castle_core.cli.output import JsonFlag, print_json, say


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(help="Visual models: which are here, and how to get one.", no_args_is_help=True)
    group.command("list")(list_models)
    group.command("get")(get)
    group.command("add")(add)
    app.add_typer(group, name="models")


def list_models(json_: JsonFlag = False) -> None:
    """List the visual models and whether they can run here."""
    from castle_core.encoders import DEFAULT_ENCODER, ENCODERS, encoder_status, models_folder

    rows: list[dict[str, Any]] = []
    for name, info in ENCODERS.items():
        status = encoder_status(name)
        rows.append(
            {
                "name": name,
                "state": status.state,
                "size_bytes": status.size_bytes,
                "where": status.where,
                "advice": status.advice,
                "default": name == DEFAULT_ENCODER,
                "embed_dim": info.embed_dim,
                "input_size": info.input_size,
                "help": info.help,
            }
        )
    if json_:
        print_json({"models": rows, "folder": str(models_folder())})
        return
    for row in rows:
        size = f"{row['size_bytes'] / 1e6:.0f} MB" if row["size_bytes"] else ""
        typer.echo(f"{row['name']:<30} {row['state']:<9} {size:>8}  {row['help']}")
        if row["advice"]:
            typer.echo(f"{'':<30} {row['advice']}")


def get(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name of `castle models list`, or a hub id.")],
) -> None:
    """Download a model and pin the version that came."""
    from castle_core.encoders import get_model

    say(f"{name} is in {get_model(name)}")


def add(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A folder saved by transformers, or a .pth checkpoint.")],
) -> None:
    """Copy a model into the models' folder, after checking that it loads."""
    from castle_core.encoders import add_model

    say(f"{path.name} is in {add_model(path)}")
