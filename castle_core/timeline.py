"""A whole video as a strip: its motion in a few hundred numbers, and its clock as a short broken line."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from castle_core.files import atomic_write_text, make_folder
from castle_core.video import Video, motion_energy, needs_proxy, open_video

if TYPE_CHECKING:
    from castle_core.projects import Project

N_POINTS = 400
QUICK_BYTES = 6 << 30
MAX_KNOTS = 20_000


@dataclass(frozen=True)
class Timeline:
    """What a page needs to draw one video.

    Attributes
    ----------
    n_frames : int
    average_fps : float
        Frames a second as shown (the true rate where it is set).
    width, height : int
        As displayed, in pixels.
    motion : tuple of float
        0..1, `N_POINTS` values (or one a frame in shorter videos), evenly spaced; each the largest of its stretch.
    knots : tuple of (frame, seconds)
        The file's own clock, first frame at 0: linear in between, never off by half a frame or more.
    playable : bool
        Whether a browser can play the file as it is.
    """

    n_frames: int
    average_fps: float
    width: int
    height: int
    motion: tuple[float, ...]
    knots: tuple[tuple[int, float], ...]
    playable: bool

    @property
    def duration_s(self) -> float:
        """Length in seconds as shown."""
        return self.n_frames / self.average_fps if self.average_fps else 0.0


def make_timeline(video: Video, *, file_times_s: npt.NDArray[np.float64] | None = None) -> Timeline:
    """Describe an open video; `file_times_s` is its own clock where a true frame rate replaces it in ``times_s``."""
    times = video.times_s if file_times_s is None else file_times_s
    return Timeline(
        n_frames=video.n_frames,
        average_fps=float(video.average_fps),
        width=video.width,
        height=video.height,
        motion=tuple(round(float(v), 3) for v in outline(motion_energy(video), N_POINTS)),
        knots=time_knots(times),
        playable=not needs_proxy(video),
    )


def outline(values: npt.NDArray[np.float32], n_points: int) -> npt.NDArray[np.float32]:
    """Shorten `values` (n,) to at most `n_points`, keeping the largest of each stretch, scaled to 0..1.

    The scale is the 99.5th percentile, so that one cut or flash does not flatten everything else. NaN counts as 0.
    """
    values = np.nan_to_num(np.asarray(values, dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    if values.size == 0:
        return values
    if values.size > n_points:
        starts = np.linspace(0, values.size, n_points, endpoint=False).astype(np.int64)
        values = np.maximum.reduceat(values, starts)
    low, high = float(values.min()), float(np.percentile(values, 99.5))
    return np.clip((values - low) / (high - low) if high > low else np.zeros_like(values), 0.0, 1.0)


def time_knots(times_s: npt.NDArray[np.float64]) -> tuple[tuple[int, float], ...]:
    """Write the times of frames (n,) as few (frame, seconds) knots, with the end of the last frame as one more.

    Linear interpolation between the knots gives every time to a quarter of its frame's duration; a constant rate needs
    two knots. Times count from the first frame. A video with more irregular times than `MAX_KNOTS` gets evenly spread
    ones.
    """
    n = len(times_s)
    if n == 0:
        return ((0, 0.0), (1, 1.0))
    times = np.asarray(times_s, dtype=np.float64) - float(times_s[0])
    last = float(np.median(np.diff(times))) if n > 1 else 1.0
    times = np.append(times, times[-1] + max(last, 1e-6))
    room = np.maximum(np.diff(times), 1e-9) * 0.25
    room = np.append(room, room[-1])
    knots, start = [0], 0
    while start < n:
        stop = _reach(times, room, start, n)
        knots.append(stop)
        start = stop
        if len(knots) > MAX_KNOTS:
            knots = [int(k) for k in np.unique(np.linspace(0, n, MAX_KNOTS).astype(np.int64))]
            break
    return tuple((k, round(float(times[k]), 6)) for k in knots)


def _reach(times: npt.NDArray[np.float64], room: npt.NDArray[np.float64], start: int, n: int) -> int:
    # The furthest frame to which one straight line from `start` stays within `room`: double, then halve the step.
    def fits(stop: int) -> bool:
        line = np.linspace(times[start], times[stop], stop - start + 1)
        return bool(np.all(np.abs(line - times[start : stop + 1]) <= room[start : stop + 1]))

    good, step = start + 1, 2
    while good < n and fits(min(n, start + step)):
        good = min(n, start + step)
        step *= 2
    bad = min(n, start + step)
    while bad - good > 1:
        middle = (good + bad) // 2
        if fits(middle):
            good = middle
        else:
            bad = middle
    return good


def save_timeline(path: Path, timeline: Timeline) -> None:
    """Keep a timeline as JSON."""
    atomic_write_text(path, json.dumps(asdict(timeline)))


def load_timeline(path: Path) -> Timeline | None:
    """Read a kept timeline; None where there is none that can be read."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        value["motion"] = tuple(value["motion"])
        value["knots"] = tuple((int(frame), float(time)) for frame, time in value["knots"])
        return Timeline(**value)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def project_timeline(project: "Project", stem: str) -> Timeline:
    """Return the timeline of a project's video, from the cache where the file and its true rate have not changed.

    Raises
    ------
    ProjectError, VideoError
        If there is no such video, or it cannot be read.
    """
    kept = _kept(project, stem)
    if kept is not None and (timeline := load_timeline(kept)) is not None:
        return timeline
    with project.open_video(stem) as video:
        file_times = None
        if (entry := project.video(stem)).true_fps is not None:
            with open_video(entry.path, cache_dir=make_folder(project.cache_dir / "index")) as plain:
                file_times = plain.times_s
        timeline = make_timeline(video, file_times_s=file_times)
    if kept is not None:
        make_folder(kept.parent)
        save_timeline(kept, timeline)
    return timeline


def is_quick(project: "Project", stem: str) -> bool:
    """Say whether `project_timeline` answers within a second or two, so that a page may ask for it at once.

    AVI and raw streams need one pass of decoding, and so do very large files: those are prepared by a job first.
    """
    kept = _kept(project, stem)
    if kept is None or kept.exists():
        return True
    path = project.video(stem).path
    return path.suffix.lower() in {".mp4", ".mov", ".m4v", ".mkv", ".webm"} and path.stat().st_size < QUICK_BYTES


def _kept(project: "Project", stem: str) -> Path | None:
    entry = project.video(stem)
    try:
        status = entry.path.stat()
    except OSError:
        return None
    key = f"{entry.stem}|{status.st_size}|{status.st_mtime_ns}|{entry.true_fps}"
    return project.cache_dir / "timelines" / (hashlib.sha256(key.encode()).hexdigest()[:24] + ".json")
