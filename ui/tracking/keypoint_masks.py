"""Masks drawn around predicted keypoints: which body parts, which shape, how wide; seen on a frame before it is run."""

import base64
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import streamlit as st

from castle_core.errors import CastleError
from castle_core.palette import roi_rgb
from castle_core.predictions import find_predictions
from castle_core.projects import Project, VideoEntry
from castle_core.rois import KeypointMasks
from castle_core.timeline import Timeline
from ui.job_panel import last_ended, live_bar, watched
from ui.people import current_user
from ui.server import jobs
from ui.tracking.frame_choice import current_frame
from ui.tracking.keypoints import keypoint_sources, keypoint_table
from ui.tracking.rois import current_roi
from ui.words import counted, plain

POINTS = "masks_from_points"
_SHAPES = {"disc": "a disc around each", "hull": "the hull of the discs", "capsule": "discs, joined in their order"}


def keypoint_masks(project: Project, video: VideoEntry, timeline: Timeline) -> None:
    """Show the controls, a preview on the frame that is looked at, and the button."""
    sources = keypoint_sources(project, video)
    if not sources:
        st.caption(f"No model of this project has predictions of {plain(video.name)} yet.")
        return
    left, right = st.columns(2, gap="large")
    with left:
        model = str(st.selectbox("Predictions of", list(sources), key="points-model"))
        try:
            table = keypoint_table(sources[model], video.name)
        except CastleError as error:
            st.error(plain(str(error)), icon=":material/error:")
            return
        names = list(table.keypoints)
        parts = st.multiselect(
            "Body parts",
            names,
            default=names[:3],
            key=f"points-parts-{model}",
            help="A capsule joins them in this order.",
        )
        shape = str(st.selectbox("Shape", list(_SHAPES), format_func=_SHAPES.__getitem__, key="points-shape"))
        one, two, three = st.columns(3)
        radius = float(one.number_input("Radius (pixels)", 1.0, 1000.0, 20.0, 1.0, "%g", key="points-radius"))
        roi = int(two.number_input("ROI", 1, 255, current_roi(), key="points-roi"))
        likelihood = float(
            three.number_input(
                "Likelihood", 0.0, 1.0, 0.6, 0.05, key="points-likelihood", help="Keypoints below count as missing."
            )
        )
        with_model = {
            f.stem: f.path for f in find_predictions(project.path, [v.stem for v in project.videos()], model=model)
        }
        every = len(with_model) > 1 and st.checkbox(
            f"In all {len(with_model)} videos with predictions of this model", key="points-all"
        )
        chosen = with_model if every else {video.stem: sources[model]}
    settings = {
        "keypoints": parts,
        "shape": shape,
        "radius": radius,
        "roi_id": roi,
        "likelihood_threshold": likelihood,
    }
    with right:
        if parts:
            _preview(project, video, timeline, sources[model], settings)
    running = watched([POINTS], project=str(project.path))
    st.caption(f"ROI {roi} of earlier masks is replaced, other ROIs stay; the earlier file goes to `.castle/trash`.")
    if st.button(
        "Make the masks",
        key="points-run",
        icon=":material/play_arrow:",
        disabled=not parts or project.read_only or bool(running),
    ):
        _start(project, chosen, settings)
        st.rerun()
    if live_bar([POINTS], project=str(project.path)):
        return
    job = last_ended([POINTS], project=str(project.path))
    if job is not None and job.state == "failed":
        st.error(plain(job.error or "Something went wrong."), icon=":material/error:")


def _start(project: Project, chosen: dict[str, Path], settings: dict[str, Any]) -> None:
    try:
        jobs().submit(
            POINTS,
            project=str(project.path),
            settings={"videos": {stem: str(path) for stem, path in chosen.items()}, **settings},
            owner=current_user(),
            title=f"Masks from keypoints in {counted(len(chosen), 'video')}",
        )
    except CastleError as error:
        st.session_state["job-note"] = str(error)


def _preview(project: Project, video: VideoEntry, timeline: Timeline, path: Path, settings: dict[str, Any]) -> None:
    from castle_core.video import encode_jpeg

    frame = current_frame(video.stem, timeline.n_frames)
    try:
        table = keypoint_table(path, video.name)
        columns = [table.keypoints.index(name) for name in settings["keypoints"]]
        drawn = KeypointMasks(
            table.xy[:, columns],
            np.where(np.isnan(table.likelihood), 1.0, table.likelihood)[:, columns],
            height=timeline.height,
            width=timeline.width,
            shape=settings["shape"],
            radius=settings["radius"],
            roi_id=settings["roi_id"],
            threshold=settings["likelihood_threshold"],
        )
        mask = drawn.mask_at(frame)
        with project.open_video(video.stem) as opened:
            picture = opened.frame_at(frame)
    except CastleError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    empty = mask is None or not mask.any()
    shown = picture if empty or mask is None else _painted(picture, mask > 0, settings["roi_id"])
    jpeg = base64.b64encode(encode_jpeg(shown, width=min(640, timeline.width))).decode("ascii")
    words = f"Frame {frame}" + (": none of these keypoints is known here" if empty else " with the mask")
    st.html(f'<img class="castle-preview" src="data:image/jpeg;base64,{jpeg}" alt="{words}"><small>{words}</small>')


def _painted(picture: npt.NDArray[np.uint8], area: npt.NDArray[np.bool_], roi: int) -> npt.NDArray[np.uint8]:
    painted = picture.copy()
    painted[area] = (0.5 * painted[area] + 0.5 * np.array(roi_rgb(roi))).astype(np.uint8)
    return painted
