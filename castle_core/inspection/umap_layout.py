"""UMAP of a latent file's principal components, kept beside its summary."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from castle_core.errors import ConfigError
from castle_core.files import atomic_path
from castle_core.inspection.summary import Summary, cache_folder
from castle_core.progress import QUIET, Task

if TYPE_CHECKING:
    from castle_core.projects import Project


def is_installed() -> bool:
    """Say whether the extra umap is here."""
    return importlib.util.find_spec("umap") is not None


def layout_path(project: "Project", path: Path, n_neighbors: int = 15, min_dist: float = 0.1, seed: int = 0) -> Path:
    """Return where the layout of a latent file is kept (it need not be there)."""
    return cache_folder(project, path) / f"umap-{n_neighbors}-{min_dist:g}-{seed}.npy"


def read_layout(path: Path) -> npt.NDArray[np.float32] | None:
    """Return a kept (n, 2) layout; None where there is none."""
    try:
        return np.asarray(np.load(path, allow_pickle=False), np.float32)
    except (OSError, ValueError):
        return None


def lay_out(
    project: "Project",
    path: Path,
    summary: Summary,
    *,
    n_neighbors: int = 15,
    min_dist: float = 0.1,
    seed: int = 0,
    task: Task = QUIET,
) -> Path:
    """Compute the layout and keep it; frames without a value are NaN. The same seed gives the same layout.

    Raises
    ------
    ConfigError
        If the extra umap is not installed, or there are too few frames.
    """
    kept = layout_path(project, path, n_neighbors, min_dist, seed)
    if kept.exists():
        return kept
    try:
        import umap
    except ImportError as error:
        raise ConfigError("UMAP needs the extra umap: pip install 'castle-studio[umap]'.") from error
    frames = np.flatnonzero(summary.valid)
    if len(frames) <= n_neighbors:
        raise ConfigError(f"UMAP needs more than {n_neighbors} frames with a value; there are {len(frames)}.")
    task.progress(0, 1, f"laying out {len(frames):,} frames")
    found = np.full((summary.n, 2), np.nan, np.float32)
    model = umap.UMAP(n_neighbors=n_neighbors, min_dist=min_dist, random_state=seed, n_jobs=1)
    found[frames] = model.fit_transform(summary.scores[frames])
    with atomic_path(kept, publish=task.publish) as temporary, open(temporary, "wb") as file:
        np.save(file, found, allow_pickle=False)
    task.progress(1, 1)
    return kept
