"""Puts a complete made-up project together: videos, masks, keypoints, predictions, a zip of frames, an encoder."""

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from castle_core.demo.body import KEYPOINTS, SKELETON, shapes
from castle_core.demo.drawing import COATS, ROI_HEAD, Painted, Scene
from castle_core.demo.encoder import write_tiny_encoder
from castle_core.demo.models import MadeUpModel
from castle_core.demo.motion import Pose, animal_scale, poses
from castle_core.demo.tables import PredictionTable, TemporalNormTable
from castle_core.demo.zip_of_frames import write_zip_of_frames
from castle_core.errors import ConfigError, ProjectError
from castle_core.files import atomic_write_json, current_umask, make_folder, write_error
from castle_core.mask_writer import MaskListWriter
from castle_core.progress import QUIET, Task
from castle_core.projects import Project

GOOD_MODEL = "2026-01-12/09-30-00"
ERRING_MODEL = "2026-01-19/14-05-00"
GROSS_ERROR_PX = 20.0
_ENCODER = "encoders/tiny-dinov2"
_ZIP_FRAMES = (21, 64, 107, 150, 193)
_REPORT_EVERY = 25
_PRESET = "ultrafast"


def make_demo(
    path: Path,
    *,
    seconds: float = 60.0,
    size: tuple[int, int] = (640, 480),
    fps: float = 30.0,
    seed: int = 0,
    n_videos: int = 2,
    encoder: bool = True,
    task: Task = QUIET,
) -> dict[str, Any]:
    """Make a project that shows everything, with exact ground truth.

    Beside what every project holds there is ``ground_truth/<stem>.csv`` (true keypoints, in the layout of
    predictions), ``ground_truth/<stem>_frames.csv`` (``frame,behaviour,error,error_px``: what the animal does, what
    kind of gross error the erring model makes there, and its largest distance from the truth) and
    ``ground_truth/about.json``. Each video is streamed: memory does not grow with `seconds`.

    Parameters
    ----------
    path : Path
        The project's folder; it must be absent or empty.
    seconds : float
        Length of each video.
    size : tuple of int
        Width and height in pixels, both even, 96 at least.
    fps : float
        Frames a second.
    seed : int
        The same seed gives the same project.
    n_videos : int
        How many videos.
    encoder : bool
        Whether to write ``encoders/tiny-dinov2``.
    task : Task
        Told about each frame; may cancel, and then nothing stays.

    Returns
    -------
    dict
        ``project``, ``videos``, ``encoders``, ``zips`` (paths as str), ``models`` (names), ``n_frames`` of each video.

    Raises
    ------
    ConfigError
        If a setting cannot be.
    ProjectError
        If `path` is taken or cannot be written.
    """
    path = Path(path).absolute()
    n_frames = round(seconds * fps)
    _check(seconds, size, fps, n_videos, n_frames)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ProjectError(f"{path} exists already and is not empty. Choose another name for the demo project.")
    make_folder(path.parent)
    try:
        work = Path(tempfile.mkdtemp(prefix=f".{path.name[:60]}.", suffix=".part", dir=path.parent))
    except OSError as error:
        raise write_error(path, error) from error
    try:
        Project.create(work, keypoints=KEYPOINTS, skeleton=SKELETON)
        names = [f"mouse_day{number + 1}" for number in range(n_videos)]
        for number, stem in enumerate(names):
            video = _Recording(work, stem, number, size=size, fps=fps, seed=seed)
            video.write(n_frames, task, done=number * n_frames, total=n_videos * n_frames)
        zip_name = f"mouse_day{n_videos + 1}.zip"
        make_folder(work / "zips")
        write_zip_of_frames(work / "zips" / zip_name, _only_frames(n_videos, size, fps, seed), _ZIP_FRAMES)
        if encoder:
            write_tiny_encoder(work / _ENCODER, seed)
        _write_settings(work, names, seed=seed, n_frames=n_frames)
        work.chmod(0o777 & ~current_umask())
        if path.is_dir():
            path.rmdir()
        work.rename(path)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return {
        "project": str(path),
        "videos": [str(path / "videos" / f"{stem}.mp4") for stem in names],
        "encoders": [str(path / _ENCODER)] if encoder else [],
        "zips": [str(path / "zips" / zip_name)],
        "models": [GOOD_MODEL, ERRING_MODEL],
        "n_frames": n_frames,
    }


def _check(seconds: float, size: tuple[int, int], fps: float, n_videos: int, n_frames: int) -> None:
    if not (seconds > 0 and 0 < fps <= 1000 and n_frames >= 1):
        raise ConfigError(f"A demo of {seconds} seconds at {fps} frames a second has no frame. Give more seconds.")
    if any(side < 96 or side % 2 for side in size):
        raise ConfigError(f"The demo's size {size[0]}x{size[1]} does not work: give even numbers of 96 or more.")
    if not 1 <= n_videos <= 1000:
        raise ConfigError(f"The demo makes 1 to 1000 videos, not {n_videos}.")


class _Animal:
    """One animal in its arena, from the project's seed and the recording's number."""

    def __init__(self, number: int, *, size: tuple[int, int], fps: float, seed: int) -> None:
        root = np.random.SeedSequence([seed, number])
        self.motion_seed, floor_seed, self.good_seed, self.erring_seed = root.spawn(4)
        self.size, self.fps = size, fps
        self.scale = animal_scale(*size)
        self._scene = Scene(*size, floor_seed, COATS[number % len(COATS)])

    def frames(self) -> Iterator[tuple[Pose, np.ndarray, Painted]]:
        """Yield pose, true keypoints (K, 2) and picture, without end."""
        for pose in poses(self.motion_seed, *self.size, self.fps):
            outlines = shapes(pose, self.scale)
            yield pose, outlines.keypoints, self._scene.paint(outlines)


def _only_frames(number: int, size: tuple[int, int], fps: float, seed: int) -> Iterator[np.ndarray]:
    for _, _, painted in _Animal(number, size=size, fps=fps, seed=seed).frames():
        yield painted.rgb


class _Recording:
    """Writes one video and all that goes with it, frame by frame."""

    def __init__(self, folder: Path, stem: str, number: int, *, size: tuple[int, int], fps: float, seed: int) -> None:
        self._folder, self._stem, self._size, self._fps = folder, stem, size, fps
        self._animal = _Animal(number, size=size, fps=fps, seed=seed)
        scale = self._animal.scale
        self._good = MadeUpModel(self._animal.good_seed, 0.6 * max(scale, 0.4), scale, fps)
        self._erring = MadeUpModel(self._animal.erring_seed, 0.9 * max(scale, 0.4), scale, fps, errs=True)

    def _file(self, *parts: str) -> Path:
        target = self._folder.joinpath(*parts)
        make_folder(target.parent)
        return target

    def write(self, n_frames: int, task: Task, *, done: int, total: int) -> None:
        from castle_core.video import VideoWriter

        width, height = self._size
        name, stem = f"{self._stem}.mp4", self._stem
        good, erring = f"models/{GOOD_MODEL}/video_preds", f"models/{ERRING_MODEL}/video_preds"
        with contextlib.ExitStack() as stack:
            enter = stack.enter_context
            video = enter(
                VideoWriter(
                    self._file("videos", name),
                    fps=self._fps,
                    width=width,
                    height=height,
                    crf=20,
                    preset=_PRESET,
                    threads=1,
                )
            )
            masks = enter(
                MaskListWriter(self._file("track", name, "mask_list.h5"), width=width, height=height, n_rois=ROI_HEAD)
            )
            truth = enter(PredictionTable(self._file("ground_truth", f"{stem}.csv"), KEYPOINTS, scorer="ground_truth"))
            good_table = enter(PredictionTable(self._file(good, f"{stem}.csv"), KEYPOINTS))
            good_norm = enter(TemporalNormTable(self._file(good, f"{stem}_temporal_norm.csv"), KEYPOINTS))
            erring_table = enter(PredictionTable(self._file(erring, f"{stem}.csv"), KEYPOINTS))
            points = enter(self._file("points", "nose", f"{stem}.csv").open("w", encoding="utf-8", newline=""))
            about = enter(self._file("ground_truth", f"{stem}_frames.csv").open("w", encoding="utf-8", newline=""))
            points.write("frame,x,y\n")
            about.write("frame,behaviour,error,error_px\n")
            ones = np.ones((len(KEYPOINTS), 1))
            for frame_index, (pose, xy, painted) in zip(range(n_frames), self._animal.frames(), strict=False):
                video.write_i420(painted.i420)
                masks.write(painted.mask, painted.box)
                truth.write(frame_index, np.hstack([xy, ones]))
                prediction, _ = self._good.predict(xy, pose.behaviour)
                good_table.write(frame_index, prediction)
                good_norm.write(frame_index, prediction[:, :2])
                prediction, kind = self._erring.predict(xy, pose.behaviour)
                erring_table.write(frame_index, prediction)
                error_px = float(np.sqrt(((prediction[:, :2] - xy) ** 2).sum(axis=1)).max())
                about.write(f"{frame_index},{pose.behaviour},{kind},{error_px:.2f}\n")
                points.write(f"{frame_index},{xy[0, 0]:.3f},{xy[0, 1]:.3f}\n")
                if frame_index % _REPORT_EVERY == 0:
                    task.progress(done + frame_index, total, name)
        task.progress(done + n_frames, total, name)


def _write_settings(folder: Path, names: list[str], *, seed: int, n_frames: int) -> None:
    for model in (GOOD_MODEL, ERRING_MODEL):
        # Lightning Pose keeps the configuration beside its predictions; YAML takes JSON as it is
        config = {
            "data": {"keypoint_names": list(KEYPOINTS), "columns_for_singleview_pca": list(range(len(KEYPOINTS)))}
        }
        (folder / "models" / model / "config.yaml").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    atomic_write_json(
        folder / "ground_truth" / "about.json",
        {
            "seed": seed,
            "n_frames": n_frames,
            "videos": names,
            "good_model": GOOD_MODEL,
            "erring_model": ERRING_MODEL,
            "gross_error_px": GROSS_ERROR_PX,
            "rois": {"1": "body", "2": "tail", "3": "head"},
        },
    )
