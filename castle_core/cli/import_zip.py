"""``castle import-zip``: zips of frames into a project, after a report of every problem."""

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from castle_core.cli.output import Failed, JsonFlag, TerminalTask, print_json, say

if TYPE_CHECKING:
    from castle_core.projects import Project
    from castle_core.zips import ZipImport, ZipReport

_SHOWN = 5  # files named for each kind of problem; --json names all
_MARKS = {"error": "✗", "fixable": "✎", "warning": "!"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="import-zip")(import_zip)


def import_zip(
    zips: Annotated[list[Path], typer.Argument(metavar="ZIP...", help="Zips of frames, each named <video>.zip.")],
    project: Annotated[str, typer.Option("--project", help="The project: a folder, or a name inside CASTLE_HOME.")],
    fix: Annotated[bool, typer.Option("--fix", help="Accept the fixes that the report offers.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only report; write nothing.")] = False,
    json_: JsonFlag = False,
) -> None:
    """Import zips of frames into labeled-data/<video>, after a report of every problem.

    A zip in the strict form (img00000143.png … and selected_frames.csv, see docs/zip-of-frames.md) is imported as it
    is. Others are refused, or imported with --fix where a safe fix exists. Nothing is written unless all zips are
    accepted.
    """
    from castle_core.zips import ZipSource, import_zips, inspect_zips

    opened = _open(project, create=False)
    sources = [ZipSource(path, path.name) for path in zips]
    task = TerminalTask("checking")
    reports = inspect_zips(sources, opened, task=task)
    task.close()
    accepted = all(report.fixable if fix else report.ok for report in reports)
    imports: tuple[ZipImport, ...] = ()
    for report in reports:
        _say_report(report, fix=fix)
    if accepted and not dry_run:
        opened = opened or _open(project, create=True)
        assert opened is not None
        task = TerminalTask("importing")
        imports = import_zips(opened, sources, fix=fix, owner=_user_name(), task=task)
        task.close()
        for done in imports:
            say(_done_line(done))
    if json_:
        print_json(_to_json(reports, imports, fix=fix))
    if not accepted:
        if not json_ and not fix and all(report.fixable for report in reports):
            say("castle: nothing was imported. Run again with --fix to accept the fixes.")
        else:
            say("castle: nothing was imported.")
        raise Failed


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def _open(project: str, *, create: bool) -> "Project | None":
    """Open the project; one that does not exist yet is made only when something is to be written."""
    from castle_core.projects import Project, is_unused, resolve_project_path

    if create:
        return Project.open_or_create(project)[0]
    path = resolve_project_path(project)
    if is_unused(path):
        return None
    return Project.open(project)


def _say_report(report: "ZipReport", *, fix: bool) -> None:
    others = f", {report.other_frames} others" if report.other_frames else ""
    counts = f"{report.frames} frames to label, {report.context_frames} context frames{others}"
    say(f"{report.name}: {counts} → {report.video}")
    labels = {"error": "To do", "fixable": "Fixed" if fix else "With --fix", "warning": "Note"}
    for group in report.groups():
        say(f"  {_MARKS[group.severity]} {group.title}")
        for problem in group.problems[:_SHOWN]:
            say(f"      {problem.file}: {problem.problem}")
        if len(group.problems) > _SHOWN:
            say(f"      … and {len(group.problems) - _SHOWN} more like this (--json lists all)")
        for line in dict.fromkeys(problem.fix for problem in group.problems[:_SHOWN]):
            say(f"      {labels[group.severity]}: {line}")


def _done_line(done: "ZipImport") -> str:
    kept = f", {len(done.kept)} were there already" if done.kept else ""
    return (
        f"{done.report.name}: {len(done.written)} frames to label and {len(done.context_written)} context frames "
        f"written to {done.directory}{kept}."
    )


def _to_json(reports: "tuple[ZipReport, ...]", imports: "tuple[ZipImport, ...]", *, fix: bool) -> dict[str, Any]:
    each = [report.to_json(fix=fix) for report in reports]
    problems = [
        {**problem, "zip": report.name}
        for report, value in zip(reports, each, strict=True)
        for problem in value["problems"]
    ]
    return {
        "ok": all(value["ok"] for value in each),
        "problems": problems,
        "fixes": [line for value in each for line in value["fixes"]],
        "frames": sum(report.frames for report in reports),
        "context_frames": sum(report.context_frames for report in reports),
        "other_frames": sum(report.other_frames for report in reports),
        "zips": [
            {key: value[key] for key in ("zip", "video", "ok", "frames", "context_frames", "other_frames")}
            for value in each
        ],
        "imported": [
            {
                "zip": done.report.name,
                "video": done.video,
                "written": list(done.written),
                "kept": list(done.kept),
                "context_written": list(done.context_written),
                "directory": str(done.directory),
                "round_id": done.round_id,
            }
            for done in imports
        ],
    }
