"""The page Label export: its parts, of which one is shown at a time."""

import streamlit as st

from castle_core.errors import LabelError
from castle_core.labels import label_views
from castle_core.projects import Project
from ui.labels.check_panel import check_panel
from ui.labels.connection_panel import ANCHOR, is_connected
from ui.labels.exports_panel import exports_panel
from ui.labels.keypoints_panel import keypoints_panel
from ui.labels.label_studio import label_studio
from ui.words import counted, plain
from ui.written_frames import frames_of, overview, videos_with_frames

FRAMES, KEYPOINTS, CHECK, FILES = "frames", "keypoints", "check", "files"
_KEY = "label-section"


def label_export(project: Project) -> None:
    """Show the choice of parts, each with how far it is, and the chosen one."""
    labelled = project.counts().labelled
    try:
        n_keypoints = len(project.keypoints)
    except LabelError:
        n_keypoints = 0
    done = ":material/check_circle:"
    titles = {
        FRAMES: ":material/send: Frames and Label Studio",
        KEYPOINTS: f"{done if n_keypoints else ':material/polyline:'} Keypoints · {n_keypoints}",
        CHECK: f":material/fact_check: Check labels · {labelled:,}",
        FILES: ":material/swap_vert: Files in and out",
    }
    chosen = st.segmented_control(
        "Part of the page",
        list(titles),
        default=FRAMES,
        required=True,
        format_func=titles.__getitem__,
        key=_KEY,
        label_visibility="collapsed",
    )
    if note := st.session_state.pop("label-note", None):
        st.success(plain(note), icon=":material/check_circle:")
    for warning in st.session_state.pop("label-warnings", ()):
        st.warning(plain(warning), icon=":material/warning:")
    if chosen == KEYPOINTS:
        keypoints_panel(project, _view(project))
    elif chosen == CHECK:
        check_panel(project, _view(project), _go_to)
    elif chosen == FILES:
        exports_panel(project, _view(project))
    else:
        _frames(project, n_keypoints)


def _frames(project: Project, n_keypoints: int) -> None:
    stems = videos_with_frames(project)
    if not n_keypoints and stems:
        st.info("The project has no keypoints yet. Name them before you label.", icon=":material/polyline:")
        st.button("Name the keypoints", on_click=_go_to, args=(KEYPOINTS,))
    if stems:
        connected = is_connected(project)
        overview(project, stems)
        if not connected:
            st.caption(f":material/send: Label them in Label Studio: [connect to it](#{ANCHOR}).")
        # Who works with Label Studio pushes and pulls here every day; before that, the page is about the frames.
        for part in (label_studio, _gallery) if connected else (_gallery, label_studio):
            part(project)
        return
    _no_frames(project)
    label_studio(project)


def _gallery(project: Project) -> None:
    stems = videos_with_frames(project)
    stem = st.selectbox("Video", stems, key="export-video") if len(stems) > 1 else stems[0]
    frames_of(project, str(stem))


def _no_frames(project: Project) -> None:
    if labelled := project.counts().labelled:
        text = f"{counted(labelled, 'frame is', 'frames are')} labelled. Choose more, and they are listed here."
    else:
        text = "No frames are written yet. Choose some first."
    st.info(text, icon=":material/photo_library:")
    st.page_link("pages/extract_frames.py", label="Extract frames", icon=":material/arrow_back:")


def _go_to(section: str) -> None:
    st.session_state[_KEY] = section


def _view(project: Project) -> str | None:
    """Return the view to work on; ask for it where the project has several label files."""
    views = label_views(project)
    if "" in views or len(views) < 2:
        return None
    return str(
        st.segmented_control(
            "View", list(views), default=views[0], required=True, key="label-view", help="One label file each."
        )
    )
