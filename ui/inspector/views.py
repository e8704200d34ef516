"""The views of one latent file, one at a time: each is made only when it is looked at."""

from typing import Any

import streamlit as st

from castle_core.inspection import LatentFile
from castle_core.projects import Project
from ui.inspector.export_panel import export_panel
from ui.inspector.feature_map_panel import feature_map_panel
from ui.inspector.file_list import opened
from ui.inspector.map_panel import map_panel
from ui.inspector.table_panel import table_panel
from ui.inspector.time_panels import clusters_panel, gaps_panel, heat_panel, traces_panel

VIEWS = {
    "Map": map_panel,
    "Heat map": heat_panel,
    "Traces": traces_panel,
    "Table": table_panel,
    "Clusters": clusters_panel,
    "Gaps": gaps_panel,
    "Export": export_panel,
}
MAP_VIEWS = {"Token map": feature_map_panel, "Gaps": gaps_panel}
_SESSION: Any = "session"


def views(project: Project, file: LatentFile) -> None:
    """Show one view of a file; a click in it runs this part of the page only."""
    _workspace(project, file)


@st.fragment(key="inspector-workspace")
def _workspace(project: Project, file: LatentFile) -> None:
    look = opened(project, file)
    if look is None:
        return
    views = VIEWS if file.kind == "rows" else MAP_VIEWS
    view = st.segmented_control(
        "View",
        list(views),
        default=next(iter(views)),
        required=True,
        key="inspector-view" if file.kind == "rows" else "inspector-view-map",
        persist_state=_SESSION,
    )
    views[str(view)](look)
