"""From chosen rows to what is told about them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from castle_core.selection.choose import Field, find_alternatives
from castle_core.selection.clustering import nearest
from castle_core.selection.config import Method
from castle_core.selection.coverage import measure_coverage
from castle_core.selection.look import Look, nearest_frames
from castle_core.selection.reasons import Circumstances, describe_pick
from castle_core.selection.result import Pick, Selection
from castle_core.selection.terms import Terms, midpoints

if TYPE_CHECKING:
    from castle_core.video import Video

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Examined:
    """One video with what was asked for, and what was seen of it.

    Attributes
    ----------
    video : Video
    terms : Terms
    motion : (n_frames,) float32
        0 … 1.
    look : Look
    warnings : sequence of str
    """

    video: "Video"
    terms: Terms
    motion: NDArray[np.float32]
    look: Look
    warnings: Sequence[str] = ()


def make_selections(
    examined: Sequence[Examined],
    field: Field,
    chosen: Rows,
    method: Method,
    rng: np.random.Generator,
    distances: NDArray[np.float32] | None = None,
) -> list[Selection]:
    """Describe the picks of one or more videos that were chosen together.

    Parameters
    ----------
    examined : sequence of Examined
        The groups of `field`, in order.
    field : Field
    chosen : (n,) int64
        Rows of `field`, in the order of choice.
    method : Method
    rng : numpy Generator
        For the random frames of the coverage report.
    distances : (n,) float32, optional
        For ``kcenter``: distance of each pick to all before it.

    Returns
    -------
    list of Selection
        One a video. Coverage is that of all picks together over the frames of all videos.
    """
    picks = np.sort(chosen)  # rows ascend by video, then frame
    stands_for = np.concatenate([one.look.stands_for for one in examined])
    owner, squared = nearest(field.rows, field.rows[picks])
    mine = np.where(squared < field.covered_squared, stands_for, 0)
    share = np.bincount(owner, mine, minlength=len(picks)) / stands_for.sum(dtype=np.float64)
    coverage = measure_coverage(
        field.rows, stands_for, picks, evenly_spaced(examined, len(picks)), field.covered_squared, rng
    )
    others = find_alternatives(field, picks)
    order = np.argsort(np.argsort(chosen)) if method != "kcenter" else np.arange(len(chosen))
    rank_of = {int(row): int(rank) + 1 for row, rank in zip(chosen, order, strict=True)}
    distance_of = {} if distances is None else dict(zip(chosen.tolist(), distances.tolist(), strict=True))
    frame = field.positions
    selections = []
    for number, one in enumerate(examined):
        made: list[Pick] = []
        alternatives: dict[int, tuple[int, ...]] = {}
        for place in np.flatnonzero(field.group[picks] == number):
            row = int(picks[place])
            index = int(frame[row])
            known = Circumstances(
                share=float(share[place]),
                place=rank_of[row],
                n=len(picks),
                motion=float(one.motion[index]),
                distance=distance_of.get(row),
            )
            made.append(
                Pick(
                    video=one.video.path.name,
                    frame_index=index,
                    time_s=float(one.video.times_s[index]),
                    reason=describe_pick(method, known),
                    score=float(share[place]),
                )
            )
            alternatives[index] = tuple(int(frame[other]) for other in others[place])
        selections.append(
            Selection(
                picks=tuple(made),
                coverage=coverage,
                min_gap_used=one.terms.gap,
                frames_decoded=one.look.n_decoded,
                alternatives=alternatives,
                warnings=(*one.warnings, *_damage(one)),
            )
        )
    return selections


def evenly_spaced(examined: Sequence[Examined], n: int) -> Rows:
    """Return the rows nearest to the middles of `n` equal intervals of all usable frames, one video after the other."""
    usable = [np.flatnonzero(one.terms.usable) for one in examined]
    ends = np.cumsum([len(frames) for frames in usable])
    wanted = midpoints(int(ends[-1]), n)
    video = np.searchsorted(ends, wanted, side="right")
    offset = np.cumsum([0] + [len(one.look.frame_index) for one in examined])
    rows = []
    for number, one in enumerate(examined):
        inside = wanted[video == number] - (ends[number] - len(usable[number]))
        if len(inside) and len(one.look.frame_index):
            rows.append(offset[number] + nearest_frames(one.look.frame_index, usable[number][inside]))
    return np.concatenate(rows)


def _damage(one: Examined) -> tuple[str, ...]:
    damaged = one.look.damaged
    if len(damaged) == 0:
        return ()
    if len(damaged) == 1:
        return (f"Frame {int(damaged[0])} of {one.video.path.name} cannot be decoded and was left out.",)
    span = f"{len(damaged)} frames between {int(damaged[0])} and {int(damaged[-1])}"
    return (f"{span} of {one.video.path.name} cannot be decoded and were left out.",)
