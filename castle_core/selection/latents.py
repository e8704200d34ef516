"""Latents as features: rows of an .npz file that were extracted before, read in bounded memory."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from castle_core.errors import ConfigError
from castle_core.selection.look import Source

if TYPE_CHECKING:
    from castle_core.video import Video

Indices = NDArray[np.int64]
_CHUNK_ROWS = 4096


def find_latents(path: Path, video: "Video") -> Path:
    """Return the file of latents for a video: `path` itself, or the only one for it in that folder.

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


def latents_of(video: "Video", path: Path) -> Source:
    """Return the rows of a file of latents as a source of features; frames whose row is NaN are missing.

    Parameters
    ----------
    video : Video
    path : Path
        An .npz with ``latent``, (n_frames, D) float16/32/64, compressed or not.

    Raises
    ------
    ConfigError
        When read, if the file is not that.
    """

    def see(frames: Indices) -> Iterator[tuple[Indices, NDArray[np.float32]]]:
        try:
            with zipfile.ZipFile(path) as archive, archive.open("latent.npy") as stream:
                yield from _rows(stream, frames, video.n_frames, path)
        except ConfigError:
            raise
        except (KeyError, zipfile.BadZipFile, ValueError, EOFError, OSError) as error:
            raise ConfigError(f"{path} is not a file of latents. Choose an .npz file that holds 'latent'.") from error

    return Source(video.path.name, see)


def _rows(
    stream: IO[bytes], frames: Indices, n_frames: int, path: Path
) -> Iterator[tuple[Indices, NDArray[np.float32]]]:
    version = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read_header(stream)
    if fortran or len(shape) != 2 or dtype.kind != "f":
        raise ConfigError(f"'latent' in {path} is not a table of numbers with one row a frame.")
    if shape[0] != n_frames:
        raise ConfigError(
            f"{path} has {shape[0]} rows, but the video has {n_frames} frames. "
            "Choose latents of every frame of this video."
        )
    for first in range(0, n_frames, _CHUNK_ROWS):
        n_rows = min(_CHUNK_ROWS, n_frames - first)
        data = stream.read(n_rows * shape[1] * dtype.itemsize)
        if len(data) != n_rows * shape[1] * dtype.itemsize:
            raise EOFError
        wanted = frames[np.searchsorted(frames, first) : np.searchsorted(frames, first + n_rows)]
        rows = np.frombuffer(data, dtype=dtype).reshape(n_rows, shape[1])[wanted - first].astype(np.float32)
        good = np.isfinite(rows).all(axis=1)
        if good.any():
            yield wanted[good], rows[good]
