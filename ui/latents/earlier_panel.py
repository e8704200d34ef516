"""Settings of earlier runs, to be taken again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from castle_core.projects import Project
from ui.latents.form import form_of_job, load_form
from ui.latents.work import KIND
from ui.server import jobs


def earlier_settings(project: Project) -> None:
    """Offer the settings of earlier runs."""
    runs = jobs().list(project=str(project.path), kinds=[KIND], limit=12)
    if not runs:
        return
    with st.expander("Settings of another run", icon=":material/history:"):
        names = {job.id: f"{job.title} · {job.owner} · {in_words(job.settings)}" for job in runs}
        number = st.selectbox("Run", list(names), format_func=names.__getitem__, key="latent-earlier")
        chosen = next(job for job in runs if job.id == number)
        st.button("Take these settings", key="latent-take", on_click=load_form, args=(form_of_job(chosen.settings),))
        st.caption("They are put into the fields above; Apply fixes them.")


def in_words(settings: dict[str, Any]) -> str:
    """Say in a few words what a run was asked."""
    form: dict[str, Any] = form_of_job(settings)
    parts = [Path(form["encoder"]).name, f"ROI {form['roi_ids']}"]
    if form["center"]:
        parts.append(f"crop {form['width']} x {form['height']} around ROI {form['center_roi']}")
    parts += ["rotated"] if form["rotate"] else []
    parts += ["background removed"] if form["remove_background"] else []
    labels: dict[str, Callable[[], str]] = {
        "global": lambda: "global average",
        "point": lambda: f"point {', '.join(form['points'])}",
    }
    parts.append(labels.get(form["module"], lambda: ", ".join(form["outputs"]))())
    return ", ".join(parts)
