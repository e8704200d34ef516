"""Label Studio on the page Label export: connection, push and pull."""

import streamlit as st

from castle_core.projects import Project
from ui.labels.connection_panel import connection_hint, connection_panel
from ui.labels.pull_panel import labelling_panel, pull_panel
from ui.labels.push_panel import push_panel


def label_studio(project: Project) -> None:
    """Show the connection and, once there is one, push and pull beside each other, and the frames below."""
    kept = connection_panel(project)
    if kept is None:
        connection_hint()
        return
    with st.container(key="cols-label"):
        left, right = st.columns([7, 5], gap="large")
    with right:
        pull_panel(project, kept)
    with left:
        show_frames = push_panel(project, kept)
    show_frames()
    labelling_panel(project)
