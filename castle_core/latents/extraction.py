"""Extract the latents of one video: look at what exists, run the shards, and write the files."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from castle_core.encoders import Encoder
from castle_core.errors import ProjectError
from castle_core.files import locked, make_folder
from castle_core.latents.config import ExtractConfig
from castle_core.latents.frames import few_threads
from castle_core.latents.leftovers import clear_leftovers
from castle_core.latents.maps import write_map
from castle_core.latents.npz import write_latents, write_missing_sidecar
from castle_core.latents.opening import OpenVideo, open_for_latents
from castle_core.latents.plan import Output, keep_both_path, look_at_existing, metadata_of, replace_keeping
from castle_core.latents.shards import Work, run_shard
from castle_core.machine import readable_size
from castle_core.preprocess import DECODE_ERROR, NOT_REQUESTED, OK, STATUS_NAMES
from castle_core.progress import QUIET, Task
from castle_core.projects import Project
from castle_core.projects.documents import read_document
from castle_core.rois import MaskFile, MaskSource

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
    project.require_writable()
    with ExitStack() as stack:
        setup = stack.enter_context(open_for_latents(project, name, config, encoder, task))
        todo, skipped, trash = _decide(setup, skip_existing, when_different, task)
        if not todo:
            return Extraction((), tuple(skipped))
        for output in sorted(todo, key=lambda output: output.path):
            lock = make_folder(project.cache_dir / "locks") / f"{encoder.name}-{output.path.name}"
            stack.enter_context(locked(lock, timeout_s=1.0))
        clear_leftovers(make_folder(setup.folder))
        work = setup.work(todo, task)
        _check_space(work, project, task)
        _run_shards(work, work.shards(), task)
        _check_masks(setup.masks)
        written = []
        for output in todo:
            publish = _making_room(project, output, trash, task)
            written.append(_write(work, output, setup.video_name, started, publish))
            _register(project, output, setup.stem)
            task.log(f"  ✅ Saved: {output.path}")
        _say_what_is_missing(work, task)
        shutil.rmtree(work.folder, ignore_errors=True)
    return Extraction(tuple(written), tuple(skipped))


def extract_part(
    project: Project, name: str, config: ExtractConfig, encoder: Encoder, part: int, n_parts: int, *, task: Task = QUIET
) -> int:
    """Compute every `n_parts`-th shard of a video, so that several workers share one; `extract_video` then finds them.

    Parameters
    ----------
    project, name, config, encoder, task
        See `extract_video`; the same on every worker.
    part, n_parts : int
        This worker's number, from 0, and how many there are.

    Returns
    -------
    int
        Shards that are stored now.
    """
    project.require_writable()
    with open_for_latents(project, name, config, encoder, task) as setup:
        work = setup.work(setup.outputs, task)
        shards = work.shards()[part::n_parts]
        _run_shards(work, shards, task)
        _check_masks(setup.masks)
    return len(shards)


def _check_masks(masks: MaskSource) -> None:
    if isinstance(masks, MaskFile):
        masks.check_unchanged()


def _check_space(work: Work, project: Project, task: Task) -> None:
    """Say how large feature maps become, and refuse before the work what the disk cannot hold."""
    for output in work.outputs:
        if output.pooling == "none":
            n_rows, row_bytes = len(work.wanted), work.row_bytes(output)
            numbers = int(np.prod(work.row_shape(output)))
            size = readable_size(n_rows * row_bytes)
            task.log(f"  {output.path.name} will hold {n_rows} maps of {numbers} numbers: {size}")
    needed = work.bytes_needed()
    free = shutil.disk_usage(project.path).free
    if needed > free:
        raise ProjectError(
            f"The results need {readable_size(needed)} while they are made, {readable_size(free)} are free in "
            f"{project.path}. Free some space, or ask for fewer frames or no feature map."
        )


def _making_room(project: Project, output: Output, trash: list[Path], task: Task) -> Callable[[Path, Path], None]:
    """Return a publisher that keeps an earlier file in the trash."""

    def publish(temporary: Path, final: Path) -> None:
        if output.path in trash and final.exists():
            kept = replace_keeping(temporary, final, project.cache_dir, task.publish)
            task.log(f"  the earlier {final.name} was moved to {kept}")
        else:
            task.publish(temporary, final)

    return publish


def _register(project: Project, output: Output, stem: str) -> None:
    if output.pooling == "roi-mean" and not output.identity["angles"]:
        project.register_latent(output.path.name, stem)


def _say_what_is_missing(work: Work, task: Task) -> None:
    """Count the rows without a value, by reason; damage of the video gets a line of its own."""
    for output in work.outputs:
        codes = np.concatenate([np.load(work.status_path(shard, output)) for shard in work.shards()])
        counts = np.bincount(codes, minlength=len(STATUS_NAMES))
        said = [f"{count} × {STATUS_NAMES[code]}" for code, count in enumerate(counts) if count and code != OK]
        if said:
            task.log(f"  {output.path.name}: {codes.size - counts[OK]} of {codes.size} rows are NaN: {', '.join(said)}")
        if counts[DECODE_ERROR] and output is work.outputs[0]:
            first = next(f for shard in work.shards() for f in _damaged(work, shard, output))
            task.log(
                f"  ⚠️ {counts[DECODE_ERROR]} frames of {work.video.path.name} cannot be decoded, the first is frame "
                f"{first}: their rows are NaN with status {DECODE_ERROR}. Copy the video again if you can."
            )


def _damaged(work: Work, shard: range, output: Output) -> list[int]:
    codes = np.load(work.status_path(shard, output))
    return [shard[int(row)] for row in np.flatnonzero(codes == DECODE_ERROR)]


def _decide(
    setup: OpenVideo, skip_existing: bool, when_different: WhenDifferent, task: Task
) -> tuple[list[Output], list[Skipped], list[Path]]:
    """Sort outputs into those to compute and those to leave; list files that make room for them."""
    n_frames = setup.video.n_frames
    todo, skipped, trash = [], [], []
    for output in setup.outputs:
        existing = look_at_existing(output, n_frames)
        if (existing.state == "same" and skip_existing) or (existing.state == "different" and when_different == "skip"):
            skipped.append(Skipped(str(output.path), existing.reason))
            if existing.state == "same":
                _complete(setup, output)
        elif existing.state == "different" and when_different == "keep-both":
            other = replace(output, path=keep_both_path(output))
            if skip_existing and look_at_existing(other, n_frames).state == "same":
                skipped.append(Skipped(str(other.path), "exists with the same settings"))
                _complete(setup, other)
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


def _complete(setup: OpenVideo, output: Output) -> None:
    """Write what a crash right after a file's last byte has left out: its sidecar and its entry in config.json."""
    write_missing_sidecar(output.path)
    registered = read_document(setup.project.path / "config.json").get("latent", {})
    if not isinstance(registered, dict) or registered.get(output.path.name) != setup.video_name:
        _register(setup.project, output, setup.stem)


def _run_shards(work: Work, shards: list[range], task: Task) -> None:
    total, done = sum(len(shard) for shard in shards), 0

    def on_frames(n: int) -> None:
        nonlocal done
        done += n
        task.progress(done, total, "frames")

    with few_threads(work.encoder):
        for shard in shards:
            run_shard(work, shard, task, on_frames)


def _write(
    work: Work, output: Output, video_name: str, started: float, publish: Callable[[Path, Path], None]
) -> Written:
    """Put the shards of one output together into its file."""
    n_frames = work.video.n_frames
    status = np.full(n_frames, NOT_REQUESTED, np.uint8)
    for shard in work.shards():
        status[np.array(shard)] = np.load(work.status_path(shard, output))
    metadata = metadata_of(
        output,
        video_name=video_name,
        n_frames=n_frames,
        encoder=work.encoder,
        batch_size=work.batch_size,
        status=status,
    )
    row_shape = work.row_shape(output)
    if output.pooling == "none":
        shape = (n_frames, *row_shape)
        write_map(output.path, _map_pieces(work, output), shape, status=status, metadata=metadata, publish=publish)  # type: ignore[arg-type]
    else:
        angle = None
        if work.poses is not None and work.config.preprocess.tail_roi is not None:
            angle = work.poses.angle_deg.astype(np.float32)
        write_latents(
            output.path,
            _row_pieces(work, output, row_shape),
            (n_frames, *row_shape),
            status=status,
            metadata=metadata,
            angle_deg=angle,
            publish=publish,
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


def _row_pieces(work: Work, output: Output, row_shape: tuple[int, ...]) -> Iterator[npt.NDArray[np.float32]]:
    """Yield all rows of the video in order, with NaN for frames that were not requested."""
    size = work.config.shard_frames
    shards = {shard.start // size: shard for shard in work.shards()}
    for start in range(0, work.video.n_frames, size):
        stop = min(start + size, work.video.n_frames)
        piece = np.full((stop - start, *row_shape), np.nan, np.float32)
        shard = shards.get(start // size)
        if shard is not None:
            piece[np.array(shard) - start] = np.load(work.rows_path(shard, output), mmap_mode="r")
        yield piece


def _map_pieces(work: Work, output: Output) -> Iterator[tuple[npt.NDArray[np.int64], Any]]:
    for shard in work.shards():
        rows = np.load(work.rows_path(shard, output), mmap_mode="r")
        for first in range(0, len(shard), 64):
            yield np.array(shard[first : first + 64], np.int64), rows[first : first + 64]
