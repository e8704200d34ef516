"""Lightning Pose: ``CollectedData.csv``, the images with their neighbours, and the queue of its new app."""

import json
from typing import TYPE_CHECKING

from castle_core.labels.collected_data import new_text
from castle_core.labels.contents import Contents
from castle_core.labels.images import image_file, two_images
from castle_core.labels.model import Labels, folder_and_name, frame_twins, image_path, twin_key

if TYPE_CHECKING:
    from castle_core.projects import Project

CONTEXT = 2
"""Neighbours on either side that Lightning Pose's context models read beside a labelled frame."""


def lightning_pose_contents(project: "Project", labels: Labels, *, view: str = "") -> Contents:
    """Return a data folder for Lightning Pose.

    ``CollectedData[_<view>].csv`` holds the labels; ``CollectedData[_<view>].unlabeled.jsonl`` the selected frames
    that have none, one JSON object a line with ``frame_path`` and ``predictions``, as the app's labelling queue wants
    them. Images are those of both, and the neighbours up to two frames away that are on disk.

    Raises
    ------
    LabelError
        If there are several animals, which Lightning Pose does not take.
    """
    labels = labels.for_one_animal("Lightning Pose").ordered()
    contents = Contents()
    name = f"CollectedData_{view}" if view else "CollectedData"
    plain = Labels(
        labels.keypoints, ("",), labels.frames, labels.xy, labels.visible, labels.scorer, labels.no_animal, labels.has
    )
    contents.add(f"{name}.csv", new_text(plain).encode("utf-8"))
    open_frames = unlabelled_frames(project, labels)
    lines = [json.dumps({"frame_path": frame, "predictions": None}, ensure_ascii=False) for frame in open_frames]
    contents.add(f"{name}.unlabeled.jsonl", "".join(f"{line}\n" for line in lines).encode("utf-8"))
    wanted = [*labels.frames, *open_frames]
    for frame in [*wanted, *_neighbours(project, wanted)]:
        contents.add(frame, image_file(project, frame))
    if plain.individuals != labels.individuals:
        contents.notes.append(f"Lightning Pose names no animals; {labels.individuals[0]!r} is left out.")
    return contents


def unlabelled_frames(project: "Project", labels: Labels) -> list[str]:
    """Return the selected frames, whose images are on disk, that have no row in `labels`; sorted."""
    done = set(labels.frames)
    twins = frame_twins(labels.frames)
    found = []
    for stem in project.frame_folders():
        for name in project.selected(stem).values():
            frame = image_path(stem, name)
            twin = twins.get(twin_key(frame))
            labelled = frame in done or (twin is not None and not two_images(project, frame, twin))
            if not labelled and image_file(project, frame).is_file():
                found.append(frame)
    return found


def _neighbours(project: "Project", frames: list[str]) -> list[str]:
    from castle_core.frames import images_by_index
    from castle_core.labelled import frame_index_of

    taken = set(frames)
    wanted: dict[str, set[int]] = {}
    for frame in frames:
        folder, name = folder_and_name(frame)
        index = frame_index_of(name)
        if index is not None:
            wanted.setdefault(folder, set()).update(range(index - CONTEXT, index + CONTEXT + 1))
    found = []
    for folder, indices in wanted.items():
        home = image_file(project, image_path(folder, "x.png")).parent
        for index, name in images_by_index(home).items():
            frame = image_path(folder, name)
            if index in indices and frame not in taken:
                found.append(frame)
    return found
