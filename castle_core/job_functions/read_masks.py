"""The job that reads masks which were not tracked here, once: areas and losses, kept for the page."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from castle_core.files import atomic_path, make_folder
from castle_core.progress import Task, TaskPart
from castle_core.projects import Project, VideoEntry
from castle_core.rois import find_masks
from castle_core.tracking.record import RoiSummary, TrackSummary, stored_summary, track_summary


def quick_summary(project: Project, video: VideoEntry) -> TrackSummary | None:
    """Return the summary of a video's masks if it is known without reading them; None otherwise."""
    masks = find_masks(project, video.name)
    found = stored_summary(masks)
    if found is not None or not masks.is_file():
        return found
    try:
        with np.load(_kept(project, masks), allow_pickle=False) as archive:
            tracked, rois, area = archive["tracked"], archive["rois"], archive["area"].astype(np.int64)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    unknown = np.full(len(tracked), np.nan)
    return TrackSummary(
        tracked,
        {int(roi): RoiSummary(area[k], unknown, tracked & (area[k] == 0)) for k, roi in enumerate(rois)},
    )


def _kept(project: Project, masks: Path) -> Path:
    """Return where the summary of a mask file as it is now is kept."""
    status = masks.stat()
    name = f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}.npz"
    return project.cache_dir / "mask-summaries" / name


def read_masks(task: Task, *, project: str, owner: str, videos: Sequence[str]) -> dict[str, Any]:
    """Read the masks of some videos and keep what they hold; what is known already costs nothing.

    Parameters
    ----------
    task : Task
    project : str
        The project's folder.
    owner : str
        Unused; every job function has it.
    videos : sequence of str
        Stems or file names.

    Returns
    -------
    dict
        ``read``: stems whose masks are known now.
    """
    del owner
    opened = Project.open(project)
    read = []
    for place, name in enumerate(videos):
        entry = opened.video(name)
        masks = find_masks(opened, entry.name)
        if masks.is_file() and quick_summary(opened, entry) is None:
            path = _kept(opened, masks)
            summary = track_summary(opened, entry.stem, TaskPart(task, place, len(videos), entry.name))
            if summary is not None:
                rois = list(summary.rois)
                make_folder(path.parent)
                with atomic_path(path, publish=task.publish) as temporary, open(temporary, "wb") as stream:
                    np.savez_compressed(
                        stream,
                        rois=np.array(rois, np.int64),
                        tracked=summary.tracked,
                        area=np.array([summary.rois[r].area for r in rois], np.int32).reshape(len(rois), -1),
                    )
        read.append(entry.stem)
    return {"read": read}
