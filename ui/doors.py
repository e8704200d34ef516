"""The three doors to a first project: a demo, a folder that is there already, a new one."""

from pathlib import Path

import streamlit as st

from castle_core.errors import CastleError
from castle_core.files import safe_name
from castle_core.projects import Project
from castle_core.state import castle_home
from ui.job_panel import ACTIVE, live_bar
from ui.people import current_user
from ui.server import jobs
from ui.words import plain

DEMO_KIND = "demo"
NEW, FOLDER = "new", "folder"
_DIALOG = "dialog"


def open_dialog(name: str) -> None:
    """Open the dialog `NEW` or `FOLDER`. It stays open, with what was typed, when the page runs again (a job ends)."""
    st.session_state[_DIALOG] = name


def show_dialog() -> None:
    """Show the dialog that is open, if any; call once in every run of the script."""
    if name := st.session_state.get(_DIALOG):
        {NEW: _new_project, FOLDER: _open_folder}[name]()


def _close_dialog() -> None:
    st.session_state.pop(_DIALOG, None)


def start_demo() -> None:
    """Queue the making of a demo project under a name that is free; it opens by itself when it is done."""
    home, number = castle_home(), 1
    while (folder := home / ("demo" if number == 1 else f"demo-{number}")).exists():
        number += 1
    st.session_state["demo-job"] = jobs().submit(
        DEMO_KIND,
        project=str(folder),
        settings={"seconds": 20, "size": [640, 480], "seed": 0},
        owner=current_user(),
        title=f"Make the project {folder.name}",
    )


def open_finished_demo() -> Path | None:
    """Return the demo project that this session asked for once it is ready, and forget the wish."""
    number = st.session_state.get("demo-job")
    job = jobs().get(number) if number else None
    if job is None or job.state in ACTIVE:
        return None
    del st.session_state["demo-job"]
    return Path(job.project) if job.state == "finished" else None


@st.dialog("New project", icon=":material/create_new_folder:", on_dismiss=_close_dialog)
def _new_project() -> None:
    """Ask for a name and make the project."""
    with st.form("new-project", border=False):
        name = st.text_input(
            "Name", placeholder="openfield-2026", help=f"A folder of this name is made in {castle_home()}."
        )
        keypoints = st.text_input(
            "Keypoints (can wait)", placeholder="nose, left ear, right ear, tail base", help="Separated by commas."
        )
        if st.form_submit_button("Make the project", type="primary", width="stretch"):
            try:
                if not name.strip():
                    raise CastleError("Give the project a name.")
                if name.strip().startswith("."):
                    raise CastleError("A name with a dot in front would hide the project. Please choose another name.")
                names = [part.strip() for part in keypoints.split(",") if part.strip()]
                _open(Project.create(castle_home() / safe_name(name.strip()), keypoints=names).path)
            except CastleError as error:
                st.error(plain(str(error)))


@st.dialog("Open a folder", icon=":material/folder_open:", on_dismiss=_close_dialog)
def _open_folder() -> None:
    """Ask for a folder on the server and open it."""
    st.caption(
        "A Lightning Pose, DeepLabCut or CASTLE project opens as it is, and so does any folder with `videos/` or "
        "`sources/` in it. Nothing in it is changed before you write frames."
    )
    with st.form("open-folder", border=False):
        path = st.text_input("Folder on the server", placeholder="/data/lab/openfield-2026")
        if st.form_submit_button("Open", type="primary", width="stretch"):
            try:
                if not path.strip():
                    raise CastleError("Write the path of the folder.")
                _open(Project.open(str(Path(path.strip()).expanduser().absolute())).path)
            except CastleError as error:
                st.error(plain(str(error)))


def _open(folder: Path) -> None:
    from ui.project_chooser import open_project

    _close_dialog()
    open_project(folder)
    st.rerun()


def doors() -> None:
    """Fill the page while there is no project: what this is, and three ways in."""
    st.title("Frames worth labelling", anchor=False)
    st.markdown(
        "Choose the frames that teach a pose model most, look at them, and write them where your labelling tool finds "
        "them. Start with a project: a folder of videos, frames and labels that Lightning Pose can read as it is."
    )
    left, middle, right = st.columns(3, gap="medium")
    with left.container(border=True, height="stretch", key="door-demo"):
        st.subheader(":material/science: Demo project", anchor=False)
        st.markdown(
            "Two short videos of a made-up animal, with its true poses, masks and two models' predictions. "
            "Ready in half a minute."
        )
        st.space("stretch")
        if not live_bar([DEMO_KIND], project=None, note="") and st.button(
            "Make the demo project", type="primary", width="stretch"
        ):
            start_demo()
            st.rerun()
    with middle.container(border=True, height="stretch", key="door-open"):
        st.subheader(":material/folder_open: Open a folder", anchor=False)
        st.markdown(
            "A Lightning Pose, DeepLabCut or CASTLE project on this server, or any folder with `videos/` in it."
        )
        st.space("stretch")
        st.button("Open a folder …", width="stretch", on_click=open_dialog, args=(FOLDER,))
    with right.container(border=True, height="stretch", key="door-new"):
        st.subheader(":material/create_new_folder: New project", anchor=False)
        st.markdown("An empty folder of your own. Upload videos to it, or link them from the lab's share.")
        st.space("stretch")
        st.button("New project …", width="stretch", on_click=open_dialog, args=(NEW,))
