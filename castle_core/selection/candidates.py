"""Which frames to look at: all of them, or so many that the work does not grow with the video.

Decoding starts at key frames, so the cheap candidates are key frames and the frames shortly after them. Packet sizes
tell where much moves, without decoding; there the runs are longer.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]

# Pixels to decode at most, as a rule: about 2 s of one processor core. A small picture allows more frames.
WORK_PIXELS = 1_250_000_000
FEWEST_FRAMES = 500
MOST_FRAMES = 6000
# Candidates per pick below which there is little to choose from.
CANDIDATES_PER_PICK = 12
# Shrinking a large picture costs as much as decoding it, and neighbours look alike: in runs, every third is looked at.
_STEP = 3
_REST_SHARE = 0.5


@dataclass(frozen=True)
class Plan:
    """Frames to look at.

    Attributes
    ----------
    frame_index : (N,) int64
        Ascending.
    stands_for : (N,) float32
        How many usable frames each of them represents; they sum to the number of usable frames.
    n_decoded : int
        Frames that the decoder has to pass through.
    is_everything : bool
        Every usable frame is looked at.
    """

    frame_index: Indices
    stands_for: NDArray[np.float32]
    n_decoded: int
    is_everything: bool


class Groups:
    """The usable frames of a video by group of pictures.

    Parameters
    ----------
    usable : (n,) bool
    key_frames : (k,) int64
        Frames at which decoding can start.

    Attributes
    ----------
    start, stop, first : (G,) int64
        Key frame, end (half-open) and first usable frame of each group that holds a usable frame.
    count, span : (G,) int64
        Usable frames of a group, and frames to decode for its last one.
    """

    def __init__(self, usable: NDArray[np.bool_], key_frames: Indices) -> None:
        n_frames = len(usable)
        start = np.unique(np.concatenate(([0], key_frames))).astype(np.int64)
        stop = np.append(start[1:], n_frames)
        total = np.concatenate(([0], np.cumsum(usable)))
        held = total[stop] > total[start]
        self.usable, self.total = usable, total
        self.start, self.stop = start[held], stop[held]
        self.count = total[self.stop] - total[self.start]
        self.at = np.flatnonzero(usable)
        self.first = self.at[total[self.start]]
        self.span = self.at[total[self.stop] - 1] + 1 - self.start

    def __len__(self) -> int:
        return len(self.start)

    def cost(self, frames: Indices) -> int:
        """Return how many frames must be passed through to decode `frames` (ascending)."""
        group = np.searchsorted(self.start, frames, side="right") - 1
        last = np.full(len(self), -1, dtype=np.int64)
        np.maximum.at(last, group, frames)
        return int((last[last >= 0] + 1 - self.start[last >= 0]).sum())


def everything(usable: NDArray[np.bool_], key_frames: Indices) -> Plan:
    """Plan to look at every usable frame."""
    frames = np.flatnonzero(usable).astype(np.int64)
    cost = Groups(usable, key_frames).cost(frames) if len(frames) else 0
    return Plan(frames, np.ones(len(frames), np.float32), cost, True)


def with_frames(plan: Plan, frames: Indices, usable: NDArray[np.bool_], key_frames: Indices) -> Plan:
    """Add `frames` to a plan; they stand for themselves only."""
    added = np.setdiff1d(frames, plan.frame_index)
    if len(added) == 0:
        return plan
    union = np.union1d(plan.frame_index, added)
    stands_for = np.ones(len(union), dtype=np.float32)
    stands_for[np.searchsorted(union, plan.frame_index)] = plan.stands_for
    return Plan(union, stands_for, Groups(usable, key_frames).cost(union), plan.is_everything)


def thinned(plan: Plan, most: int) -> Plan:
    """Keep at most `most` frames of a plan, evenly along it; each stands for those left out around it."""
    n = len(plan.frame_index)
    if n <= most:
        return plan
    kept = np.linspace(0, n - 1, most).round().astype(np.int64)
    edges = np.concatenate(([0], (kept[:-1] + kept[1:] + 1) // 2))
    stands_for = np.add.reduceat(plan.stands_for.astype(np.float64), edges).astype(np.float32)
    return Plan(plan.frame_index[kept], stands_for, plan.n_decoded, False)


def budget_of(width: int, height: int, n: int) -> int:
    """Return how many frames of a size may be decoded to choose `n` of them."""
    fitting = WORK_PIXELS // max(1, width * height)
    return max(int(np.clip(fitting, FEWEST_FRAMES, MOST_FRAMES)), CANDIDATES_PER_PICK * n)


def plan_candidates(
    usable: NDArray[np.bool_],
    key_frames: Indices,
    motion: NDArray[np.float32],
    *,
    n: int,
    budget: int,
    must_reach: Indices | None = None,
) -> Plan:
    """Spread about `budget` decoded frames over the usable ones.

    No stretch between two candidates is longer than 1/n of the usable frames, however few key frames there are: a
    selection must not know less of the video than evenly spaced frames would.

    Parameters
    ----------
    usable : (n_frames,) bool
    key_frames : (k,) int64
    motion : (n_frames,) float32
        0 … 1, from packet sizes.
    n : int
        Frames that will be picked.
    budget : int
        Frames to decode, roughly.
    must_reach : (c,) int64, optional
        Covered frames; runs are made long enough to pass them, as far as half the budget allows.

    Returns
    -------
    Plan
    """
    groups = Groups(usable, key_frames)
    if groups.cost(groups.at) <= budget:
        return everything(usable, key_frames)
    chosen, share = _choose_groups(groups, motion, budget)
    lead = groups.first[chosen] - groups.start[chosen]
    least = np.maximum(groups.span[chosen] - int(groups.count.sum()) // n, lead + 1)
    depth = _run_lengths(groups.span[chosen], np.minimum(least, groups.span[chosen]), share, budget)
    if must_reach is not None and len(must_reach):
        depth = _reach(groups, chosen, depth, must_reach, budget // 2)
    if int(depth.sum()) >= 0.9 * groups.cost(groups.at):
        return everything(usable, key_frames)
    step = int(np.clip(budget // (CANDIDATES_PER_PICK * n), 1, _STEP))
    frames, stands_for = [], []
    counts = _counts_with_skipped(groups, chosen)
    for group, run, count in zip(chosen, depth, counts, strict=True):
        start = groups.start[group]
        found = _every(start + np.flatnonzero(usable[start : start + run]), step)
        frames.append(found)
        stands_for.append(np.full(len(found), count / len(found), dtype=np.float32))
    return Plan(np.concatenate(frames), np.concatenate(stands_for), int(depth.sum()), False)


def _every(frames: Indices, step: int) -> Indices:
    """Return about every `step`-th of a run's frames, the first and the last included."""
    return frames[np.linspace(0, len(frames) - 1, 1 + -(-(len(frames) - 1) // step)).round().astype(np.int64)]


def _choose_groups(groups: Groups, motion: NDArray[np.float32], budget: int) -> tuple[Indices, NDArray[np.float64]]:
    """Choose at most `budget` groups, evenly along the usable frames weighted by motion; return them and weights."""
    total = np.concatenate(([0.0], np.cumsum(np.where(groups.usable, _REST_SHARE + motion, 0.0))))
    weight = total[groups.stop] - total[groups.start]
    if groups.cost(groups.first) <= budget:
        return np.arange(len(groups)), weight
    lead = groups.first - groups.start + 1
    n_groups = max(1, int(budget / max(1.0, float(np.median(lead)))))
    if n_groups >= len(groups):
        return np.arange(len(groups)), weight
    edges = np.cumsum(weight)
    at = (np.arange(n_groups) + 0.5) / n_groups * edges[-1]
    chosen, repeats = np.unique(np.minimum(np.searchsorted(edges, at), len(groups) - 1), return_counts=True)
    return chosen, repeats.astype(np.float64)


def _run_lengths(span: Indices, least: Indices, share: NDArray[np.float64], budget: int) -> Indices:
    """Give each run its `least` frames, and what the budget leaves by `share`, up to its `span`."""
    depth = least.astype(np.float64)
    for _ in range(20):
        left = budget - depth.sum()
        open_runs = depth < span
        if left < 1 or not open_runs.any():
            break
        part = np.where(open_runs, share, 0)
        depth = np.minimum(depth + left * part / part.sum(), span)
    # Rounding down loses a fraction of a frame a run; the largest remainders get them back.
    whole = np.floor(depth + 1e-9).astype(np.int64)
    missing = round(float(depth.sum())) - int(whole.sum())
    order = np.argsort(whole - depth, kind="stable")
    order = order[whole[order] < span[order]][: max(0, missing)]
    whole[order] += 1
    return whole


def _reach(groups: Groups, chosen: Indices, depth: Indices, targets: Indices, extra: int) -> Indices:
    """Lengthen runs of the chosen groups so that they pass `targets`, the cheapest first, for `extra` frames in all."""
    depth = depth.copy()
    group = np.searchsorted(groups.start[chosen], targets, side="right") - 1
    inside = (group >= 0) & (targets < groups.stop[chosen][np.maximum(group, 0)])
    wanted = targets[inside] - groups.start[chosen][group[inside]] + 1
    for run in np.argsort(wanted, kind="stable"):
        more = int(wanted[run] - depth[group[inside][run]])
        if 0 < more <= extra:
            depth[group[inside][run]] += more
            extra -= more
    return depth


def _counts_with_skipped(groups: Groups, chosen: Indices) -> NDArray[np.float64]:
    """Return the usable frames of the chosen groups, those of each skipped group added to the nearest chosen one."""
    everyone = np.arange(len(groups))
    after = np.clip(np.searchsorted(chosen, everyone), 0, len(chosen) - 1)
    before = np.maximum(after - 1, 0)
    nearer = np.where(np.abs(chosen[before] - everyone) <= np.abs(chosen[after] - everyone), before, after)
    return np.asarray(np.bincount(nearer, groups.count, minlength=len(chosen)), dtype=np.float64)
