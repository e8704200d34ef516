"""Point keys: every point of a project by a name, and the track behind it.

A key is a name under ``points/``, a file of points, ``<model>:<keypoint>`` of a model's predictions in the project, or
``<file>:<keypoint>`` of any prediction file.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from castle_core.errors import ConfigError, PredictionError
from castle_core.latents.config import ExtractConfig
from castle_core.latents.points import PointTrack, read_points
from castle_core.predictions import PREDICTION_SUFFIXES, find_predictions, load_predictions
from castle_core.progress import Task
from castle_core.projects import Project


def list_point_keys(project: Project, stem: str) -> list[str]:
    """Return the keys of all points that a video of the project has.

    Prediction files that cannot be read are left out.
    """
    keys = sorted(path.parent.name for path in (project.path / "points").glob(f"*/{_escaped(stem)}.csv"))
    for file in find_predictions(project.path, [entry.stem for entry in project.videos()]):
        if file.stem != stem:
            continue
        try:
            names = load_predictions(file.path, video_name=stem).keypoints
        except PredictionError:
            continue
        keys += [f"{file.model}:{name}" for name in names]
    return keys


def _escaped(text: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in text)


def is_for_one_video(project: Project, key: str) -> bool:
    """Say whether a key is a file, whose points belong to one video, rather than a name that every video has."""
    if (project.path / "points" / key).is_dir():
        return False
    return (Path(key).suffix != "" and Path(key).is_file()) or _prediction_file(key) is not None


def _prediction_file(key: str) -> tuple[Path, str] | None:
    path, colon, keypoint = key.rpartition(":")
    if colon and Path(path).suffix.lower() in PREDICTION_SUFFIXES and Path(path).is_file():
        return Path(path), keypoint
    return None


def read_point_track(project: Project, stem: str, key: str, *, likelihood_threshold: float) -> PointTrack:
    """Read the track of one point through one video.

    Parameters
    ----------
    project : Project
        Where it is looked for.
    stem : str
        The video.
    key : str
        See this module.
    likelihood_threshold : float
        Points with less likelihood count as missing.

    Raises
    ------
    PredictionError
        If there is no such point, or its file cannot be read.
    """
    found = _find(project, stem, key)
    if found is not None and found[1]:
        return _keypoint(found[0], found[1], stem, likelihood_threshold)
    if found is not None:
        track = read_points(found[0], likelihood_threshold=likelihood_threshold)
        return track if found[0] == Path(key) else replace(track, name=key)
    known = list_point_keys(project, stem)
    choice = f"Choose one of: {', '.join(known[:12])}" if known else "It has none yet; upload points or predictions"
    raise PredictionError(f"There is no point {key!r} for {stem}. {choice}{' …' if len(known) > 12 else ''}.")


def point_version(project: Project, stem: str, key: str) -> str:
    """Return a short text that changes with the file in which a point is; empty where there is none."""
    found = _find(project, stem, key)
    try:
        status = found[0].stat() if found else None
    except OSError:
        return ""
    return f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}" if status else ""


def _find(project: Project, stem: str, key: str) -> tuple[Path, str] | None:
    """Return the file of a point, and the keypoint in it; of a file of points, an empty text."""
    named = project.path / "points" / key / f"{stem}.csv"
    if Path(key).name == key and named.is_file():
        return named, ""
    given = _prediction_file(key)
    if given is not None:
        return given
    model, colon, keypoint = key.rpartition(":")
    if colon:
        for file in find_predictions(project.path, [entry.stem for entry in project.videos()], model=model):
            if file.stem == stem:
                return file.path, keypoint
    return (Path(key), "") if Path(key).is_file() else None


def _keypoint(path: Path, keypoint: str, stem: str, threshold: float) -> PointTrack:
    table = load_predictions(path, video_name=stem)
    if keypoint not in table.keypoints:
        raise PredictionError(f"{path.name} has no keypoint {keypoint!r}. It has {', '.join(table.keypoints)}.")
    column = table.keypoints.index(keypoint)
    xy = np.array(table.xy[:, column], np.float64)
    xy[table.likelihood[:, column] < threshold] = np.nan  # a missing likelihood is none below
    return PointTrack(_file_part(keypoint), xy)


def _file_part(keypoint: str) -> str:
    return "".join("-" if letter in "/\\\0" else letter for letter in keypoint)


def read_point_tracks(project: Project, stem: str, config: ExtractConfig, task: Task) -> list[PointTrack]:
    """Read all point tracks that an extraction needs for one video.

    Raises
    ------
    PredictionError
        If one cannot be read.
    ConfigError
        If two have one name.
    """
    tracks = []
    for key in config.points if "point" in config.poolings else ():
        track = read_point_track(project, stem, key, likelihood_threshold=config.likelihood_threshold)
        if track.n_duplicates:
            task.log(f"  {track.name}: {track.n_duplicates} lines named a frame again; the first one counts.")
        tracks.append(track)
    if len({track.name for track in tracks}) != len(tracks):
        raise ConfigError("Two points have one name, so their latents would overwrite each other. Choose one of them.")
    return tracks
