"""What the applied settings do: a frame with its masks beside what the model will see, and the riskiest frames."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from castle_core.errors import CastleError
from castle_core.machine import clock
from castle_core.projects import Project, VideoEntry
from ui.job_panel import ACTIVE, job_bar
from ui.latents.form import applied, config_settings
from ui.latents.pictures import preview, show_picture
from ui.latents.work import newest, start
from ui.pictures import timeline_of
from ui.trim_panel import not_ready
from ui.words import plain

_FRAME = "latent-frames-looked-at"
RISKY = "risky_frames"
_CELL = 150


def current_frame(stem: str, n_frames: int) -> int:
    """Return the frame of the video that is looked at."""
    frames = st.session_state.get(_FRAME)
    frame = frames.get(stem, 0) if isinstance(frames, dict) else 0
    return max(0, min(int(frame), n_frames - 1))


def go_to_frame(stem: str, frame_index: int) -> None:
    """Look at another frame from the next run on."""
    frames = st.session_state.get(_FRAME)
    st.session_state[_FRAME] = {**(frames if isinstance(frames, dict) else {}), stem: int(frame_index)}


def applied_settings(project: Project, form: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the settings of the preview: the form's, with the preprocessing that was applied."""
    fixed = applied(project)
    return None if fixed is None else {**config_settings(form), "preprocess": fixed}


def preview_panel(project: Project, form: dict[str, Any], targets: Sequence[VideoEntry]) -> None:
    """Show the preview of one video; nothing before Apply."""
    st.subheader("Preview", anchor=False)
    try:
        settings = applied_settings(project, form)
    except CastleError as error:
        st.info(plain(str(error)), icon=":material/info:")
        return
    if settings is None:
        st.info("Apply the preprocessing settings to see what the model will see.", icon=":material/visibility:")
        return
    entry = _video(targets)
    timeline = timeline_of(project, entry.stem)
    if timeline is None:
        not_ready(project, entry)
        return
    frame = current_frame(entry.stem, timeline.n_frames)
    last = timeline.n_frames - 1
    for widget in ("slider", "number"):
        st.session_state[f"latent-{widget}-{entry.stem}"] = frame
    left, right = st.columns([5, 1], vertical_alignment="bottom")
    for column, kind, widget in ((left, "Frame", "slider"), (right, f"Frame index (0 to {last})", "number")):
        if last > 0:
            (column.slider if widget == "slider" else column.number_input)(
                kind,
                0,
                last,
                key=f"latent-{widget}-{entry.stem}",
                on_change=_taken,
                args=(entry.stem, f"latent-{widget}-{entry.stem}"),
            )
    time = clock(frame / (timeline.average_fps or 1.0))
    _pair(project, entry, frame, time, settings)
    _sheet(project, entry, settings)


def _video(targets: Sequence[VideoEntry]) -> VideoEntry:
    by_stem = {entry.stem: entry for entry in targets}
    if st.session_state.get("latent-preview-video") not in by_stem:
        st.session_state.pop("latent-preview-video", None)
    if len(targets) == 1:
        return targets[0]
    stem = st.selectbox(
        "Video",
        list(by_stem),
        format_func=lambda s: by_stem[s].name,
        key="latent-preview-video",
        persist_state="session",
    )
    return by_stem[str(stem)]


def preview_video(targets: Sequence[VideoEntry]) -> VideoEntry:
    """Return the video of the preview."""
    chosen = st.session_state.get("latent-preview-video")
    return next((entry for entry in targets if entry.stem == chosen), targets[0])


def _taken(stem: str, widget: str) -> None:
    go_to_frame(stem, int(st.session_state[widget]))


def _pair(project: Project, entry: VideoEntry, frame: int, time: str, settings: Mapping[str, Any]) -> None:
    try:
        shown = preview(project, entry.stem, frame, settings)
    except CastleError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    left, right = st.columns(2, gap="medium")
    with left:
        show_picture(shown["source"], f"Frame {frame} of {entry.name} with its ROIs")
        st.caption(f"Source, frame {frame:,} · {time}")
    with right:
        if shown["seen"]:
            show_picture(shown["seen"], f"What the model sees of frame {frame}", limit="28rem")
            turned = " · tail down, body axis up" if settings["preprocess"]["tail_roi"] is not None else ""
            st.caption(f"What the model sees, {shown['side']} x {shown['side']} px{turned}")
        else:
            st.warning(f"Nothing to see on this frame: {shown['words']}. Its row will be NaN.", icon=":material/block:")
    for key, words in shown["points"].items():
        st.caption(f":material/add: **{plain(key)}**: {plain(words)}")


def _sheet(project: Project, entry: VideoEntry, settings: Mapping[str, Any]) -> None:
    """Show the frames on which the crop most likely goes wrong."""
    if settings["preprocess"]["center_roi"] is None:
        return
    asked = {"video": entry.stem, "config": dict(settings)}
    job = newest(project, RISKY, asked)
    if job is None or (job.state in ("failed", "cancelled")):
        if job is not None and job.error:
            st.error(plain(job.error), icon=":material/error:")
        if st.button("Look for the riskiest frames", key="latent-risky", icon=":material/warning:"):
            start(project, RISKY, asked, f"Look for risky frames in {entry.name}")
            st.rerun()
        return
    if job.state in ACTIVE:
        _wait(job.id)
        return
    found = (job.result or {}).get("frames", [])
    st.markdown(f"**Riskiest frames of {plain(entry.name)}**")
    if not found:
        st.caption("None: the ROI is on every frame, well inside the picture.")
        return
    with st.container(horizontal=True, gap="small"):
        for row in found:
            with st.container(width=_CELL, gap="xxsmall"):
                _risky(project, entry, int(row["frame_index"]), str(row["reason"]), settings)


def _risky(project: Project, entry: VideoEntry, frame: int, reason: str, settings: Mapping[str, Any]) -> None:
    try:
        shown = preview(project, entry.stem, frame, settings)
        show_picture(shown["seen"] or shown["source"], f"Frame {frame}: {reason}")
    except CastleError as error:
        st.caption(plain(str(error)))
    st.button(
        f"Frame {frame:,}",
        key=f"latent-risky-{entry.stem}-{frame}",
        type="tertiary",
        on_click=go_to_frame,
        args=(entry.stem, frame),
    )
    st.caption(plain(reason))


@st.fragment(run_every=1.0, key="latent-risky-wait")
def _wait(number: int) -> None:
    from ui.server import jobs

    job = jobs().get(number)
    if job.state not in ACTIVE:
        st.rerun()
    job_bar(job, with_cancel=False)
