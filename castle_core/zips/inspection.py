"""The dry run of a zip of frames: everything is looked at, nothing is written."""

import shutil
import struct
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from castle_core.errors import ZipError
from castle_core.progress import QUIET, Task
from castle_core.zips.directory import check_entries, open_zip
from castle_core.zips.images import ImageFacts, ImageProblem, check_image, convert_image, same_picture
from castle_core.zips.limits import LIMITS, ZipLimits
from castle_core.zips.matching import compare_with_video
from castle_core.zips.names import CSV_NAME, Contents, ZippedFrame, classify, is_frame_name, is_junk
from castle_core.zips.report import Findings, ZipReport, frame_list
from castle_core.zips.selected import check_context, context_window, derive_selected, read_selected
from castle_core.zips.target import Target, find_target

if TYPE_CHECKING:
    from castle_core.projects import Project

_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    struct.error,
    ValueError,
    OSError,
)


@dataclass
class Inspection:
    """What the import needs to know beyond the report."""

    target: Target
    contents: Contents = field(default_factory=Contents)
    facts: dict[int, ImageFacts] = field(default_factory=dict)
    selected: tuple[int, ...] = ()
    small_16: bool = False
    report: ZipReport = field(default_factory=lambda: ZipReport("", "", ()))

    def image(self, archive: zipfile.ZipFile, frame: ZippedFrame) -> bytes:
        """Return one frame as the PNG that is stored."""
        return convert_image(read_entry(archive, frame.entry), self.facts[frame.frame_index], small_16=self.small_16)


def inspect_zip(
    path: Path | str,
    project: "Project | None" = None,
    *,
    name: str | None = None,
    limits: ZipLimits = LIMITS,
    task: Task = QUIET,
) -> ZipReport:
    """Look at a zip of frames and report everything that an import would meet. Nothing is written.

    Every image is unpacked and checked completely, one at a time, so that a report without errors means that the import
    will work.

    Parameters
    ----------
    path : Path or str
        The zip.
    project : Project, optional
        Where it would be imported. Then frames are compared with the project's video and with the images already there.
    name : str, optional
        The zip's name as the user gave it, where `path` is an upload's temporary name.
    limits : ZipLimits
        What is too much.
    task : Task
        Progress in images.

    Returns
    -------
    ZipReport

    Raises
    ------
    ZipError
        If the file cannot be opened at all.
    """
    path = Path(path)
    with open_stream(path) as stream:
        return inspect_stream(stream, name or path.name, project, limits=limits, task=task)[0].report


def open_stream(path: Path) -> BinaryIO:
    """Open a zip for reading, or say in one line why not."""
    try:
        return path.open("rb")
    except OSError as error:
        raise ZipError(
            f"{path} cannot be opened: {error.strerror or error}. Check the name and the permissions."
        ) from error


def inspect_stream(
    stream: BinaryIO, name: str, project: "Project | None", *, limits: ZipLimits, task: Task
) -> tuple[Inspection, zipfile.ZipFile | None]:
    """Do the work of `inspect_zip` on an open file; the open archive comes along for the import."""
    findings = Findings()
    target = find_target(name, project, findings)
    inspection = Inspection(target)
    archive = open_zip(stream, name, limits, findings)
    if archive is not None:
        _inspect_archive(inspection, archive, stream, name, project, limits, findings, task)
    rest = {frame.frame_index for frame in inspection.contents.frames} - set(inspection.selected)
    windows = {near for index in inspection.selected for near in context_window(index, None)}
    inspection.report = ZipReport(
        name,
        target.video,
        findings.sorted(),
        frame_indices=inspection.selected,
        context_frame_indices=tuple(sorted(rest & windows)),
        other_frame_indices=tuple(sorted(rest - windows)),
    )
    return inspection, archive


def _inspect_archive(
    inspection: Inspection,
    archive: zipfile.ZipFile,
    stream: BinaryIO,
    name: str,
    project: "Project | None",
    limits: ZipLimits,
    findings: Findings,
    task: Task,
) -> None:
    entries = archive.infolist()
    sound = check_entries(entries, name, stream.seek(0, 2), limits, findings)
    if findings.refused:  # unsafe or exploding: nothing of it is unpacked, but the other names are looked at
        _look_at_names(sound, name, findings)
        return
    contents = inspection.contents = classify(entries, name, findings)
    if project is not None:
        _check_space(contents, name, project, limits, findings)
    if not contents.frames:
        return
    _look_into_the_rest(archive, entries, contents, findings)
    inspection.selected = _select(inspection, archive, name, limits, findings)
    _check_images(inspection, archive, limits, findings, task)
    _check_against_video(inspection, archive, project, findings)
    check_context(
        inspection.selected,
        {frame.frame_index for frame in contents.frames},
        set(inspection.target.existing),
        n_frames=inspection.target.n_frames,
        findings=findings,
    )


def _look_at_names(sound: list[zipfile.ZipInfo], name: str, findings: Findings) -> None:
    """Name what else is wrong with a zip that is refused for what its list of contents says."""
    if not any(is_frame_name(entry.filename) for entry in sound):
        return
    contents = classify(sound, name, findings)
    if contents.csv is None:
        findings.warning(
            "csv-reading",
            name,
            f"The zip has no {CSV_NAME}.",
            "Add it, with one image name a line; else it is derived from the images where that is certain.",
        )
    findings.warning(
        "not-unpacked",
        name,
        "The images were not unpacked, since the zip is refused as it is.",
        "Once the errors are put right, every image is checked.",
    )


def read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, at_most: int | None = None) -> bytes:
    """Unpack one file, never more than its declared size; its checksum is compared.

    Raises
    ------
    ImageProblem
        If it is damaged.
    """
    try:
        with archive.open(entry) as packed:
            data = packed.read(entry.file_size + 1 if at_most is None else at_most)
    except _BROKEN as error:
        raise ImageProblem("damaged", "The file is damaged inside the zip.", "Make the zip again.") from error
    if at_most is None and len(data) != entry.file_size:
        raise ImageProblem("damaged", "The file is cut off inside the zip.", "Make the zip again.")
    return data


def _check_space(contents: Contents, name: str, project: "Project", limits: ZipLimits, findings: Findings) -> None:
    needed = sum(frame.entry.file_size for frame in contents.frames) + limits.spare_bytes
    free = shutil.disk_usage(project.path).free
    if needed > free:
        findings.error(
            "disk",
            name,
            f"Its frames need {needed / 1e6:,.0f} MB; the project's disk has {free / 1e6:,.0f} MB free.",
            "Free some space and try again.",
        )


def _look_into_the_rest(
    archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], contents: Contents, findings: Findings
) -> None:
    """Find archives that hide behind another name among the files that would be left out."""
    used = {frame.file for frame in contents.frames} | {contents.csv.filename if contents.csv else ""}
    for entry in entries:
        if entry.filename in used or entry.is_dir() or is_junk(entry.filename) or not entry.file_size:
            continue
        try:
            head = read_entry(archive, entry, at_most=8)
        except ImageProblem:
            continue  # it is left out anyway
        if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"Rar!", b"7z\xbc\xaf")):
            findings.error(
                "nested-zip",
                entry.filename,
                "This is an archive inside the zip.",
                "Import each video's zip by itself, unpacked.",
            )


def _select(
    inspection: Inspection, archive: zipfile.ZipFile, name: str, limits: ZipLimits, findings: Findings
) -> tuple[int, ...]:
    contents = inspection.contents
    indices = [frame.frame_index for frame in contents.frames]
    missing = f"The zip has no {CSV_NAME}"
    if contents.csv is not None:
        file = contents.csv.filename
        if contents.csv.file_size > limits.csv_bytes:
            findings.error("csv", file, "It is too large for a list of names.", "One image name a line, nothing else.")
            return ()
        try:
            data = read_entry(archive, contents.csv)
        except ImageProblem as problem:
            kind, text, fix = problem.args
            findings.error(kind, file, text, fix)
            return ()
        selected = read_selected(data, file, contents.frames, findings)
        if selected is not None:
            _mention_listed_context(selected, indices, file, findings)
            return selected
        missing = f"{CSV_NAME} lists nothing"
    derived = derive_selected(indices, n_frames=inspection.target.n_frames)
    if derived is None:
        findings.error(
            "csv-unsure",
            name,
            f"{missing}, and the images do not tell for certain which of them are to be labelled.",
            f"Add {CSV_NAME} with one image name a line, without the context frames.",
        )
        return ()
    with_context = len(derived) < len(indices)
    findings.fixable(
        "csv-derived",
        name,
        f"{missing}.",
        f"{'The middle of each run of context frames' if with_context else 'Every frame'} is taken as a frame to "
        f"label: {frame_list(derived)}.",
    )
    return derived


def _mention_listed_context(selected: tuple[int, ...], indices: list[int], file: str, findings: Findings) -> None:
    """Warn where the csv lists whole windows: most likely the context frames were listed by mistake."""
    if len(selected) < len(indices) or len(selected) < 5:
        return
    derived = derive_selected(indices, n_frames=None)
    if derived is not None and len(derived) < len(selected):
        findings.warning(
            "csv-reading",
            file,
            f"It lists all {len(selected)} images, and they come in runs of five.",
            f"All would be labelled. If only the middle frames should be, list {frame_list(derived)}.",
        )


def _check_images(
    inspection: Inspection, archive: zipfile.ZipFile, limits: ZipLimits, findings: Findings, task: Task
) -> None:
    frames = inspection.contents.frames
    checked: dict[int, ImageFacts] = {}
    for done, frame in enumerate(frames):
        task.progress(done, len(frames), frame.base)
        try:
            facts = check_image(read_entry(archive, frame.entry), max_pixels=limits.image_pixels)
        except ImageProblem as problem:
            kind, text, fix = problem.args
            findings.error(kind, frame.file, text, fix)
            continue
        checked[frame.frame_index] = facts
        if facts.conversion == "jpeg":
            findings.fixable(
                "convert-jpeg",
                frame.file,
                "This is a JPEG image; frames are PNG.",
                "JPEG images are stored as PNG (what JPEG has lost stays lost).",
            )
        elif facts.conversion == "png":
            findings.fixable(
                "convert-png",
                frame.file,
                f"This is {facts.what}; frames are 8-bit grey or RGB.",
                "Images are stored as 8-bit PNG; no pixel changes.",
            )
    task.progress(len(frames), len(frames))
    inspection.facts = checked
    _check_sizes(inspection, findings)
    _check_depths(inspection, findings)
    if inspection.target.existing and not findings.refused:
        _check_conflicts(inspection, archive, findings, task)


def _check_sizes(inspection: Inspection, findings: Findings) -> None:
    sizes = Counter((facts.width, facts.height) for facts in inspection.facts.values())
    if not sizes:
        return
    usual, _ = sizes.most_common(1)[0]
    for frame in inspection.contents.frames:
        facts = inspection.facts.get(frame.frame_index)
        if facts and (facts.width, facts.height) != usual:
            findings.error(
                "image-size",
                frame.file,
                f"It has {facts.width} x {facts.height} pixels, most others {usual[0]} x {usual[1]}.",
                "All frames of one video have one size: save it again.",
            )
    video = inspection.target.size
    if video and video != usual:
        findings.warning(
            "video-size",
            inspection.contents.frames[0].file,
            f"The frames have {usual[0]} x {usual[1]} pixels, the video {video[0]} x {video[1]}.",
            "Labels will count in the frames' pixels; save the frames in the video's size if a model is to use both.",
        )


def _check_depths(inspection: Inspection, findings: Findings) -> None:
    """16-bit images are converted all by the same rule, or not at all."""
    depths = {facts.depth16 for facts in inspection.facts.values()} - {"", "any"}
    inspection.small_16 = "stretched" not in depths
    if len(depths) > 1:
        odd = next(f for f in inspection.contents.frames if inspection.facts[f.frame_index].depth16 == "small")
        findings.error(
            "image-kind",
            odd.file,
            "Some of the 16-bit images use the whole range and some only the lowest 256 values.",
            "Save all frames as 8-bit PNG with the same brightness range.",
        )


def _check_conflicts(inspection: Inspection, archive: zipfile.ZipFile, findings: Findings, task: Task) -> None:
    """Compare each frame that the project already has; pixels decide, not the compression."""
    frames = inspection.contents.frames
    for done, frame in enumerate(frames):
        there = inspection.target.existing.get(frame.frame_index)
        if there is None:
            continue
        task.progress(done, len(frames), f"comparing {frame.base}")
        try:
            same = same_picture(there.read_bytes(), inspection.image(archive, frame))
        except OSError:
            same = False
        if not same:
            findings.error(
                "conflict",
                frame.file,
                f"The project has another image of frame {frame.frame_index}, {there.parent.name}/{there.name}.",
                "Nothing is overwritten: remove one of the two, or check whether the zip belongs to another video.",
            )


def _check_against_video(
    inspection: Inspection, archive: zipfile.ZipFile, project: "Project | None", findings: Findings
) -> None:
    target, frames = inspection.target, inspection.contents.frames
    if target.n_frames is None or project is None:
        return
    for frame in frames:
        if frame.frame_index >= target.n_frames:
            findings.error(
                "past-the-end",
                frame.file,
                f"The video {target.video!r} has {target.n_frames} frames, numbered 0 to {target.n_frames - 1}.",
                "Frames count from 0. Is the zip named like the right video?",
            )
    if findings.refused:
        return
    first = inspection.facts[frames[0].frame_index]
    if target.size == (first.width, first.height):
        compare_with_video(project, target, frames, lambda frame: inspection.image(archive, frame), findings)
