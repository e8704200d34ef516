"""Labels from files of other tools into a project: rows into CollectedData.csv, images into ``labeled-data``."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from castle_core.errors import CastleError, LabelError
from castle_core.files import atomic_path, make_folder
from castle_core.labels.collected_data import read_collected_data
from castle_core.labels.images import image_file, two_images
from castle_core.labels.in_project import project_labels, update_project_labels
from castle_core.labels.merge import MergeReport, merge_labels
from castle_core.labels.model import Labels, folder_and_name, frame_twins, image_path, no_labels, twin_key
from castle_core.progress import QUIET, Task

if TYPE_CHECKING:
    from castle_core.projects import Project

KINDS = "CollectedData.csv, DeepLabCut's .h5, COCO .json, .slp, or a folder with labeled-data"


@dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes
    ----------
    merge : MergeReport
    frames : int
        Labelled frames in the file.
    images_copied, images_decoded : int
        Images that came from beside the file or out of it, and from the project's video.
    without_image : tuple of str
        Frames whose image is nowhere; their rows are in CollectedData.csv all the same.
    kept_ours : int
        Frames that were left as the project has them, where that was asked for.
    """

    merge: MergeReport
    frames: int
    images_copied: int = 0
    images_decoded: int = 0
    without_image: tuple[str, ...] = ()
    kept_ours: int = 0


def read_labels(path: Path) -> Labels:
    """Read a label file of any kind, or the label files of a folder.

    Raises
    ------
    LabelError
        If there is no such file, it is of another kind, or damaged.
    """
    if path.is_dir():
        return _read_folder(path)
    if not path.is_file():
        raise LabelError(f"There is no file {path}.")
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return read_collected_data(path)
    if suffix in {".h5", ".hdf5"}:
        from castle_core.labels.deeplabcut import read_dlc_labels_h5

        return read_dlc_labels_h5(path)
    if suffix == ".json":
        from castle_core.labels.coco import read_coco

        return read_coco(path)
    if suffix == ".slp":
        from castle_core.labels.sleap import read_slp_labels

        return read_slp_labels(path)
    raise LabelError(f"{path.name}: labels are read from {KINDS}.")


def _read_folder(folder: Path) -> Labels:
    from castle_core.labelled import all_label_files

    files = all_label_files(folder)
    at_root = [path for path in files if path.parent == folder]
    if len(at_root) > 1:
        names = ", ".join(path.name for path in at_root)
        raise LabelError(f"{folder} has several label files ({names}). Import one of them, with its view.")
    if not files:
        raise LabelError(f"{folder} holds no CollectedData file, neither itself nor in labeled-data/<video>.")
    labels = no_labels()
    for path in [*(path for path in files if path.parent != folder), *at_root]:
        labels = merge_labels(labels, read_labels(path))[0]
    return labels


def import_labels(
    project: "Project",
    path: Path,
    *,
    view: str | None = None,
    keep_ours: bool = False,
    images: bool = True,
    task: Task = QUIET,
) -> ImportReport:
    """Merge a label file into the project's CollectedData.csv, and bring the images that the project lacks.

    An image is looked for in the project, then beside the file; a frame of one of the project's videos is decoded.

    Parameters
    ----------
    project : Project
    path : Path
        As for `read_labels`.
    view : str, optional
        Goes into ``CollectedData_<view>.csv``.
    keep_ours : bool
        Leave frames that the project has labels of as they are. By default the file's labels replace them.
    images : bool
        Whether to bring images.

    Raises
    ------
    LabelError
        If the file or the project's labels cannot be read, or they do not fit each other.
    ProjectError, LockHeldError
        If the project may not be written, or the disk is full.
    """
    project.require_writable()
    new = read_labels(path)
    if not new.frames:
        raise LabelError(f"{path.name} holds no labelled frame.")
    new = _with_project_names(project, new)
    ours = project_labels(project, view)
    kept = 0
    if keep_ours:
        twins = frame_twins(ours.frames)
        rows = [
            row
            for row, frame in enumerate(new.frames)
            if frame not in ours.frames and not _has_twin(project, frame, twins)
        ]
        kept, new = new.n_frames - len(rows), new.take(rows)
    apart = partial(two_images, project)
    merged = merge_labels(ours, new, apart=apart)[0]  # what does not fit is refused before any image is written
    copied = decoded = 0
    missing: list[str] = []
    if images:
        copied, rest = _copy_images(project, path, new.frames, task)
        if rest and path.suffix.lower() == ".slp":
            unpacked, rest = _unpack_images(project, path, rest, task)
            copied += unpacked
        decoded, missing = _decode_images(project, rest, task)
    report = update_project_labels(project, new, view=view, publish=task.publish)
    _note_skeleton(project, path, merged.keypoints)
    return ImportReport(report, new.n_frames + kept, copied, decoded, tuple(missing), kept)


def _has_twin(project: "Project", frame: str, twins: dict[tuple[Any, ...], str]) -> bool:
    twin = twins.get(twin_key(frame))
    return twin is not None and not two_images(project, frame, twin)


def _with_project_names(project: "Project", labels: Labels) -> Labels:
    """Give a frame the name of the image that the project has of it, where only the zero-padding differs."""
    from castle_core.frames import images_by_index
    from castle_core.labelled import frame_index_of

    names: dict[str, str] = {}
    folders: dict[str, dict[int, str]] = {}
    for frame in labels.frames:
        folder, name = folder_and_name(frame)
        if folder not in folders:
            folders[folder] = images_by_index(image_file(project, image_path(folder, "x.png")).parent)
        index = frame_index_of(name)
        there = folders[folder].get(index) if index is not None else None
        other = image_path(folder, there) if there is not None else frame
        same = twin_key(other) == twin_key(frame) and not image_file(project, frame).is_file()
        names[frame] = other if same else frame
    if len(set(names.values())) != len(names):
        return labels
    return replace(
        labels,
        frames=tuple(names[frame] for frame in labels.frames),
        no_animal=frozenset(names[frame] for frame in labels.no_animal),
    )


def _copy_images(project: "Project", source: Path, frames: Iterable[str], task: Task) -> tuple[int, list[str]]:
    """Copy the images that lie beside the label file; return how many, and the frames without one."""
    copied, rest = 0, []
    home = source if source.is_dir() else source.parent
    listed = list(frames)
    for done, frame in enumerate(listed):
        target = image_file(project, frame)
        if not target.is_file():
            folder, name = folder_and_name(frame)
            places = [home / frame, home.parent.parent / frame, home / folder / name]
            if not source.is_dir() and (not folder or home.name == folder):
                places.append(home / name)
            found = next((place for place in places if place.is_file()), None)
            if found is None:
                rest.append(frame)
            else:
                make_folder(target.parent)
                with atomic_path(target, publish=task.publish) as temporary:
                    shutil.copyfile(found, temporary)
                copied += 1
        task.progress(done + 1, len(listed), "images")
    return copied, rest


def _unpack_images(project: "Project", path: Path, frames: list[str], task: Task) -> tuple[int, list[str]]:
    """Take images out of a SLEAP package, or from where a SLEAP file says that they lie."""
    from castle_core.labels.sleap import slp_images

    done: set[str] = set()
    for frame, data in slp_images(path, frames):
        target = image_file(project, frame)
        make_folder(target.parent)
        with atomic_path(target, publish=task.publish) as temporary:
            temporary.write_bytes(data)
        done.add(frame)
        task.progress(len(done), len(frames), "images")
    return len(done), [frame for frame in frames if frame not in done]


def _decode_images(project: "Project", frames: Iterable[str], task: Task) -> tuple[int, list[str]]:
    """Write the images of frames that are in the project's videos; return how many, and the frames without one."""
    from castle_core.frames import export_frames, frame_name, new_round
    from castle_core.labelled import frame_index_of

    wanted: dict[str, list[int]] = {}
    missing: list[str] = []
    stems = {video.stem for video in project.videos() if not video.missing}
    for frame in frames:
        folder, name = folder_and_name(frame)
        index = frame_index_of(name)
        if folder in stems and index is not None and name == frame_name(index):
            wanted.setdefault(folder, []).append(index)
        else:
            missing.append(frame)
    decoded = 0
    for stem, indices in wanted.items():
        info = new_round("imported labels", settings={"context": 0})
        try:
            written = export_frames(project, stem, indices, context=0, round_info=info, task=task)
            decoded += len(written.written)
        except CastleError as error:
            task.log(f"{stem}: no images were written. {error}")
            missing += [image_path(stem, frame_name(index)) for index in indices]
    return decoded, sorted(missing)


def _note_skeleton(project: "Project", path: Path, names: tuple[str, ...]) -> None:
    """Take over names and skeleton from the file, where the project has no list of its own."""
    from castle_core.labels.keypoints import read_keypoints

    if project.document().get("keypoints"):
        return
    source = path / "config.yaml" if path.is_dir() else path
    try:
        pairs = read_keypoints(source).pairs if source.is_file() else ()
    except LabelError:
        pairs = ()
    if names:
        known = set(names)
        project.save_keypoints(names, [pair for pair in pairs if known.issuperset(pair)])
