"""Look at what was tracked: the video under its masks, strips, the worst frame; a frame is picked to be corrected."""

from pathlib import Path

import streamlit as st

from castle_core.errors import CastleError
from castle_core.projects import Project, VideoEntry
from castle_core.prompts import prompt_frames
from castle_core.rois import find_masks
from castle_core.timeline import Timeline
from castle_core.tracking.record import TrackSummary, made_of_another_file
from ui import media
from ui.components.mask_player import mask_player
from ui.mask_pieces import masks_version
from ui.pictures import picture
from ui.playable import offer_copy
from ui.tracking.frame_choice import current_frame, go_to_frame
from ui.tracking.rois import roi_names
from ui.tracking.strips import loss_starts, strip_of, worst_frame

_APPLIED = "player-applied"


@st.fragment(key="review-panel")
def review_panel(project: Project, video: VideoEntry, timeline: Timeline, tracks: TrackSummary) -> None:
    """Show the player over the masks of `video`."""
    stem, names = video.stem, roi_names(project)
    playable = timeline.playable or project.has_proxy(stem)
    applied = st.session_state.get(_APPLIED, {})
    chosen, done = mask_player(
        [strip_of(roi, names.get(roi, ""), track, tracks.tracked) for roi, track in tracks.rois.items()],
        identity=f"{project.path}|{stem}",
        title=video.name,
        n_frames=timeline.n_frames,
        fps=timeline.average_fps or 1.0,
        knots=timeline.knots,
        src=media.video_url(project, stem) if playable else "",
        poster=picture(project)(stem, "FRAME", 960),
        masks=media.masks_url(project, stem),
        prompts=prompt_frames(project, stem),
        losses=loss_starts(tracks.rois, tracks.tracked),
        worst=worst_frame(tracks.rois, tracks.tracked),
        at=current_frame(stem, timeline.n_frames),
        rev=0,
        applied=int(applied.get(stem, 0)),
        can_correct=not project.read_only,
        key=f"player-{stem}",
    )
    if not playable:
        offer_copy(project, stem)
    if _of_another_file(project, video, timeline.n_frames):
        st.warning(
            f"Some of these masks were tracked on another file that was named {video.name} before. Track all frames "
            "and ROIs of it again.",
            icon=":material/warning:",
        )
    n_untracked = int((~tracks.tracked).sum())
    if n_untracked:
        st.caption(f":material/info: {n_untracked:,} of {timeline.n_frames:,} frames were not tracked.")
    if done != applied.get(stem, 0):
        st.session_state[_APPLIED] = {**applied, stem: done}
        if chosen is not None:
            go_to_frame(stem, chosen)
        st.rerun()


def _of_another_file(project: Project, video: VideoEntry, n_frames: int) -> bool:
    try:
        status = video.path.stat()
    except OSError:  # its drive is gone: the page says so elsewhere
        return False
    version = f"{masks_version(project, video.name)}|{status.st_size}|{status.st_mtime_ns}"
    return _looked_up(find_masks(project, video.name), video.path, n_frames, version)


@st.cache_data(max_entries=256, show_spinner=False)
def _looked_up(masks: Path, video: Path, n_frames: int, version: str) -> bool:
    del version  # part of the cache's key only
    try:
        return made_of_another_file(masks, video, n_frames)
    except CastleError:
        return False
