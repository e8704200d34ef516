"""The model's error for free: how many of its points people accepted, moved, added or took away, and how far."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from castle_core.label_studio.annotations import Said


@dataclass(frozen=True)
class KeypointStatistics:
    """What became of one keypoint's pre-labels.

    Attributes
    ----------
    keypoint : str
    accepted, corrected, new, removed : int
        Left where the model put them; moved; set by a person where the model had none; taken away.
    median_correction_px : float or None
        Median of how far moved points were moved, in pixels; None where none was.
    median_error_px : float or None
        The same over accepted points as well, which count as 0.
    """

    keypoint: str
    accepted: int
    corrected: int
    new: int
    removed: int
    median_correction_px: float | None
    median_error_px: float | None


def frame_record(said: Said) -> dict[str, Any]:
    """Return what is kept of one frame, as JSON values."""
    return {"origins": dict(said.origins), "moved": dict(said.moved), "removed": list(said.removed)}


def summarise(records: Iterable[Mapping[str, Any]], keypoints: Sequence[str]) -> list[KeypointStatistics]:
    """Count over frames, a row a keypoint.

    Parameters
    ----------
    records : iterable of mapping
        As `frame_record` makes them.
    keypoints : sequence of str
        In this order; keypoints that never came are counted as 0.
    """
    counts: dict[str, dict[str, int]] = {
        name: {"prediction": 0, "prediction-changed": 0, "manual": 0} for name in keypoints
    }
    moves: dict[str, list[float]] = {name: [] for name in keypoints}
    removed = dict.fromkeys(keypoints, 0)
    for record in records:
        for name, origin in _mapping(record.get("origins")).items():
            if name in counts and origin in counts[name]:
                counts[name][origin] += 1
        for name, distance in _mapping(record.get("moved")).items():
            if name in moves and isinstance(distance, int | float):
                moves[name].append(float(distance))
        for name in record.get("removed") or ():
            if name in removed:
                removed[name] += 1
    return [
        KeypointStatistics(
            name,
            counts[name]["prediction"],
            counts[name]["prediction-changed"],
            counts[name]["manual"],
            removed[name],
            _median(moves[name]),
            _median([*moves[name], *[0.0] * counts[name]["prediction"]]),
        )
        for name in keypoints
    ]


def statistics_json(rows: Sequence[KeypointStatistics]) -> list[dict[str, Any]]:
    """Return the rows as JSON values."""
    return [asdict(row) for row in rows]


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
