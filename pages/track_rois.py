"""Track ROIs: draw them on a frame, let them be followed, look, correct."""

import streamlit as st

from ui.project_chooser import require_project
from ui.tracking.page import track_page

project = require_project()
st.title("Track ROIs", anchor=False)
st.caption("Draw the animal on a frame or two; it is followed through the video. Then correct where it was lost.")
track_page(project)
