"""Importing zips of frames: all of a zip or nothing, as one round that can be undone."""

import contextlib
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from castle_core.errors import ZipError
from castle_core.progress import QUIET, Task
from castle_core.zips.images import ImageProblem
from castle_core.zips.inspection import Inspection, inspect_stream, inspect_zip, open_stream
from castle_core.zips.limits import LIMITS, ZipLimits
from castle_core.zips.report import Problem, ZipRefusedError, ZipReport
from castle_core.zips.selected import CONTEXT

if TYPE_CHECKING:
    from castle_core.frames import RoundFrame, RoundInfo
    from castle_core.projects import Project


@dataclass(frozen=True)
class ZipSource:
    """A zip and the name that its user gave it, which an upload's temporary file does not have."""

    path: Path
    name: str


@dataclass(frozen=True)
class ZipImport:
    """What the import of one zip has done.

    Attributes
    ----------
    report : ZipReport
        The dry run that it followed.
    video : str
        The stem of the video; the frames are in ``labeled-data/<video>``.
    written : tuple of int
        Frames that are to be labelled now and were not before.
    kept : tuple of int
        Frames that were to be labelled already.
    context_written : tuple of int
        Other images that are new.
    directory : Path
        The folder with the frames.
    round_id : str
        The round in ``selection.json``, for undo.
    """

    report: ZipReport
    video: str
    written: tuple[int, ...]
    kept: tuple[int, ...]
    context_written: tuple[int, ...]
    directory: Path
    round_id: str


def import_zip(
    project: "Project",
    path: Path | str,
    *,
    fix: bool = False,
    name: str | None = None,
    owner: str = "",
    limits: ZipLimits = LIMITS,
    task: Task = QUIET,
) -> ZipImport:
    """Import one zip of frames into ``labeled-data/<video>`` (see `import_zips`)."""
    source = ZipSource(Path(path), name or Path(path).name)
    return import_zips(project, [source], fix=fix, owner=owner, limits=limits, task=task)[0]


def inspect_zips(
    sources: Sequence[ZipSource],
    project: "Project | None" = None,
    *,
    limits: ZipLimits = LIMITS,
    task: Task = QUIET,
) -> tuple[ZipReport, ...]:
    """Look at several zips that are to be imported together (see `inspect_zip`); each must belong to another video.

    Raises
    ------
    ZipError
        If a file cannot be opened at all.
    """
    reports: list[ZipReport] = []
    videos: set[str] = set()
    for source in sources:
        report = inspect_zip(source.path, project, name=source.name, limits=limits, task=task)
        reports.append(_refuse_second(report, videos))
        videos.add(report.video)
    return tuple(reports)


def import_zips(
    project: "Project",
    sources: Sequence[ZipSource],
    *,
    fix: bool = False,
    owner: str = "",
    round_id: str | None = None,
    limits: ZipLimits = LIMITS,
    task: Task = QUIET,
) -> tuple[ZipImport, ...]:
    """Import zips of frames, one for each video, as one round.

    First all zips are looked at; if one is refused, nothing of any is written. Then each is written in one step: a
    process that dies leaves all frames of a zip or none, and running it again completes the rest. Images that are there
    stay, and frames that are selected already stay in the round that picked them, so importing a zip twice changes
    nothing.

    Parameters
    ----------
    project : Project
    sources : sequence of ZipSource
        The zips, each of another video.
    fix : bool
        Accept the offered fixes. Without it a zip that needs any is refused.
    owner : str
        Who imports, for ``selection.json``.
    round_id : str, optional
        The round that the frames belong to; a new one by default.
    limits : ZipLimits
        What is too much.
    task : Task
        Progress in images, first looked at, then written, zip by zip.

    Returns
    -------
    tuple of ZipImport
        In the order of `sources`.

    Raises
    ------
    ZipRefusedError
        If a zip is refused or needs fixes that are not accepted; its `report` says everything.
    ZipError, ProjectError, LockHeldError
        If a zip cannot be opened, or the project not be written.
    """
    from castle_core.frames import new_round

    project.require_writable()
    with contextlib.ExitStack() as streams:
        looked_at: list[tuple[Inspection, zipfile.ZipFile]] = []
        videos: set[str] = set()
        for source in sources:
            stream = streams.enter_context(open_stream(source.path))
            inspection, archive = inspect_stream(stream, source.name, project, limits=limits, task=task)
            report = _refuse_second(inspection.report, videos)
            if archive is None or not (report.fixable if fix else report.ok):
                raise ZipRefusedError(_refusal(report, fix=fix), report)
            videos.add(report.video)
            looked_at.append((inspection, archive))
        names = [source.name for source in sources]
        info = new_round("zip", settings={"zips": names, "fix": fix}, who=owner, id=round_id)
        return tuple(_store(project, inspection, archive, info, task) for inspection, archive in looked_at)


def _refuse_second(report: ZipReport, videos: set[str]) -> ZipReport:
    if report.video not in videos:
        return report
    second = Problem(
        "video-name",
        report.name,
        f"Another zip of this import also belongs to the video {report.video!r}.",
        "Import one after the other, so that they can be compared.",
        "error",
    )
    return replace(report, problems=(second, *report.problems))


def _refusal(report: ZipReport, *, fix: bool) -> str:
    if report.fixable and not fix:
        return (
            f"{report.name} was not imported: {report.first_error()} Accept the fixes to import it, or make a new zip."
        )
    return f"{report.name} was refused and nothing was written: {report.first_error()}"


def _store(
    project: "Project", inspection: Inspection, archive: zipfile.ZipFile, info: "RoundInfo", task: Task
) -> ZipImport:
    from castle_core.frames import store_frames

    report, target = inspection.report, inspection.target
    by_index = {frame.frame_index: frame for frame in inspection.contents.frames}

    def images(needed: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        for frame_index in needed:
            if frame_index not in by_index:
                continue
            try:
                yield frame_index, inspection.image(archive, by_index[frame_index])
            except ImageProblem as problem:  # it was whole a moment ago
                raise ZipError(
                    f"{report.name} changed while it was imported; nothing of it was written. Import it again."
                ) from problem

    stored = store_frames(
        project,
        target.video,
        [_round_frame(frame_index, inspection) for frame_index in inspection.selected],
        images,
        context_indices=(*report.context_frame_indices, *report.other_frame_indices),
        context=CONTEXT,
        round_info=info,
        video_name=target.video_name,
        task=task,
    )
    return ZipImport(
        report=report,
        video=target.video,
        written=stored.written,
        kept=stored.kept,
        context_written=stored.context_written,
        directory=stored.directory,
        round_id=info.id,
    )


def _round_frame(frame_index: int, inspection: Inspection) -> "RoundFrame":
    from castle_core.frames import RoundFrame

    times_s = inspection.target.times_s
    time_s = None if times_s is None else float(times_s[frame_index])
    return RoundFrame(frame_index, "", time_s, f"from {inspection.report.name}")
