"""Every way out for a project's labels, by name."""

import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from castle_core.errors import ConfigError, LabelError
from castle_core.files import make_folder
from castle_core.labels.contents import Contents, require_free, write_contents
from castle_core.labels.in_project import label_path, label_state, project_labels
from castle_core.labels.model import Labels
from castle_core.progress import QUIET, Task

if TYPE_CHECKING:
    from castle_core.projects import Project


@dataclass(frozen=True)
class ExportFormat:
    """One way out.

    Attributes
    ----------
    name : str
        As on the command line.
    title : str
        What people call it.
    help : str
        What is in it, one line.
    ending : str
        Ending of the file; empty where it is a folder, or a zip if the name ends with ``.zip``.
    """

    name: str
    title: str
    help: str
    ending: str = ""


FORMATS: dict[str, ExportFormat] = {
    each.name: each
    for each in (
        ExportFormat(
            "lightning-pose",
            "Lightning Pose",
            "CollectedData.csv, images with their neighbours, and the queue of unlabelled frames. One animal.",
        ),
        ExportFormat(
            "dlc", "DeepLabCut", "For each video its images, CollectedData_<scorer>.csv and .h5. Several animals."
        ),
        ExportFormat("coco", "COCO keypoints", "annotations.json and images. Several animals; also for CVAT."),
        ExportFormat("slp", "SLEAP", "A .slp that names the images where they lie. Several animals.", ".slp"),
        ExportFormat("pkg-slp", "SLEAP package", "A .pkg.slp with the images in it. Several animals.", ".pkg.slp"),
        ExportFormat(
            "label-studio",
            "Label Studio",
            "Tasks and images, to import into any Label Studio by hand; with pre-labels if you like. One animal.",
        ),
        ExportFormat("pictures", "Pictures", "Each labelled frame with its points drawn on it."),
    )
}


@dataclass(frozen=True)
class Export:
    """What was written: the path, how many frames, and what the user should know."""

    path: Path
    frames: int
    notes: tuple[str, ...]


WITH_PRE_LABELS = "label-studio"
"""The format that can hold a model's predictions as points to start from."""


def export_labels(
    project: "Project",
    format_name: str,
    out: Path,
    *,
    view: str | None = None,
    model: str | None = None,
    threshold: float = 0.0,
    task: Task = QUIET,
) -> Export:
    """Write a project's labels for another tool, in one step.

    Parameters
    ----------
    project : Project
    format_name : str
        A key of `FORMATS`.
    out : Path
        A folder that does not exist or is empty, or a zip; for SLEAP the file. The format ``slp`` writes a package
        where `out` ends with ``.pkg.slp``.
    view : str, optional
        Of several ``CollectedData_<view>.csv`` this one.
    model : str, optional
        For Label Studio: the model whose predictions become pre-labels of frames without labels.
    threshold : float
        Smallest likelihood of a pre-label.

    Raises
    ------
    ConfigError
        If there is no such format, `out` has another ending than it needs, or the format takes no pre-labels.
    PredictionError
        If there is no such model, or its predictions cannot be used.
    LabelError
        If nothing is labelled, an image is missing, or the format cannot hold these labels.
    ProjectError
        If there is something at `out`, or it cannot be written.
    """
    if format_name not in FORMATS:
        raise ConfigError(f"There is no format {format_name!r}. There are: {', '.join(FORMATS)}.")
    if model is not None and format_name != WITH_PRE_LABELS:
        raise ConfigError(f"Pre-labels go into the format {WITH_PRE_LABELS} only, not into {format_name}.")
    labels = project_labels(project, view)
    if not labels.frames and format_name != "label-studio":
        raise LabelError(f"Nothing is labelled in the project {project.name} yet, so there is nothing to export.")
    if format_name in {"slp", "pkg-slp"}:
        from castle_core.labels.sleap import write_slp

        if out.suffix.lower() != ".slp":
            raise ConfigError(f"A SLEAP file ends with .slp or .pkg.slp, not {out.name!r}.")
        require_free(out)
        make_folder(out.parent)
        embed = format_name == "pkg-slp" or out.name.lower().endswith(".pkg.slp")
        write_slp(project, labels, out, skeleton=project.skeleton, embed=embed, task=task)
        return Export(out, labels.n_frames, ())
    require_free(out)
    if format_name == WITH_PRE_LABELS:
        from castle_core.labels.label_studio_zip import label_studio_contents

        contents = label_studio_contents(project, labels, model=model, threshold=threshold)
    else:
        contents = _contents(project, format_name, labels, view)
    write_contents(out, contents, task=task)
    return Export(out, labels.n_frames, tuple(contents.notes))


def export_state(project: "Project", format_name: str, *, model: str | None = None, threshold: float = 0.0) -> str:
    """Return a text that changes with what an export of this format holds, short enough for a file name."""
    parts = [label_state(project)]
    if format_name in {"lightning-pose", WITH_PRE_LABELS}:  # these hold frames without labels as well
        parts += [f"{stem}/{name}" for stem in project.frame_folders() for name in project.selected(stem).values()]
    if model is not None:
        from castle_core.predictions import find_predictions

        stems = [video.stem for video in project.videos()]
        parts += [model, f"{threshold:g}"]
        for file in find_predictions(project.path, stems, model=model):
            with contextlib.suppress(OSError):
                parts.append(f"{file.path}:{file.path.stat().st_mtime_ns}")
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _contents(project: "Project", format_name: str, labels: Labels, view: str | None) -> Contents:
    if format_name == "lightning-pose":
        from castle_core.labels.lightning_pose import lightning_pose_contents

        name = label_path(project, view).stem.removeprefix("CollectedData").removeprefix("_")
        return lightning_pose_contents(project, labels, view=name)
    if format_name == "dlc":
        from castle_core.labels.deeplabcut import dlc_contents

        return dlc_contents(project, labels)
    if format_name == "coco":
        from castle_core.labels.coco import coco_contents

        return coco_contents(project, labels, project.skeleton)
    from castle_core.labels.pictures import picture_contents

    return picture_contents(project, labels)
