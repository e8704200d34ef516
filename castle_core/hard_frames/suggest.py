"""The frames that a pose model finds hard: spaced, different from each other, each with its reason."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from castle_core.errors import ConfigError, PredictionError, SelectionError
from castle_core.hard_frames.config import UNKNOWN_FPS, Source, SuggestConfig
from castle_core.hard_frames.result import FILLER, HardPick, HardSelection
from castle_core.hardness import Hardness, measure
from castle_core.pose_clusters import cluster, diverse_order, pose_vectors
from castle_core.progress import QUIET, Task
from castle_core.ranges import usable_mask
from castle_core.score_frames import score_frames
from castle_core.scores import Score, ScoreName, spread_of
from castle_core.spacing import Spacing, automatic_gap

_CANDIDATES = 4  # hard frames looked at for each one picked, so that they can differ
_WEAKEST = 0.5  # of the hardness of the n-th: what is milder is not taken for the sake of difference
_ALTERNATIVES = 3


def suggest_frames(source: Source, config: SuggestConfig, *, task: Task = QUIET) -> HardSelection:
    """Suggest exactly ``config.n`` frames of one video.

    Hard frames first, hardest and most different ones; then, when too few are hard, frames that differ most.

    Raises
    ------
    SelectionError
        If so many frames do not fit into the range.
    PredictionError
        If files do not fit each other.
    """
    return suggest_from_videos([source], config, task=task)[0]


def suggest_from_videos(
    sources: Sequence[Source],
    config: SuggestConfig,
    *,
    minimum: int = 0,
    maximum: int | None = None,
    task: Task = QUIET,
) -> list[HardSelection]:
    """Suggest exactly ``config.n`` frames of many videos together.

    Scores are measured against the spread over all videos, so that a video on which the model fails gets more frames.

    Parameters
    ----------
    sources : sequence of Source
        Videos with predictions of one model.
    config : SuggestConfig
        ``n`` is the budget over all of them.
    minimum, maximum : int
        Frames from each video.

    Returns
    -------
    list of HardSelection
        One for each source, in their order, possibly without picks.

    Raises
    ------
    ConfigError, SelectionError, PredictionError
        As in `suggest_frames`.
    """
    most = config.n if maximum is None else min(maximum, config.n)
    if not 0 <= minimum <= most:
        raise ConfigError(f"At least {minimum} and at most {most} frames from each video do not go together.")
    if minimum * len(sources) > config.n or most * len(sources) < config.n:
        raise ConfigError(
            f"{config.n} frames from {len(sources)} videos do not go with {minimum} to {most} from each of them."
        )
    if len({source.predictions.keypoints for source in sources}) > 1:
        raise PredictionError("The videos' predictions have different keypoints. Choose files of one model.")
    states = _measure(sources, config, task)
    total = sum(state.frames.size for state in states)
    if total < config.n:
        where = states[0].source.name if len(states) == 1 else f"{len(states)} videos"
        raise SelectionError(
            f"You asked for {config.n} frames, but {where} has only {total} usable frames in the range. "
            "Ask for fewer, or widen the range."
        )
    for state in states:
        gap = config.min_gap or automatic_gap(total if len(states) > 1 else state.frames.size, config.n, state.fps)
        state.spacing = Spacing(state.frames, gap)
    _pick(states, config, minimum, most)
    return [_result(state, config) for state in states]


@dataclass
class _State:
    """One video while frames are being picked."""

    source: Source
    scores: Mapping[ScoreName, Score]
    hardness: Hardness
    usable: np.ndarray
    warnings: list[str]
    frames: np.ndarray
    spacing: Spacing
    decoded: int = 0
    group: dict[int, int] = field(default_factory=dict)
    filler_alternatives: dict[int, tuple[int, ...]] = field(default_factory=dict)

    @property
    def fps(self) -> float:
        return self.source.fps if math.isfinite(self.source.fps) else UNKNOWN_FPS

    @property
    def n_picked(self) -> int:
        return len(self.spacing.taken)


def _measure(sources: Sequence[Source], config: SuggestConfig, task: Task) -> list[_State]:
    measured: list[tuple[dict[ScoreName, Score], list[str]]] = []
    for number, source in enumerate(sources):
        task.progress(number, len(sources), f"scoring {source.name}")
        measured.append(score_frames(source.predictions, source.knowledge))
    names: list[ScoreName] = list(dict.fromkeys(name for scores, _ in measured for name in scores))
    spreads = {name: spread_of(name, [s[name].values for s, _ in measured if name in s]) for name in names}
    states = []
    for source, (scores, notes) in zip(sources, measured, strict=True):
        fps = source.fps if math.isfinite(source.fps) else UNKNOWN_FPS
        hardness = measure(scores, spreads, source.predictions.xy, thresholds=config.thresholds, fps=fps)
        usable = _usable(source, config)
        frames = np.flatnonzero(usable)
        warnings = [*source.notes, *source.predictions.warnings, *notes]
        states.append(_State(source, scores, hardness, usable, warnings, frames, Spacing(frames, 1)))
    task.progress(len(sources), len(sources), "picking")
    return states


def _usable(source: Source, config: SuggestConfig) -> np.ndarray:
    rows = source.predictions.n_frames
    start, stop, exclude = source.part(config)
    times_s = source.times_s
    if times_s is None:
        times_s = np.arange(rows) / UNKNOWN_FPS
        if any(bound.kind == "time" for bound in (start, stop, *(bound for pair in exclude for bound in pair))):
            raise ConfigError("A range in seconds needs the video. Give it, or write frames (1200f) or fractions.")
    mask = usable_mask(times_s, start, stop, exclude)
    usable = np.zeros(rows, bool)
    usable[: mask.size] = mask[:rows]
    usable[[i for i in source.covered if 0 <= i < rows]] = False
    return usable


def _pick(states: list[_State], config: SuggestConfig, minimum: int, most: int) -> None:
    """Take the frames: hard ones by cluster, then by hardness, then the minimum of each video, then fillers."""
    candidates = _candidates(states, config)
    reserved = [max(0, minimum) for _ in states]

    def left() -> int:
        return config.n - sum(state.n_picked for state in states)

    def may(place: int) -> bool:
        """Whether a video may have one more frame without taking what is kept for the others."""
        others = sum(max(0, reserved[i] - s.n_picked) for i, s in enumerate(states) if i != place)
        return states[place].n_picked < most and left() > others

    def still(place: int) -> int | None:
        return left() - 1 if config.min_gap is not None and len(states) == 1 else None

    if candidates:
        labels = _clusters(states, candidates, config)
        groups: dict[int, list[tuple[int, int]]] = {}
        for (place, frame_index), label in zip(candidates, labels, strict=True):
            states[place].group[frame_index] = label
            groups.setdefault(label, []).append((place, frame_index))
        first = [members[0] for members in groups.values()]  # candidates are ordered: each group's hardest
        first.sort(key=lambda c: -states[c[0]].hardness.total[c[1]])
        for place, frame_index in [*first, *candidates]:
            if left() <= 0:
                break
            if may(place):
                states[place].spacing.take(frame_index, still_wanted=still(place))
    for state in states:
        if state.n_picked < minimum:
            _fill(state, minimum - state.n_picked, config)
    while left() > 0:
        open_places = [i for i, s in enumerate(states) if s.n_picked < most and s.spacing.room() > 0]
        if not open_places:
            break
        shares = _shares([states[i].frames.size for i in open_places], left())
        before = left()
        for place, share in zip(open_places, shares, strict=True):
            wanted = min(share, most - states[place].n_picked, left())
            if wanted > 0:
                _fill(states[place], wanted, config)
        if left() == before:
            break
    if left() > 0:
        found = config.n - left()
        reason = f"a gap of {config.min_gap} frames" if config.min_gap else "the range and the frames done already"
        raise SelectionError(
            f"Only {found} of {config.n} frames fit with {reason}. Ask for fewer, or make the gap smaller."
        )


def _shares(sizes: list[int], n: int) -> list[int]:
    """Split `n` by size; the remainder goes to the largest."""
    total = max(1, sum(sizes))
    shares = [n * size // total for size in sizes]
    for place in sorted(range(len(sizes)), key=lambda i: -sizes[i])[: n - sum(shares)]:
        shares[place] += 1
    return shares


def _candidates(states: list[_State], config: SuggestConfig) -> list[tuple[int, int]]:
    """Return the hardest spaced frames of all videos, (place of the video, frame), hardest first."""
    found: list[tuple[float, int, int]] = []
    for place, state in enumerate(states):
        hard = np.flatnonzero(state.hardness.hard(config.thresholds) & state.usable)
        strength = state.hardness.total[hard]
        if hard.size:
            order = hard[np.lexsort((hard, -strength))]
            spacing = Spacing(state.frames, state.spacing.gap)
            kept = spacing.fill_freely(order, _CANDIDATES * config.n)
            found += [(-float(state.hardness.total[i]), place, i) for i in kept]
    found.sort()
    found = found[: _CANDIDATES * config.n]
    if len(found) > config.n:
        weakest = _WEAKEST * -found[config.n - 1][0]
        found = [item for item in found if -item[0] >= weakest]
    return [(place, frame_index) for _, place, frame_index in found]


def _clusters(states: list[_State], candidates: list[tuple[int, int]], config: SuggestConfig) -> list[int]:
    parts = []
    order = []
    for place, state in enumerate(states):
        frames = [frame_index for where, frame_index in candidates if where == place]
        if frames:
            parts.append(_signatures(state, np.array(frames)))
            order += [(place, frame_index) for frame_index in frames]
    labels = cluster(np.concatenate(parts), min(config.n, len(candidates)), config.seed)
    by_candidate = dict(zip(order, labels.tolist(), strict=True))
    return [by_candidate[candidate] for candidate in candidates]


def _signatures(state: _State, frames: np.ndarray) -> np.ndarray:
    """Describe hard frames by their pose and by what is wrong with them, (m, D) float64."""
    pose = pose_vectors(state.source.predictions.xy[frames])
    parts = [pose]
    for worst in state.hardness.worst.values():
        z = np.nan_to_num(worst.z[frames], nan=0.0)
        strength = np.log1p(np.clip(z, 0, None))
        wrong = np.zeros((frames.size, state.source.predictions.xy.shape[1]))
        known = worst.keypoint[frames] >= 0
        wrong[known, worst.keypoint[frames][known]] = 0.25 * strength[known]
        parts.append(wrong)
    return np.concatenate(parts, axis=1)


def _fill(state: _State, n: int, config: SuggestConfig) -> None:
    """Take `n` frames that differ from those taken and from each other: by the picture, else by the pose."""
    wanted = n
    if state.source.video is not None:
        wanted -= _fill_from_video(state, n, config)
    if wanted > 0:
        order = diverse_order(state.source.predictions.xy, state.frames, state.spacing.taken, config.seed)
        wanted -= len(state.spacing.fill(order, wanted))
    if wanted > 0:  # the sample above may have been too thin for a large gap
        state.spacing.fill(state.frames.tolist(), wanted)


def _fill_from_video(state: _State, n: int, config: SuggestConfig) -> int:
    from castle_core.selection import SelectionConfig, select_frames

    video = state.source.video
    if video is None:
        return 0
    taken = [*state.spacing.taken, *(i for i in state.source.covered if 0 <= i < video.n_frames)]
    start, stop, exclude = state.source.part(config)
    wish = SelectionConfig(n=n, start=start, stop=stop, exclude=exclude, min_gap=config.min_gap, seed=config.seed)
    try:
        selection = select_frames(video, wish, covered=sorted(set(taken)))
    except SelectionError:  # too few frames are left beside those taken: the poses tell more exactly
        return 0
    state.decoded += selection.frames_decoded
    state.warnings += selection.warnings
    usable = [pick.frame_index for pick in selection.picks if pick.frame_index < state.usable.size]
    got = state.spacing.fill([i for i in usable if state.usable[i]], n)
    state.filler_alternatives.update({i: selection.alternatives.get(i, ()) for i in got})
    return len(got)


def _result(state: _State, config: SuggestConfig) -> HardSelection:
    hard = state.hardness.hard(config.thresholds)
    spare = _alternatives(state)
    return HardSelection(
        video=state.source.name,
        picks=tuple(_pick_of(state, i, bool(hard[i]), spare.get(i, ())) for i in state.spacing.taken),
        min_gap_used=state.spacing.gap,
        n_hard=int((hard & state.usable).sum()),
        frames_decoded=state.decoded,
        sources={name: score.source for name, score in state.scores.items()},
        hardness=state.hardness,
        usable=state.usable,
        warnings=tuple(dict.fromkeys(state.warnings)),
    )


def _alternatives(state: _State) -> dict[int, tuple[int, ...]]:
    """Give each pick the next hardest frames of its cluster that keep the distance to everything else."""
    result: dict[int, tuple[int, ...]] = {}
    owners = dict.fromkeys(state.spacing.taken)
    given: dict[int, int] = {frame_index: frame_index for frame_index in owners}
    ordered = sorted(state.group, key=lambda i: -state.hardness.total[i])
    for pick in state.spacing.taken:
        own = ordered if pick in state.group else state.filler_alternatives.get(pick, ())
        spare: list[int] = []
        for other in own:
            if len(spare) == _ALTERNATIVES:
                break
            same = state.group.get(other) == state.group.get(pick)
            if other in given or not same:
                continue
            if all(abs(other - i) >= state.spacing.gap for i, owner in given.items() if owner != pick):
                spare.append(other)
                given[other] = pick
        result[pick] = tuple(spare)
    return result


def _pick_of(state: _State, frame_index: int, hard: bool, alternatives: tuple[int, ...]) -> HardPick:
    names = state.source.predictions.keypoints
    scores: dict[str, dict[str, Any]] = {}
    reasons = []
    for name, worst in state.hardness.worst.items():
        column = int(worst.keypoint[frame_index])
        if column < 0:
            continue
        value, z = float(worst.value[frame_index]), float(worst.z[frame_index])
        value = 1.0 - value if name == "likelihood" else value
        scores[name] = {"keypoint": names[column], "value": round(value, 4), "z": round(z, 2)}
        if z >= state.hardness.thresholds.of(name):
            reasons.append((z, _reason(name, names[column], value)))
    reasons.sort(key=lambda item: -item[0])
    times_s = state.source.times_s
    return HardPick(
        video=state.source.name,
        frame_index=frame_index,
        time_s=float(times_s[frame_index]) if times_s is not None else math.nan,
        reason=", ".join(text for _, text in reasons[:2]) if hard and reasons else FILLER,
        score=round(float(state.hardness.total[frame_index]), 4),
        scores=scores,
        alternatives=alternatives,
    )


def _reason(name: ScoreName, keypoint: str, value: float) -> str:
    return {
        "likelihood": f"likelihood of {keypoint} {value:.2f}",
        "temporal_norm": f"{keypoint} jumped {value:.0f} px",
        "pca_singleview": f"{keypoint} {value:.0f} px off usual poses",
        "pca_multiview": f"{keypoint} {value:.0f} px off between the views",
        "disagreement": f"models disagree by {value:.0f} px on {keypoint}",
    }[name]
