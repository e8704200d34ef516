"""k-means clusters of the frames of one latent file, the ethogram that they make, and examples of each."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from castle_core.inspection.sampling import runs
from castle_core.inspection.summary import Summary
from castle_core.selection.clustering import kmeans, nearest
from castle_core.selection.threads import one_thread

MISSING = 255
MAX_CLUSTERS = 60
_FIT_ROWS = 6_000


@dataclass(frozen=True)
class Clusters:
    """Clusters of frames, the largest first.

    Attributes
    ----------
    labels : (n,) uint8
        Cluster of each frame from 0, `MISSING` where the frame has no value.
    sizes : (k,) int64
        Frames in each.
    typical : (k,) int64
        The frame nearest to each centre.
    """

    labels: npt.NDArray[np.uint8]
    sizes: npt.NDArray[np.int64]
    typical: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Bout:
    """A run of frames ``[start, stop)`` in one cluster; `n` of them have a row."""

    start: int
    stop: int
    n: int


def cluster(summary: Summary, k: int, *, seed: int = 0) -> Clusters:
    """Group the frames of a file by k-means on its principal components.

    The centres are found on at most 6,000 frames spread evenly over the video; every frame is then given to the
    nearest one.

    Parameters
    ----------
    summary : Summary
    k : int
        1 to `MAX_CLUSTERS`; fewer come back where fewer frames have a value.
    seed : int
        The same seed gives the same clusters.
    """
    frames = np.flatnonzero(summary.valid)
    labels = np.full(summary.n, MISSING, np.uint8)
    if len(frames) == 0:
        empty = np.zeros(0, np.int64)
        return Clusters(labels, empty, empty)
    k = max(1, min(k, MAX_CLUSTERS, len(frames)))
    chosen = frames[np.unique(np.linspace(0, len(frames) - 1, _FIT_ROWS).astype(np.int64))]
    rows = np.ascontiguousarray(summary.scores[chosen])
    with one_thread():
        centres = kmeans(
            rows,
            np.ones(len(rows), np.float32),
            k,
            covered_squared=np.full(len(rows), np.inf, np.float32),
            rng=np.random.default_rng(seed),
            restarts=2,
        )
        index, squared = nearest(np.ascontiguousarray(summary.scores[frames]), centres)
    sizes = np.bincount(index, minlength=k)
    order = np.argsort(-sizes, kind="stable")
    order = order[sizes[order] > 0]
    rank = np.zeros(k, np.int64)
    rank[order] = np.arange(len(order))
    labels[frames] = rank[index]
    typical = [
        int(frames[members[squared[members].argmin()]]) for c in order if len(members := np.flatnonzero(index == c))
    ]
    return Clusters(labels, sizes[order].astype(np.int64), np.array(typical, np.int64))


def bouts_of(clusters: Clusters, status: npt.NDArray[np.uint8], cluster_index: int) -> list[Bout]:
    """Return the runs of frames that belong to one cluster, in the order of time.

    In a file with every k-th frame, rows k frames apart follow each other, and each stands for k frames.
    """
    found = runs(clusters.labels, status)
    return [Bout(start, stop, n) for start, stop, label, n in found if label == cluster_index]


def example_bouts(
    clusters: Clusters, status: npt.NDArray[np.uint8], cluster_index: int, n: int = 3, at_least: int = 2
) -> list[Bout]:
    """Return up to `n` of a cluster's longest bouts, each of at least so many rows, in the order of time."""
    longest = sorted(bouts_of(clusters, status, cluster_index), key=lambda bout: -bout.n)[:n]
    return sorted((bout for bout in longest if bout.n >= at_least), key=lambda bout: bout.start)
