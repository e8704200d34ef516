"""Where frames come from, in the words that users know."""

from collections.abc import Callable

import streamlit as st

VIDEOS = "Upload videos and automatically extract random frames"
ZIPS = "Upload zipped files of frames"
HARD = "Automatically extract frames using a given model (active learning)"

_HELP = f"""
**{VIDEOS}**: chosen for diversity of poses.

**{ZIPS}**: frames that you picked elsewhere, one zip a video.

**{HARD}**: the frames that your pose model finds hard.
"""


def source_choice(on_change: Callable[[], None]) -> str:
    """Ask for the source; it stays chosen when the user comes back to the page. `on_change` is told of another one."""
    return str(
        st.segmented_control(
            "Where do the frames come from?",
            [VIDEOS, ZIPS, HARD],
            default=VIDEOS,
            required=True,
            help=_HELP,
            key="source",
            on_change=on_change,
            persist_state="session",
        )
    )
