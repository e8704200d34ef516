"""The order of the page's panels."""

import streamlit as st

from castle_core.projects import Project
from ui.pictures import timeline_of
from ui.tracking.draw_panel import draw_panel
from ui.tracking.frame_choice import choose_video


def track_page(project: Project) -> None:
    """Show everything for the video that is looked at."""
    videos = project.videos()
    video = choose_video(videos)
    timeline = timeline_of(project, video.stem)
    if timeline is None:
        st.stop()
    draw_panel(project, video, timeline)
