"""The recipe of Lightning Pose's apps for choosing frames, written anew from its description, to compare with.

Every frame is decoded to 64 x 64 RGB float16 and held in memory; the half of the frames that differ most from their
predecessor is kept; 32 principal components, k-means, and of each cluster the frame nearest to its centre. The original
is not seeded; a seed is taken here so that runs can be repeated. `python -m benchmarks.peer VIDEO` prints the frames.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np

SIZE = 64
MANY_FRAMES = 100_000


def read_small_frames(path: Path) -> np.ndarray:
    """Return (n, 64, 64, 3) float16 RGB; 32 pixels in very long videos."""
    capture = cv2.VideoCapture(str(path))  # noqa: TID251  the peer's own reader is part of what is measured
    size = SIZE if capture.get(cv2.CAP_PROP_FRAME_COUNT) <= MANY_FRAMES else SIZE // 2
    frames = []
    while True:
        ok, frame = capture.read()
        if not ok:
            break
        frames.append(cv2.cvtColor(cv2.resize(frame, (size, size)), cv2.COLOR_BGR2RGB).astype(np.float16))
    capture.release()
    return np.array(frames)


def choose(frames: np.ndarray, n: int, seed: int | None) -> np.ndarray:
    """Choose up to `n` frames: sorted indices."""
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    flat = frames.reshape(len(frames), -1)
    motion = np.concatenate(([0.0], np.abs(np.diff(flat.astype(np.float64), axis=0)).sum(axis=1)))
    kept = np.flatnonzero(motion > np.percentile(motion, 75 if len(frames) >= MANY_FRAMES else 50))
    if len(kept) < n:
        kept = np.arange(len(frames))
    reduced = PCA(n_components=min(len(kept), 32), random_state=seed).fit_transform(flat[kept])
    centres = KMeans(n_clusters=n, n_init="auto", random_state=seed).fit(reduced).cluster_centers_
    nearest = [int(np.linalg.norm(reduced - centre, axis=1).argmin()) for centre in centres]
    return np.unique(kept[nearest])


def main(arguments: list[str]) -> None:
    frames = read_small_frames(Path(arguments[0]))
    n = int(arguments[1]) if len(arguments) > 1 else 20
    print(json.dumps({"picks": choose(frames[: len(frames) - 2], n, 0).tolist()}))


if __name__ == "__main__":
    main(sys.argv[1:])
