"""What was tracked of each video; masks that were not tracked here are read once, by a job."""

from collections.abc import Sequence

import streamlit as st

from castle_core.errors import CastleError
from castle_core.job_functions.read_masks import quick_summary
from castle_core.projects import Project, VideoEntry
from castle_core.rois import MaskFile, find_masks
from castle_core.tracking.record import TrackSummary
from ui.job_panel import live_bar, watched
from ui.mask_pieces import masks_version
from ui.people import current_user
from ui.server import jobs
from ui.words import counted

READ = "read_masks"


def summaries(
    project: Project, videos: Sequence[VideoEntry]
) -> tuple[dict[str, TrackSummary | None], dict[str, str], list[str]]:
    """Return what is known of each video's masks.

    Returns
    -------
    found : dict
        Stem → summary; None where there are no masks, or they are not read yet.
    problems : dict
        Stem → what is wrong with its masks.
    unread : list of str
        Stems whose masks must be read first.
    """
    found: dict[str, TrackSummary | None] = {}
    problems: dict[str, str] = {}
    unread: list[str] = []
    for video in videos:
        version = masks_version(project, video.name)
        found[video.stem] = _summary(str(project.path), video.stem, version) if version else None
        if not version or found[video.stem] is not None:
            continue
        _summary.clear(str(project.path), video.stem, version)  # what is not known yet must be asked for again
        try:
            MaskFile(find_masks(project, video.name)).close()
            unread.append(video.stem)
        except CastleError as error:
            problems[video.stem] = str(error)
    return found, problems, unread


@st.cache_resource(max_entries=64, show_spinner=False)
def _summary(path: str, stem: str, version: str) -> TrackSummary | None:
    del version  # part of the cache's key only
    project = Project.open(path)
    return quick_summary(project, project.video(stem))


def read_unread(project: Project, stems: Sequence[str]) -> None:
    """Have masks read that are not known yet, and show how far that is; a file that cannot be read is tried once."""
    path = str(project.path)
    wanted = {"videos": sorted(stems)}
    tried = [job for job in jobs().list(project=path, kinds=[READ]) if dict(job.settings) == wanted]
    if not watched([READ], project=path) and not any(job.state == "failed" for job in tried):
        jobs().submit(
            READ,
            project=path,
            settings=wanted,
            owner=current_user(),
            title=f"Read the masks of {counted(len(stems), 'video')}",
        )
    if not live_bar([READ], project=path, note="") and (failed := [job for job in tried if job.state == "failed"]):
        st.error(max(failed, key=lambda job: job.id).error or "The masks cannot be read.", icon=":material/error:")
