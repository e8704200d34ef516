"""Choose frames from one video."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from castle_core.errors import SelectionError
from castle_core.progress import QUIET, Task
from castle_core.ranges import usable_mask
from castle_core.selection.candidates import Plan, budget_of, everything, plan_candidates
from castle_core.selection.choose import Field, choose_by_kcenter, choose_by_kmeans, find_alternatives, place_near
from castle_core.selection.clustering import nearest
from castle_core.selection.config import SelectionConfig
from castle_core.selection.coverage import measure_coverage
from castle_core.selection.latents import look_at_latents
from castle_core.selection.look import Look, look_at
from castle_core.selection.reasons import describe_pick
from castle_core.selection.result import Pick, Selection
from castle_core.selection.spacing import Placement, capacity, default_gap
from castle_core.selection.threads import one_thread

if TYPE_CHECKING:
    from castle_core.video import Video

Indices = NDArray[np.int64]
# How much more a frame with much movement counts than one at rest. A weight, never a filter.
MOTION_WEIGHT = 1.0


@dataclass(frozen=True)
class Terms:
    """What can be picked from one video, before looking at it.

    Attributes
    ----------
    usable : (n_frames,) bool
        In the range, not excluded, not covered.
    pickable : (n_frames,) bool
        As `usable`, and at least the gap away from covered frames where enough remains.
    covered : (c,) int64
    gap : int
    warnings : tuple of str
    """

    usable: NDArray[np.bool_]
    pickable: NDArray[np.bool_]
    covered: Indices
    gap: int
    warnings: tuple[str, ...]


def select_frames(
    video: "Video", config: SelectionConfig, *, covered: Sequence[int] = (), task: Task = QUIET
) -> Selection:
    """Choose `config.n` frames of a video.

    Parameters
    ----------
    video : Video
    config : SelectionConfig
    covered : sequence of int
        Frames that were selected or labelled before. They are never picked, and what looks like them counts as covered.
    task : Task
        Progress counts frames looked at.

    Returns
    -------
    Selection
        Exactly `config.n` picks; the same for the same seed.

    Raises
    ------
    SelectionError
        If so many frames cannot be had; the message says why.
    ConfigError
        If the range or the latents do not fit the video.
    """
    from castle_core.video import motion_energy

    terms = find_terms(video, config, covered)
    motion = motion_energy(video)
    wanted = _wanted(terms, config)
    with one_thread():
        look = _look(video, config, terms, motion, wanted, task)
        return _choose(video, config, terms, motion, wanted, look)


def find_terms(video: "Video", config: SelectionConfig, covered: Sequence[int], n: int | None = None) -> Terms:
    """Work out what can be picked and the gap to keep, and refuse what cannot be.

    `n` is the number of frames that must fit, by default `config.n`.

    Raises
    ------
    SelectionError
        If fewer than `n` frames can be picked.
    """
    n = config.n if n is None else n
    name = video.path.name
    usable = usable_mask(video.times_s, config.start, config.stop, config.exclude)
    in_range = int(usable.sum())
    if in_range == 0:
        raise SelectionError(f"The chosen part of {name} holds no frame. Choose a longer part or exclude less.")
    asked = np.unique(np.asarray(covered, dtype=np.int64)) if len(covered) else np.zeros(0, dtype=np.int64)
    before = asked[(asked >= 0) & (asked < video.n_frames)]
    warnings = []
    if len(before) < len(asked):
        warnings.append(
            f"{len(asked) - len(before)} labelled or selected frames lie outside {name} ({video.n_frames} frames). "
            "Do its labels belong to another video?"
        )
    usable[before] = False
    n_usable = int(usable.sum())
    if n_usable < n:
        gone = in_range - n_usable
        already = f", of which {gone} are already selected or labelled" if gone else ""
        raise SelectionError(
            f"{name} has {in_range} frames in the chosen part{already}; {n} cannot be chosen. "
            f"Ask for {n_usable} or fewer, or choose a longer part."
            if n_usable
            else f"All {in_range} frames of {name} in the chosen part are already selected or labelled."
        )
    gap = default_gap(max(n, 1), n_usable, video.average_fps) if config.min_gap is None else config.min_gap
    fitting = capacity(np.flatnonzero(usable), gap, n)
    if fitting < n:
        raise SelectionError(
            f"Only {fitting} frames of {name} fit with a minimum gap of {gap} frames; {n} were asked for. "
            "Ask for fewer, or type a smaller gap."
        )
    return Terms(usable, _away_from(usable, before, gap, n), before, gap, tuple(warnings))


def _away_from(usable: NDArray[np.bool_], covered: Indices, gap: int, n: int) -> NDArray[np.bool_]:
    """Keep the gap from covered frames as well, unless too little remains."""
    if len(covered) == 0:
        return usable
    change = np.zeros(len(usable) + 1, dtype=np.int64)
    np.add.at(change, np.maximum(covered - gap + 1, 0), 1)
    np.add.at(change, np.minimum(covered + gap, len(usable)), -1)
    away = usable & (np.cumsum(change[:-1]) == 0)
    return away if capacity(np.flatnonzero(away), gap, n) >= n else usable


def _wanted(terms: Terms, config: SelectionConfig) -> Indices | None:
    """Return the frames that ``uniform`` and ``random`` choose without looking; None for the other methods."""
    if config.method not in ("uniform", "random"):
        return None
    frames = np.flatnonzero(terms.pickable)
    placement = Placement(frames, terms.gap, config.n)
    if config.method == "uniform":
        for place in midpoints(len(frames), config.n):
            placement.take_nearest(np.abs(np.arange(len(frames)) - place).astype(np.float32))
    else:
        order = np.random.default_rng(config.seed).permutation(len(frames))
        for _ in range(config.n):
            placement.take(int(order[placement.open[order].argmax()]))
    return frames[np.array(placement.taken, dtype=np.int64)]


def midpoints(n_frames: int, n: int) -> Indices:
    """Return the middles of `n` equal intervals of 0 … `n_frames` - 1."""
    return ((2 * np.arange(n, dtype=np.int64) + 1) * n_frames) // (2 * n)


def _look(
    video: "Video",
    config: SelectionConfig,
    terms: Terms,
    motion: NDArray[np.float32],
    wanted: Indices | None,
    task: Task,
) -> Look:
    if config.method == "latents":
        return look_at_latents(video, config, terms.usable, terms.covered)

    def on_progress(done: int, total: int) -> None:
        task.progress(done, total, "frames looked at")

    keys = video.key_frame_indices
    budget = budget_of(video.width, video.height, config.n)
    sample = plan_candidates(terms.usable, keys, motion, n=config.n, budget=budget, must_reach=terms.covered)
    plan = everything(terms.usable, keys) if config.exhaustive else sample
    while True:
        # Few key frames with short runs may hold too few frames that are far enough apart.
        while not plan.is_everything and _fitting(plan.frame_index, terms, config.n) < config.n:
            budget *= 2
            plan = sample = plan_candidates(terms.usable, keys, motion, n=config.n, budget=budget)
        if wanted is not None:
            plan = _with_frames(plan, wanted, terms.usable, keys)
        look = look_at(video, plan, sample, terms.covered, config.features, on_progress)
        fitting = _fitting(look.frame_index, terms, config.n)
        if fitting >= config.n:
            return look
        if plan.is_everything:
            raise SelectionError(
                f"{len(look.damaged)} frames of {video.path.name} cannot be decoded, and only {fitting} of the others "
                f"can be chosen; {config.n} were asked for. Ask for fewer, or copy the video again."
            )
        plan = everything(terms.usable, keys)


def _fitting(frames: Indices, terms: Terms, n: int) -> int:
    return capacity(frames[terms.pickable[frames]], terms.gap, n)


def _with_frames(plan: Plan, frames: Indices, usable: NDArray[np.bool_], keys: Indices) -> Plan:
    from castle_core.selection.candidates import Groups

    added = np.setdiff1d(frames, plan.frame_index)
    if len(added) == 0:
        return plan
    union = np.union1d(plan.frame_index, added)
    stands_for = np.ones(len(union), dtype=np.float32)
    stands_for[np.searchsorted(union, plan.frame_index)] = plan.stands_for
    return replace(plan, frame_index=union, stands_for=stands_for, n_decoded=Groups(usable, keys).cost(union))


def _choose(
    video: "Video",
    config: SelectionConfig,
    terms: Terms,
    motion: NDArray[np.float32],
    wanted: Indices | None,
    look: Look,
) -> Selection:
    rng = np.random.default_rng(config.seed)
    frames = look.frame_index
    field = Field(
        rows=look.rows,
        weights=(look.stands_for * (1 + MOTION_WEIGHT * motion[frames])).astype(np.float32),
        positions=frames,
        covered_squared=look.covered_squared,
        gap=terms.gap,
        quota=np.array([config.n]),
        group=np.zeros(len(frames), dtype=np.int64),
        pickable=terms.pickable[frames],
    )
    distance: dict[int, float] = {}
    if wanted is not None:
        chosen = place_near(field, wanted)
    elif config.method == "kcenter":
        chosen, far = choose_by_kcenter(field)
        distance = dict(zip(chosen.tolist(), far.tolist(), strict=True))
    else:
        chosen = choose_by_kmeans(field, rng)
    picks = np.sort(chosen)
    if len(picks) != config.n:
        raise SelectionError(f"Only {len(picks)} of {config.n} frames of {video.path.name} could be chosen.")
    share = shares(field.rows, look.stands_for, look.covered_squared, picks)
    uniform = nearest_in_time(frames, np.flatnonzero(terms.usable), config.n)
    coverage = measure_coverage(look.rows, look.stands_for, picks, uniform, look.covered_squared, rng)
    others = find_alternatives(field, picks)
    order = {int(row): place + 1 for place, row in enumerate(chosen if config.method == "kcenter" else picks)}
    made = tuple(
        Pick(
            video=video.path.name,
            frame_index=int(frames[row]),
            time_s=float(video.times_s[frames[row]]),
            reason=describe_pick(
                config.method,
                share=float(share[place]),
                typical_share=1 / config.n,
                motion=float(motion[frames[row]]),
                place=order[int(row)],
                n=config.n,
                distance=distance.get(int(row)),
                covered=len(terms.covered) > 0,
            ),
            score=float(share[place]),
        )
        for place, row in enumerate(picks)
    )
    return Selection(
        picks=made,
        coverage=coverage,
        min_gap_used=terms.gap,
        frames_decoded=look.n_decoded,
        alternatives={
            int(frames[row]): tuple(int(frames[other]) for other in found)
            for row, found in zip(picks, others, strict=True)
        },
        warnings=(*terms.warnings, *damage_warning(video, look.damaged)),
    )


def shares(
    rows: NDArray[np.float32],
    stands_for: NDArray[np.float32],
    covered_squared: NDArray[np.float32],
    picks: Indices,
) -> NDArray[np.float64]:
    """Return for each pick the share of frames that are nearer to it than to any other pick or covered frame."""
    owner, squared = nearest(rows, rows[picks])
    mine = np.where(squared < covered_squared, stands_for, 0)
    return np.asarray(np.bincount(owner, mine, minlength=len(picks)) / stands_for.sum(dtype=np.float64))


def nearest_in_time(frames: Indices, usable: Indices, n: int) -> Indices:
    """Return for the middles of `n` equal parts of `usable` the rows of the nearest of `frames`; both ascending."""
    wanted = usable[midpoints(len(usable), n)]
    place = np.clip(np.searchsorted(frames, wanted), 1, max(1, len(frames) - 1))
    before, after = place - 1, np.minimum(place, len(frames) - 1)
    return np.where(wanted - frames[before] <= np.abs(frames[after] - wanted), before, after)


def damage_warning(video: "Video", damaged: Indices) -> tuple[str, ...]:
    """Say which frames could not be decoded and were left out; nothing if there are none."""
    if len(damaged) == 0:
        return ()
    first, last = int(damaged[0]), int(damaged[-1])
    which = f"frame {first}" if len(damaged) == 1 else f"{len(damaged)} frames between {first} and {last}"
    verb = "was" if len(damaged) == 1 else "were"
    return (f"{which[0].upper()}{which[1:]} of {video.path.name} cannot be decoded and {verb} left out.",)
