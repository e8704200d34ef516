"""What the Inspector keeps of a latent file so that every look at it is quick: principal components, scale, outline.

Everything comes from two readings of the file: a sample spread over the whole video gives the principal components and
each channel's robust scale; one pass over all rows then projects every frame and reduces the rows to at most
`MAX_BINS` stretches of equal length (mean, least and largest value of each channel).
"""

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from castle_core.errors import EncoderError
from castle_core.files import atomic_path, atomic_write_bytes, make_folder
from castle_core.inspection.feature_maps import read_map_status
from castle_core.inspection.rows import Rows, is_compressed, open_rows
from castle_core.inspection.sampling import requested_frames, stand_ins
from castle_core.latents.npz import read_companions
from castle_core.preprocess import NOT_REQUESTED, OK, ROI_ABSENT
from castle_core.progress import QUIET, Task
from castle_core.selection.projection import fit_projection
from castle_core.selection.threads import one_thread

if TYPE_CHECKING:
    from castle_core.projects import Project

Matrix = npt.NDArray[np.float32]
MAX_BINS = 1000
SAMPLE_ROWS = 6000
_BLOCK = 100
_KEPT = "summary-2.npz"  # the number counts what has changed in it
_UNUSED_S = 86_400  # a day: jobs may be at work in a folder
_SOURCE = "file"  # beside the folders of a latent file: its path
_WIDE = 2048
# What a page may compute by itself; more is a job. 200,000 rows of 768 are 1.5e8 numbers.
QUICK_NUMBERS = 2.5e8
QUICK_COMPRESSED = 3e7
_MAD_TO_SIGMA = 1.4826  # of a normal distribution


@dataclass(frozen=True)
class Summary:
    """A latent file in small. In a file with every k-th frame, stretches without a row repeat the row before them.

    Attributes
    ----------
    scores : (n, d) float32
        Principal components of each frame, d <= 32, widest first; NaN where the frame has no value.
    explained : (d,) float32
        Share of the sample's variance that each component holds.
    length : (n,) float32
        Of each row, less the channels' medians (`centre`); NaN where the frame has no value.
    status : (n,) uint8
        See `castle_core.preprocess`; for foreign files ROI_ABSENT where the row is not finite.
    centre, spread : (D,) float32
        Median of each channel, and 1.4826 times the median distance from it; from the sample.
    bin_rows : int
        Frames in one stretch.
    mean, least, largest : (n_bins, D) float32
        Of each stretch, over the frames that have a value; NaN where none has.
    """

    scores: Matrix
    explained: Matrix
    length: Matrix
    status: npt.NDArray[np.uint8]
    centre: Matrix
    spread: Matrix
    bin_rows: int
    mean: Matrix
    least: Matrix
    largest: Matrix

    @property
    def n(self) -> int:
        """Frames."""
        return len(self.status)

    @property
    def dim(self) -> int:
        """Channels."""
        return len(self.centre)

    @property
    def valid(self) -> npt.NDArray[np.bool_]:
        """Which frames have a value, (n,)."""
        return np.asarray(self.status == OK)

    @property
    def requested(self) -> npt.NDArray[np.bool_]:
        """Which frames the extraction was asked for, (n,): with or without a value."""
        return np.asarray(self.status != NOT_REQUESTED)

    @property
    def gaps(self) -> int:
        """Frames that were asked for and have no value."""
        return int((self.requested & ~self.valid).sum())


def cache_folder(project: "Project", path: Path) -> Path:
    """Return the folder for everything that is computed from one version of a latent file; it is made.

    Raises
    ------
    EncoderError
        If the file is gone.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise EncoderError(f"There is no latent file {path}. Was it moved, or extracted again?") from error
    root = project.cache_dir / "inspector"
    of_file = root / hashlib.sha256(os.fsencode(_relative(project, path))).hexdigest()[:24]
    folder = of_file / f"{status.st_size:x}-{status.st_mtime_ns:x}"
    if not folder.is_dir():
        make_folder(folder)
        atomic_write_bytes(of_file / _SOURCE, os.fsencode(_relative(project, path)))
        _drop_outdated(project, root, folder)
    return folder


def _relative(project: "Project", path: Path) -> Path:
    """Return a latent file's path in its project, which may be opened by another path tomorrow."""
    return path.relative_to(project.path) if path.is_relative_to(project.path) else path


def _drop_outdated(project: "Project", root: Path, current: Path) -> None:
    """Remove what was computed, over a day ago, from earlier versions of a file and from files that are gone."""
    for of_file in root.iterdir():
        if of_file == current.parent:
            old = [folder for folder in of_file.iterdir() if folder.is_dir() and folder != current]
        else:
            try:
                source = Path(os.fsdecode((of_file / _SOURCE).read_bytes()))
            except OSError:
                continue
            old = [] if (project.path / source).exists() or not (project.path / "latent").is_dir() else [of_file]
        for folder in old:
            if time.time() - max(each.stat().st_mtime for each in (folder, *folder.rglob("*"))) > _UNUSED_S:
                shutil.rmtree(folder, ignore_errors=True)


def is_quick(project: "Project", path: Path) -> bool:
    """Say whether a page may call `summary_of`: it is kept already, or the file is not too large.

    Raises
    ------
    EncoderError
        If it is not a readable latent file.
    """
    if path.suffix == ".h5" or (cache_folder(project, path) / _KEPT).exists():
        return True
    if is_compressed(path):
        # Unpacked it is at most about four times as large; what the archive says is not believed.
        return path.stat().st_size < QUICK_COMPRESSED
    return path.stat().st_size / 4 < QUICK_NUMBERS


def rows_of(project: "Project", path: Path) -> Rows:
    """Open the rows of a latent file of a project (see `open_rows`)."""
    return open_rows(path, cache_folder(project, path))


def summary_of(project: "Project", path: Path, task: Task = QUIET) -> Summary:
    """Return the summary of a latent file, from the cache where the file has not changed.

    That of a feature map has its status and no channels: its numbers are looked at frame by frame (see `read_tokens`).

    Raises
    ------
    EncoderError
        If the file cannot be read.
    """
    if path.suffix == ".h5":
        return _of_map(read_map_status(path).status)
    kept = cache_folder(project, path) / _KEPT
    if (known := _load(kept)) is not None:
        return known
    rows = rows_of(project, path)
    companions = read_companions(path)
    status = companions.get("status")
    if status is not None and status.shape != (rows.n,):
        raise EncoderError(f"{path.name}: `status` does not have one value a frame. Extract it again.")
    summary = summarise(rows, status, on_rows=lambda done: task.progress(done, rows.n, "rows read"))
    with atomic_path(kept, publish=task.publish) as temporary, open(temporary, "wb") as file:
        np.savez(file, **{field.name: getattr(summary, field.name) for field in fields(Summary)})
    return summary


def _of_map(status: npt.NDArray[np.uint8]) -> Summary:
    none, no_bins = np.zeros(0, np.float32), np.zeros((0, 0), np.float32)
    scores = np.zeros((len(status), 0), np.float32)
    return Summary(scores, none, np.zeros(len(status), np.float32), status, none, none, 1, no_bins, no_bins, no_bins)


def _load(path: Path) -> Summary | None:
    try:
        with np.load(path, allow_pickle=False) as archive:
            values: dict[str, Any] = {field.name: archive[field.name] for field in fields(Summary)}
        values["bin_rows"] = int(values["bin_rows"])
        return Summary(**values)
    except (OSError, ValueError, KeyError, EOFError):
        return None


def summarise(
    rows: Rows, status: npt.NDArray[np.uint8] | None = None, *, on_rows: Callable[[int], None] = lambda done: None
) -> Summary:
    """Compute a summary.

    Parameters
    ----------
    rows : Rows
    status : (n,) uint8 array, optional
        Status codes of the file; rows that are not finite count as without a value whatever it says.
    on_rows : callable
        Called with the number of rows that are done.
    """
    with one_thread():
        return _summarise(rows, status, on_rows)


def _summarise(rows: Rows, status: npt.NDArray[np.uint8] | None, on_rows: Callable[[int], None]) -> Summary:
    status = np.zeros(rows.n, np.uint8) if status is None else status.astype(np.uint8, copy=True)
    sample = _sample(rows, requested_frames(status))
    if len(sample) == 0:
        sample = np.zeros((1, rows.dim), np.float32)
    projection = fit_projection(sample)
    variance = np.maximum(((sample - projection.mean) ** 2).sum(axis=0).sum(), 1e-30)
    explained = (projection(sample) ** 2).sum(axis=0) / variance
    centre = np.median(sample, axis=0).astype(np.float32)
    spread = (_MAD_TO_SIGMA * np.median(np.abs(sample - centre), axis=0)).astype(np.float32)
    del sample
    bin_rows = max(1, -(-rows.n // MAX_BINS))
    n_bins = -(-rows.n // bin_rows)
    scores = np.full((rows.n, projection.axes.shape[1]), np.nan, np.float32)
    mean, least, largest = (np.full((n_bins, rows.dim), np.nan, np.float32) for _ in range(3))
    width = projection.axes.shape[1]
    directions = np.column_stack([projection.axes, centre]).astype(np.float32)
    shift, centre_squared = projection.mean @ projection.axes, float(centre @ centre)
    length = np.full(rows.n, np.nan, np.float32)
    for first, part in rows.scan(bin_rows):
        products = part @ directions
        values = products[:, :width] - shift
        good = np.isfinite(values).all(axis=1)
        if not good.all():  # an endless number, or one that is none, reaches every component of its row
            values[~good] = np.nan
            part[~good] = np.nan
            silent = status[first : first + len(part)]
            silent[~good & (silent == OK)] = ROI_ABSENT
        scores[first : first + len(part)] = values
        squared = np.einsum("nd,nd->n", part, part) - 2 * products[:, width] + centre_squared
        length[first : first + len(part)] = np.sqrt(np.maximum(squared, 0))
        missing = status[first : first + len(part)] != OK
        if missing.any():  # a status other than OK without NaN would show numbers that the file calls missing
            part[missing] = np.nan
        start = first // bin_rows
        for place in range(0, len(part), bin_rows):
            _outline(part[place : place + bin_rows], start + place // bin_rows, mean, least, largest)
        on_rows(first + len(part))
    scores[status != OK] = length[status != OK] = np.nan
    _repeat_rows(status, bin_rows, mean, least, largest)
    return Summary(scores, explained.astype(np.float32), length, status, centre, spread, bin_rows, mean, least, largest)


def _outline(part: Matrix, place: int, mean: Matrix, least: Matrix, largest: Matrix) -> None:
    if np.isnan(part[:, 0]).any():
        part = part[~np.isnan(part[:, 0])]
        if len(part) == 0:
            return
    mean[place] = part.mean(axis=0)
    least[place] = part.min(axis=0)
    largest[place] = part.max(axis=0)


def _repeat_rows(status: npt.NDArray[np.uint8], bin_rows: int, *outlines: Matrix) -> None:
    """Give stretches that lie between two rows of every k-th frame those of the row before them."""
    firsts = np.arange(0, len(status), bin_rows)
    asked = np.logical_or.reduceat(status != NOT_REQUESTED, firsts)
    source = stand_ins(status)[firsts] // bin_rows
    for outline in outlines:
        outline[~asked] = outline[source[~asked]]


def _sample(rows: Rows, asked: npt.NDArray[np.int64]) -> Matrix:
    """Read up to `SAMPLE_ROWS` finite rows of frames that were asked for.

    Short runs spread evenly over the video, since a disk reads runs quickly; of every k-th frame, runs of those.
    """
    wanted = SAMPLE_ROWS if rows.dim <= _WIDE else _WIDE
    if len(asked) == rows.n > wanted:
        starts = np.linspace(0, rows.n - _BLOCK, wanted // _BLOCK).astype(np.int64)
        parts = [rows.read(int(start), int(start) + _BLOCK) for start in starts]
    elif rows.n <= wanted:
        parts = [part for _, part in rows.pieces()]
    else:
        frames = asked[np.unique(np.linspace(0, len(asked) - 1, wanted).astype(np.int64))] if len(asked) else asked
        parts = [rows.read(int(frame), int(frame) + 1) for frame in frames]
    sample = np.concatenate(parts) if parts else np.zeros((0, rows.dim), np.float32)
    return sample[np.isfinite(sample).all(axis=1)]
