"""The drawing canvas: streamlit-drawable-canvas behind one function, with what its own function does not offer.

Its component is called with the data that its 0.13 expects. Its Python function refuses the tool ``edit`` and switches
off live updates for polygons, so that moved shapes would be lost; and it takes no picture by a relative address.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import streamlit as st

from castle_core.prompts import Prompt
from ui.canvas_objects import LINE, POINT_RADIUS, CanvasSize, fill_colour, stroke_colour, to_objects, to_prompts

Tool = Literal["box", "polygon", "brush", "eraser", "point", "not", "adjust"]
TOOLS: tuple[Tool, ...] = ("box", "polygon", "brush", "eraser", "point", "not", "adjust")
_MODES = {
    "box": "rect",
    "polygon": "polygon",
    "brush": "freedraw",
    "eraser": "freedraw",
    "point": "point",
    "not": "point",
    "adjust": "edit",
}


def canvas(
    prompts: Sequence[Prompt],
    *,
    frame_index: int,
    size: CanvasSize,
    picture: str,
    tool: Tool,
    roi: int,
    brush_width: float,
    key: str,
    on_change: Callable[[], None] = lambda: None,
) -> list[Prompt] | None:
    """Show a frame to draw on.

    Parameters
    ----------
    prompts : sequence of Prompt
        What is drawn when the canvas appears. With the same `key` later ones are not looked at: a new `key` draws anew.
    frame_index : int
        The frame.
    size : CanvasSize
        Of canvas and frame.
    picture : str
        Address of the frame's picture.
    tool : str
        One of `TOOLS`: ``point`` and ``not`` set points on the ROI and beside it; ``adjust`` moves, stretches, turns
        and deletes what is there.
    roi : int
        The ROI that is drawn now.
    brush_width : float
        Of brush and eraser, in pixels of the video.

    Returns
    -------
    list of Prompt or None
        What is drawn now; None until something was changed.
    """
    import streamlit_drawable_canvas as component

    first = _first_objects(prompts, size, key)
    line = brush_width * size.width / size.frame_width if tool in ("brush", "eraser") else LINE
    result = component.out(
        key=key,
        data={
            "fillColor": fill_colour(roi, hollow=True) if tool == "not" else _fill(tool, roi),
            "strokeWidth": line,
            "strokeColor": stroke_colour(roi, {"eraser": "erase", "brush": "brush"}.get(tool, "outline")),
            "backgroundColor": "",
            "backgroundImageURL": picture,
            "realtimeUpdateStreamlit": True,
            "canvasWidth": size.width,
            "canvasHeight": size.height,
            "drawingMode": _MODES[tool],
            "initialDrawing": {"objects": first, "background": ""},
            "displayRadius": POINT_RADIUS,
            "returnImageData": False,
            "disabled": False,
            "backgroundImageFit": "stretch",
            "maxDisplayHeight": None,
            "fontSize": 16,
            "label": "",
        },
        default={"drawing": None, "backgroundFit": None},
        on_drawing_change=on_change,
        on_backgroundFit_change=lambda: None,
        width="stretch",
        height="content",
    )
    drawing = result.get("drawing")
    objects = drawing.get("raw", {}).get("objects") if isinstance(drawing, dict) else None
    if not isinstance(objects, list):
        return None
    return to_prompts(objects, frame_index, size)


def _fill(tool: Tool, roi: int) -> str:
    return stroke_colour(roi) if tool == "point" else fill_colour(roi)


def _first_objects(prompts: Sequence[Prompt], size: CanvasSize, key: str) -> list[dict[str, Any]]:
    """Return what the canvas started with: handing it anything else would make it forget what was drawn since."""
    name = "canvas-first"
    kept = st.session_state.get(name)
    if not isinstance(kept, dict) or kept.get("key") != key:
        kept = st.session_state[name] = {"key": key, "objects": _plain(to_objects(prompts, size))}
    objects: list[dict[str, Any]] = kept["objects"]
    return objects


def _plain(value: Any) -> Any:
    """Turn NumPy's numbers into Python's."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value.item() if hasattr(value, "item") else value
