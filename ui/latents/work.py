"""The page's jobs: found again by what they were asked, and never started twice."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import streamlit as st

from castle_core.errors import CastleError
from castle_core.projects import Project
from ui.job_panel import ACTIVE
from ui.people import current_user
from ui.server import jobs

if TYPE_CHECKING:
    from castle_core.jobs import Job

NOTE = "latent-note"
KIND = "latents"
CHECK = "check_latents"
FRAME = "run_frame"


def newest(project: Project, kind: str, settings: Mapping[str, Any] | None = None) -> "Job | None":
    """Return the newest job of a kind, with exactly these settings where given."""
    for job in jobs().list(project=str(project.path), kinds=[kind], limit=300):
        if settings is None or job.settings == settings:
            return job
    return None


def start(project: Project, kind: str, settings: Mapping[str, Any], title: str) -> int | None:
    """Start a job unless the same work waits or runs already; a refusal is kept to be shown."""
    same = newest(project, kind, settings)
    if same is not None and same.state in ACTIVE:
        st.session_state[NOTE] = "This work is running already. See the log."
        return None
    try:
        return jobs().submit(kind, project=str(project.path), settings=settings, owner=current_user(), title=title)
    except CastleError as error:
        st.session_state[NOTE] = str(error)
        return None
