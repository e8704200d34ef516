"""Lanes over one time axis, under the video: traces, codes of frames, the heat map."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import streamlit as st

from ui.components import source
from ui.components.scatter import frame_of

_mount = st.components.v2.component("castle_lanes", **source("lanes", with_strip=True, with_colours=True))


@dataclass(frozen=True)
class Lane:
    """One lane: its kind, the address of its numbers, its height in pixels, a label, and a trace's name."""

    kind: Literal["trace", "codes", "heat"]
    url: str
    height: int
    label: str = ""
    name: str = ""


def lanes(
    rows: Sequence[Lane],
    *,
    identity: str,
    title: str,
    n_frames: int,
    fps: float,
    knots: Sequence[tuple[float, float]],
    src: str,
    poster: str,
    frame: int,
    legend: Sequence[tuple[int, str]] = (),
    legend_kind: Literal["status", "cluster", ""] = "",
    key: str,
) -> tuple[int | None, int]:
    """Show lanes, with the video above them where `src` or `poster` is given.

    Parameters
    ----------
    rows : sequence of Lane
    identity : str
        Another one starts with the whole video in sight.
    knots : sequence of (frame, seconds)
        Carries frames to the file's own clock.
    src, poster : str
        Addresses of the video, and of a frame's picture with the word FRAME; both may be empty.
    frame : int
        The frame shown.
    legend : sequence of (code, name)
    legend_kind : str
        How codes are painted.

    Returns
    -------
    frame : int or None
        What the user chose last.
    seq : int
        Grows with every choice.
    """
    result = _mount(
        key=key,
        data={
            "id": identity,
            "title": title,
            "n": n_frames,
            "fps": fps,
            "knots": [list(knot) for knot in knots],
            "src": src,
            "poster": poster,
            "frame": frame,
            "lanes": [asdict(row) for row in rows],
            "legend": [list(item) for item in legend],
            "legend_kind": legend_kind,
        },
        default={"frame": None},
        on_frame_change=lambda: None,
    )
    return frame_of(result.frame, n_frames)
