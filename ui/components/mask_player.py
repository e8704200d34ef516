"""A video with its masks on top, and one strip a ROI: area, confidence, losses; a frame is picked to be corrected."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from castle_core.palette import roi_rgb
from ui.components import source
from ui.components.gallery import new_operations

PIECE = 32
"""Frames whose masks are fetched together."""

_mount = st.components.v2.component("castle_mask_player", **source("mask_player", with_strip=True))


@dataclass(frozen=True)
class RoiStrip:
    """One ROI's line under the player.

    Attributes
    ----------
    roi : int
        1 … 255.
    name, words : str
        Its name, and how it fared in a few words.
    area : tuple of float
        0 … 1, evenly spaced over the video.
    confidence : tuple of float or None, or None
        0 … 1 likewise; None where nothing is known, or for all.
    lost, untracked : tuple of bool
        Whether the ROI is lost, or was not tracked at all, somewhere in that stretch.
    """

    roi: int
    name: str
    words: str
    area: tuple[float, ...]
    confidence: tuple[float | None, ...] | None
    lost: tuple[bool, ...]
    untracked: tuple[bool, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as the component takes it."""
        return {
            "id": self.roi,
            "name": self.name,
            "words": self.words,
            "area": [round(value, 3) for value in self.area],
            "confidence": None
            if self.confidence is None
            else [None if value is None else round(value, 3) for value in self.confidence],
            "lost": list(self.lost),
            "untracked": list(self.untracked),
        }


def mask_player(
    rois: Sequence[RoiStrip],
    *,
    identity: str,
    title: str,
    n_frames: int,
    fps: float,
    knots: Sequence[tuple[float, float]],
    src: str,
    poster: str,
    masks: str,
    prompts: Sequence[int],
    losses: Sequence[int],
    worst: int | None,
    at: int,
    rev: int,
    applied: int,
    can_correct: bool,
    key: str,
) -> tuple[int | None, int]:
    """Show the player.

    Parameters
    ----------
    rois : sequence of RoiStrip
    identity : str
        Names the video; a new one loads the player anew.
    n_frames, fps, knots, src, poster
        As `ui.components.trimmer.trimmer` takes them.
    masks : str
        Address of masks with the words START and STOP in place of frame numbers; it changes with the masks.
    prompts : sequence of int
        Frames with drawings.
    losses : sequence of int
        Frames at which a ROI begins to be lost, sorted.
    worst : int or None
        The worst frame.
    at, rev : int
        Frame to go to whenever `rev` changes.
    applied : int
        Number of the last operation that was done.
    can_correct : bool
        Offer to correct a frame.

    Returns
    -------
    frame : int or None
        A frame that the user wants to correct now.
    applied : int
        What to pass as `applied` from now on.
    """
    ids = {each.roi for each in rois}
    result = _mount(
        key=key,
        data={
            "id": identity,
            "title": title,
            "n_frames": n_frames,
            "fps": fps,
            "knots": [list(knot) for knot in knots],
            "src": src,
            "poster": poster,
            "masks": masks,
            "piece": PIECE,
            "colours": {str(roi): list(roi_rgb(roi)) for roi in ids},
            "rois": [each.to_json() for each in rois],
            "prompts": list(prompts),
            "losses": list(losses),
            "worst": worst,
            "at": at,
            "rev": rev,
            "applied": applied,
            "can_correct": can_correct,
        },
        default={"ops": []},
        on_ops_change=lambda: None,
    )
    operations = [o for o in new_operations(result.ops, applied) if o.get("id") == identity]
    frames = [o["frame"] for o in operations if isinstance(o.get("frame"), int) and 0 <= o["frame"] < n_frames]
    return (frames[-1] if frames else None), max([applied, *(o["seq"] for o in operations)])
