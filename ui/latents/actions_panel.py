"""Right column: the actions, what blocks them, and the run with its log and summary."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from castle_core.projects import Project, VideoEntry
from ui.job_panel import ACTIVE, watched
from ui.latents.check_panel import others_that_run, problems_of
from ui.latents.form import current_form, job_settings, key_of, why_not
from ui.latents.frame_panel import RUN_FRAME
from ui.latents.model_panel import not_here
from ui.latents.preview_panel import current_frame, preview_video
from ui.latents.run_panel import ended_panel, live_panel
from ui.latents.work import FRAME, KIND, NOTE, newest, start
from ui.pictures import timeline_of
from ui.words import counted, plain

_ACTIONS = {
    "latent": ("Extract", ":material/play_arrow:", None),
    "crop": ("Extract Crop Video", ":material/crop:", "The crop at Width x Height, as a film. Needs Center ROI."),
    "rotation": (
        "Extract Rotation Latent",
        ":material/rotate_right:",
        "The mean over turned pictures: does not depend on orientation. *Keep every angle* keeps it ('stack').",
    ),
    "frame": ("Run Frame", ":material/photo:", "Runs the frame of the preview and writes a 1-row result at once."),
}
_SESSION: Any = "session"
_STOPS_CROP = ("masks", "video")


def actions_panel(project: Project, form: dict[str, Any], targets: Sequence[VideoEntry]) -> None:
    """Show actions, what blocks them, log and summary."""
    st.subheader("Log and actions", anchor=False)
    running = watched([KIND], project=str(project.path))
    problems = problems_of(project, form)
    stops = {
        "latent": bool(problems),
        "rotation": bool(problems),
        "crop": any(row["cause"] in _STOPS_CROP for row in problems),
    }
    for place, (action, (label, icon, about)) in enumerate(_ACTIONS.items()):
        if st.button(
            label,
            key=f"latent-{action}",
            icon=icon,
            help=about,
            type="primary" if place == 0 and not running else "secondary",
            width="stretch",
            disabled=project.read_only or stops.get(action, False),
        ):
            _begin(project, action, targets)
        if action == "rotation":
            _angles()
        elif action == "frame" and (job := newest(project, FRAME)) is not None:
            number = int(job.settings.get("frame_index", 0))
            words = f"Frame {number:,} is being run" if job.state in ACTIVE else f"Frame {number:,} was run"
            st.caption(f":material/arrow_downward: {words}: [see below](#{RUN_FRAME})")
    if problems:
        _blocked(project, form, problems)
    if note := st.session_state.pop(NOTE, None):
        st.error(plain(note), icon=":material/error:")
    if running:
        live_panel(project, running)
    else:
        ended_panel(project)


def _angles() -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.number_input("Angles", 1, 72, key=key_of("angles"), persist_state=_SESSION, help="Of the rotation latent.")
        st.checkbox(
            "Keep every angle",
            key=key_of("stack"),
            persist_state=_SESSION,
            help="One vector for each angle, stacked, instead of their mean.",
        )


def _blocked(project: Project, form: dict[str, Any], problems: Sequence[dict[str, Any]]) -> None:
    """Say what stops Extract, with the way round it."""
    others = others_that_run(project, form)
    st.error(
        f"{len(problems)} of {counted(len(problems) + len(others), 'video')} cannot run. What to do stands under "
        "*Before you start*.",
        icon=":material/block:",
    )
    if others and st.button(
        f"Extract only the other {counted(len(others), 'video')}" if len(others) > 1 else "Extract only the other one",
        key="latent-others",
        icon=":material/play_arrow:",
        width="stretch",
    ):
        settings = job_settings({**form, "videos": others}, "latent")
        start(project, KIND, settings, f"Extract: {counted(len(others), 'video')}")
        st.rerun()


def _begin(project: Project, action: str, targets: Sequence[VideoEntry]) -> None:
    form = current_form()
    if reason := why_not(project, form):
        st.session_state[NOTE] = reason
        return
    if action == "crop" and not form["center"]:
        st.session_state[NOTE] = "A crop video needs Center ROI on. Switch it on and click Apply."
        return
    if action != "crop" and (missing := not_here(project, form)):
        st.session_state[NOTE] = missing
        return
    settings = job_settings(form, action)
    if action == "frame":
        entry = preview_video(targets)
        timeline = timeline_of(project, entry.stem)
        frame = current_frame(entry.stem, timeline.n_frames if timeline else 1)
        asked = {"video": entry.stem, "frame_index": frame, "config": settings["config"]}
        start(project, FRAME, asked, f"Run frame {frame} of {entry.name}")
    else:
        name = targets[0].name if len(targets) == 1 else counted(len(targets), "video")
        start(project, KIND, settings, f"{_ACTIONS[action][0]}: {name}")
    st.rerun()
