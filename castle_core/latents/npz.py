"""The latent file: an uncompressed ``.npz`` that streams and maps, its JSON sidecar, and how foreign ones are read."""

import json
import os
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from castle_core.errors import EncoderError
from castle_core.files import atomic_path, atomic_write_json

SCHEMA_VERSION = 1
_COMPANIONS = ("frame_index", "status", "angle_deg")
_DAY = (1980, 1, 1, 0, 0, 0)  # no clock in the file: equal content gives equal bytes


@dataclass(frozen=True)
class Latents:
    """One latent file.

    Attributes
    ----------
    latent : (n, D) or (n, k, D) array
        float32 (float64 in old CASTLE files); mapped where the file is not compressed. NaN where status is not 0.
    frame_index : (n,) int64 array
        0 … n-1.
    status : (n,) uint8 array
        See `castle_core.preprocess`; in files without it, 0, or 2 where the row is NaN.
    metadata : dict
        Empty in files without it.
    """

    latent: npt.NDArray[np.floating[Any]]
    frame_index: npt.NDArray[np.int64]
    status: npt.NDArray[np.uint8]
    metadata: dict[str, Any]


def write_latents(
    path: Path,
    pieces: Iterable[npt.NDArray[np.float32]],
    shape: tuple[int, ...],
    *,
    status: npt.NDArray[np.uint8],
    metadata: dict[str, Any],
    angle_deg: npt.NDArray[np.float32] | None = None,
    publish: Callable[[Path, Path], None] = os.replace,
) -> None:
    """Write a latent file and its sidecar, streaming the rows.

    Parameters
    ----------
    path : Path
        ``….npz``; its folder must exist.
    pieces : iterable of (m, ...) float32 arrays
        Consecutive rows, n in all.
    shape : tuple of int
        (n, D) or (n, k, D).
    status : (n,) uint8 array
        Status codes.
    metadata : dict
        Anything JSON takes; stored as one JSON string.
    angle_deg : (n,) float32 array, optional
        Direction of the tail.
    publish : callable
        Gives the finished file its final name.

    Raises
    ------
    EncoderError
        If the pieces do not make up `shape`.
    ProjectError
        If the disk is full or may not be written.
    """
    n = shape[0]
    with (
        atomic_path(path, publish=publish) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED, allowZip64=True) as archive,
    ):
        with archive.open(zipfile.ZipInfo("latent.npy", _DAY), "w", force_zip64=True) as stream:
            np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
            rows = 0
            for piece in pieces:
                if piece.shape[1:] != shape[1:]:
                    raise EncoderError(f"{path.name}: rows of {piece.shape[1:]} do not fit {shape[1:]}.")
                stream.write(np.ascontiguousarray(piece, dtype="<f4").tobytes())
                rows += len(piece)
            if rows != n:
                raise EncoderError(f"{path.name}: {rows} rows were computed for {n} frames. Please run it again.")
        _add(archive, "frame_index", np.arange(n, dtype=np.int64))
        _add(archive, "status", status.astype(np.uint8))
        if angle_deg is not None:
            _add(archive, "angle_deg", angle_deg.astype(np.float32))
        _add(archive, "metadata", np.array([json.dumps(metadata, ensure_ascii=False)]))
    write_sidecar(path, metadata)


def write_sidecar(path: Path, metadata: dict[str, Any]) -> None:
    """Write the metadata of a latent file beside it: ``<name>.json``."""
    atomic_write_json(path.with_name(path.name + ".json"), metadata)


def write_missing_sidecar(path: Path) -> None:
    """Write the sidecar of a finished file if a crash has left it out."""
    if path.with_name(path.name + ".json").is_file():
        return
    if path.suffix == ".h5":
        from castle_core.latents.maps import read_map_metadata

        write_sidecar(path, read_map_metadata(path)[0])
    else:
        write_sidecar(path, read_latents(path).metadata)


def _add(archive: zipfile.ZipFile, name: str, array: npt.NDArray[Any]) -> None:
    with archive.open(zipfile.ZipInfo(f"{name}.npy", _DAY), "w", force_zip64=True) as stream:
        np.lib.format.write_array(stream, array, allow_pickle=False)


def read_latents(path: Path) -> Latents:
    """Read a latent file of ours or of any CASTLE version, compressed or not; never unpickling anything.

    Raises
    ------
    EncoderError
        If it is missing, half-written, or holds no ``latent``.
    """
    if not path.is_file():
        raise EncoderError(f"There is no latent file {path}.")
    try:
        latent = _mapped(path)
        with np.load(path, allow_pickle=False) as archive:
            if latent is None:
                latent = archive["latent"]
            if latent.ndim < 2:
                raise EncoderError(f"{path.name}: `latent` is {latent.ndim}-dimensional, not one row a frame.")
            metadata = _metadata(archive)
            n = len(latent)
            frame_index = archive["frame_index"] if "frame_index" in archive else np.arange(n, dtype=np.int64)
            if "status" in archive:
                status = archive["status"]
            else:
                absent = np.isnan(np.asarray(latent).reshape(n, -1)).any(axis=1)
                status = np.where(absent, 2, 0).astype(np.uint8)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise EncoderError(
            f"{path.name} is not a readable latent file ({error}). It may be half-written; extract it again."
        ) from error
    return Latents(latent, frame_index, status, metadata)


def _metadata(archive: Any) -> dict[str, Any]:
    if "metadata" not in archive:
        return {}
    try:
        content = json.loads(str(archive["metadata"].reshape(-1)[0]))
    except ValueError:  # some CASTLE versions stored an object; without unpickling it stays closed
        return {}
    return content if isinstance(content, dict) else {}


@dataclass(frozen=True)
class StoredArray:
    """Where an array lies in an uncompressed archive: at `offset` bytes, as `shape` numbers of `dtype`."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    offset: int


def stored_array(path: Path, name: str = "latent") -> StoredArray | None:
    """Return where an array lies in the file at `path`; None if it is compressed.

    Raises
    ------
    EncoderError
        If it holds Python objects.
    KeyError, OSError, ValueError, zipfile.BadZipFile
        If it is not there, or the file is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(f"{name}.npy")
        if info.compress_type != zipfile.ZIP_STORED:
            return None
        with open(path, "rb") as stream:
            stream.seek(info.header_offset + 26)
            name_length = int.from_bytes(stream.read(2), "little")
            extra_length = int.from_bytes(stream.read(2), "little")
            stream.seek(info.header_offset + 30 + name_length + extra_length)
            shape, fortran, dtype = read_array_header(stream, path)
            return StoredArray(shape, dtype, fortran, stream.tell())


def read_array_header(stream: IO[bytes], path: Path) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read the header of an .npy stream: shape, whether it is in Fortran order, kind of number.

    Raises
    ------
    EncoderError
        If it holds Python objects; `path` is named.
    ValueError
        If it is no .npy stream.
    """
    version = np.lib.format.read_magic(stream)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = reader(stream)
    if dtype.hasobject:
        raise EncoderError(f"{path.name} holds Python objects, which could run code; it was refused.")
    return shape, fortran, dtype


def read_companions(path: Path) -> dict[str, Any]:
    """Read what lies beside ``latent`` without reading ``latent``: ``metadata`` (a dict), and where they are there
    ``frame_index``, ``status`` and ``angle_deg``.

    Raises
    ------
    EncoderError
        If the file cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            found: dict[str, Any] = {name: archive[name] for name in _COMPANIONS if name in archive}
            return {**found, "metadata": _metadata(archive)}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise EncoderError(
            f"{path.name} is not a readable latent file ({error}). It may be half-written; extract it again."
        ) from error


def _mapped(path: Path) -> npt.NDArray[np.floating[Any]] | None:
    """Map ``latent.npy`` of an uncompressed archive into memory; None if it is compressed."""
    stored = stored_array(path)
    if stored is None:
        return None
    if 0 in stored.shape:
        return np.zeros(stored.shape, stored.dtype)
    order: Any = "F" if stored.fortran else "C"
    return np.memmap(path, dtype=stored.dtype, mode="r", offset=stored.offset, shape=stored.shape, order=order)
