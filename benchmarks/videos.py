"""The videos that benchmarks run on: the demo's animal with its true poses, and the noise of a camera."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from castle_core.demo.body import shapes
from castle_core.demo.drawing import Scene
from castle_core.demo.motion import animal_scale, poses
from castle_core.video import VideoWriter

# Standard deviation of the sensor noise in grey levels; without it frames compress unlike a camera's.
NOISE = 2.0
_NOISE_FIELDS = 16


def folder() -> Path:
    """Return the folder in which generated videos are kept between runs: ``CASTLE_BENCH_DIR``, else a temporary one."""
    path = Path(os.environ.get("CASTLE_BENCH_DIR") or Path(tempfile.gettempdir()) / "castle-benchmarks")
    path.mkdir(parents=True, exist_ok=True)
    return path


def animal_video(
    n_frames: int,
    *,
    width: int = 1280,
    height: int = 1024,
    fps: float = 30.0,
    gop: int = 250,
    preset: str = "veryfast",
    seed: int = 0,
) -> tuple[Path, np.ndarray]:
    """Make (or find) a video; return its path and the true keypoints (n_frames, K, 2) float32 in pixels."""
    name = f"animal_{n_frames}_{width}x{height}_{fps:g}fps_gop{gop}_{preset}_{seed}"
    path, truth = folder() / f"{name}.mp4", folder() / f"{name}.npy"
    if path.exists() and truth.exists():
        return path, np.load(truth)
    print(f"  making {path.name} …", flush=True)
    keypoints = np.empty((n_frames, 0, 2), dtype=np.float32)
    with VideoWriter(path, fps=fps, width=width, height=height, crf=20, gop=gop, preset=preset, threads=1) as writer:
        for i, (xy, planes) in zip(range(n_frames), _frames(width, height, fps, seed), strict=False):
            if i == 0:
                keypoints = np.empty((n_frames, *xy.shape), dtype=np.float32)
            keypoints[i] = xy
            writer.write_i420(planes)
    np.save(truth, keypoints)
    return path, keypoints


def _frames(width: int, height: int, fps: float, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    motion_seed, floor_seed, noise_seed = np.random.SeedSequence(seed).spawn(3)
    rng = np.random.default_rng(noise_seed)
    noise = rng.normal(0, NOISE, (_NOISE_FIELDS, height, width)).round().astype(np.int16)
    scene, scale = Scene(width, height, floor_seed), animal_scale(width, height)
    for i, pose in enumerate(poses(motion_seed, width, height, fps)):
        outlines = shapes(pose, scale)
        planes = scene.paint(outlines).i420.copy()
        luma = planes[:height]
        shift = int(rng.integers(height))
        luma[:] = np.clip(luma + np.roll(noise[i % _NOISE_FIELDS], shift, axis=0), 0, 255)
        yield outlines.keypoints, planes
