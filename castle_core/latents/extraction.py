"""Extract the latents of one video: look at what exists, run the shards, and write the files."""

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from castle_core.encoders import Encoder
from castle_core.errors import ConfigError, EncoderError, RoiError
from castle_core.files import locked, make_folder
from castle_core.latents.config import ExtractConfig, settings_hash
from castle_core.latents.frames import View
from castle_core.latents.maps import write_map
from castle_core.latents.npz import write_latents
from castle_core.latents.plan import (
    Output,
    keep_both_path,
    look_at_existing,
    metadata_of,
    move_to_trash,
    plan_outputs,
)
from castle_core.latents.points import PointTrack, read_points
from castle_core.latents.shards import Work, run_shard
from castle_core.preprocess import NOT_REQUESTED, OK, Poses, measure_poses
from castle_core.progress import QUIET, Task
from castle_core.projects import Project
from castle_core.rois import MaskFile, MaskSource, WholeFrame
from castle_core.video import Video, fingerprint

WhenDifferent = Literal["recompute", "keep-both", "skip"]


@dataclass(frozen=True)
class Written:
    """One finished output: fields of the command line's JSON."""

    video: str
    roi: int
    pooling: str
    path: str
    n_frames: int
    dim: int
    nan_rows: int
    seconds: float


@dataclass(frozen=True)
class Skipped:
    """One output that was left as it is, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Extraction:
    """What became of one video."""

    written: tuple[Written, ...]
    skipped: tuple[Skipped, ...]


def find_masks(project: Project, video_name: str) -> Path:
    """Return where the tracked ROIs of a video lie: ``track/<video file name>/mask_list.h5``."""
    return project.path / "track" / video_name / "mask_list.h5"


def open_masks(project: Project, video_name: str, video: Video, config: ExtractConfig) -> MaskSource:
    """Open a video's masks and check that they fit it; without any need for masks, the whole frame.

    Raises
    ------
    RoiError
        If there are none, or they were made for a video of another size or length.
    """
    preprocess = config.preprocess
    needs_none = config.roi_ids == (0,) and preprocess.center_roi is None and not preprocess.remove_background
    path = find_masks(project, video_name)
    if needs_none:
        return WholeFrame(video.height, video.width)
    if not path.is_file():
        raise RoiError(
            f"{video_name} has no tracked ROIs ({path} is missing). Copy CASTLE's mask_list.h5 "
            "there, or take the whole frame (ROI ID 0)."
        )
    masks = MaskFile(path)
    if (masks.height, masks.width) != (video.height, video.width):
        masks.close()
        raise RoiError(
            f"The masks of {video_name} are {masks.width} x {masks.height}, the video is {video.width} x "
            f"{video.height}. They belong to another video; track this one."
        )
    return masks


def read_point_tracks(project: Project, stem: str, config: ExtractConfig, task: Task) -> list[PointTrack]:
    """Read the point tracks of one video: a path, or a name under ``points/<name>/<stem>.csv``."""
    tracks = []
    for given in config.points if "point" in config.poolings else ():
        path = Path(given)
        named = project.path / "points" / given / f"{stem}.csv"
        is_name = path.name == given and named.is_file()
        track = read_points(named if is_name else path, likelihood_threshold=config.likelihood_threshold)
        if is_name:
            track = replace(track, name=given)
        if track.n_duplicates:
            task.log(f"  {track.name}: {track.n_duplicates} lines named a frame again; the first one counts.")
        tracks.append(track)
    if len({track.name for track in tracks}) != len(tracks):
        raise ConfigError("Two point files have one name, so their latents would overwrite each other. Rename one.")
    return tracks


def extract_video(
    project: Project,
    name: str,
    config: ExtractConfig,
    encoder: Encoder,
    *,
    skip_existing: bool = True,
    when_different: WhenDifferent = "recompute",
    task: Task = QUIET,
) -> Extraction:
    """Extract every requested latent of one video in one pass.

    Parameters
    ----------
    project : Project
        Where the video, masks and latents live.
    name : str
        The video's name or stem.
    config : ExtractConfig
        What to extract.
    encoder : Encoder
        The loaded model.
    skip_existing : bool
        Leave files alone that hold the same already: settings, masks, points, weights and rows.
    when_different : {"recompute", "keep-both", "skip"}
        What to do with a file of that name made with other settings: move it to ``.castle/trash`` and compute, write a
        second one beside it, or leave it.
    task : Task
        Progress in frames, log, cancel, lease.

    Returns
    -------
    Extraction

    Raises
    ------
    RoiError, VideoError, PredictionError, ConfigError
        If masks, video or points cannot be used.
    LockHeldError
        If the same extraction is already running.
    """
    started = time.monotonic()
    entry = project.video(name)
    with ExitStack() as stack:
        video = stack.enter_context(project.open_video(entry.stem))
        masks = open_masks(project, entry.path.name, video, config)
        stack.callback(masks.close)
        points = read_point_tracks(project, entry.stem, config, task)
        check_poolings(config, encoder)
        folder = project.path / "latent" / encoder.name
        outputs = plan_outputs(
            folder,
            entry.stem,
            config,
            encoder,
            points,
            video_fingerprint=fingerprint(entry.path),
            masks_hash=masks.content_hash(),
        )
        todo, skipped, trash = _decide(outputs, video.n_frames, skip_existing, when_different, task)
        if not todo:
            return Extraction((), tuple(skipped))
        make_folder(folder)
        work_folder = make_folder(project.cache_dir / "shards" / settings_hash([o.identity for o in todo])[:20])
        stack.enter_context(locked(work_folder / "extraction", timeout_s=1.0))
        work = _make_work(video, masks, encoder, config, todo, work_folder, task)
        _run_shards(work, task)
        for path in trash:
            moved = move_to_trash(path, project.cache_dir)
            task.log(f"  the earlier {path.name} was moved to {moved}")
        written = []
        for number, output in enumerate(todo):
            written.append(_write(work, number, output, entry.path.name, started, task))
            if output.pooling == "roi-mean" and not config.angles:
                project.register_latent(output.path.name, entry.stem)
            task.log(f"  ✅ Saved: {output.path}")
        shutil.rmtree(work_folder, ignore_errors=True)
    return Extraction(tuple(written), tuple(skipped))


def check_poolings(config: ExtractConfig, encoder: Encoder) -> None:
    """Refuse poolings that the encoder cannot give.

    Raises
    ------
    EncoderError
        If CLS is asked of a model without a CLS token.
    """
    if "cls" in config.poolings and not encoder.has_cls:
        raise EncoderError(f"{encoder.name} has no CLS token. Choose ROI mean or Global Average Pooling.")


def _decide(
    outputs: list[Output], n_frames: int, skip_existing: bool, when_different: WhenDifferent, task: Task
) -> tuple[list[Output], list[Skipped], list[Path]]:
    """Sort outputs into those to compute and those to leave; list files that make room first."""
    todo, skipped, trash = [], [], []
    for output in outputs:
        existing = look_at_existing(output, n_frames)
        if (existing.state == "same" and skip_existing) or (existing.state == "different" and when_different == "skip"):
            skipped.append(Skipped(str(output.path), existing.reason))
        elif existing.state == "different" and when_different == "keep-both":
            other = replace(output, path=keep_both_path(output))
            if skip_existing and look_at_existing(other, n_frames).state == "same":
                skipped.append(Skipped(str(other.path), "exists with the same settings"))
                continue
            task.log(f"  {output.path.name} {existing.reason}: both are kept")
            todo.append(other)
        else:
            if existing.state != "absent":
                trash.append(output.path)
                task.log(f"  {output.path.name} {existing.reason}: it is computed again")
            todo.append(output)
    for left in skipped:
        task.log(f"  ⏩ Skipping existing: {Path(left.path).name} ({left.reason})")
    return todo, skipped, trash


def _make_work(
    video: Video,
    masks: MaskSource,
    encoder: Encoder,
    config: ExtractConfig,
    outputs: list[Output],
    folder: Path,
    task: Task,
) -> Work:
    start, stop = (bound.to_frame(video.times_s, video.n_frames) for bound in (config.start, config.stop))
    if stop <= start:
        raise ConfigError(
            f"The range {config.start} … {config.stop} of {video.path.name} holds no frame. Choose a longer one."
        )
    poses = cached_poses(video, masks, config, folder, task) if config.preprocess.center_roi is not None else None
    backgrounds: tuple[int | None, ...] = (None,)
    if config.preprocess.remove_background == "roi":
        backgrounds = config.roi_ids
    # CASTLE's angles: whole degrees, counter-clockwise.
    angles = tuple(int(a) for a in np.linspace(0, 360, config.angles, endpoint=False)) if config.angles else (0,)
    view = View(config.preprocess, backgrounds, angles)
    return Work(video, masks, poses, encoder, config, view, tuple(outputs), range(start, stop, config.every), folder)


def cached_poses(video: Video, masks: MaskSource, config: ExtractConfig, folder: Path, task: Task) -> Poses:
    """Measure centre and angle of the whole video once; a resumed run finds them in the work folder."""
    path = folder / "poses.npz"
    if path.is_file():
        with np.load(path) as saved:
            return Poses(saved["center"], saved["angle_deg"], saved["status"])

    def on_progress(done: int, total: int) -> None:
        task.progress(done, total, "measuring centre and angle")

    poses = measure_poses(
        masks, config.preprocess, video.n_frames, average_fps=video.average_fps, on_progress=on_progress
    )
    temporary = path.with_name(".poses.part.npz")
    np.savez(temporary, center=poses.center, angle_deg=poses.angle_deg, status=poses.status)
    task.publish(temporary, path)
    return poses


def _run_shards(work: Work, task: Task) -> None:
    total, done = len(work.wanted), 0

    def on_frames(n: int) -> None:
        nonlocal done
        done += n
        task.progress(done, total, "frames")

    for shard in work.shards():
        run_shard(work, shard, task, on_frames)


def _write(work: Work, number: int, output: Output, video_name: str, started: float, task: Task) -> Written:
    """Put the shards of one output together into its file."""
    n_frames = work.video.n_frames
    status = np.full(n_frames, NOT_REQUESTED, np.uint8)
    for shard in work.shards():
        status[np.array(shard)] = np.load(work.shard_folder(shard) / "status.npy")[number]
    metadata = metadata_of(
        output,
        video_name=video_name,
        n_frames=n_frames,
        encoder=work.encoder,
        batch_size=work.config.batch_size,
        status=status,
    )
    row_shape = work.row_shape(output)
    if output.pooling == "none":
        shape = (n_frames, *row_shape)
        write_map(output.path, _map_pieces(work, number), shape, status=status, metadata=metadata, task=task)  # type: ignore[arg-type]
    else:
        angle = None
        if work.poses is not None and work.config.preprocess.tail_roi is not None:
            angle = work.poses.angle_deg.astype(np.float32)
        write_latents(
            output.path,
            _row_pieces(work, number, row_shape),
            (n_frames, *row_shape),
            status=status,
            metadata=metadata,
            angle_deg=angle,
            task=task,
        )
    return Written(
        video_name,
        output.roi_id,
        output.pooling if not work.config.angles else "rotation",
        str(output.path),
        n_frames,
        work.encoder.embed_dim,
        int((status != OK).sum()),
        round(time.monotonic() - started, 3),
    )


def _row_pieces(work: Work, number: int, row_shape: tuple[int, ...]) -> Iterator[npt.NDArray[np.float32]]:
    """Yield all rows of the video in order, with NaN for frames that were not requested."""
    size = work.config.shard_frames
    shards = {shard.start // size: shard for shard in work.shards()}
    for start in range(0, work.video.n_frames, size):
        stop = min(start + size, work.video.n_frames)
        piece = np.full((stop - start, *row_shape), np.nan, np.float32)
        shard = shards.get(start // size)
        if shard is not None:
            piece[np.array(shard) - start] = np.load(work.shard_folder(shard) / f"{number}.npy", mmap_mode="r")
        yield piece


def _map_pieces(work: Work, number: int) -> Iterator[tuple[npt.NDArray[np.int64], Any]]:
    for shard in work.shards():
        rows = np.load(work.shard_folder(shard) / f"{number}.npy", mmap_mode="r")
        for first in range(0, len(shard), 64):
            yield np.array(shard[first : first + 64], np.int64), rows[first : first + 64]
