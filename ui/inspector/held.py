"""What the server keeps in memory of the latent files that people look at: a few summaries and clusters, by version."""

import functools
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from castle_core.inspection import (
    Clusters,
    Neighbour,
    Rows,
    Summary,
    cache_folder,
    channel_order,
    cluster,
    latent_path,
    nearest_frames,
    rows_of,
    summary_of,
)
from castle_core.inspection.umap_layout import layout_path, read_layout
from castle_core.projects import Project

_LOCK = threading.Lock()
_KEPT = 3


@dataclass(frozen=True)
class Held:
    """One version of one latent file: where it is, and what its cache folder is called."""

    project: str
    relative: str
    version: str

    @property
    def opened(self) -> Project:
        """The project."""
        return Project.open(self.project)

    def path(self) -> Path:
        """Return the file; `CastleError` if it is not listed any more."""
        return latent_path(self.opened, self.relative)


def held(project: Project, relative: str) -> Held:
    """Name the version of a listed latent file that lies there now."""
    path = latent_path(project, relative)
    return Held(str(project.path), relative, cache_folder(project, path).name)


def summary(file: Held) -> Summary:
    """Return the file's summary; two people who ask at once have it computed once."""
    with _LOCK:
        return _summary(file)


@functools.lru_cache(maxsize=_KEPT)
def _summary(file: Held) -> Summary:
    return summary_of(file.opened, file.path())


def rows(file: Held) -> Rows:
    """Return the file's rows."""
    return rows_of(file.opened, file.path())


@functools.lru_cache(maxsize=4 * _KEPT)
def channel(file: Held, number: int) -> npt.NDArray[np.float32]:
    """Return one channel of every frame, (n,)."""
    return rows(file).column(number)


@functools.lru_cache(maxsize=64)
def alike(file: Held, frame_index: int, n: int, min_gap: int) -> tuple[Neighbour, ...]:
    """Return the frames most like one; `CastleError` if it has no value."""
    return tuple(nearest_frames(rows(file), summary(file), frame_index, n=n, min_gap=min_gap))


@functools.lru_cache(maxsize=2 * _KEPT)
def clusters(file: Held, k: int, seed: int) -> Clusters:
    """Return the file's clusters."""
    return cluster(summary(file), k, seed=seed)


@functools.lru_cache(maxsize=_KEPT)
def order(file: Held) -> npt.NDArray[np.int64]:
    """Return the order of channels in which alike ones lie side by side."""
    return channel_order(summary(file))


@functools.lru_cache(maxsize=2 * _KEPT)
def layout(file: Held, kind: str, x: int, y: int) -> npt.NDArray[np.float32] | None:
    """Return the (n, 2) places of frames on the map, 0..1; NaN where a frame has no value. None without a UMAP."""
    if kind == "umap":
        found = read_layout(layout_path(file.opened, file.path()))
        if found is None:
            return None
    else:
        scores = summary(file).scores
        found = scores[:, [min(x, scores.shape[1] - 1), min(y, scores.shape[1] - 1)]]
    with np.errstate(all="ignore"):
        good = found[np.isfinite(found).all(axis=1)]
        if len(good) == 0:
            return np.full_like(found, np.nan)
        low, high = good.min(axis=0), good.max(axis=0)
        return np.asarray((found - low) / np.where(high > low, high - low, 1), np.float32)


def has_layout(file: Held) -> bool:
    """Say whether a UMAP of the file is there."""
    return layout_path(file.opened, file.path()).exists()
