"""Puts new labels into old ones: nothing that the new ones do not speak of is lost."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from castle_core.errors import LabelError
from castle_core.labels.model import Labels, frame_twins, twin_key

VISIBLE = 2.0
"""What a ``visible`` column says of a point that is newly placed: labelled, and to be seen."""


@dataclass(frozen=True)
class MergeReport:
    """What a merge did.

    Attributes
    ----------
    added, changed, unchanged : tuple of str
        Frames of the new labels: without a row before; with another point; with the same ones.
    kept : int
        Rows that the new labels do not speak of, and that stayed.
    said_nothing : tuple of str
        Frames of the new labels without any point, of which nobody said that there is no animal. They are passed
        over: what was there before stays.
    emptied : tuple of str
        Frames that had points and in which there is no animal now.
    points_added, points_moved, points_removed : int
        Counted over `added` and `changed`.
    new_keypoints : tuple of str
        Keypoints that the old labels did not have.
    renamed : tuple of tuple
        (name in the new labels, name in the old ones) of frames that differ in zero-padding only; the old name stays.
    """

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    kept: int = 0
    said_nothing: tuple[str, ...] = ()
    emptied: tuple[str, ...] = ()
    points_added: int = 0
    points_moved: int = 0
    points_removed: int = 0
    new_keypoints: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = field(default=())

    @property
    def any_change(self) -> bool:
        """Whether the merged labels differ from the old ones."""
        return bool(self.added or self.changed or self.new_keypoints)

    def to_json(self) -> dict[str, object]:
        """Return it as JSON values."""
        return {
            "added": list(self.added),
            "changed": list(self.changed),
            "unchanged": len(self.unchanged),
            "kept": self.kept,
            "said_nothing": list(self.said_nothing),
            "emptied": list(self.emptied),
            "points": {"added": self.points_added, "moved": self.points_moved, "removed": self.points_removed},
            "new_keypoints": list(self.new_keypoints),
        }


def merge_labels(
    old: Labels, new: Labels, *, tolerance: float = 1e-9, apart: Callable[[str, str], bool] | None = None
) -> tuple[Labels, MergeReport]:
    """Put `new` into `old`.

    A frame of `new` replaces what `old` says about the keypoints and animals that `new` has; everything else stays:
    frames, keypoints and animals that `new` does not know, and the ``visible`` columns, which change only where a
    point is placed that was not labelled (2) or taken away (0).

    Parameters
    ----------
    old, new : Labels
        Either may be without any frame.
    tolerance : float
        Pixels; a point that is no further away counts as the same one, and keeps the old number.
    apart : callable, optional
        Says of two frames whose names differ in zero-padding only that they are two images (a project that has both on
        disk). Otherwise they are one frame, and its old name stays.

    Returns
    -------
    tuple of Labels and MergeReport
        Sorted by folder and frame; with `old`'s scorer, where it has one.

    Raises
    ------
    LabelError
        If one of them names its animals and the other does not.
    """
    if not old.frames and not old.keypoints:
        old = _emptied(new, old.scorer or new.scorer)
    if (old.individuals == ("",)) != (new.individuals == ("",)) and new.keypoints:
        named, other = (old, new) if old.individuals != ("",) else (new, old)
        if len(named.individuals) > 1 or other.individuals != ("",):
            raise LabelError(
                f"One of the two has the animals {', '.join(named.individuals)}, the other one animal without a name. "
                "Name the animals alike first."
            )
        new = _with_individuals(new, old.individuals)
    keypoints = (*old.keypoints, *(name for name in new.keypoints if name not in old.keypoints))
    individuals = (*old.individuals, *(name for name in new.individuals if name not in old.individuals))
    twins = frame_twins(old.frames)
    names = set(old.frames)
    new_keys = [twin_key(frame) for frame in new.frames]
    counts = Counter(new_keys)
    target: dict[str, str] = {}
    for frame, key in zip(new.frames, new_keys, strict=True):
        alone = counts[key] == 1 if frame not in names and key in twins else False
        same = alone and not (apart is not None and apart(frame, twins[key]))
        target[frame] = twins[key] if same else frame
    if len(set(target.values())) != len(target):
        raise LabelError("Two of the new frames are one frame of the old labels. Rename one of the images.")

    spoken = [row for row, frame in enumerate(new.frames) if frame in new.no_animal or new.labelled[row].any()]
    frames = [*old.frames, *(target[new.frames[row]] for row in spoken if target[new.frames[row]] not in names)]
    row_of = {frame: row for row, frame in enumerate(frames)}
    shape = (len(frames), len(individuals), len(keypoints))
    xy, visible = np.full((*shape, 2), np.nan), None
    has = np.zeros(shape[1:], bool)
    old_at, new_at = _places(old, individuals, keypoints), _places(new, individuals, keypoints)
    has[old_at] |= old.has
    has[new_at] |= new.has
    n_old = old.n_frames
    xy[:n_old][:, *old_at] = old.xy
    if old.visible is not None or new.visible is not None:
        visible = np.full(shape, np.nan)
        if old.visible is not None:
            visible[:n_old][:, *old_at] = old.visible
    speaks = np.zeros(shape[1:], bool)
    speaks[new_at] = new.has
    no_animal = set(old.no_animal)
    report: dict[str, list[str]] = {key: [] for key in ("added", "changed", "unchanged", "emptied")}
    n_added = n_moved = n_removed = 0
    for row in spoken:
        frame = target[new.frames[row]]
        at = row_of[frame]
        before = xy[at].copy()
        said = np.full(before.shape, np.nan)
        said[new_at] = new.xy[row]
        was, now = np.isfinite(before[..., 0]), np.isfinite(said[..., 0])
        with np.errstate(invalid="ignore"):
            same = np.abs(before - said).max(axis=2) <= tolerance
        update = speaks & ~same & (was | now)
        xy[at][update] = said[update]
        if visible is not None:
            _see(visible[at], update, now, new, row, new_at)
        if new.frames[row] in new.no_animal and not np.isfinite(xy[at, ..., 0]).any():
            no_animal.add(frame)
        else:
            no_animal.discard(frame)
        n_added += int((update & ~was & now).sum())
        n_moved += int((update & was & now).sum())
        n_removed += int((update & was & ~now).sum())
        if frame not in names:
            report["added"].append(frame)
            continue
        report["changed" if update.any() else "unchanged"].append(frame)
        if was.any() and not np.isfinite(xy[at, ..., 0]).any():
            report["emptied"].append(frame)
    merged = Labels(
        keypoints, individuals, tuple(frames), xy, visible, old.scorer or new.scorer, frozenset(no_animal), has
    )
    spoken_rows = set(spoken)
    said_nothing = tuple(frame for row, frame in enumerate(new.frames) if row not in spoken_rows)
    return merged.ordered(), MergeReport(
        **{key: tuple(value) for key, value in report.items()},
        kept=n_old - len(report["changed"]) - len(report["unchanged"]),
        said_nothing=said_nothing,
        points_added=n_added,
        points_moved=n_moved,
        points_removed=n_removed,
        new_keypoints=tuple(name for name in new.keypoints if name not in old.keypoints),
        renamed=tuple((frame, other) for frame, other in target.items() if frame != other),
    )


def _see(visible: np.ndarray, update: np.ndarray, now: np.ndarray, new: Labels, row: int, new_at: Any) -> None:
    """Change the visibility of one frame's points in place: what the new labels say of it, else what follows."""
    said = np.full(visible.shape, np.nan)
    if new.visible is not None:
        said[new_at] = new.visible[row]
    told = np.isfinite(said)
    visible[told] = said[told]
    rest = update & ~told
    unseen = ~(visible > 0)
    visible[rest & now & unseen] = VISIBLE
    visible[rest & ~now] = 0.0


def _places(labels: Labels, individuals: tuple[str, ...], keypoints: tuple[str, ...]) -> Any:
    return np.ix_(
        [individuals.index(name) for name in labels.individuals], [keypoints.index(name) for name in labels.keypoints]
    )


def _emptied(labels: Labels, scorer: str) -> Labels:
    empty = labels.take([])
    return Labels(empty.keypoints, empty.individuals, (), empty.xy, empty.visible, scorer, frozenset(), empty.has)


def _with_individuals(labels: Labels, individuals: tuple[str, ...]) -> Labels:
    return Labels(
        labels.keypoints,
        individuals,
        labels.frames,
        labels.xy,
        labels.visible,
        labels.scorer,
        labels.no_animal,
        labels.has,
    )
