"""Label export: frames to label and labels back, keypoints, checks, and files of other tools."""

import streamlit as st

from ui.labels.sections import label_export
from ui.project_chooser import require_project

project = require_project()
st.title("Label export", anchor=False)
st.caption(
    "Frames go to people who label them, and labels come back into CollectedData.csv, in the Lightning Pose layout."
)
label_export(project)
