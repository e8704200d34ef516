"""``castle labels``: labels out, in, and looked through. The exchange with Label Studio joins the same group."""

from pathlib import Path
from typing import Annotated

import typer

from castle_core.cli.output import JsonFlag, TerminalTask, print_json, say

group = typer.Typer(help="Labels: to other tools and back, and checks.", no_args_is_help=True)

ProjectOption = Annotated[str, typer.Option("--project", help="The project: a folder, or a name inside CASTLE_HOME.")]
ViewOption = Annotated[
    str | None, typer.Option("--view", help="Of several CollectedData_<view>.csv this one, such as top.")
]
_FORMATS = "lightning-pose, dlc, coco, slp, pkg-slp, label-studio or pictures."


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    app.add_typer(group, name="labels")


@group.command("export")
def export(
    project: ProjectOption,
    format_: Annotated[str, typer.Option("--format", help=_FORMATS)],
    out: Annotated[Path, typer.Option("--out", help="A new folder, or a .zip; for SLEAP a .slp or .pkg.slp.")],
    view: ViewOption = None,
    predictions: Annotated[
        str | None,
        typer.Option("--predictions", help="For label-studio: the model whose predictions become editable pre-labels."),
    ] = None,
    threshold: Annotated[
        float, typer.Option("--likelihood-threshold", help="Points of a smaller likelihood are no pre-labels.")
    ] = 0.0,
    json_: JsonFlag = False,
) -> None:
    """Write the project's labels and images for another tool."""
    from castle_core.labels.exporting import export_labels
    from castle_core.projects import Project

    task = TerminalTask("export")
    done = export_labels(
        Project.open(project),
        format_,
        out.absolute(),
        view=view,
        model=predictions,
        threshold=threshold,
        task=task,
    )
    task.close()
    for note in done.notes:
        say(note)
    if json_:
        print_json({"path": str(done.path), "format": format_, "frames": done.frames, "notes": list(done.notes)})
    else:
        say(f"{done.frames} labelled frames are in {done.path}")


@group.command("import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="CollectedData.csv, DeepLabCut's .h5, COCO .json, .slp, or a folder with labeled-data."
        ),
    ],
    project: ProjectOption,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave frames that are labelled here as they are; else the file's win.")
    ] = False,
    images: Annotated[
        bool,
        typer.Option("--images/--no-images", help="Bring images from beside the file or from the project's videos."),
    ] = True,
    view: ViewOption = None,
    json_: JsonFlag = False,
) -> None:
    """Merge labels of another tool into CollectedData.csv; rows that the file does not know stay."""
    from castle_core.labels.importing import import_labels
    from castle_core.projects import Project

    task = TerminalTask("import")
    done = import_labels(Project.open(project), file.absolute(), view=view, keep_ours=keep, images=images, task=task)
    task.close()
    if done.without_image:
        more = f" and {len(done.without_image) - 1} more" if len(done.without_image) > 1 else ""
        say(f"No image was found of {done.without_image[0]}{more}; the labels are in CollectedData.csv all the same.")
    if json_:
        print_json(
            {
                **done.merge.to_json(),
                "frames": done.frames,
                "images_copied": done.images_copied,
                "images_decoded": done.images_decoded,
                "without_image": list(done.without_image),
                "kept_ours": done.kept_ours,
            }
        )
    else:
        merge = done.merge
        say(f"{len(merge.added)} frames added, {len(merge.changed)} changed, {len(merge.unchanged)} as before.")


@group.command("check")
def check(
    project: ProjectOption,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Also write every labelled frame with its points: a new folder or .zip."),
    ] = None,
    threshold: Annotated[
        float, typer.Option(help="How far off the usual counts, in robust standard deviations.")
    ] = 4.0,
    view: ViewOption = None,
    json_: JsonFlag = False,
) -> None:
    """List labels that look wrong, the most suspicious first, and count labels by keypoint and video."""
    from castle_core.labels.check_project import check_project
    from castle_core.labels.exporting import export_labels
    from castle_core.projects import Project

    opened = Project.open(project)
    found = check_project(opened, view=view, threshold=threshold)
    if out is not None:
        task = TerminalTask("pictures")
        export_labels(opened, "pictures", out.absolute(), view=view, task=task)
        task.close()
    if json_:
        print_json({**found.to_json(), "pictures": str(out) if out is not None else None})
        return
    for note in found.notes:
        say(note)
    for each in found.suspicious:
        say(f"{each.frame}: {'; '.join(finding.text for finding in each.findings[:3])}")
    for video, (frames, points, none) in found.per_video.items():
        empty = f", {none} without an animal" if none else ""
        say(f"{video or 'labeled-data'}: {frames} frames, {points} points{empty}")
    for name, count in found.per_keypoint.items():
        say(f"{name}: {count} of {len(found.frames)}")
    say(f"{len(found.suspicious)} of {len(found.frames)} labelled frames look suspicious.")
