"""Latents as features: rows of an .npz file that were extracted before, read in bounded memory."""

import zipfile
from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from castle_core.errors import ConfigError, SelectionError
from castle_core.selection.clustering import nearest
from castle_core.selection.config import SelectionConfig
from castle_core.selection.look import HELD_FRAMES, Look
from castle_core.selection.projection import fit_projection

if TYPE_CHECKING:
    from pathlib import Path

    from castle_core.video import Video

Indices = NDArray[np.int64]
_CHUNK_ROWS = 4096


def find_latents(path: "Path", video: "Video") -> "Path":
    """Return the file of latents for a video: `path` itself, or the only ``<stem>_*.npz`` in that folder.

    Raises
    ------
    ConfigError
        If there is no such file, or more than one.
    """
    if not path.is_dir():
        if not path.is_file():
            raise ConfigError(f"There is no file of latents {path}. Extract latents first, or choose another method.")
        return path
    stem = video.path.stem
    found = sorted(p for p in path.glob("*.npz") if p.stem == stem or p.name.startswith(f"{stem}_ROI_"))
    if len(found) != 1:
        what = "no latents" if not found else f"{len(found)} files of latents ({found[0].name}, {found[1].name} …)"
        raise ConfigError(f"{path} holds {what} of {video.path.name}. Name the file to use.")
    return found[0]


def look_at_latents(video: "Video", config: SelectionConfig, usable: NDArray[np.bool_], covered: Indices) -> Look:
    """Take the rows of latents as features; frames without a row (NaN) are left out.

    Parameters
    ----------
    video : Video
    config : SelectionConfig
        `config.latents` is the file, or a folder with one file for each video.
    usable : (n_frames,) bool
    covered : (c,) int64

    Raises
    ------
    ConfigError
        If the file cannot be read or has not one row for each frame of the video.
    SelectionError
        If no usable frame has a latent.
    """
    assert config.latents is not None
    path = find_latents(config.latents, video)
    try:
        with zipfile.ZipFile(path) as archive, archive.open("latent.npy") as stream:
            seen, rows, present = _read(stream, usable, covered, video.n_frames, str(path), config.exhaustive)
    except (KeyError, zipfile.BadZipFile, ValueError, EOFError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{path} is not a file of latents. Choose an .npz file that holds 'latent'.") from error
    candidates = usable[seen]
    if not candidates.any():
        raise SelectionError(f"No frame in the chosen part of {video.path.name} has a latent in {path.name}.")
    points = rows[~candidates]
    frame_index, kept = seen[candidates], rows[candidates]
    return Look(
        frame_index=frame_index,
        rows=kept,
        stands_for=np.full(len(kept), present / len(kept), dtype=np.float32),
        covered_squared=nearest(kept, points)[1],
        n_decoded=0,
        damaged=np.zeros(0, dtype=np.int64),
    )


def _read(
    stream: IO[bytes], usable: NDArray[np.bool_], covered: Indices, n_frames: int, path: str, exhaustive: bool
) -> tuple[Indices, NDArray[np.float32], int]:
    """Read and project the rows wanted; return their frames, their vectors and how many usable frames have a latent."""
    version = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read_header(stream)
    if fortran or len(shape) != 2 or dtype.kind != "f":
        raise ConfigError(f"'latent' in {path} is not a table of numbers with one row a frame.")
    if shape[0] != n_frames:
        raise ConfigError(
            f"{path} has {shape[0]} rows, the video has {n_frames} frames. Choose latents of this video, of every frame."
        )
    wanted = usable.copy()
    wanted[covered] = True
    n_usable = int(usable.sum())
    most = n_usable if exhaustive else HELD_FRAMES
    if n_usable > most:  # evenly along time; covered ones all
        frames = np.flatnonzero(usable)
        wanted[frames] = False
        wanted[frames[np.linspace(0, n_usable - 1, most).round().astype(np.int64)]] = True
    index: list[NDArray[np.int64]] = []
    parts: list[NDArray[np.float32]] = []
    projection = None
    held = 0
    for first in range(0, n_frames, _CHUNK_ROWS):
        n_rows = min(_CHUNK_ROWS, n_frames - first)
        block = np.frombuffer(_exactly(stream, n_rows * shape[1] * dtype.itemsize), dtype=dtype)
        block = block.reshape(n_rows, shape[1])[wanted[first : first + n_rows]].astype(np.float32)
        frames = first + np.flatnonzero(wanted[first : first + n_rows])
        good = np.isfinite(block).all(axis=1)
        index.append(frames[good])
        block = block[good]
        parts.append(block if projection is None else projection(block))
        held += len(block)
        if projection is None and held > HELD_FRAMES:  # too many to hold at full length
            projection = fit_projection(np.concatenate(parts))
            parts = [projection(part) for part in parts]
    rows = np.concatenate(parts)
    if projection is None and len(rows):
        rows = fit_projection(rows)(rows)
    seen = np.concatenate(index)
    share = float(usable[seen].sum()) / max(1, int((wanted & usable).sum()))
    return seen, rows, max(1, round(n_usable * share))


def _exactly(stream: IO[bytes], n_bytes: int) -> bytes:
    data = stream.read(n_bytes)
    if len(data) != n_bytes:
        raise EOFError
    return data
