"""Page 4: from tracked animals to one vector a frame."""

import streamlit as st

from ui.latents.page import latent_page
from ui.project_chooser import require_project

project = require_project()
st.title("Extract latent", anchor=False)
st.caption("A visual model turns each frame of a tracked animal into one vector, for clustering or decoding behaviour.")
latent_page(project)
