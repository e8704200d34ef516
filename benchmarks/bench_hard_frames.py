"""Hard frames: how many picks are true errors, beside the peer's recipe; and the cost of a table of 10^6 frames."""

import csv
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from castle_core.demo import ERRING_MODEL, GROSS_ERROR_PX, make_demo
from castle_core.hard_frames import Source, SuggestConfig, suggest_frames
from castle_core.predictions import load_predictions
from castle_core.score_frames import Knowledge, score_frames

N_PICKS, SEEDS = 20, (0, 1, 2)
BIG_FRAMES, BIG_KEYPOINTS = 1_000_000, 20
CASTLE = Path(sys.executable).parent / "castle"


def peer_recipe(xy: np.ndarray, likelihood: np.ndarray, metrics: list[np.ndarray], n: int, seed: int) -> list[int]:
    """Lightning Pose's recipe for hard frames, written anew from its description, with its default thresholds.

    Motion energy above its median; flags where a metric's z score is above 3 (the likelihood's default threshold is 0
    and so never counts); the frames with most flags; k-means on the raw positions; in each cluster the most flags.
    """
    from sklearn.cluster import KMeans

    motion = np.zeros(len(xy))
    motion[1:] = np.nanmean(np.abs(np.diff(xy, axis=0)).sum(axis=2), axis=1)
    kept = np.flatnonzero(motion > np.percentile(motion, 50 if len(xy) < 100_000 else 75))
    flags = (likelihood[kept] < 0.0).sum(axis=1)
    for metric in metrics:
        values = metric[kept]
        z = (values - np.nanmean(values, axis=0)) / np.nanstd(values, axis=0)
        flags = flags + (np.abs(z) > 3.0).sum(axis=1)
    best = np.argsort(-flags, kind="stable")[: min(10 * n, len(kept))]
    best = best[flags[best] > 0]
    positions = xy[kept[best]].reshape(len(best), -1)
    whole = ~np.isnan(positions).any(axis=1)
    best, positions = best[whole], positions[whole]
    labels = KMeans(n, n_init="auto", random_state=seed).fit_predict(positions)
    return [int(kept[best[labels == label][flags[best[labels == label]].argmax()]]) for label in range(n)]


def true_errors(project: Path) -> np.ndarray:
    with open(project / "ground_truth/mouse_day1_frames.csv", encoding="utf-8") as file:
        return np.array([float(row["error_px"]) for row in csv.DictReader(file)])


def precision(folder: Path) -> None:
    print(f"\n## Hard frames: share of {N_PICKS} picks with a true error above {GROSS_ERROR_PX:.0f} px\n")
    print("| demo, seed | frames in error | ours | peer's recipe | nearest two picks, ours / peer |")
    print("|---|---|---|---|---|")
    for seed in SEEDS:
        project = folder / f"demo{seed}"
        make_demo(project, seconds=60, seed=seed, n_videos=1, encoder=False)
        errors = true_errors(project)
        predictions = load_predictions(project / f"models/{ERRING_MODEL}/video_preds/mouse_day1.csv")
        ours = suggest_frames(Source("mouse_day1.mp4", predictions, fps=30.0), SuggestConfig(n=N_PICKS))
        mine = [pick.frame_index for pick in ours.picks]
        scores, _ = score_frames(predictions, Knowledge())
        metrics = [scores[name].values for name in ("temporal_norm", "pca_singleview")]
        peers = sorted(peer_recipe(predictions.xy, predictions.likelihood, metrics, N_PICKS, seed))
        hits = [np.mean(errors[frames] > GROSS_ERROR_PX) for frames in (mine, peers)]
        gaps = [int(np.diff(frames).min()) for frames in (mine, peers)]
        share = np.mean(errors > GROSS_ERROR_PX)
        print(f"| {seed} | {share:.1%} | {hits[0]:.0%} | {hits[1]:.0%} | {gaps[0]} / {gaps[1]} frames |")


def write_big(path: Path) -> None:
    """A table of 10^6 frames: a walk of 50,000 frames again and again, with jumps."""
    rng = np.random.default_rng(0)
    block = 50_000
    middle = 300 + 100 * np.sin(np.cumsum(rng.normal(0, 0.02, (block, 1, 2)), axis=0))
    xy = middle + rng.normal(0, 40, (1, BIG_KEYPOINTS, 2)) + rng.normal(0, 1, (block, BIG_KEYPOINTS, 2))
    xy[rng.integers(0, block, 200), rng.integers(0, BIG_KEYPOINTS, 200)] += 120
    table = np.concatenate([xy, rng.uniform(0.9, 1, (block, BIG_KEYPOINTS, 1))], axis=2).reshape(block, -1)
    pattern = ",".join(["%.8f,%.8f,%.8f"] * BIG_KEYPOINTS)
    rows = [pattern % tuple(row) for row in table.tolist()]
    names = [f"point{i}" for i in range(BIG_KEYPOINTS) for _ in range(3)]
    with open(path, "w", encoding="utf-8") as file:
        file.write("scorer," + ",".join(["heatmap_tracker"] * len(names)) + "\nbodyparts," + ",".join(names) + "\n")
        file.write("coords," + ",".join(["x", "y", "likelihood"] * BIG_KEYPOINTS) + "\n")
        for start in range(0, BIG_FRAMES, block):
            file.writelines(f"{start + i},{row}\n" for i, row in enumerate(rows))


def big_table(folder: Path) -> None:
    path = folder / "big.csv"
    write_big(path)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = subprocess.run(
        [CASTLE, "suggest", "--predictions", path, "-n", str(N_PICKS), "--json"], capture_output=True, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    picks = json.loads(run.stdout)["picks"]
    size = path.stat().st_size / 1e6
    print(f"\n## castle suggest on {BIG_FRAMES:,} frames x {BIG_KEYPOINTS} keypoints ({size:.0f} MB)\n")
    print("| picks | CPU-s (limit 20) | peak memory, MB (limit 2000) |")
    print("|---|---|---|")
    print(f"| {len(picks)} | {cpu_s:.1f} | {after.ru_maxrss / 1024:.0f} |")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        precision(Path(folder))
        big_table(Path(folder))


if __name__ == "__main__":
    main()
