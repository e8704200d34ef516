"""Videos that browsers cannot play: a copy that plays, made by a job."""

import streamlit as st

from castle_core.projects import Project
from ui.job_panel import live_bar, watched
from ui.people import current_user
from ui.server import jobs


def offer_copy(project: Project, stem: str) -> None:
    """Offer to make a copy that plays, or show how far it is; call where a video cannot be played."""
    running = [job for job in watched(["proxy"], project=str(project.path)) if job.settings.get("video") == stem]
    if running:
        live_bar(["proxy"], project=str(project.path), note="")
        return
    st.markdown(":small[Browsers cannot play this video's codec: single frames are shown.]", width="content")
    st.button(
        "Make it playable",
        icon=":material/movie:",
        help="Makes a copy that browsers can play. The video itself is not changed.",
        on_click=_make_proxy,
        args=(str(project.path), stem),
        key=f"proxy-{stem}",
        disabled=project.read_only,
    )


def _make_proxy(project: str, stem: str) -> None:
    jobs().submit(
        "proxy", project=project, settings={"video": stem}, owner=current_user(), title=f"Playable copy of {stem}"
    )
