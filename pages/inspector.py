"""Inspector: what is in the latents."""

import streamlit as st

from ui.inspector.file_list import choose_file, latent_files
from ui.inspector.views import views
from ui.project_chooser import require_project

project = require_project()
st.title("Inspector", anchor=False)
st.caption("Look at latents: which frames are alike, where values are missing, and which frames to label next.")
files = latent_files(project)
if files:
    with st.container(key="cols-list"):
        left, main = st.columns([1, 4], gap="large")
    with left:
        file = choose_file(files)
    with main:
        views(project, file)
