"""The part of a video to use, set over the playing video, with parts left out and frames added by hand."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from ui.components import source
from ui.components.gallery import new_operations

_mount = st.components.v2.component("castle_trimmer", **source("trimmer", with_strip=True))


@dataclass(frozen=True)
class Trim:
    """Frames to use: ``[start, stop)`` without the half-open intervals of ``exclude``."""

    start: int
    stop: int
    exclude: tuple[tuple[int, int], ...] = ()


def trimmer(
    trim: Trim,
    *,
    identity: str,
    title: str,
    n_frames: int,
    fps: float,
    knots: Sequence[tuple[float, float]],
    motion: Sequence[float],
    labelled: Sequence[int],
    selected: Sequence[int],
    added: Sequence[int],
    src: str,
    poster: str,
    applied: int,
    can_add: bool,
    key: str,
) -> tuple[Trim, list[int], int]:
    """Show the trimmer.

    Parameters
    ----------
    trim : Trim
        What is set now; the browser's own setting wins until `identity` changes.
    identity : str
        Names the video; a new one loads the player anew.
    n_frames, fps
        Length in frames, and frames a second as shown to the user (the true rate).
    knots : sequence of (frame, seconds)
        Carries frame numbers to the file's own clock and back, linearly in between.
    motion : sequence of float
        0..1, evenly spaced over the video.
    labelled, selected, added : sequence of int
        Frames to mark.
    src : str
        URL of a video that a browser can play; empty shows single frames instead.
    poster : str
        URL of one frame, with the word FRAME for its index.
    applied : int
        Number of the last "add this frame" that is done.
    can_add : bool
        Offer "Add this frame".

    Returns
    -------
    trim : Trim
        The user's setting, checked against the length.
    added : list of int
        Frames to add now.
    applied : int
        What to pass as `applied` from now on.
    """
    result = _mount(
        key=key,
        data={
            "id": identity,
            "rev": 0,
            "title": title,
            "n_frames": n_frames,
            "fps": fps,
            "knots": [list(knot) for knot in knots],
            "motion": list(motion),
            "labelled": list(labelled),
            "selected": list(selected),
            "added": list(added),
            "src": src,
            "poster": poster,
            "applied": applied,
            "can_add": can_add,
            "start": trim.start,
            "stop": trim.stop,
            "exclude": [list(pair) for pair in trim.exclude],
        },
        default={"range": None, "ops": []},
        on_range_change=lambda: None,
        on_ops_change=lambda: None,
    )
    operations = [o for o in new_operations(result.ops, applied) if o.get("id") == identity]
    frames = [o["frame"] for o in operations if isinstance(o.get("frame"), int) and 0 <= o["frame"] < n_frames]
    applied = max([applied, *(o["seq"] for o in operations)])
    return checked(result.range, trim, identity=identity, n_frames=n_frames), frames, applied


def checked(value: Any, trim: Trim, *, identity: str, n_frames: int) -> Trim:
    """Return the range that the browser sent, or `trim` where it is of another video or makes no sense."""
    if not isinstance(value, dict) or value.get("id") != identity:
        return trim
    start, stop, exclude = value.get("start"), value.get("stop"), value.get("exclude")
    if not (isinstance(start, int) and isinstance(stop, int) and 0 <= start < stop <= n_frames):
        return trim
    if not isinstance(exclude, list):
        return trim
    pairs = [(a, b) for a, b in exclude if isinstance(a, int) and isinstance(b, int) and 0 <= a < b <= n_frames]
    return Trim(start, stop, tuple(pairs))
