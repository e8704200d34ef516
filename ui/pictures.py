"""Addresses of frames and videos for the page's components, and what is known of a video, quickly."""

import functools
from collections.abc import Callable

import streamlit as st

from castle_core.errors import CastleError
from castle_core.projects import Project
from castle_core.timeline import Timeline, is_quick, project_timeline
from ui import media
from ui.frame_reader import rounded_width
from ui.settings import prefix


def picture(project: Project) -> Callable[[str, str | int, int], str]:
    """Return the function (stem, frame index or the word FRAME, width) → URL of that frame.

    A video that is gone gives an address that answers with the reason.
    """

    @functools.cache
    def base(stem: str) -> str:
        try:
            return media.media_base(project, stem)
        except CastleError:
            return f"{prefix()}{media.ENDPOINT}/gone"

    def url(stem: str, frame: str | int, width: int) -> str:
        return f"{base(stem)}/frame/{frame}.jpg?w={rounded_width(width)}"

    return url


@st.cache_data(max_entries=500, show_spinner=False)
def _timeline(path: str, stem: str, changed: tuple[int, int, float | None]) -> Timeline:
    del changed  # part of the cache's key only
    return project_timeline(Project.open(path), stem)


def timeline_of(project: Project, stem: str) -> Timeline | None:
    """Return a video's timeline; None where that takes long (a job prepares it) or the video cannot be read."""
    try:
        if not is_quick(project, stem):
            return None
        entry = project.video(stem)
        status = entry.path.stat()
        return _timeline(str(project.path), entry.stem, (status.st_size, status.st_mtime_ns, entry.true_fps))
    except (CastleError, OSError):
        return None


def labelled_frames(project: Project, stem: str) -> list[int]:
    """Return the labelled frames of a video; none where the label file cannot be read."""
    try:
        return sorted(project.labelled(stem))
    except CastleError:
        return []
