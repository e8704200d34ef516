"""Draw ROIs on a frame: tools, canvas, the list of ROIs, and what is drawn on this frame."""

import hashlib
import json
from collections.abc import Sequence

import numpy as np
import streamlit as st
from streamlit.errors import StreamlitAPIException

from castle_core.errors import CastleError
from castle_core.projects import Project, VideoEntry
from castle_core.prompts import Prompt, prompt_mask, read_prompts, save_prompts
from castle_core.timeline import Timeline
from ui import media
from ui.canvas import TOOLS, canvas
from ui.canvas_objects import CanvasSize
from ui.tracking.frame_choice import choose_frame
from ui.tracking.numbers import other_ways
from ui.tracking.rois import choose_roi, remember_rois
from ui.words import counted, plain

_TURN = "canvas-turn"
_HANDLED = "canvas-handled"
_FIT = (600, 520)
_PLACES = (604, 580, 550, 520, 490, 460, 430, 400, 370, 340, 320, 300, 280, 260, 240)
_MARGINS = 4
_SCROLL = ".st-key-cols-canvas{container:drawing/inline-size}.st-key-canvas-scroll{overflow:auto;max-height:90vh}"
ZOOMS = {"fit": 1.0, "1.5×": 1.5, "2×": 2.0, "3×": 3.0}
_LABELS = {
    "box": ":material/crop_square: Box",
    "polygon": ":material/pentagon: Polygon",
    "brush": ":material/brush: Brush",
    "eraser": ":material/ink_eraser: Eraser",
    "point": ":material/add_circle: Point",
    "not": ":material/do_not_disturb_on: Not here",
    "adjust": ":material/open_with: Adjust",
}
_HELP = {
    "box": "Drag from one corner to the other.",
    "polygon": "Click corner after corner; click the first one again to close it. Click another corner to remove it.",
    "brush": "Paint over the animal.",
    "eraser": "Paint over what does not belong to this ROI.",
    "point": "Click on the animal. Points alone are for SAM 2; the background tracker needs something with an area.",
    "not": "Click beside the animal, on what does not belong to it (SAM 2).",
    "adjust": "Move, stretch or turn a shape; the bar above deletes it. A second click on a polygon: its corners.",
}


def redraw() -> None:
    """Show what is saved on the canvas, instead of what was drawn there (drawings were changed elsewhere)."""
    st.session_state[_TURN] = st.session_state.get(_TURN, 0) + 1


def draw_panel(project: Project, video: VideoEntry, timeline: Timeline, tracked: Sequence[int] = ()) -> None:
    """Show the canvas over a frame of `video`; `tracked` are the ids in its masks."""
    stem = video.stem
    frame = choose_frame(project, stem, timeline)
    with st.container(horizontal=True, vertical_alignment="top", gap="small", key="canvas-tools"):
        tool = st.segmented_control(
            "Tool",
            TOOLS,
            default="box",
            required=True,
            format_func=_LABELS.__getitem__,
            key="canvas-tool",
            persist_state="session",
        )
        brush = 16.0
        if tool in ("brush", "eraser"):
            brush = float(
                st.number_input("Width in pixels", 1, 200, 16, key="canvas-brush", persist_state="session", width=130)
            )
        zoom = st.selectbox("Zoom", list(ZOOMS), key="canvas-zoom", persist_state="session", width=90)
    with st.container(key="cols-canvas"):
        left, right = st.columns([7, 3], gap="medium")
    left.caption(_HELP[tool])
    if problem := _cannot_show(str(project.path), stem, frame, media.media_base(project, stem)):
        left.error(plain(problem), icon=":material/broken_image:")
        left.caption("Nothing can be drawn on a frame that cannot be decoded. Go to another one.")
        return
    saved = _saved(project, stem, frame)
    prompts = saved if saved is not None else ()
    with right:
        roi = choose_roi(project, _drawn(prompts, timeline), tracked)
    with left:
        size = CanvasSize.fitting(timeline.width, timeline.height, round(_fit(timeline) * ZOOMS[str(zoom)]))
        key = f"canvas-{stem}-{frame}-{size.width}-{st.session_state.get(_TURN, 0)}"
        # The canvas's own scrolling area cannot be reached with the keyboard, this one can.
        narrow = _narrow(size.width) if zoom == "fit" else ""
        st.html(f"<style>{_SCROLL}.st-key-canvas-scroll>*{{min-width:{size.width}px}}{narrow}</style>")
        with st.container(key="canvas-scroll"):
            st.space("medium")  # the canvas's own bar appears here
            drawn = canvas(
                prompts,
                frame_index=frame,
                size=size,
                picture=media.frame_url(project, stem, frame, size.width if timeline.width > 1920 else None),
                tool=tool,
                roi=roi,
                brush_width=brush,
                key=key,
            )
        if drawn is not None and saved is not None and _is_new(key, drawn):
            _save(project, stem, frame, drawn)
            _run_again()
        note()
        other_ways(project, video, timeline, frame, roi, prompts)


def _run_again() -> None:
    """Show what follows from a change: only this part of the page where that is what runs now."""
    try:
        st.rerun(scope="fragment")
    except StreamlitAPIException:
        st.rerun()


def note() -> None:
    """Show once what went wrong in the run before."""
    if text := st.session_state.pop("track-note", None):
        st.error(plain(text), icon=":material/error:")


def _fit(timeline: Timeline) -> int:
    """Return the width at which the whole frame fits beside the list of ROIs, in pixels of the canvas."""
    return max(80, round(min(_FIT[0], _FIT[1] * timeline.width / timeline.height)))


def _narrow(width: int) -> str:
    """Return rules that make a canvas of `width` pixels smaller where its place is narrower."""
    steps = [(_PLACES[i], _PLACES[i + 1]) for i in range(len(_PLACES) - 1)]
    rules = [
        f"@container drawing (max-width:{wide}px){{.st-key-canvas-scroll>*{{zoom:{(least - _MARGINS) / width:.3f}}}}}"
        for wide, least in steps
        if least - _MARGINS < width
    ]
    return "".join(rules)


@st.cache_data(max_entries=500, show_spinner=False)
def _cannot_show(path: str, stem: str, frame: int, version: str) -> str:
    """Say why a frame has no picture; empty where it has one."""
    del version  # part of the cache's key only
    try:
        with Project.open(path).open_video(stem) as video:
            video.frame_at(frame)
    except CastleError as error:
        return str(error)
    return ""


def _saved(project: Project, stem: str, frame: int) -> tuple[Prompt, ...] | None:
    """Return this frame's drawings; None, with the reason shown, where they cannot be read (nothing is overwritten)."""
    try:
        return read_prompts(project, stem, frame)
    except CastleError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return None


def _is_new(key: str, drawn: Sequence[Prompt]) -> bool:
    """Say whether the canvas shows something that was not saved yet, and note that it will be."""
    digest = hashlib.sha256()
    for prompt in drawn:
        digest.update(json.dumps([prompt.frame_index, prompt.to_json()]).encode())
        if prompt.kind == "mask":
            digest.update(np.packbits(prompt.data).tobytes())
    now = {"key": key, "digest": digest.hexdigest()}
    if st.session_state.get(_HANDLED) == now:
        return False
    st.session_state[_HANDLED] = now
    return True


def _save(project: Project, stem: str, frame: int, drawn: Sequence[Prompt]) -> None:
    try:
        save_prompts(project, stem, frame, drawn)
        remember_rois(project, sorted({prompt.roi for prompt in drawn}))
    except CastleError as error:
        st.session_state["track-note"] = str(error)
        redraw()


def _drawn(prompts: Sequence[Prompt], timeline: Timeline) -> dict[int, str]:
    """Say for each ROI what is drawn of it."""
    mask = prompt_mask(prompts, timeline.height, timeline.width)
    areas = np.bincount(mask.ravel(), minlength=256)
    words: dict[int, str] = {}
    for roi in sorted({prompt.roi for prompt in prompts}):
        kinds: dict[str, int] = {}
        for prompt in prompts:
            if prompt.roi == roi:
                erase = prompt.kind != "point" and not prompt.positive[0]
                name = "eraser stroke" if erase else {"brush": "brush stroke"}.get(prompt.kind, prompt.kind)
                kinds[name] = kinds.get(name, 0) + (len(prompt.data) if prompt.kind == "point" else 1)
        parts = [counted(count, name, "boxes" if name == "box" else None) for name, count in kinds.items()]
        words[roi] = " · ".join([*parts, f"{int(areas[roi]):,} px"])
    return words
