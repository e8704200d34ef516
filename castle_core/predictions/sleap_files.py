"""SLEAP's results: analysis ``.h5`` files, and ``.slp`` files through sleap-io where that is installed."""

from pathlib import Path
from typing import Any

import numpy as np

from castle_core.errors import PredictionError
from castle_core.predictions.model import Predictions, finish


def is_analysis_file(file: Any) -> bool:
    """Say whether an open h5py file is a SLEAP analysis file."""
    return "tracks" in file and "node_names" in file


def read_analysis_h5(path: Path, *, individual: str | None = None) -> Predictions:
    """Read a SLEAP analysis file: ``tracks`` of (tracks, 2, nodes, frames), by name.

    Raises
    ------
    PredictionError
        If data sets are missing or do not fit each other.
    """
    import h5py

    try:
        with h5py.File(path, "r", locking=False) as file:
            nodes = [_text(name) for name in file["node_names"][()]]
            tracks = np.asarray(file["tracks"][()], np.float64)
            scores = np.asarray(file["point_scores"][()], np.float64) if "point_scores" in file else None
            names = [_text(name) for name in file["track_names"][()]] if "track_names" in file else []
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise PredictionError(f"{path.name} is no readable SLEAP analysis file. Export it again from SLEAP.") from error
    if tracks.ndim != 4 or tracks.shape[1] != 2 or tracks.shape[2] != len(nodes):
        raise PredictionError(
            f"{path.name}: tracks of shape {tracks.shape} do not fit {len(nodes)} nodes. Export it again from SLEAP."
        )
    n_tracks, _, n_nodes, n_frames = tracks.shape
    if scores is None or scores.shape != (n_tracks, n_nodes, n_frames):
        scores = np.full((n_tracks, n_nodes, n_frames), np.nan)
    if len(names) != n_tracks:
        names = [""] if n_tracks == 1 else [f"track_{number}" for number in range(n_tracks)]
    points = [(name, node) for name in names for node in nodes]
    xy = np.ascontiguousarray(tracks.transpose(3, 0, 2, 1).reshape(n_frames, n_tracks * n_nodes, 2))
    likelihood = np.ascontiguousarray(scores.transpose(2, 0, 1).reshape(n_frames, n_tracks * n_nodes))
    return finish(path, "SLEAP", points, xy, likelihood, individual=individual)


def read_slp(path: Path, *, individual: str | None = None, video_name: str | None = None) -> Predictions:
    """Read a ``.slp`` file through sleap-io.

    Where a frame has both an instance that a person placed and predicted ones, the predicted ones count. Instances
    without a track are told apart by their order; a single animal needs none of that.

    Parameters
    ----------
    path : Path
        The file.
    individual : str, optional
        Keep only this track.
    video_name : str, optional
        File name or stem of the wanted video, where the file holds several.

    Raises
    ------
    PredictionError
        If sleap-io is not installed, or the file cannot be read or holds no instance.
    """
    try:
        import sleap_io
    except ImportError as error:
        raise PredictionError(
            f"Reading {path.name} needs sleap-io: pip install 'castle-studio[sleap]'. "
            "Or export an analysis .h5 from SLEAP, which needs nothing."
        ) from error
    try:
        labels = sleap_io.load_slp(str(path), open_videos=False)
        return _from_labels(path, labels, individual, video_name)
    except PredictionError:
        raise
    except Exception as error:  # sleap-io lets through whatever h5py, json and numpy raise
        raise PredictionError(
            f"{path.name} is no readable SLEAP file ({type(error).__name__}). Save it again."
        ) from error


def _from_labels(path: Path, labels: Any, individual: str | None, video_name: str | None) -> Predictions:
    video = _pick_video(path, labels, video_name)
    frames = [frame for frame in labels.labeled_frames if video is None or frame.video is video]
    if not frames:
        raise PredictionError(f"{path.name} holds no predicted frame. Run the model on the video again.")
    nodes = [node.name for node in (labels.skeletons[0].nodes if labels.skeletons else [])]
    if not nodes:
        raise PredictionError(f"{path.name} holds no skeleton. Save it again from SLEAP.")
    n_frames = max(int(frame.frame_idx) for frame in frames) + 1
    length = getattr(getattr(video, "shape", None), "__getitem__", lambda _: 0)(0) or 0
    n_frames = max(n_frames, int(length))
    if n_frames > 10**8:
        raise PredictionError(f"{path.name} names frame {n_frames - 1}. Save it again from SLEAP.")
    animals: dict[str, int] = {}
    entries = []
    for frame in frames:
        predicted = list(frame.predicted_instances)
        for order, instance in enumerate(predicted or frame.instances):
            name = instance.track.name if instance.track is not None else (f"animal_{order + 1}" if order else "")
            entries.append((int(frame.frame_idx), animals.setdefault(name, len(animals)), instance))
    if not entries:
        raise PredictionError(f"{path.name} holds no instance. Run the model on the video again.")
    n_nodes = len(nodes)
    xy = np.full((n_frames, len(animals) * n_nodes, 2), np.nan)
    likelihood = np.full((n_frames, len(animals) * n_nodes), np.nan)
    for frame_index, animal, instance in entries:
        columns = slice(animal * n_nodes, (animal + 1) * n_nodes)
        xy[frame_index, columns] = instance.numpy()[:, :2]
        if "score" in (instance.points.dtype.names or ()):
            likelihood[frame_index, columns] = instance.points["score"]
    names = list(animals)
    if len(names) > 1:
        names = [name or "animal_1" for name in names]
    points = [(name, node) for name in names for node in nodes]
    return finish(path, "SLEAP", points, xy, likelihood, individual=individual)


def _pick_video(path: Path, labels: Any, video_name: str | None) -> Any:
    videos = list(labels.videos)
    if len(videos) <= 1:
        return videos[0] if videos else None
    names = [
        Path(str(video.filename if not isinstance(video.filename, list) else video.filename[0])) for video in videos
    ]
    for video, name in zip(videos, names, strict=True):
        if video_name is not None and video_name in {name.name, name.stem}:
            return video
    raise PredictionError(
        f"{path.name} holds {len(videos)} videos ({', '.join(name.name for name in names[:4])}). "
        "Save one file for each video from SLEAP."
    )


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
