"""The order of the page's panels."""

import streamlit as st

from castle_core.projects import Project
from ui.latents.actions_panel import actions_panel
from ui.latents.check_panel import check_panel, start_check
from ui.latents.earlier_panel import earlier_settings
from ui.latents.form import current_form, settle_form
from ui.latents.frame_panel import frame_panel
from ui.latents.model_panel import model_panel
from ui.latents.post_encoder import post_encoder_panel
from ui.latents.preprocess_panel import just_applied, preprocess_panel
from ui.latents.preview_panel import preview_panel


def latent_page(project: Project) -> None:
    """Show everything for the project."""
    videos = [entry for entry in project.videos() if not entry.missing]
    if not videos:
        st.info("There are no videos yet. Add some first.", icon=":material/movie:")
        st.page_link("pages/extract_frames.py", label="Extract frames", icon=":material/arrow_back:")
        return
    settle_form(project)
    with st.container(key="cols-even"):
        left, middle, right = st.columns(3, gap="medium")
    with left, st.container(border=True):
        model_panel(project, current_form())
    with middle, st.container(border=True):
        preprocess_panel(project)
    form = current_form()
    targets = [entry for entry in videos if not form["videos"] or entry.stem in form["videos"]]
    actions = right.container(border=True)
    preview_place = st.container(border=True)
    check_place = st.container(border=True)
    with st.container(border=True):
        post_encoder_panel(project, form, targets)
    form = current_form()
    with actions:
        actions_panel(project, form, targets)
    with preview_place:
        preview_panel(project, form, targets)
    if just_applied():
        start_check(project, form)
    with check_place:
        check_panel(project, form)
    frame_panel(project)
    earlier_settings(project)
