"""Small repairs of masks: short gaps are filled, specks are dropped."""

import streamlit as st

from castle_core.errors import CastleError
from castle_core.projects import Project, VideoEntry
from ui.job_panel import last_ended, live_bar, watched
from ui.people import current_user
from ui.server import jobs
from ui.words import counted, plain

MEND = "mend_masks"


def mend_panel(project: Project, video: VideoEntry) -> None:
    """Show both repairs and their button."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        gap = int(
            st.number_input(
                "Fill gaps of up to (frames)",
                0,
                1000,
                0,
                key="mend-gap",
                width=200,
                help="A ROI that is lost for so few frames is carried over between its last and its next mask.",
            )
        )
        speck = int(
            st.number_input(
                "Drop specks below (pixels)",
                0,
                1_000_000,
                0,
                key="mend-speck",
                width=200,
                help="Smaller pieces of a ROI are taken out.",
            )
        )
        running = watched([MEND], project=str(project.path))
        if st.button(
            "Mend the masks",
            icon=":material/healing:",
            key="mend",
            disabled=not (gap or speck) or project.read_only or bool(running),
        ):
            _start(project, video, gap, speck)
            st.rerun()
    if live_bar([MEND], project=str(project.path)):
        return
    job = last_ended([MEND], project=str(project.path))
    if job is not None and job.state == "failed":
        st.error(plain(job.error or "Something went wrong."), icon=":material/error:")
    elif job is not None and job.state == "finished":
        for each in (job.result or {}).get("mended", ()):
            if each.get("video") == video.name:
                n = int(each.get("changed", 0))
                said = f"{counted(n, 'frame')} mended; the masks as they were are in `.castle/trash`."
                st.caption(f":material/check_circle: {said if n else 'There was nothing to mend.'}")


def _start(project: Project, video: VideoEntry, gap: int, speck: int) -> None:
    try:
        jobs().submit(
            MEND,
            project=str(project.path),
            settings={"videos": [video.stem], "fill_gaps": gap, "drop_specks": speck},
            owner=current_user(),
            title=f"Mend the masks of {video.name}",
        )
    except CastleError as error:
        st.session_state["job-note"] = str(error)
