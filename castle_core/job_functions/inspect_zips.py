"""The job that looks at zips of frames and writes nothing: the dry run before an import."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from castle_core.progress import Task
from castle_core.projects import Project

PROBLEMS_SHOWN = 20


def inspect_zips(task: Task, *, project: str, owner: str, zips: Sequence[dict[str, str]]) -> dict[str, Any]:
    """Look at zips that are to be imported together (see `castle_core.zips.inspect_zips`).

    Parameters
    ----------
    task : Task
    project : str
        The project's folder.
    owner : str
        Unused; every job function has it.
    zips : sequence of dict
        Each with ``path``, the file, and ``name``, what its user calls it.

    Returns
    -------
    dict
        ``reports``, one a zip: ``name``, ``video``, ``ok``, ``fixable``, the counts ``frames``, ``context_frames`` and
        ``other_frames``, and ``groups`` of problems of one kind: ``severity``, ``title``, ``count`` and the first
        `PROBLEMS_SHOWN` as ``{file, problem, fix, severity}``.
    """
    from castle_core.zips import ZipSource
    from castle_core.zips import inspect_zips as inspect

    del owner
    sources = [ZipSource(Path(each["path"]), each["name"]) for each in zips]
    reports = inspect(sources, Project.open(project), task=task)
    return {
        "reports": [
            {
                "name": report.name,
                "video": report.video,
                "ok": report.ok,
                "fixable": report.fixable,
                "frames": report.frames,
                "context_frames": report.context_frames,
                "other_frames": report.other_frames,
                "groups": [
                    {
                        "severity": group.severity,
                        "title": group.title,
                        "count": len(group.problems),
                        "problems": [problem.to_json() for problem in group.problems[:PROBLEMS_SHOWN]],
                    }
                    for group in report.groups()
                ],
            }
            for report in reports
        ]
    }
