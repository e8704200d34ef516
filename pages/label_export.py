"""Label export: the written frames, where they lie, and what is labelled."""

import streamlit as st

from ui.project_chooser import require_project
from ui.written_frames import frames_of, overview, videos_with_frames

project = require_project()
st.title("Label export", anchor=False)
st.caption(
    "The frames that were written, in the Lightning Pose layout. Label them with your own tool: open the folder, or "
    "download the pictures."
)
stems = videos_with_frames(project)
if stems:
    overview(project, stems)
    stem = st.selectbox("Video", stems, key="export-video") if len(stems) > 1 else stems[0]
    frames_of(project, str(stem))
else:
    st.info("No frames are written yet. Choose some first.", icon=":material/photo_library:")
    st.page_link("pages/extract_frames.py", label="Extract frames", icon=":material/arrow_back:")
