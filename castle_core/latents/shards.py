"""The work between two saves: encode a shard's frames once, pool them for every output, and store the rows.

A shard is a folder ``<start>/`` with two ``.npy`` files for each output: its rows, and their status codes. It gets its
name only when it is whole, so that a crash costs at most one. Batches lie on a fixed grid inside the shard, with blanks
for missing frames, so that a resumed run computes exactly what an undisturbed one does.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from castle_core.encoders import Encoder, Tokens
from castle_core.files import make_folder, write_error
from castle_core.latents.batching import BatchLimit, encode
from castle_core.latents.config import ExtractConfig
from castle_core.latents.device_warp import render_batch
from castle_core.latents.frames import Prepared, View, prepared_frames
from castle_core.latents.plan import Output
from castle_core.pooling import cell_weights, pool_global, pool_points, pool_weighted, to_cells
from castle_core.preprocess import NO_MASK, OK, POINT_MISSING, POINT_OUTSIDE, ROI_ABSENT, Poses, apply_affine
from castle_core.progress import Task
from castle_core.rois import MaskSource
from castle_core.video import Video


@dataclass(frozen=True)
class Work:
    """Everything that the shards of one video share.

    Attributes
    ----------
    video, masks, poses, encoder, config, view, outputs
        What is encoded, how, and for which files.
    wanted : range
        The requested frames.
    folder : Path
        Where shards are stored.
    batch_size : int
        Frames in one forward pass.
    limit : BatchLimit
        What the device's memory has turned out to hold.
    """

    video: Video
    masks: MaskSource
    poses: Poses | None
    encoder: Encoder
    config: ExtractConfig
    view: View
    outputs: tuple[Output, ...]
    wanted: range
    folder: Path
    batch_size: int
    limit: BatchLimit = field(default_factory=BatchLimit)

    def shards(self) -> list[range]:
        """Return the requested frames of each shard, on a grid that starts at frame 0."""
        size = self.config.shard_frames
        step = self.wanted.step
        pieces = []
        for start in range(self.wanted.start // size * size, self.wanted.stop, size):
            first = max(self.wanted.start, start)
            first += -(first - self.wanted.start) % step
            piece = range(first, min(start + size, self.wanted.stop), step)
            if len(piece):
                pieces.append(piece)
        return pieces

    def shard_folder(self, shard: range) -> Path:
        """Return the folder of a shard."""
        return self.folder / f"{shard.start:09d}"

    def rows_path(self, shard: range, output: Output) -> Path:
        """Return where a shard keeps the rows of an output."""
        return self.shard_folder(shard) / f"{output.key}.npy"

    def status_path(self, shard: range, output: Output) -> Path:
        """Return where a shard keeps the status codes of an output."""
        return self.shard_folder(shard) / f"{output.key}.status.npy"

    def is_whole(self, shard: range) -> bool:
        """Say whether a shard is stored with everything that is asked now."""
        return all(self.status_path(shard, output).is_file() for output in self.outputs)

    def frames_left(self) -> int:
        """Return how many frames no shard holds yet."""
        return sum(len(shard) for shard in self.shards() if not self.is_whole(shard))

    def bytes_needed(self) -> int:
        """Return how much is still to be written: the finished files, and beside them the shards not stored yet."""
        row_bytes = sum(self.row_bytes(output) for output in self.outputs)
        return row_bytes * (len(self.wanted) + self.frames_left())

    def row_bytes(self, output: Output) -> int:
        """Return the size of one row of an output."""
        return int(np.prod(self.row_shape(output))) * (2 if output.pooling == "none" else 4)

    def row_shape(self, output: Output) -> tuple[int, ...]:
        """Return the shape of one row of an output."""
        side = self.encoder.input_size // self.encoder.patch_size
        if output.pooling == "none":
            return (self.encoder.embed_dim, side, side)
        if self.config.stack and self.config.angles:
            return (self.config.angles, self.encoder.embed_dim)
        return (self.encoder.embed_dim,)


class _RowFile:
    """Writes rows into an ``.npy`` file one batch after the other.

    Not a mapped file: a full disk must be an error here, not the end of the process.
    """

    def __init__(self, path: Path, dtype: Any, shape: tuple[int, ...]) -> None:
        self._dtype = np.dtype(dtype)
        self._stream = open(path, "wb")  # noqa: SIM115  closed by __exit__
        description = np.lib.format.dtype_to_descr(self._dtype)
        header = {"descr": description, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._stream, header)

    def write(self, rows: npt.NDArray[Any]) -> None:
        self._stream.write(np.ascontiguousarray(rows, self._dtype).data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._stream.flush()
                os.fsync(self._stream.fileno())
        finally:
            self._stream.close()


def run_shard(work: Work, shard: range, task: Task, on_frames: Callable[[int], None]) -> None:
    """Encode and store one shard, unless it is stored already.

    Raises
    ------
    ProjectError
        If the disk is full; the unfinished shard is removed.
    JobCancelled, LeaseLostError
        From `task`.
    """
    final = work.shard_folder(shard)
    if work.is_whole(shard):
        on_frames(len(shard))
        return
    make_folder(work.folder)
    temporary = None
    try:
        temporary = Path(tempfile.mkdtemp(prefix=f".{final.name}.", suffix=".part", dir=work.folder))
        status = np.zeros((len(work.outputs), len(shard)), np.uint8)
        row = 0
        with ExitStack() as stack:
            files = [stack.enter_context(_row_file(work, temporary, shard, output)) for output in work.outputs]
            batches = stack.enter_context(closing(_batches(work, shard)))
            for batch in batches:
                stop = row + len(batch)
                values = _encode_batch(work, batch, status[:, row:stop])
                for file, rows in zip(files, values, strict=True):
                    file.write(rows)
                row = stop
                on_frames(len(batch))
        for output, codes in zip(work.outputs, status, strict=True):
            with _RowFile(temporary / work.status_path(shard, output).name, np.uint8, codes.shape) as file:
                file.write(codes)
        _publish_folder(work, shard, temporary, task)
    except OSError as error:
        raise write_error(final, error) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _row_file(work: Work, folder: Path, shard: range, output: Output) -> _RowFile:
    dtype = np.float16 if output.pooling == "none" else np.float32
    return _RowFile(folder / work.rows_path(shard, output).name, dtype, (len(shard), *work.row_shape(output)))


def _publish_folder(work: Work, shard: range, temporary: Path, task: Task) -> None:
    final = work.shard_folder(shard)
    if final.is_dir() and not work.is_whole(shard):  # stored for fewer outputs than are asked now
        shutil.rmtree(final)
    try:
        task.publish(temporary, final)
    except OSError:
        if not work.is_whole(shard):  # else another worker stored the same shard first: its rows are the same
            raise


def _batches(work: Work, shard: range) -> Generator[list[Prepared], None, None]:
    batch: list[Prepared] = []
    size = work.batch_size
    ahead = max(2, min(2 * size, size + 64))
    frames = prepared_frames(work.video, work.masks, shard, work.view, work.poses, work.encoder, ahead=ahead)
    with closing(frames):
        for prepared in frames:
            batch.append(prepared)
            if len(batch) == size:
                yield batch
                batch = []
        if batch:
            yield batch


def _encode_batch(work: Work, batch: list[Prepared], status: npt.NDArray[np.uint8]) -> list[npt.NDArray[Any]]:
    """Encode one batch; return its rows for every output, and fill in their status codes (outputs, frames)."""
    shared = np.array([prepared.status for prepared in batch], np.uint8)
    for number, output in enumerate(work.outputs):
        status[number] = _status(work, output, batch, shared)
    collected: list[list[npt.NDArray[Any]]] = [[] for _ in work.outputs]
    if (status == OK).any():
        for angle in range(len(work.view.angles_deg)):
            for group, background_roi in enumerate(work.view.background_rois):
                tokens = encode(work.encoder, _pictures(work, batch, angle, group), work.limit)
                for number, values in _pool(work, batch, tokens, angle, background_roi):
                    collected[number].append(values)
    result = []
    for number, (output, turns) in enumerate(zip(work.outputs, collected, strict=True)):
        if not turns:
            rows = np.full((len(batch), *work.row_shape(output)), np.nan, np.float32)
        elif work.config.stack and work.config.angles:
            rows = np.stack(turns, axis=1)
        else:
            rows = turns[0] if len(turns) == 1 else np.mean(np.stack(turns), axis=0, dtype=np.float32)
        absent = status[number] != OK
        if absent.any():
            rows = np.array(rows)
            rows[absent] = np.nan
        result.append(rows)
    return result


def _status(work: Work, output: Output, batch: list[Prepared], shared: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Say for every frame of the batch whether this output has a row."""
    result = shared.copy()
    seen = [position for position, prepared in enumerate(batch) if prepared.status == OK]
    if output.point is not None:
        for position in seen:
            result[position] = _point_status(work, output, batch[position])
    elif output.roi_id and seen:
        masks = np.array([batch[position].masks for position in seen])  # (frames, angles, S, S)
        there = (masks == output.roi_id).any(axis=(2, 3)).all(axis=1)
        for position, found in zip(seen, there, strict=True):
            if not batch[position].tracked:
                result[position] = NO_MASK
            elif not found:
                result[position] = ROI_ABSENT  # also where a turned picture has lost it over the edge
    return result


def _point_status(work: Work, output: Output, prepared: Prepared) -> int:
    assert output.point is not None
    point = output.point.at(prepared.frame_index)
    if np.isnan(point).any():
        return POINT_MISSING
    limits = np.array([work.video.width - 0.5, work.video.height - 0.5])
    inside = bool(((point >= -0.5) & (point <= limits)).all())
    return OK if inside and not np.isnan(_cells(work, output, prepared)).any() else POINT_OUTSIDE


def _cells(work: Work, output: Output, prepared: Prepared) -> npt.NDArray[np.float64]:
    """Return the position (cells) of a point in the feature map; NaN where it is missing or outside."""
    if prepared.affine is None or output.point is None:
        return np.full(2, np.nan)
    size = work.encoder.input_size
    seen = apply_affine(prepared.affine, output.point.at(prepared.frame_index))
    return to_cells(seen, size, size // work.encoder.patch_size)


def _pictures(work: Work, batch: list[Prepared], angle: int, group: int) -> Any:
    """Return the model's input for a batch; missing frames are blank, a lone last frame gets a blank beside it."""
    import torch

    n_rows = max(len(batch), min(2, work.batch_size))
    if work.encoder.device != "cpu":
        return render_batch(batch, work.view, work.encoder, angle, group, n_rows)
    size = work.encoder.input_size
    images = np.zeros((n_rows, size, size, 3), np.uint8)
    for position, prepared in enumerate(batch):
        if prepared.status == OK:
            images[position] = prepared.images[angle * len(work.view.background_rois) + group]
    return torch.from_numpy(images)


def _pool(
    work: Work, batch: list[Prepared], tokens: Tokens, angle: int, background_roi: int | None
) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """Pool one batch of tokens for every output that belongs to it; yields the output's number and its rows."""
    import torch

    n = len(batch)
    numbers = [k for k, output in enumerate(work.outputs) if background_roi is None or output.roi_id == background_roi]
    patch = work.encoder.patch_size
    means = [k for k in numbers if work.outputs[k].pooling == "roi-mean"]
    points = [k for k in numbers if work.outputs[k].pooling == "point"]
    if means:
        side = work.encoder.input_size // patch
        weights = np.zeros((tokens.patch_tokens.shape[0], len(means), side, side), np.float32)
        seen = [position for position, prepared in enumerate(batch) if prepared.status == OK]
        masks = np.stack([batch[position].masks[angle] for position in seen])
        for column, k in enumerate(means):
            weights[seen, column] = cell_weights(masks, work.outputs[k].roi_id, patch)
        pooled = pool_weighted(tokens.patch_tokens, torch.from_numpy(weights)).cpu().numpy()[:n]
        for column, k in enumerate(means):
            yield k, pooled[:, column]
    if points:
        positions = np.full((tokens.patch_tokens.shape[0], len(points), 2), np.nan)
        for position, prepared in enumerate(batch):
            for column, k in enumerate(points):
                positions[position, column] = _cells(work, work.outputs[k], prepared)
        read = pool_points(tokens.patch_tokens, positions, interpolation=work.config.interpolation).cpu().numpy()[:n]
        for column, k in enumerate(points):
            yield k, read[:, column]
    for k in numbers:
        pooling = work.outputs[k].pooling
        if pooling == "cls":
            yield k, tokens.cls.float().cpu().numpy()[:n]
        elif pooling == "global":
            yield k, pool_global(tokens.patch_tokens).cpu().numpy()[:n]
        elif pooling == "none":
            yield k, tokens.patch_tokens[:n].permute(0, 3, 1, 2).to(torch.float16).cpu().numpy()
