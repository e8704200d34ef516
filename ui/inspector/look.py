"""What all parts of the Inspector share: the file that is looked at, its video, and the frame shown."""

import contextlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from castle_core.errors import CastleError
from castle_core.inspection import LatentFile, Summary, every_words, stand_ins, step_of
from castle_core.machine import clock
from castle_core.projects import Project
from castle_core.timeline import Timeline
from ui.inspector import held
from ui.inspector.held import Held
from ui.inspector.routes import base_url
from ui.media import video_url
from ui.pictures import picture, timeline_of

_FRAME, _SEEN, _LASSO = "inspector-frame", "inspector-seen", "inspector-lasso"


@dataclass(frozen=True)
class Look:
    """One latent file as it is looked at.

    Attributes
    ----------
    project : Project
    file : LatentFile
    held : Held
        Its version, as routes name it.
    summary : Summary
    timeline : Timeline or None
        Of its video; None while it is not read, or where the project has no such video.
    has_video : bool
    true_fps : float or None
        The video's real frame rate, where somebody set one: the file's own clock is wrong then.
    """

    project: Project
    file: LatentFile
    held: Held
    summary: Summary
    timeline: Timeline | None
    has_video: bool
    true_fps: float | None = None

    @property
    def base(self) -> str:
        """The address of its numbers."""
        return base_url(self.held)

    @property
    def fps(self) -> float:
        """Frames a second, as shown to the user; 1 where it is not known."""
        return (self.timeline.average_fps if self.timeline else 0.0) or 1.0

    @property
    def knots(self) -> list[tuple[float, float]]:
        """Frames and the file's own clock."""
        return list(self.timeline.knots) if self.timeline else [(0, 0.0), (self.summary.n, float(self.summary.n))]

    def time_s(self, frame_index: int) -> float:
        """Return a frame's time (s) as `Video.times_s`: by the true frame rate, else by the file's own clock."""
        if self.true_fps:
            return frame_index / self.true_fps
        frames, seconds = zip(*self.knots, strict=True)
        return float(np.interp(frame_index, frames, seconds))

    @property
    def source(self) -> str:
        """The address of a video that a browser can play; empty where there is none."""
        if self.timeline is None:
            return ""
        if self.timeline.playable or self.project.has_proxy(self.file.stem):
            return video_url(self.project, self.file.stem)
        return ""

    def poster(self, width: int) -> str:
        """The address of a frame's picture, with the word FRAME; empty where there is no video."""
        return picture(self.project)(self.file.stem, "FRAME", width) if self.has_video else ""

    def where(self, frame_index: int) -> str:
        """Return a frame's index and time in words."""
        return f"frame {frame_index:,}" + (f" · {clock(self.time_s(frame_index))}" if self.timeline else "")


def look_at(project: Project, file: LatentFile) -> Look:
    """Open a latent file for looking at it; call it only where `castle_core.inspection.is_quick` says so.

    Raises
    ------
    CastleError
        If it cannot be read.
    """
    version = held.held(project, file.relative)
    summary = held.summary(version)
    has_video, true_fps = False, None
    with contextlib.suppress(CastleError):
        entry = project.video(file.stem)
        has_video, true_fps = not entry.missing, entry.true_fps
    timeline = timeline_of(project, file.stem) if has_video else None
    if timeline is not None and timeline.n_frames != summary.n:
        timeline, has_video = None, False  # another video by now: its pictures would be wrong
    return Look(project, file, version, summary, timeline, has_video, true_fps)


def row_for(look: Look, frame_index: int) -> tuple[int, str]:
    """Return the frame whose row stands for a frame, and in words that it is another one (else empty)."""
    other = int(stand_ins(look.summary.status)[frame_index])
    if other == frame_index:
        return frame_index, ""
    return other, f"the row of frame {other:,} stands for it ({every_words(step_of(look.summary.status))})"


def frame_shown(look: Look) -> int:
    """Return the frame shown, kept for each file; at first the first one that has a value."""
    kept: dict[str, Any] = st.session_state.get(_FRAME) or {}
    frame_index = kept.get(look.file.relative)
    if frame_index is None:
        return int(look.summary.valid.argmax())
    return min(int(frame_index), look.summary.n - 1)


def show_frame(look: Look, frame_index: int) -> None:
    """Show another frame from now on."""
    st.session_state[_FRAME] = {**(st.session_state.get(_FRAME) or {}), look.file.relative: int(frame_index)}


def take_choice(look: Look, part: str, chosen: tuple[int | None, int]) -> bool:
    """Show the frame that was chosen in a component, once; True if it is a new choice."""
    frame_index, seq = chosen
    seen: dict[str, int] = st.session_state.get(_SEEN) or {}
    if frame_index is None or seq <= seen.get(part, 0):
        return False
    st.session_state[_SEEN] = {**seen, part: seq}
    show_frame(look, frame_index)
    return True


def lasso_of(look: Look, layout: str) -> list[list[float]] | None:
    """Return the lasso that was drawn on this layout of the file."""
    kept = st.session_state.get(_LASSO)
    return kept["polygon"] if kept and kept["id"] == f"{look.held.version}-{layout}" else None


def keep_lasso(look: Look, layout: str, polygon: Any) -> None:
    """Keep a lasso; an empty one forgets it."""
    kept = {"id": f"{look.held.version}-{layout}", "polygon": [list(corner) for corner in polygon]}
    st.session_state[_LASSO] = kept if polygon else None
