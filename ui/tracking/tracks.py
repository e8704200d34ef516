"""What was tracked of a video, as the review and the list of videos need it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import streamlit as st

from castle_core.errors import CastleError
from castle_core.latents.opening import find_masks
from castle_core.projects import Project, VideoEntry
from castle_core.rois import MaskFile
from ui.mask_pieces import masks_version
from ui.tracking.strips import RoiTrack


@dataclass(frozen=True, eq=False)
class Tracks:
    """The ROIs of one video.

    Attributes
    ----------
    rois : dict
        Id → what became of it, sorted.
    tracked : (n_frames,) bool array
        Whether a frame has a mask at all.
    """

    rois: dict[int, RoiTrack]
    tracked: npt.NDArray[np.bool_]


def tracks_of_all(project: Project, videos: Sequence[VideoEntry]) -> tuple[dict[str, Tracks | None], dict[str, str]]:
    """Return what was tracked, by stem (None for a video without masks), and what is wrong with masks, by stem."""
    found: dict[str, Tracks | None] = {}
    problems: dict[str, str] = {}
    for video in videos:
        version = masks_version(project, video.name)
        try:
            found[video.stem] = _tracks(str(project.path), video.name, version) if version else None
        except CastleError as error:
            found[video.stem], problems[video.stem] = None, str(error)
    return found, problems


@st.cache_resource(max_entries=64, show_spinner=False)
def _tracks(path: str, name: str, version: str) -> Tracks:
    del version  # part of the cache's key only
    with MaskFile(find_masks(Project.open(path), name)) as masks:
        areas, tracked = np.zeros((256, masks.n_frames), np.int64), np.zeros(masks.n_frames, bool)
        for frame_index in masks.frame_indices.tolist():
            mask = masks.mask_at(frame_index)
            if mask is not None and frame_index < masks.n_frames:
                areas[:, frame_index] = np.bincount(mask.ravel(), minlength=256)
                tracked[frame_index] = True
    unknown = np.full(len(tracked), np.nan)
    rois = {
        roi: RoiTrack(areas[roi], unknown, (areas[roi] == 0) & tracked) for roi in range(1, 256) if areas[roi].any()
    }
    return Tracks(rois, tracked)
