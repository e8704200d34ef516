"""Drawing without the mouse: numbers, the whole frame, keypoints, the tracked mask; and the list of what is drawn."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import streamlit as st

from castle_core.errors import CastleError, RoiError
from castle_core.projects import Project, VideoEntry
from castle_core.prompts import Prompt, frame_mask, prompt_frames, read_prompts, save_prompts, write_label_file
from castle_core.rois import MaskFile, find_masks
from castle_core.timeline import Timeline
from ui.tracking.keypoints import keypoint_sources, keypoints_at
from ui.tracking.rois import remember_rois
from ui.words import counted, plain

_SHAPES = ("Box", "Polygon", "Points on the ROI", "Points beside it")


def other_ways(
    project: Project, video: VideoEntry, timeline: Timeline, frame: int, roi: int, prompts: Sequence[Prompt]
) -> None:
    """Show the ways to draw without a mouse, and each drawing of this frame with a button that removes it."""
    if project.read_only:
        st.caption(":material/lock: This project is read-only: drawings cannot be saved.")
        return
    stem = video.stem
    with st.container(horizontal=True, gap="small"):
        st.button(
            "Whole frame",
            icon=":material/fullscreen:",
            help=f"Makes the whole picture ROI {roi}.",
            key="draw-whole",
            on_click=_add,
            args=(project, stem, frame, [Prompt(frame, roi, "box", [0, 0, timeline.width, timeline.height])]),
        )
        st.button(
            "Tracked mask",
            icon=":material/content_copy:",
            help="Takes what was tracked on this frame as the drawing, to be corrected with brush and eraser.",
            key="draw-tracked",
            disabled=not find_masks(project, video.name).is_file(),
            on_click=_tracked,
            args=(project, video, frame),
        )
        st.button(
            "Clear this frame",
            icon=":material/delete:",
            key="draw-clear",
            disabled=not prompts,
            on_click=_replace,
            args=(project, stem, frame, []),
        )
    with st.expander("Draw without the mouse, and what is drawn", icon=":material/keyboard:"):
        _numbers(project, stem, timeline, frame, roi)
        _keypoints(project, video, frame, roi)
        _listed(project, stem, frame, prompts)
        _labels(project, stem)


def _numbers(project: Project, stem: str, timeline: Timeline, frame: int, roi: int) -> None:
    shape = st.selectbox("Shape", _SHAPES, key="draw-shape", persist_state="session")
    if shape == "Box":
        places = st.columns(4)
        wide, high = timeline.width, timeline.height
        names = (("Left", wide), ("Top", high), ("Right", wide), ("Bottom", high))
        values = [
            place.number_input(name, 0.0, float(limit), 0.0, 1.0, "%g", key=f"draw-{name}")
            for place, (name, limit) in zip(places, names, strict=True)
        ]
        make: Callable[[], Prompt] = lambda: Prompt(frame, roi, "box", values)  # noqa: E731
    else:
        text = st.text_area(
            "x, y in pixels, one pair a line",
            key="draw-pairs",
            placeholder="120, 80\n160, 84\n150, 130",
            height=110,
        )
        kind: Any = "polygon" if shape == "Polygon" else "point"
        make = lambda: Prompt(frame, roi, kind, pairs_of(text), shape != "Points beside it")  # noqa: E731
    if st.button(f"Draw it as ROI {roi}", key="draw-numbers", icon=":material/edit:"):
        try:
            _add(project, stem, frame, [make()])
        except CastleError as error:
            st.session_state["track-note"] = str(error)
        st.rerun()


def pairs_of(text: str) -> list[list[float]]:
    """Read ``x, y`` pairs, one a line.

    Raises
    ------
    RoiError
        If a line is no pair of numbers; the message says which.
    """
    pairs = []
    for number, line in enumerate(text.splitlines(), 1):
        parts = line.replace(",", " ").replace(";", " ").split()
        if not parts:
            continue
        try:
            x, y = (float(part) for part in parts)
        except ValueError:
            raise RoiError(f"Line {number} ({line.strip()[:30]!r}) is no pair x, y. Write it as in 120, 80.") from None
        pairs.append([x, y])
    return pairs


def _keypoints(project: Project, video: VideoEntry, frame: int, roi: int) -> None:
    sources = keypoint_sources(project, video)
    if not sources:
        st.caption("Keypoints can be used once the project has predictions of this video.")
        return
    source = str(st.selectbox("Keypoints of", list(sources), key="draw-keypoints-of"))
    try:
        names, xy = keypoints_at(sources[source], video.name, frame)
    except CastleError as error:
        st.error(plain(str(error)))
        return
    chosen = st.multiselect(
        "Body parts", names, default=names, key=f"draw-parts-{source}", help="Those that are known on this frame."
    )
    points = [xy[names.index(name)].tolist() for name in chosen if np.isfinite(xy[names.index(name)]).all()]
    with st.container(horizontal=True, gap="small"):
        st.button(
            "Use as points",
            key="draw-keypoints",
            disabled=not points,
            on_click=_add,
            args=(project, video.stem, frame, [Prompt(frame, roi, "point", points)] if points else []),
        )
        st.button(
            "Use their outline",
            key="draw-hull",
            disabled=len(points) < 3,
            help="The polygon around them.",
            on_click=_outline,
            args=(project, video.stem, frame, roi, points),
        )
    if chosen and not points:
        st.caption(f":material/info: None of them is known on frame {frame}.")


def _outline(project: Project, stem: str, frame: int, roi: int, points: list[list[float]]) -> None:
    import cv2

    hull = cv2.convexHull(np.array(points, np.float32))[:, 0]
    try:
        _add(project, stem, frame, [Prompt(frame, roi, "polygon", hull)])
    except CastleError as error:
        st.session_state["track-note"] = str(error)


def _listed(project: Project, stem: str, frame: int, prompts: Sequence[Prompt]) -> None:
    if not prompts:
        return
    st.markdown(f"**Drawn on frame {frame}**")
    for place, prompt in enumerate(prompts):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f":small[ROI {prompt.roi} · {_words(prompt)}]", width="stretch")
            st.button(
                "Remove",
                key=f"draw-remove-{place}",
                type="tertiary",
                help=f"Remove drawing {place + 1}: {prompt.kind} of ROI {prompt.roi}",
                on_click=_replace,
                args=(project, stem, frame, [p for other, p in enumerate(prompts) if other != place]),
            )


def _words(prompt: Prompt) -> str:
    if prompt.kind == "box":
        return "box " + ", ".join(f"{v:.0f}" for v in prompt.data)
    if prompt.kind == "mask":
        return f"mask of {counted(int(prompt.data.sum()), 'pixel')}"
    if prompt.kind == "point":
        return f"{counted(int(prompt.positive.sum()), 'point')} on it, {int((~prompt.positive).sum())} beside it"
    sign = "" if prompt.positive[0] else "eraser, "
    return f"{sign}{prompt.kind} of {counted(len(prompt.data), 'point')}"


def _labels(project: Project, stem: str) -> None:
    frames = prompt_frames(project, stem)
    st.button(
        "Write CASTLE's label files",
        key="draw-labels",
        disabled=not frames,
        help="label/<video>/<frame>.npz of every frame with drawings, as CASTLE's own labelling writes them.",
        on_click=_write_labels,
        args=(project, stem, frames),
    )
    if done := st.session_state.pop("labels-written", None):
        st.success(done)


def _write_labels(project: Project, stem: str, frames: Sequence[int]) -> None:
    written, left = 0, 0
    try:
        with project.open_video(stem) as video:
            for frame in frames:
                mask = frame_mask(read_prompts(project, stem, frame), frame, video.height, video.width)
                if not mask.any():
                    left += 1
                    continue
                write_label_file(project, stem, frame, video.frame_at(frame), mask)
                written += 1
    except CastleError as error:
        st.session_state["track-note"] = str(error)
    note = f" {counted(left, 'frame')} left out: points alone have no area." if left else ""
    st.session_state["labels-written"] = f"{counted(written, 'label file')} written.{note}"


def _tracked(project: Project, video: VideoEntry, frame: int) -> None:
    try:
        with MaskFile(find_masks(project, video.name)) as masks:
            mask = masks.mask_at(frame)
        if mask is None or not mask.any():
            raise RoiError(f"Nothing was tracked on frame {frame}. Go to another frame, or draw.")
        prompts = [Prompt(frame, int(roi), "mask", mask == roi) for roi in np.unique(mask) if roi]
        _replace(project, video.stem, frame, prompts)
    except CastleError as error:
        st.session_state["track-note"] = str(error)


def _add(project: Project, stem: str, frame: int, prompts: Sequence[Prompt]) -> None:
    try:
        _replace(project, stem, frame, [*read_prompts(project, stem, frame), *prompts])
    except CastleError as error:
        st.session_state["track-note"] = str(error)


def _replace(project: Project, stem: str, frame: int, prompts: Sequence[Prompt]) -> None:
    try:
        save_prompts(project, stem, frame, prompts)
        remember_rois(project, sorted({prompt.roi for prompt in prompts}))
    except CastleError as error:
        st.session_state["track-note"] = str(error)
    st.session_state["canvas-turn"] = st.session_state.get("canvas-turn", 0) + 1
