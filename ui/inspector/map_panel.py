"""The map: principal components or UMAP, coloured by time, status, cluster or a channel; and the lasso's set."""

import functools
from typing import Any

import numpy as np
import streamlit as st

from castle_core.inspection import inside_polygon, spread_over
from castle_core.inspection.umap_layout import is_installed
from castle_core.machine import clock
from ui.components.scatter import scatter
from ui.inspector import held
from ui.inspector.frame_panel import frame_panel
from ui.inspector.look import Look, frame_shown, keep_lasso, lasso_of, take_choice
from ui.inspector.token_panel import token_panel
from ui.job_panel import ACTIVE, last_ended, live_bar
from ui.people import current_user
from ui.server import jobs
from ui.words import counted, plain

_SESSION: Any = "session"
JOB = "board_of_frames"
_SENT = "inspector-sent"


def map_panel(look: Look) -> None:
    """Show the map, the frame shown, and what can be done with the frames inside the lasso."""
    with st.container(horizontal=True, vertical_alignment="top"):
        layout, query = _layout(look)
        codes, ramp, names = _colours(look)
    if layout == "pca-0-1" and st.session_state.get("inspector-layout") == "umap":
        _offer_umap(look)
    left, right = st.columns([5, 2], gap="medium")
    with left:
        chosen = scatter(
            identity=f"{look.held.version}-{layout}",
            title=look.file.path.name,
            n_frames=look.summary.n,
            fps=look.fps,
            points=f"{look.base}/points.bin?{query}",
            codes=f"{look.base}/codes.bin?{codes}",
            ramp=ramp,
            names=names,
            poster=look.poster(240),
            frame=frame_shown(look),
            lasso=lasso_of(look, layout),
            key="inspector-map",
        )
        take_choice(look, "map", (chosen.frame, chosen.seq))
        if chosen.lasso is not None:
            keep_lasso(look, layout, chosen.lasso)
        if not is_installed() and not held.has_layout(look.held):
            st.caption("For a UMAP layout install the extra: `pip install 'castle-studio[umap]'`.")
    with right:
        frame_panel(look)
    polygon = lasso_of(look, layout)
    kind, x, y = layout.split("-")
    places = held.layout(look.held, kind, int(x), int(y))
    if polygon and places is not None:
        corners = [(float(a), float(b)) for a, b in polygon]
        frames_panel(look, np.flatnonzero(inside_polygon(places, corners)), "inside the lasso", places)
    token_panel(look)


def _layout(look: Look) -> tuple[str, str]:
    """Let the user choose what the axes are; returns a short name and the routes' query."""
    has = held.has_layout(look.held)
    kind = "pca"
    if has or is_installed():
        kind = str(
            st.segmented_control(
                "Layout",
                ["pca", "umap"],
                default="pca",
                format_func={"pca": "Principal components", "umap": "UMAP"}.__getitem__,
                required=True,
                key="inspector-layout",
            )
        )
    if kind == "umap":
        return ("umap-0-1", "kind=umap") if has else ("pca-0-1", "kind=pca&x=0&y=1")
    names = [f"PC {i + 1} ({100 * share:.0f} %)" for i, share in enumerate(look.summary.explained[:10])]
    d = len(names)
    x, y = (
        int(
            st.selectbox(
                label, range(d), place, format_func=names.__getitem__, key=key, help="Share of variance.", width=150
            )
        )
        for label, key, place in (("Across", "inspector-x", 0), ("Upwards", "inspector-y", min(1, d - 1)))
    )
    return f"pca-{x}-{y}", f"kind=pca&x={x}&y={y}"


def _offer_umap(look: Look) -> None:
    """Show how far the UMAP is, or the button that makes it."""
    if not live_bar(["umap_latents"], project=str(look.project.path)) and st.button("Lay out by UMAP"):
        jobs().submit(
            "umap_latents",
            project=str(look.project.path),
            settings={"file": look.file.relative},
            owner=current_user(),
            title=f"UMAP of {look.file.path.name}",
        )
        st.rerun()
    job = last_ended(["umap_latents"], project=str(look.project.path))
    if job is not None and job.state == "failed" and job.settings.get("file") == look.file.relative:
        st.error(plain(job.error or "The layout failed."), icon=":material/error:")
    st.caption("Until the UMAP is ready you see the principal components. It takes minutes for long videos.")


def _colours(look: Look) -> tuple[str, bool, list[str]]:
    """Let the user choose what colours stand for; returns the routes' query, whether it is a ramp, and the names."""
    by = st.segmented_control(
        "Colour by",
        ["time", "cluster", "channel"],
        default="time",
        required=True,
        key="inspector-colour",
        persist_state=_SESSION,
    )
    if by == "cluster":
        k = int(st.number_input("Clusters", 2, 60, 8, key="inspector-map-k", width=140))
        found = held.clusters(look.held, k, 0)
        return f"by=cluster&k={k}", False, [f"cluster {i + 1}" for i in range(len(found.sizes))]
    if by == "channel":
        last = look.summary.dim - 1
        channel = int(st.number_input("Channel", 0, last, 0, key="inspector-map-channel", width=140))
        return f"by=channel&c={channel}", True, ["3 spreads below its median", "3 above"]
    end = clock((look.summary.n - 1) / look.fps) if look.timeline else f"frame {look.summary.n - 1}"
    return "by=time", True, ["start", end]


def frames_panel(look: Look, frames: np.ndarray, what: str, places: np.ndarray | None = None) -> None:
    """Show what can be done with a set of frames: save it, or send frames that stand for it to labelling."""
    with st.container(border=True, key="inspector-set"):
        st.markdown(f"**{counted(len(frames), 'frame')}** {what}")
        if len(frames) == 0:
            return
        left, middle, right = st.columns([2, 2, 2], vertical_alignment="bottom")
        most = min(len(frames), 2000)
        n = int(left.number_input("Frames to label", 1, most, min(20, most), key="inspector-n"))
        review = middle.checkbox("Review before writing", value=True, key="inspector-review")
        reason = _why_not(look)
        if right.button(
            "Send to labelling", type="primary", key="inspector-label", disabled=bool(reason), width="stretch"
        ):
            _send(look, frames, n, review, what)
            st.rerun()
        if reason:
            st.caption(f":material/info: {reason}")
        else:
            st.caption(
                "Frames that stand for the whole set are chosen, half a second apart where that can be; those labelled "
                "or selected already are left out."
            )
        st.download_button(
            "Save the set as CSV",
            functools.partial(set_csv, look, frames, places),
            file_name=f"{look.file.path.stem}_frames.csv",
            mime="text/csv",
            key="inspector-set-csv",
            on_click="ignore",
        )
    _sent(look)


def set_csv(look: Look, frames: np.ndarray, places: np.ndarray | None) -> str:
    """Return a set of frames as CSV: ``frame,time_s`` and, from the map, ``x,y`` (0..1)."""
    lines = ["frame,time_s" + (",x,y" if places is not None else "")]
    for frame in frames.tolist():
        at = "" if places is None else f",{places[frame, 0]:.6g},{places[frame, 1]:.6g}"
        lines.append(f"{frame},{look.time_s(frame):.6f}{at}" if look.timeline else f"{frame},{at}")
    return "\n".join(lines) + "\n"


def _why_not(look: Look) -> str:
    if look.project.read_only:
        return "The project is read-only, so no frames can be written."
    if not look.has_video:
        return "The video of these latents is not in the project."
    return ""


def _send(look: Look, frames: np.ndarray, n: int, review: bool, what: str) -> None:
    chosen, others = spread_over(
        look.summary.scores,
        frames,
        n,
        taken=look.project.covered(look.file.stem),
        min_gap=max(1, round(look.fps / 2)) if look.timeline else 15,
    )
    st.session_state[_SENT] = jobs().submit(
        JOB,
        project=str(look.project.path),
        settings={
            "video": look.file.stem,
            "frames": chosen.tolist(),
            "alternatives": {str(frame): list(more) for frame, more in others.items()},
            "reason": f"{what} of {len(frames):,} frames in the Inspector",
            "review": review,
            "settings": {"latents": look.file.relative, "set": len(frames)},
        },
        owner=current_user(),
        title=f"Send {counted(len(chosen), 'frame')} to labelling",
    )


def _sent(look: Look) -> None:
    """Say how sending ended: of the job that was started here, for this project."""
    number = st.session_state.get(_SENT)
    job = next((job for job in jobs().list(project=str(look.project.path), limit=300) if job.id == number), None)
    if job is None:
        return
    if job.state in ACTIVE:
        live_bar([JOB], project=str(look.project.path))
        return
    if job.state == "cancelled":
        st.info("Sending was cancelled.", icon=":material/block:")
        return
    if job.state != "finished":
        st.error(plain(job.error or "The frames could not be sent."), icon=":material/error:")
        return
    if job.settings.get("review"):
        st.success("The frames wait on a board on the page Extract frames.", icon=":material/check:")
    else:
        st.success("The frames are written.", icon=":material/check:")
    st.page_link("pages/extract_frames.py", label="Look at the frames", icon=":material/arrow_forward:")
