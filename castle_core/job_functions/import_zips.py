"""The job that imports zips of frames."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from castle_core.errors import ZipError
from castle_core.frames import list_rounds
from castle_core.progress import Task
from castle_core.projects import Project
from castle_core.zips import ZipSource
from castle_core.zips import import_zips as import_sources


def import_zips(
    task: Task,
    *,
    project: str,
    owner: str,
    zips: Sequence[dict[str, str]],
    fix: bool = False,
    remove: bool = False,
) -> dict[str, Any]:
    """Import zips of frames into a project as one round (see `castle_core.zips.import_zips`).

    Parameters
    ----------
    task : Task
    project : str
        The project's folder.
    owner : str
        Who imports, for ``selection.json``.
    zips : sequence of dict
        Each with ``path``, the file, and ``name``, what its user calls it.
    fix : bool
        Accept the offered fixes.
    remove : bool
        Remove the files when all are imported: they are uploads.

    Returns
    -------
    dict
        ``round_id``, for undo; ``written``, frames to label of this round, and ``videos``, the same by video.
        They count what an attempt before this one has written as well.

    Raises
    ------
    ZipRefusedError
        If a zip is refused or needs fixes that are not accepted; nothing was written then.
    """
    opened = Project.open(project)
    sources = [ZipSource(Path(each["path"]), each["name"]) for each in zips]
    round_id = _round_id(sources, uploads=remove)
    if not (remove and sources and not any(source.path.exists() for source in sources)):
        import_sources(opened, sources, fix=fix, owner=owner, round_id=round_id, task=task)
        if remove:
            for source in sources:
                source.path.unlink(missing_ok=True)
    elif all(each.info.id != round_id for each in list_rounds(opened)):
        raise ZipError(f"The upload {sources[0].name} is gone. Upload it again.")
    videos = {
        stem: len(frames)
        for each in list_rounds(opened)
        if each.info.id == round_id
        for stem, frames in each.frames.items()
    }
    return {"round_id": round_id, "written": sum(videos.values()), "videos": videos}


def _round_id(sources: Sequence[ZipSource], *, uploads: bool) -> str:
    """Name the round after its files, so that a second attempt at the same job completes the first one's round."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(f"{source.path}\0{source.name}\0".encode("utf-8", "surrogateescape"))
        if not uploads and source.path.exists():
            digest.update(f"{source.path.stat().st_size} {source.path.stat().st_mtime_ns}\0".encode())
    return f"zip-{digest.hexdigest()[:16]}"
