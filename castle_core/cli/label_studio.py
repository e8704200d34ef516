"""``castle labels push`` and ``castle labels pull``: frames to a Label Studio and finished labels back."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from castle_core.cli.output import JsonFlag, TerminalTask, print_json, say

if TYPE_CHECKING:
    from castle_core.label_studio import LabelStudio
    from castle_core.projects import Project

TOKEN_VARIABLE = "LABEL_STUDIO_TOKEN"

_ProjectOption = Annotated[str, typer.Option("--project", help="The project: a folder, or a name inside CASTLE_HOME.")]
_Url = Annotated[
    str | None, typer.Option("--url", help="Address of the Label Studio; by default the one that was used last.")
]
_Token = Annotated[
    str | None,
    typer.Option(
        "--token", help=f"Its token: legacy or personal access token. Better: {TOKEN_VARIABLE}, --token-file."
    ),
]
_TokenFile = Annotated[Path | None, typer.Option("--token-file", help="A file with the token.")]
_LsProject = Annotated[
    int | None,
    typer.Option(
        "--ls-project", help="Number of the Label Studio project; by default the one used before, or a new one."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands to the group ``labels``, which is made if it is not there yet."""
    labels = next((group.typer_instance for group in app.registered_groups if group.name == "labels"), None)
    if labels is None:
        labels = typer.Typer(help="Labels: to Label Studio and back.", no_args_is_help=True)
        app.add_typer(labels, name="labels")
    labels.command("push")(push_labels)
    labels.command("pull")(pull_labels)


def push_labels(
    project: _ProjectOption,
    url: _Url = None,
    token: _Token = None,
    token_file: _TokenFile = None,
    ls_project: _LsProject = None,
    video: Annotated[
        list[str] | None, typer.Option("--video", help="Only frames of this video; may be repeated.")
    ] = None,
    round_: Annotated[
        list[str] | None, typer.Option("--round", help="Only frames of this round (its id); may be repeated.")
    ] = None,
    frame: Annotated[
        list[str] | None,
        typer.Option("--frame", help="Only this frame: labeled-data/<video>/<image>; may be repeated."),
    ] = None,
    predictions: Annotated[
        str | None, typer.Option("--predictions", help="The model whose predictions become editable pre-labels.")
    ] = None,
    threshold: Annotated[
        float, typer.Option("--likelihood-threshold", help="Points of a smaller likelihood are not sent.")
    ] = 0.0,
    update_predictions: Annotated[
        bool,
        typer.Option("--update-predictions", help="Replace the pre-labels of tasks that nobody has worked on."),
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Send the project's frames to Label Studio: pictures, pre-labels, and the labels that are there already.

    What is there is not sent again: after an interruption, run the same command once more.
    """
    from castle_core.label_studio import PushConfig, push
    from castle_core.projects import Project

    opened = Project.open(project)
    config = PushConfig(
        ls_project=ls_project,
        videos=tuple(video) if video else None,
        rounds=tuple(round_) if round_ else None,
        frames=tuple(frame) if frame else None,
        model=predictions,
        threshold=threshold,
        update_predictions=update_predictions,
    )
    task = TerminalTask("pushing")
    with _server(opened, url, token, token_file) as server:
        try:
            report = push(opened, server, config, task)
        finally:
            task.close()
    if json:
        print_json(report.to_json())
        return
    for line in report.warnings:
        say(f"Note: {line}")
    say(
        f"{report.created} frames sent ({report.labelled} with their labels, {report.predictions} with pre-labels), "
        f"{report.skipped} were there already"
        + (f", pre-labels of {report.updated} replaced" if update_predictions else "")
        + "."
    )
    say(f"Label them at {report.link}")


def pull_labels(
    project: _ProjectOption,
    url: _Url = None,
    token: _Token = None,
    token_file: _TokenFile = None,
    ls_project: _LsProject = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Read every labelled task again, not only what changed since the last time.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Bring finished labels into CollectedData.csv: merged with what is there, nothing lost."""
    from castle_core.label_studio import pull
    from castle_core.projects import Project

    opened = Project.open(project)
    task = TerminalTask("pulling")
    with _server(opened, url, token, token_file) as server:
        try:
            report = pull(opened, server, ls_project=ls_project, everything=everything, task=task)
        finally:
            task.close()
    if json:
        print_json(report.to_json())
        return
    for line in report.warnings:
        say(f"Note: {line}")
    for detail in report.details[:20]:
        say(f"  {detail['frame']}: {detail['note']}")
    if len(report.details) > 20:
        say(f"  and {len(report.details) - 20} more (--json lists all)")
    say(
        f"{report.labelled} labelled, {report.empty} without animal, {report.skipped} skipped, {report.open} open. "
        f"{len(report.added)} frames are new in CollectedData.csv, {len(report.changed)} changed."
    )
    for row in report.statistics:
        if row["accepted"] or row["corrected"]:
            median = row["median_correction_px"]
            moved = "" if median is None else f", moved by {median:.1f} px (median)"
            say(
                f"  {row['keypoint']}: {row['accepted']} accepted, {row['corrected']} corrected{moved}, "
                f"{row['new']} new"
            )


def _server(project: "Project", url: str | None, token: str | None, token_file: Path | None) -> "LabelStudio":
    from castle_core.errors import LabelStudioError
    from castle_core.label_studio import LabelStudio

    address = url or str(project.settings("label_studio").get("url") or "")
    if not address:
        raise LabelStudioError("Give the address of the Label Studio with --url.")
    if token_file is not None:
        try:
            token = token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise LabelStudioError(
                f"Cannot read the token from {token_file}. Give a text file with it alone."
            ) from error
    token = token or os.environ.get(TOKEN_VARIABLE, "")
    if not token:
        raise LabelStudioError(f"Give the token in {TOKEN_VARIABLE}, or with --token-file or --token.")
    return LabelStudio(address, token)
