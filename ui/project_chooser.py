"""The project that the pages work on: chosen in the side bar, kept in the address, found again after a refresh."""

from pathlib import Path

import streamlit as st

from castle_core.errors import CastleError
from castle_core.projects import Project, find_projects
from castle_core.recent import recent_projects, remember_project
from castle_core.state import castle_home
from ui.doors import FOLDER, NEW, open_dialog, start_demo
from ui.people import current_user
from ui.words import counted, plain

_KEY = "project"
_CHOICE = "project-choice"
_DOORS = {
    NEW: ":material/create_new_folder: New project",
    FOLDER: ":material/folder_open: Open a folder",
    "demo": ":material/science: Demo project",
}


def current_project() -> Project | None:
    """Return the open project, or None. A folder that is gone counts as none."""
    path = st.session_state.get(_KEY)
    if not path:
        return None
    try:
        return Project.open(path)
    except CastleError:
        return None


def require_project() -> Project:
    """Return the open project; without one, stop the page (the doors are shown in its place)."""
    project = current_project()
    if project is None:
        st.stop()
    return project


def open_project(folder: Path) -> None:
    """Make `folder` the project of this session, its address and the user's next one."""
    st.session_state[_KEY] = str(folder)
    remember_project(current_user(), folder)


def settle_project() -> Project | None:
    """Find the project of this run: the session's, the address's or the user's last one; note it in the address."""
    if not st.session_state.get(_KEY):
        wanted = st.query_params.get("project")
        candidates: list[str | Path] = [wanted] if wanted else []
        candidates += recent_projects(current_user())[:1]
        for candidate in candidates:
            try:
                open_project(Project.open(candidate).path)
                break
            except CastleError:
                continue
    project = current_project()
    address = _address(project.path) if project else None
    if address and st.query_params.get("project") != address:
        st.query_params["project"] = address
    return project


def _address(folder: Path) -> str:
    return folder.name if folder.parent == castle_home() else str(folder)


def _choices(project: Project | None) -> list[str]:
    folders = [*find_projects(), *recent_projects(current_user())]
    if project is not None and project.path not in folders:
        folders.append(project.path)
    return list(dict.fromkeys(str(folder) for folder in folders))


def project_panel(project: Project | None) -> None:
    """Show the chooser with the project's counts, and the three ways to another project."""
    choices = _choices(project)
    if choices:
        st.selectbox(
            "Project",
            choices,
            index=choices.index(str(project.path)) if project else None,
            format_func=lambda path: Path(path).name,
            placeholder="Choose a project",
            # A widget of its own for every project: the browser would send the old choice again otherwise.
            key=f"{_CHOICE}-{project.path if project else ''}",
            on_change=_chosen,
            args=(f"{_CHOICE}-{project.path if project else ''}",),
            help=plain(str(project.path)) if project else None,
        )
    if project is not None:
        counts = project.counts()
        st.caption(
            f"{counted(counts.videos, 'video')} · {counted(counts.selected, 'frame')} selected · "
            f"{counts.labelled:,} labelled · {counted(counts.latents, 'latent file')}"
        )
        if project.read_only:
            st.caption(":material/lock: Read-only: frames can be looked at, not written.")
        st.menu_button(
            "Another project",
            list(_DOORS),
            icon=":material/add:",
            format_func=_DOORS.__getitem__,
            width="stretch",
            key="another-project",
            on_click=_another,
        )
    else:
        st.caption("No project is open yet.")


def _another() -> None:
    door = st.session_state.get("another-project")
    if door == "demo":
        start_demo()
    elif door:
        open_dialog(str(door))


def _chosen(key: str) -> None:
    if choice := st.session_state.get(key):
        open_project(Path(choice))
