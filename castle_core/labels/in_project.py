"""The labels of a project: which files they are in, and how new ones get into ``CollectedData.csv``."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from castle_core.errors import LabelError
from castle_core.files import atomic_path, locked, make_folder, nfc, safe_name
from castle_core.labelled import all_label_files
from castle_core.labels.collected_data import DEFAULT_SCORER, read_collected_data, read_table, table_text
from castle_core.labels.images import two_images
from castle_core.labels.merge import MergeReport, merge_labels
from castle_core.labels.model import Labels, no_labels

if TYPE_CHECKING:
    from castle_core.projects import Project

_NAME = "CollectedData"


def label_views(project: "Project") -> tuple[str, ...]:
    """Return the views of the label files beside ``labeled-data``: ``""`` for CollectedData.csv itself."""
    names = [path.stem for path in all_label_files(project.path) if path.parent == project.path]
    views = {nfc(name.removeprefix(_NAME).removeprefix("_")) for name in names}
    return tuple(sorted(views))


def label_path(project: "Project", view: str | None = None) -> Path:
    """Return the label file of a project, which need not exist.

    Parameters
    ----------
    project : Project
    view : str, optional
        ``top`` means ``CollectedData_top.csv``. Without, it is ``CollectedData.csv``, or the only
        ``CollectedData_<view>.csv`` that there is.

    Raises
    ------
    LabelError
        If there are several views and none is named.
    NameRefusedError
        If the view cannot be part of a file name.
    """
    if view:
        return project.path / safe_name(f"{_NAME}_{view}.csv")
    views = label_views(project)
    if not views or "" in views:
        return project.path / f"{_NAME}.csv"
    if len(views) > 1:
        raise LabelError(f"The project {project.name} has labels of the views {', '.join(views)}. Choose one of them.")
    return project.path / f"{_NAME}_{views[0]}.csv"


def project_labels(project: "Project", view: str | None = None) -> Labels:
    """Read the labels of a project.

    They are in ``CollectedData.csv`` beside ``labeled-data``, and, as DeepLabCut keeps them, in the folders of the
    videos; where both have a frame, the file beside ``labeled-data`` counts. A named view has its own file only.

    Parameters
    ----------
    project : Project
    view : str, optional
        As for `label_path`.

    Returns
    -------
    Labels
        Sorted; without any frame where nothing is labelled yet, with the project's keypoints then.

    Raises
    ------
    LabelError
        If a file cannot be read, or there are several views and none is named.
    """
    path = label_path(project, view)
    labels, apart = no_labels(), partial(two_images, project)
    if not view:
        for other in all_label_files(project.path):
            if other.parent != project.path:
                labels = merge_labels(labels, _read(other), apart=apart)[0]
    own = path if path.exists() else path.with_suffix(".h5")
    if own.exists():
        read = _read(own)
        labels = merge_labels(labels, read, apart=apart)[0] if labels.frames else read.ordered()
    if not labels.keypoints:
        return no_labels(project.keypoints)
    return labels


def _read(path: Path) -> Labels:
    if path.suffix.lower() == ".h5":
        from castle_core.labels.deeplabcut import read_dlc_labels_h5

        return read_dlc_labels_h5(path)
    return read_collected_data(path)


def update_project_labels(
    project: "Project",
    new: Labels,
    *,
    view: str | None = None,
    publish: Callable[[Path, Path], None] = os.replace,
) -> MergeReport:
    """Merge labels into the project's ``CollectedData.csv``, under its lock, in one step.

    Rows that `new` does not know stay, and so do columns, scorers and the spelling of numbers that did not change. The
    file as it was before is kept as ``.castle/last-good/<name>``. If nothing changes, nothing is written.

    Parameters
    ----------
    project : Project
    new : Labels
        What is to be put in.
    view : str, optional
        As for `label_path`.
    publish : callable
        Gives the finished file its name; a job passes its `Task.publish`.

    Returns
    -------
    MergeReport

    Raises
    ------
    LabelError
        If the present file is damaged, or the labels cannot be merged: nothing is written then.
    LockHeldError, ProjectError
        If somebody else is writing it, the disk is full, or the folder may not be written.
    """
    project.require_writable()
    path = label_path(project, view)
    with locked(path):
        merged, report = merge_labels(project_labels(project, view), new, apart=partial(two_images, project))
        if report.any_change or (merged.frames and not path.exists()):
            replace_labels(project, path, merged, publish=publish)
    return report


def replace_labels(
    project: "Project", path: Path, labels: Labels, *, publish: Callable[[Path, Path], None] = os.replace
) -> None:
    """Write a label file of the project, after keeping the one before; the caller holds its lock."""
    from castle_core.labels.collected_data import write_collected_data

    if path.exists():
        text = table_text(read_table(path), labels)
        keep_last_good(project, path)
        with atomic_path(path, publish=publish) as temporary:
            temporary.write_bytes(text.encode("utf-8"))
        return
    if not labels.scorer:
        labels = Labels(
            labels.keypoints,
            labels.individuals,
            labels.frames,
            labels.xy,
            labels.visible,
            DEFAULT_SCORER,
            labels.no_animal,
            labels.has,
        )
    write_collected_data(path, labels, publish=publish)


def keep_last_good(project: "Project", path: Path) -> Path:
    """Copy a label file to ``.castle/last-good``, in one step, and return the copy's path."""
    kept = make_folder(project.cache_dir / "last-good") / path.name
    with atomic_path(kept) as temporary:
        shutil.copyfile(path, temporary)
    return kept


def label_state(project: "Project") -> str:
    """Return a text that changes with the label files of a project, its keypoints and its skeleton."""
    digest = hashlib.sha256(repr((project.keypoints, project.skeleton)).encode())
    for path in all_label_files(project.path):
        with contextlib.suppress(OSError):
            status = path.stat()
            digest.update(f"{path}\0{status.st_mtime_ns}\0{status.st_size}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]
