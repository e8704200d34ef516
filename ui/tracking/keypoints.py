"""Keypoints of a video that ROIs can be made from: predictions of the project's models."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import streamlit as st

from castle_core.predictions import Predictions, find_predictions, load_predictions
from castle_core.projects import Project, VideoEntry

LIKELIHOOD = 0.6


def keypoint_sources(project: Project, video: VideoEntry) -> dict[str, Path]:
    """Return the models that have predictions of a video, by name, with their files."""
    stems = [each.stem for each in project.videos()]
    return {file.model: file.path for file in find_predictions(project.path, stems) if file.stem == video.stem}


def keypoint_table(path: Path, video_name: str) -> Predictions:
    """Read a file of predictions; the last few are kept in memory.

    Raises
    ------
    PredictionError
        If it cannot be read.
    """
    status = path.stat()
    return _table(str(path), video_name, status.st_mtime_ns, status.st_size)


@st.cache_data(max_entries=6, show_spinner=False)
def _table(path: str, video_name: str, changed: int, n_bytes: int) -> Predictions:
    del changed, n_bytes  # part of the cache's key only
    return load_predictions(Path(path), video_name=video_name)


def keypoints_at(path: Path, video_name: str, frame_index: int) -> tuple[list[str], npt.NDArray[np.float64]]:
    """Return the names (K) and places of a frame's keypoints.

    Returns
    -------
    names : list of str
    xy : (K, 2) float64
        Pixels from the picture's corner (as drawings count); NaN where missing or of a likelihood below 0.6.
    """
    table = keypoint_table(path, video_name)
    xy = np.full((len(table.keypoints), 2), np.nan)
    if frame_index < len(table.xy):
        xy = np.array(table.xy[frame_index], np.float64) + 0.5  # keypoints count from the first pixel's centre
        likelihood = np.asarray(table.likelihood[frame_index])
        xy[np.where(np.isnan(likelihood), 1.0, likelihood) < LIKELIHOOD] = np.nan
    return list(table.keypoints), xy
