"""What people submitted for one task: which annotation counts, and what it says about each keypoint."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from castle_core.label_studio.regions import Point, points_of


@dataclass(frozen=True)
class Said:
    """One task's answer.

    Attributes
    ----------
    state : str
        ``labelled``, ``empty`` (submitted without a point: no animal), ``skipped``, ``unclear`` (nothing that can be
        used, though somebody submitted something) or ``open``.
    xy : mapping of str to (x, y)
        Pixels of each keypoint that was placed.
    unsure : frozenset of str
        Keypoints that were set in a way that cannot be used: what the project has of them stays.
    origins : mapping of str to str
        Keypoint to ``prediction``, ``prediction-changed``, ``manual`` or empty (it came from the project).
    moved : mapping of str to float
        Keypoint to how far a person moved the model's point, in pixels.
    removed : tuple of str
        Pre-labels that the person took away.
    notes : tuple of str
        What has to be told about it.
    who : str
        Email or number of who labelled.
    """

    state: str
    xy: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    unsure: frozenset[str] = frozenset()
    origins: Mapping[str, str] = field(default_factory=dict)
    moved: Mapping[str, float] = field(default_factory=dict)
    removed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    who: str = ""


def read_task(task: Mapping[str, Any], keypoints: Collection[str], size: tuple[int, int] | None) -> Said:
    """Read what was submitted for a task.

    Of several annotations the ground truth counts, else the one that was changed last; a skip counts only where there
    is nothing else.

    Parameters
    ----------
    task : mapping
        As `LabelStudio.tasks_in_full` gives it, with its ``predictions`` where it `starts_from_model`.
    keypoints : collection of str
        The project's keypoints.
    size : tuple of int or None
        (width, height) of the project's own picture.
    """
    submitted = [each for each in task.get("annotations") or () if isinstance(each, Mapping)]
    counting = [each for each in submitted if not each.get("was_cancelled")]
    if not counting:
        return Said("skipped" if submitted else "open")
    ordered = sorted(counting, key=_rank)
    chosen, notes = ordered[-1], []
    points = points_of(chosen.get("result") or (), size)
    if len(counting) > 1:
        notes.append(_conflict(ordered, size))
    best, bad = _by_label(points, notes)
    unknown = sorted(name for name in best if name not in keypoints)
    for name in unknown:
        x, y = best.pop(name).xy or (float("nan"), float("nan"))
        notes.append(f"{name} ({x:.2f}, {y:.2f} px) is no keypoint of the project; not written")
    unsure = frozenset(name for name in bad if name in keypoints and name not in best)
    xy = {name: point.xy for name, point in best.items() if point.xy is not None}
    state = "labelled" if xy else ("unclear" if points else "empty")
    moved, removed = _against_prediction(task, chosen, best, size)
    return Said(
        state,
        xy,
        unsure,
        {name: point.origin for name, point in best.items()},
        moved,
        tuple(name for name in removed if name in keypoints),
        tuple(notes),
        _who(chosen),
    )


def _rank(annotation: Mapping[str, Any]) -> tuple[bool, str, int]:
    return bool(annotation.get("ground_truth")), str(annotation.get("updated_at") or ""), int(annotation.get("id") or 0)


def _by_label(points: list[Point], notes: list[str]) -> tuple[dict[str, Point], list[str]]:
    """Return one usable point a label and the labels that have an unusable one; says what is odd in `notes`."""
    best: dict[str, Point] = {}
    bad = []
    for point in points:
        if point.trouble:
            notes.append(f"{point.label or 'a point'}: {point.trouble}")
        if point.xy is None:
            bad.append(point.label)
            continue
        before = best.get(point.label)
        if before is not None:
            notes.append(f"{point.label} was set twice; the one that a person set last counts")
            if before.origin != "prediction" and point.origin == "prediction":
                continue
        best[point.label] = point
    return best, bad


def _conflict(ordered: list[Mapping[str, Any]], size: tuple[int, int] | None) -> str:
    """Say that several people labelled a frame, and how far apart they are."""
    chosen, others = ordered[-1], ordered[:-1]
    ours = {point.label: point.xy for point in points_of(chosen.get("result") or (), size) if point.xy}
    furthest, where, differ = 0.0, "", False
    for other in others:
        theirs = {point.label: point.xy for point in points_of(other.get("result") or (), size) if point.xy}
        differ = differ or set(theirs) != set(ours)
        for name in set(ours) & set(theirs):
            distance = float(np.hypot(ours[name][0] - theirs[name][0], ours[name][1] - theirs[name][1]))
            if distance > furthest:
                furthest, where = distance, name
    how = "ground truth" if chosen.get("ground_truth") else "the newest"
    apart = f"up to {furthest:.1f} px apart ({where})" if where else ("with different points" if differ else "alike")
    names = ", ".join(dict.fromkeys(_who(each) for each in ordered))
    return f"{len(ordered)} annotations ({names}), {apart}; {how} counts, of {_who(chosen)}"


def starts_from_model(task: Mapping[str, Any]) -> bool:
    """Say whether somebody began with a prediction: only then the predictions of the task are worth reading."""
    return any(
        annotation.get("parent_prediction")
        or any(str(region.get("origin") or "").startswith("prediction") for region in annotation.get("result") or ())
        for annotation in task.get("annotations") or ()
        if isinstance(annotation, Mapping)
    )


def _who(annotation: Mapping[str, Any]) -> str:
    name = str(annotation.get("created_username") or "").rpartition(",")[0].strip()  # "First Last email, number"
    if name:
        return name
    by = annotation.get("completed_by")
    if isinstance(by, Mapping):
        return str(by.get("email") or by.get("id") or "somebody")
    return f"user {by}" if by else "somebody"


def _against_prediction(
    task: Mapping[str, Any], chosen: Mapping[str, Any], best: Mapping[str, Point], size: tuple[int, int] | None
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Return how far each of the model's points was moved, and which of them were taken away."""
    parent = chosen.get("parent_prediction")
    of_model = any(point.origin.startswith("prediction") for point in best.values())
    predictions = [each for each in task.get("predictions") or () if isinstance(each, Mapping)]
    start = next((each for each in predictions if each.get("id") == parent), None)
    if start is None and of_model and predictions:
        start = predictions[-1]
    if start is None:
        return {}, ()
    places = {point.label: point.xy for point in points_of(start.get("result") or (), size) if point.xy}
    moved = {}
    for name, point in best.items():
        if point.origin == "prediction-changed" and point.xy and name in places:
            moved[name] = float(np.hypot(point.xy[0] - places[name][0], point.xy[1] - places[name][1]))
    return moved, tuple(name for name in places if name not in best)
