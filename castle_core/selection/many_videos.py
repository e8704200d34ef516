"""One budget of frames over many videos."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from castle_core.errors import ConfigError, SelectionError
from castle_core.progress import QUIET, Task
from castle_core.selection.candidates import Plan, budget_of, everything, plan_candidates, thinned, with_frames
from castle_core.selection.choose import choose_by_kcenter, choose_by_kmeans, place_near
from castle_core.selection.clustering import kmeans, nearest
from castle_core.selection.config import SelectionConfig
from castle_core.selection.look import (
    HELD_FRAMES,
    Look,
    glance,
    look_through,
    nearest_frames,
    project_glance,
)
from castle_core.selection.one_video import MOTION_WEIGHT, field_of, source_of
from castle_core.selection.projection import fit_projection
from castle_core.selection.quotas import split_budget
from castle_core.selection.report import Examined, make_selections
from castle_core.selection.result import Selection
from castle_core.selection.spacing import capacity, default_gap
from castle_core.selection.terms import Terms, frames_without_looking, make_terms, usable_frames
from castle_core.selection.threads import one_thread

if TYPE_CHECKING:
    from castle_core.video import Video

Indices = NDArray[np.int64]
_FEWEST_FRAMES = 96


@dataclass
class _Entrant:
    """One video of the budget, from the question to what was seen of it."""

    video: "Video"
    config: SelectionConfig
    usable: NDArray[np.bool_]
    covered: Indices
    warnings: list[str]
    motion: NDArray[np.float32]
    plan: Plan
    sample: Plan
    look: Look | None = None

    @property
    def seen(self) -> Indices:
        """Frames that were looked at and may be picked."""
        assert self.look is not None
        return self.look.frame_index

    def most(self, frames: Indices, limit: int) -> int:
        """Return how many of `frames`, up to `limit`, can be picked under the gap that would then hold."""
        n = min(limit, len(frames))
        while n > 0:
            gap = self.config.min_gap or default_gap(n, int(self.usable.sum()), self.video.average_fps)
            fitting = capacity(frames, gap, n)
            if fitting >= n:
                return n
            n = min(n - 1, max(fitting, n * 3 // 4))
        return 0

    def terms(self, n: int, frames: Indices) -> Terms:
        """Return what can be picked if `n` of `frames` are to be."""
        terms = make_terms(self.video, self.config, n, self.usable, self.covered)
        # Where too little of what was seen is far enough from covered frames, their surroundings are open.
        return terms if terms.fitting(frames) >= n else replace(terms, pickable=self.usable)

    def examined(self, n: int) -> Examined:
        """Return what is known of this video, now that it gives `n` frames."""
        assert self.look is not None
        return Examined(self.video, self.terms(n, self.seen), self.motion, self.look, self.warnings)


def select_from_videos(
    videos: Sequence["Video"],
    config: SelectionConfig | Sequence[SelectionConfig],
    *,
    budget: int,
    minimum: int = 0,
    maximum: int | None = None,
    covered: Mapping[str, Sequence[int]] | None = None,
    task: Task = QUIET,
) -> list[Selection]:
    """Choose `budget` frames from many videos together, so that what one video shows is not picked again in another.

    All frames are compared with all others: a video that shows nothing new gets few picks (at least `minimum`), one
    full of new poses gets many (at most `maximum`).

    Parameters
    ----------
    videos : sequence of Video
        Each with a file name of its own.
    config : SelectionConfig or sequence of them
        For all videos, or one for each (ranges may differ; method, features and seed are the first one's). `n` is not
        used.
    budget : int
        Picks in all.
    minimum, maximum : int
        Picks of each video.
    covered : mapping of str to sequence of int
        Frames selected or labelled before, by file name (or path) of the video. They count as covered for all videos.
    task : Task
        Progress counts frames looked at.

    Returns
    -------
    list of Selection
        One a video, in order; their picks are `budget` in all. The coverage is that of all together.

    Raises
    ------
    ConfigError
        If budget, minimum and maximum do not fit together.
    SelectionError
        If so many frames cannot be had; the message says why.
    """
    configs = [config] * len(videos) if isinstance(config, SelectionConfig) else list(config)
    _check(videos, configs, budget, minimum, maximum)
    first = configs[0]
    rng = np.random.default_rng(first.seed)
    entrants = [
        _enter(video, one, _covered_of(video, covered or {}), budget, len(videos))
        for video, one in zip(videos, configs, strict=True)
    ]
    limit = budget if maximum is None else min(budget, maximum)
    with one_thread():
        wanted: list[Indices] = []
        if first.method in ("uniform", "random"):
            wanted = _wanted_without_looking(entrants, first, budget, minimum, limit, rng)
        _look_at_all(entrants, first, task)
        most = np.array([one.most(one.seen, limit) for one in entrants])
        _check_room(entrants, most, budget, minimum)
        if wanted:  # damage may have taken frames
            quota = split_budget(np.array([len(frames) for frames in wanted], np.float64), budget, minimum, most)
        else:
            quota = _quotas_by_looks(entrants, budget, minimum, most, rng)
        examined = [one.examined(n) for one, n in zip(entrants, quota.tolist(), strict=True)]
        field = field_of(examined)
        distances = None
        if wanted:
            chosen = place_near(field, _rows_of(wanted, examined))
        elif first.method == "kcenter":
            chosen, distances = choose_by_kcenter(field)
        else:
            chosen = choose_by_kmeans(field, rng)
        return make_selections(examined, field, chosen, first.method, rng, distances)


def _check(
    videos: Sequence["Video"],
    configs: Sequence[SelectionConfig],
    budget: int,
    minimum: int,
    maximum: int | None,
) -> None:
    if not videos or len(configs) != len(videos):
        raise ConfigError("Choose at least one video, and give one setting for all or one for each.")
    if budget < 1 or minimum < 0 or (maximum is not None and maximum < max(1, minimum)):
        raise ConfigError(f"A budget of {budget} frames with {minimum} to {maximum} a video cannot be.")
    if minimum * len(videos) > budget:
        raise ConfigError(
            f"{minimum} frames of each of {len(videos)} videos are more than the budget of {budget}. "
            "Raise the budget or lower the minimum."
        )
    if maximum is not None and maximum * len(videos) < budget:
        raise ConfigError(
            f"{maximum} frames of each of {len(videos)} videos are fewer than the budget of {budget}. "
            "Lower the budget or raise the maximum."
        )


def _covered_of(video: "Video", covered: Mapping[str, Sequence[int]]) -> Sequence[int]:
    for name in (str(video.path), video.path.name, video.path.stem):
        if name in covered:
            return covered[name]
    return ()


def _enter(video: "Video", config: SelectionConfig, covered: Sequence[int], budget: int, n_videos: int) -> _Entrant:
    from castle_core.video import motion_energy

    usable, before, warnings = usable_frames(video, config, covered)
    motion, keys = motion_energy(video), video.key_frame_indices
    whole = everything(usable, keys)
    share = max(_FEWEST_FRAMES, 2 * HELD_FRAMES // n_videos)
    if config.method == "latents":
        sample = thinned(whole, share)
    else:
        n = max(1, -(-2 * budget // n_videos))
        frames = min(budget_of(video.width, video.height, n), max(share, 4 * n))
        sample = plan_candidates(usable, keys, motion, n=n, budget=frames, must_reach=before)
        sample = thinned(sample, max(share, 4 * n))
    return _Entrant(video, config, usable, before, warnings, motion, whole if config.exhaustive else sample, sample)


def _look_at_all(entrants: Sequence[_Entrant], first: SelectionConfig, task: Task) -> None:
    """Learn one projection from all videos, then reduce the frames of each with it."""
    totals = [len(one.sample.frame_index) + (len(one.plan.frame_index) if first.exhaustive else 0) for one in entrants]
    total, done = sum(totals), 0
    sources, glances = [], []
    for one, frames in zip(entrants, totals, strict=True):
        sources.append(source_of(one.video, one.config, _Part(task, done, total), frames))
        glances.append(glance(sources[-1], one.sample, one.covered) if one.sample.frame_index.size else None)
        done += frames
    learnt = [seen.for_projection() for seen in glances if seen is not None]
    if not learnt:
        raise SelectionError("All frames of these videos are already selected or labelled.")
    if len({features.shape[1] for features, _ in learnt}) > 1:
        raise ConfigError("The latents of these videos come from different models. Extract them all with one model.")
    projection = fit_projection(np.concatenate([f for f, _ in learnt]), np.concatenate([w for _, w in learnt]))
    for one, source, seen in zip(entrants, sources, glances, strict=True):
        if seen is None:
            one.look = _nothing(projection.axes.shape[1])
        elif one.plan is one.sample:
            one.look = project_glance(seen, projection, one.covered)
        else:
            one.look = look_through(source, one.plan, projection, one.covered)
        if first.method == "latents":
            one.look = replace(one.look, n_decoded=0)


class _Part(Task):
    """Progress of one video within the work on all."""

    def __init__(self, task: Task, before: int, total: int) -> None:
        self._task, self._before, self._total = task, before, total

    def progress(self, done: int, total: int, message: str = "") -> None:
        self._task.progress(self._before + min(done, total), self._total, message)


def _nothing(width: int) -> Look:
    none = np.zeros(0, dtype=np.int64)
    rows = np.zeros((0, width), dtype=np.float32)
    return Look(none, rows, np.zeros(0, dtype=np.float32), rows, 0, none)


def _check_room(entrants: Sequence[_Entrant], most: Indices, budget: int, minimum: int) -> None:
    for one, n in zip(entrants, most.tolist(), strict=True):
        if n < minimum:
            raise SelectionError(
                f"Only {n} frames of {one.video.path.name} can be chosen, but at least {minimum} of each video were "
                "asked for. Lower the minimum, or leave this video out."
            )
    if int(most.sum()) < budget:
        raise SelectionError(
            f"Only {int(most.sum())} frames of these videos can be chosen; {budget} were asked for. "
            "Ask for fewer, raise the maximum for each video, or lower the minimum gap."
        )


def _wanted_without_looking(
    entrants: Sequence[_Entrant],
    config: SelectionConfig,
    budget: int,
    minimum: int,
    limit: int,
    rng: np.random.Generator,
) -> list[Indices]:
    """Choose frames by ``uniform`` or ``random``, and add them to what will be looked at."""
    usable = [np.flatnonzero(one.usable) for one in entrants]
    most = np.array([one.most(frames, limit) for one, frames in zip(entrants, usable, strict=True)])
    _check_room(entrants, most, budget, minimum)
    quota = split_budget(np.array([len(frames) for frames in usable], np.float64), budget, minimum, most)
    wanted = []
    for one, frames, n in zip(entrants, usable, quota.tolist(), strict=True):
        chosen = frames_without_looking(one.terms(n, frames), config.method, rng) if n else None
        wanted.append(np.zeros(0, dtype=np.int64) if chosen is None else chosen)
        keys = one.video.key_frame_indices
        same = one.plan is one.sample
        one.sample = with_frames(one.sample, wanted[-1], one.usable, keys)
        one.plan = one.sample if same else one.plan
    return wanted


def _rows_of(wanted: Sequence[Indices], examined: Sequence[Examined]) -> Indices:
    """Return the rows, over all videos, that are nearest to the wanted frames."""
    offset, rows = 0, []
    for frames, one in zip(wanted, examined, strict=True):
        if len(frames) and len(one.look.frame_index):
            rows.append(offset + nearest_frames(one.look.frame_index, frames))
        offset += len(one.look.frame_index)
    return np.concatenate(rows)


def _quotas_by_looks(
    entrants: Sequence[_Entrant], budget: int, minimum: int, most: Indices, rng: np.random.Generator
) -> Indices:
    """Decide how many frames each video gives: by the share it has in the clusters of all frames."""
    looks = [one.look for one in entrants if one.look is not None]
    rows = np.concatenate([look.rows for look in looks])
    group = np.repeat(np.arange(len(looks)), [len(look.frame_index) for look in looks])
    motion = [1 + MOTION_WEIGHT * one.motion[look.frame_index] for one, look in zip(entrants, looks, strict=True)]
    weights = np.concatenate([look.stands_for * m for look, m in zip(looks, motion, strict=True)]).astype(np.float32)
    covered_squared = nearest(rows, np.concatenate([look.covered_rows for look in looks]))[1]
    part = np.unique(np.linspace(0, len(rows) - 1, 2 * HELD_FRAMES).round().astype(np.int64))
    n = min(budget, len(part))
    centres = kmeans(rows[part], weights[part], n, covered_squared=covered_squared[part], rng=rng, restarts=2)
    owner, squared = nearest(rows[part], centres)
    mine = squared < covered_squared[part]
    mass = np.zeros((n, len(looks)))
    np.add.at(mass, (owner[mine], group[part][mine]), weights[part][mine])
    mass /= np.maximum(mass.sum(axis=1, keepdims=True), 1e-12)
    usable = np.array([int(one.usable.sum()) for one in entrants], dtype=np.float64)
    return split_budget(mass.sum(axis=0) + 1e-9 * usable, budget, minimum, most)
