"""Latents for other programs: WhiskerToolbox's CSV tensor and .npy with its row numbers, and NWB."""

import datetime
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from castle_core.errors import ConfigError
from castle_core.files import atomic_path
from castle_core.inspection.gaps import status_words
from castle_core.inspection.rows import Rows
from castle_core.inspection.sampling import sampling_words
from castle_core.inspection.summary import Summary
from castle_core.preprocess import NOT_REQUESTED
from castle_core.progress import QUIET, Task

_CSV_ROWS = 2000


def export_csv(path: Path, rows: Rows, summary: Summary, *, with_gaps: bool = True, task: Task = QUIET) -> int:
    """Write ``row,col_0,…``: a line a frame, numbers with 9 digits, so that float32 comes back as it was.

    Parameters
    ----------
    path : Path
        ``….csv``.
    rows, summary
        Of one file.
    with_gaps : bool
        Also write frames without a value, as ``nan``. Frames that nobody asked for are left out in any case.
    task : Task
        Progress counts frames.

    Returns
    -------
    int
        Lines written, without the header.
    """
    written = 0
    line = ",".join(["%.9g"] * rows.dim)
    with atomic_path(path, publish=task.publish) as temporary, open(temporary, "w", encoding="ascii") as file:
        file.write(",".join(["row", *(f"col_{i}" for i in range(rows.dim))]) + "\n")
        for frames, part in _parts(rows, summary, with_gaps, _CSV_ROWS):
            for frame_index, row in zip(frames.tolist(), part.tolist(), strict=True):
                file.write(f"{frame_index},{line % tuple(row)}\n")
            written += len(frames)
            task.progress(int(frames[-1]) + 1 if len(frames) else 0, rows.n, "frames written")
    return written


def export_npy(path: Path, rows: Rows, summary: Summary, *, with_gaps: bool = True, task: Task = QUIET) -> int:
    """Write ``<name>.npy`` (m, D) float32 and ``<name>_rows.npy`` (m,) int64, the frame of each row; return m.

    Which frames have a row is as in `export_csv`.
    """
    frames = np.flatnonzero(summary.requested if with_gaps else summary.valid).astype(np.int64)
    n = len(frames)
    with (
        atomic_path(path, publish=task.publish) as temporary,
        atomic_path(path.with_name(f"{path.stem}_rows.npy"), publish=task.publish) as temporary_rows,
    ):
        with open(temporary, "wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (n, rows.dim)}
            np.lib.format.write_array_header_1_0(file, header)
            for part_frames, part in _parts(rows, summary, with_gaps, None):
                file.write(np.ascontiguousarray(part, "<f4").tobytes())
                task.progress(int(part_frames[-1]) + 1 if len(part_frames) else 0, rows.n, "frames written")
        with open(temporary_rows, "wb") as file:
            np.save(file, frames, allow_pickle=False)
    return n


def _parts(
    rows: Rows, summary: Summary, with_gaps: bool, size: int | None
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]]:
    for first, part in rows.pieces(size):
        good = summary.valid[first : first + len(part)]
        part[~good] = np.nan
        wanted = summary.requested[first : first + len(part)] if with_gaps else good
        yield first + np.flatnonzero(wanted), part[wanted]


def _sampling(summary: Summary) -> str:
    words = sampling_words(summary.status)
    return f" Extracted: {words}; the others have status {NOT_REQUESTED}." if words else ""


def export_nwb(
    path: Path,
    rows: Rows,
    summary: Summary,
    *,
    times_s: npt.NDArray[np.float64],
    session_start: datetime.datetime,
    video_name: str,
    metadata: dict[str, Any],
    session_description: str = "",
    subject_id: str = "",
    task: Task = QUIET,
) -> int:
    """Write an NWB file: the latents and their status as time series with the video's own time stamps.

    Parameters
    ----------
    path : Path
        ``….nwb``.
    rows, summary
        Of one file.
    times_s : (n,) float64
        Seconds of each frame since the start of the video.
    session_start : datetime
        When the video starts, with its time zone: NWB demands it, and only the experimenter knows it.
    video_name : str
    metadata : dict
        Kept as JSON in the series' comments.
    session_description, subject_id : str
        As NWB has them.
    task : Task
        Progress counts frames.

    Returns
    -------
    int
        Frames written.

    Raises
    ------
    ConfigError
        If pynwb is not installed, the time has no zone, or the time stamps do not fit.
    """
    try:
        from hdmf.backends.hdf5.h5_utils import H5DataIO
        from hdmf.data_utils import DataChunkIterator
        from pynwb import NWBHDF5IO, NWBFile, TimeSeries
        from pynwb.file import Subject
    except ImportError as error:
        raise ConfigError("NWB files need the extra nwb: pip install 'castle-studio[nwb]'.") from error
    if session_start.tzinfo is None:
        raise ConfigError("NWB needs the start of the session with its time zone.")
    if len(times_s) != rows.n:
        raise ConfigError(f"The video has {len(times_s)} frames, the latents have {rows.n} rows: extract them again.")

    def values() -> Iterator[npt.NDArray[np.float32]]:
        for first, part in rows.pieces(2000):
            part[~summary.valid[first : first + len(part)]] = np.nan
            yield from part
            task.progress(first + len(part), rows.n, "frames written")

    identifier = str(metadata.get("video_fingerprint") or video_name) + f"/{path.stem}"
    nwb = NWBFile(
        session_description=session_description or f"Latents of {video_name}",
        identifier=identifier,
        session_start_time=session_start,
        subject=Subject(subject_id=subject_id) if subject_id else None,
    )
    latent = TimeSeries(
        name="latent",
        data=H5DataIO(
            DataChunkIterator(values(), maxshape=(rows.n, rows.dim), dtype=np.dtype("float32"), buffer_size=1024),
            chunks=(min(1024, max(1, rows.n)), rows.dim),
        ),
        unit="a.u.",
        timestamps=times_s,
        description=f"One latent vector a frame of {video_name}; NaN where status is not 0." + _sampling(summary),
        comments=json.dumps(metadata, ensure_ascii=False) if metadata else "no comments",
    )
    codes = "; ".join(f"{code}: {status_words(code)}" for code in range(8))
    status = TimeSeries(name="status", data=summary.status, unit="n.a.", timestamps=latent, description=codes)
    module = nwb.create_processing_module("behavior", "Latent vectors of the tracked animal")
    module.add(latent)
    module.add(status)
    with atomic_path(path, publish=task.publish) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not end in '.nwb'")  # its name is a temporary one
        with NWBHDF5IO(str(temporary), "w") as io:
            io.write(nwb)
    return rows.n
