"""Choose frames from one video."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from castle_core.errors import SelectionError
from castle_core.progress import QUIET, Task
from castle_core.selection.candidates import budget_of, everything, plan_candidates, thinned, with_frames
from castle_core.selection.choose import Field, choose_by_kcenter, choose_by_kmeans, place_near
from castle_core.selection.config import SelectionConfig
from castle_core.selection.latents import find_latents, latents_of
from castle_core.selection.look import HELD_FRAMES, Look, Source, look_at, nearest_frames, pictures_of
from castle_core.selection.report import Examined, make_selections
from castle_core.selection.result import Selection
from castle_core.selection.terms import Terms, frames_without_looking, make_terms, usable_frames
from castle_core.selection.threads import one_thread

if TYPE_CHECKING:
    from castle_core.video import Video

# How much more a frame with the most movement counts than one at rest. A weight, never a filter: resting poses stay.
MOTION_WEIGHT = 0.25


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

    usable, before, warnings = usable_frames(video, config, covered)
    terms = make_terms(video, config, config.n, usable, before)
    rng = np.random.default_rng(config.seed)
    wanted = frames_without_looking(terms, config.method, rng)
    motion = motion_energy(video)
    with one_thread():
        look = _look(video, config, terms, motion, wanted, task)
        one = Examined(video, terms, motion, look, warnings)
        field = field_of([one])
        distances = None
        if wanted is not None:
            chosen = place_near(field, nearest_frames(look.frame_index, wanted))
        elif config.method == "kcenter":
            chosen, distances = choose_by_kcenter(field)
        else:
            chosen = choose_by_kmeans(field, rng)
        return make_selections([one], field, chosen, config.method, rng, distances)[0]


def source_of(video: "Video", config: SelectionConfig, task: Task, total: int) -> Source:
    """Return where the vectors of a video's frames come from; `total` frames will be looked at."""
    if config.method == "latents":
        assert config.latents is not None
        return latents_of(video, find_latents(config.latents, video))
    done = 0

    def on_frame() -> None:
        nonlocal done
        done += 1
        task.progress(min(done, total), total, "frames looked at")

    return pictures_of(video, config.features, on_frame)


def field_of(examined: Sequence[Examined]) -> Field:
    """Put the frames of one or more videos together, to be chosen from under one set of rules."""
    motion = [MOTION_WEIGHT * one.motion[one.look.frame_index] for one in examined]
    covered = np.concatenate([one.look.covered_rows for one in examined])
    looks = [replace(one.look, covered_rows=covered) for one in examined]
    return Field(
        rows=np.concatenate([look.rows for look in looks]),
        weights=np.concatenate([look.stands_for * (1 + m) for look, m in zip(looks, motion, strict=True)]),
        positions=np.concatenate([look.frame_index for look in looks]),
        covered_squared=np.concatenate([look.covered_squared() for look in looks]),
        gap=np.array([one.terms.gap for one in examined], dtype=np.int64),
        quota=np.array([one.terms.n for one in examined], dtype=np.int64),
        group=np.repeat(np.arange(len(looks)), [len(look.frame_index) for look in looks]),
        pickable=np.concatenate([one.terms.pickable[one.look.frame_index] for one in examined]),
    )


def _look(
    video: "Video",
    config: SelectionConfig,
    terms: Terms,
    motion: NDArray[np.float32],
    wanted: NDArray[np.int64] | None,
    task: Task,
) -> Look:
    keys = video.key_frame_indices
    whole = everything(terms.usable, keys)
    if config.method == "latents":  # nothing is decoded, so candidates may lie anywhere
        sample = thinned(whole, HELD_FRAMES)
        plan = whole if config.exhaustive else sample
        look = replace(look_at(source_of(video, config, task, 1), plan, sample, terms.covered), n_decoded=0)
        return _checked(video, terms, look, "have no latent")
    budget = budget_of(video.width, video.height, config.n)
    while True:
        sample = plan_candidates(terms.usable, keys, motion, n=config.n, budget=budget, must_reach=terms.covered)
        # Few key frames with short runs may hold too few frames that are far enough apart.
        if sample.is_everything or terms.fitting(sample.frame_index) >= config.n:
            break
        budget *= 2
    sample = thinned(sample, HELD_FRAMES)
    plan = whole if config.exhaustive else sample
    if wanted is not None:
        plan = with_frames(plan, wanted, terms.usable, keys)
    total = len(plan.frame_index) + (len(sample.frame_index) if len(plan.frame_index) > HELD_FRAMES else 0)
    source = source_of(video, config, task, total)
    look = look_at(source, plan, sample, terms.covered)
    if terms.fitting(look.frame_index) < config.n and not plan.is_everything:
        look = look_at(source, whole, sample, terms.covered)  # damage took too many: see what the rest holds
    return _checked(video, terms, look, "cannot be decoded")


def _checked(video: "Video", terms: Terms, look: Look, lack: str) -> Look:
    fitting = terms.fitting(look.frame_index)
    if fitting < terms.n:
        raise SelectionError(
            f"{len(look.damaged)} frames of {video.path.name} {lack}; of the others only {fitting} can be chosen, and "
            f"{terms.n} were asked for. Ask for fewer."
        )
    return look
