"""The order of the page's panels."""

from collections.abc import Sequence

import streamlit as st

from castle_core.projects import Project, VideoEntry
from castle_core.timeline import Timeline
from ui.pictures import timeline_of
from ui.tracking.draw_panel import draw_panel
from ui.tracking.frame_choice import choose_video
from ui.tracking.keypoint_masks import keypoint_masks
from ui.tracking.mask_uploads import mask_uploads
from ui.tracking.mend_panel import mend_panel
from ui.tracking.review_panel import review_panel
from ui.tracking.strips import fitted
from ui.tracking.track_panel import track_panel
from ui.tracking.tracks import read_unread, summaries
from ui.tracking.videos_panel import videos_panel
from ui.trim_panel import not_ready
from ui.words import plain


def track_page(project: Project) -> None:
    """Show everything for the video that is looked at."""
    videos = project.videos()
    if not videos:
        st.info("There are no videos yet. Add some first.", icon=":material/movie:")
        st.page_link("pages/extract_frames.py", label="Extract frames", icon=":material/arrow_back:")
        return
    video = choose_video(videos)
    if video.missing:
        st.error(
            f"The file behind **{plain(video.name)}** is gone. Is its drive connected?", icon=":material/link_off:"
        )
        return
    timeline = timeline_of(project, video.stem)
    if timeline is None:
        not_ready(project, video)
        return
    tracks, problems, unread = summaries(project, videos)
    known = tracks.get(video.stem)
    found = fitted(known, timeline.n_frames) if known is not None else None
    _draw_and_track(project, video, timeline, tuple(found.rois) if found else ())
    if video.stem in problems:
        st.error(plain(problems[video.stem]), icon=":material/error:")
    if found is not None:
        with st.container(border=True):
            st.subheader("Look at the masks", anchor=False)
            review_panel(project, video, timeline, found)
            mend_panel(project, video)
    if unread:
        read_unread(project, unread)
    if len(videos) > 1 and any(tracks.values()):
        videos_panel(videos, tracks, unread)
    with st.expander("Masks from keypoints", icon=":material/scatter_plot:"):
        keypoint_masks(project, video, timeline)
    with st.expander("Masks from a file", icon=":material/upload_file:"):
        mask_uploads(project, video)


@st.fragment(key="draw-and-track")
def _draw_and_track(project: Project, video: VideoEntry, timeline: Timeline, tracked: Sequence[int]) -> None:
    with st.container(key="draw-place"):
        draw_panel(project, video, timeline, tracked)
    track_panel(project, video, timeline, [each for each in project.videos() if not each.missing], tracked)
