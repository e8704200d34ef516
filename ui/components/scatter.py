"""The map of frames: every frame a point, a click chooses one, a line drawn around points chooses many."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from ui.components import source

_mount = st.components.v2.component("castle_scatter", **source("scatter", with_strip=True, with_colours=True))
Polygon = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Chosen:
    """What the user did on the map last.

    Attributes
    ----------
    frame : int or None
    seq : int
        Grows with every choice of a frame.
    lasso : Polygon or None
        Corners on the map, 0..1; empty after the lasso was cleared, None if none was drawn here.
    """

    frame: int | None
    seq: int
    lasso: Polygon | None


def scatter(
    *,
    identity: str,
    title: str,
    n_frames: int,
    fps: float,
    points: str,
    codes: str,
    ramp: bool,
    names: Sequence[str],
    poster: str,
    frame: int,
    lasso: Sequence[Sequence[float]] | None,
    key: str,
) -> Chosen:
    """Show the map.

    Parameters
    ----------
    identity : str
        Names what is laid out; another one starts with no lasso but `lasso`.
    points, codes : str
        Addresses of the places and colours (see `ui.inspector.routes`).
    ramp : bool
        Colours stand for values from `names[0]` to `names[1]`; else for the codes that `names` name.
    poster : str
        Address of a frame's picture, with the word FRAME for its index; empty where there is no video.
    frame : int
        The frame shown.
    """
    result = _mount(
        key=key,
        data={
            "id": identity,
            "title": title,
            "n": n_frames,
            "fps": fps,
            "points": points,
            "codes": codes,
            "ramp": ramp,
            "names": list(names),
            "poster": poster,
            "frame": frame,
            "lasso": [list(corner) for corner in lasso] if lasso else None,
        },
        default={"frame": None, "lasso": None},
        on_frame_change=lambda: None,
        on_lasso_change=lambda: None,
    )
    chosen, seq = frame_of(result.frame, n_frames)
    return Chosen(chosen, seq, polygon_of(result.lasso, identity))


def frame_of(value: Any, n_frames: int) -> tuple[int | None, int]:
    """Return the frame that the browser sent and its number; None where it makes no sense."""
    if not isinstance(value, dict):
        return None, 0
    frame, seq = value.get("frame"), value.get("seq")
    if not (isinstance(frame, int) and isinstance(seq, int) and 0 <= frame < n_frames):
        return None, 0
    return frame, seq


def polygon_of(value: Any, identity: str) -> Polygon | None:
    """Return the lasso that the browser sent; None where it is of another map or makes no sense."""
    if not isinstance(value, dict) or value.get("id") != identity or not isinstance(value.get("polygon"), list):
        return None
    corners = value["polygon"][:500]
    if not all(isinstance(c, list) and len(c) == 2 and all(isinstance(v, int | float) for v in c) for c in corners):
        return None
    return tuple((float(x), float(y)) for x, y in corners)
