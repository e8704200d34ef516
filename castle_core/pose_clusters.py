"""Poses as vectors that can be compared, clusters of them, and an order in which they differ most."""

from collections.abc import Sequence

import numpy as np

_SAMPLE = 4000
_MOST_DIVERSE = 1000


def pose_vectors(xy: np.ndarray) -> np.ndarray:
    """Return poses about their own middle, in units of the animal's size.

    Parameters
    ----------
    xy : numpy.ndarray
        (n, K, 2) positions in pixels, NaN where missing.

    Returns
    -------
    numpy.ndarray
        (n, 2K + 2) float64 without NaN: the pose, and with a small weight where in the picture it is. Missing points
        lie at the middle.
    """
    known = np.isfinite(xy).all(axis=2)
    count = np.maximum(known.sum(axis=1), 1)[:, None]
    filled = np.where(known[..., None], xy, 0.0)
    middle = filled.sum(axis=1) / count
    offset = np.where(known[..., None], xy - middle[:, None], 0.0)
    sizes = np.sqrt((offset**2).sum(axis=(1, 2)) / count[:, 0])
    sizes = sizes[sizes > 0]
    size = float(np.median(sizes)) if sizes.size else 1.0
    there = known.any(axis=1)
    centre = np.median(middle[there], axis=0) if there.any() else np.zeros(2)
    place = np.where(there[:, None], middle - centre, 0.0)
    # far outliers of one keypoint must not be all that a pose is compared by
    vectors: np.ndarray = np.concatenate(
        [np.clip(offset / size, -4, 4).reshape(xy.shape[0], -1), 0.2 * place / size], axis=1
    )
    return vectors


def cluster(vectors: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Cluster vectors by k-means, seeded.

    Parameters
    ----------
    vectors : numpy.ndarray
        (n, D) float64.
    k : int
        Number of clusters, at most n.
    seed : int
        The same seed gives the same clusters.

    Returns
    -------
    numpy.ndarray
        (n,) int64 labels. Equal vectors may leave clusters empty.
    """
    from sklearn.cluster import KMeans

    different = np.unique(vectors, axis=0).shape[0]
    if k >= vectors.shape[0] == different:
        return np.arange(vectors.shape[0])
    model = KMeans(min(k, different), n_init=3, random_state=seed)
    labels: np.ndarray = model.fit_predict(vectors).astype(np.int64)
    return labels


def diverse_order(xy: np.ndarray, frames: np.ndarray, taken: Sequence[int], seed: int) -> list[int]:
    """Order frames so that each differs most, in pose, from those before it and from `taken`.

    Parameters
    ----------
    xy : numpy.ndarray
        (n, K, 2) positions.
    frames : numpy.ndarray
        Ascending indices of the frames to order; of many, an even sample is.
    taken : sequence of int
        Frames that are there already.
    seed : int
        Decides about the frame to begin with, where nothing is taken.

    Returns
    -------
    list of int
        At first the most different ones, then the rest of the sample in an even order.
    """
    if not frames.size:
        return []
    step = max(1, -(-frames.size // _SAMPLE))
    sample = frames[step // 2 :: step] if step > 1 else frames
    vectors = pose_vectors(xy[np.concatenate([sample, np.asarray(taken, np.int64)])])
    pool, fixed = vectors[: sample.size], vectors[sample.size :]
    distance = np.full(sample.size, np.inf)
    for vector in fixed:
        distance = np.minimum(distance, ((pool - vector) ** 2).sum(axis=1))
    order: list[int] = []
    place = int(np.random.default_rng(seed).integers(sample.size)) if not len(fixed) else int(distance.argmax())
    for _ in range(min(_MOST_DIVERSE, sample.size)):
        order.append(int(sample[place]))
        distance = np.minimum(distance, ((pool - pool[place]) ** 2).sum(axis=1))
        distance[place] = -1.0
        place = int(distance.argmax())
        if distance[place] <= 0:
            break
    rest = np.setdiff1d(sample, order)
    return order + [int(i) for i in np.random.default_rng(seed).permutation(rest)]
