"""Which labels look wrong: poses that are unlike the others, bones of an odd length, left and right exchanged."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from castle_core.labels.model import Labels, folder_and_name
from castle_core.labels.sides import side_pairs
from castle_core.pose_pca import SINGLEVIEW_VARIANCE, Subspace, fit_subspace
from castle_core.scores import MAD_TO_SIGMA

Kind = Literal["pca", "bone", "swap", "outside", "same place"]
SUSPICIOUS_Z = 4.0
"""Robust z from which a finding is reported."""

_FOLDS = 10
_FLOOR_PX = 1.0  # labels are placed to about a pixel: a smaller spread is no evidence
_FLOOR_LOG = 0.03  # the same for the logarithm of a length: 3 %
_MIN_LENGTHS = 8
_SWAP_GAIN = 0.5  # the pose must fit at least twice as well with the sides exchanged


@dataclass(frozen=True)
class Finding:
    """One thing that looks wrong in one frame.

    Attributes
    ----------
    kind : str
        ``pca``, ``bone``, ``swap``, ``outside`` or ``same place``.
    individual : str
    keypoints : tuple of str
        The points concerned.
    score : float
        Robust z: how many times the usual spread it lies off. Higher is more suspicious.
    text : str
        For people, one line.
    """

    kind: Kind
    individual: str
    keypoints: tuple[str, ...]
    score: float
    text: str


@dataclass(frozen=True)
class FrameCheck:
    """One labelled frame with what looks wrong in it, worst first; `score` is 0 where nothing does."""

    frame: str
    score: float
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class LabelCheck:
    """What was found in a project's labels.

    Attributes
    ----------
    frames : tuple of FrameCheck
        Every labelled frame, the most suspicious first; those without a finding follow in their order.
    per_keypoint : dict
        Keypoint → number of frames in which it is labelled (of any animal).
    per_video : dict
        Folder below ``labeled-data`` → (labelled frames, points, frames without an animal).
    notes : tuple of str
        Which checks could not be made, and why.
    """

    frames: tuple[FrameCheck, ...]
    per_keypoint: dict[str, int]
    per_video: dict[str, tuple[int, int, int]]
    notes: tuple[str, ...]

    @property
    def suspicious(self) -> tuple[FrameCheck, ...]:
        """The frames with a finding."""
        return tuple(check for check in self.frames if check.findings)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values; frames without a finding are only counted."""
        return {
            "frames": len(self.frames),
            "suspicious": [
                {
                    "frame": check.frame,
                    "score": round(check.score, 2),
                    "findings": [
                        {
                            "kind": finding.kind,
                            "individual": finding.individual,
                            "keypoints": list(finding.keypoints),
                            "score": round(finding.score, 2),
                            "text": finding.text,
                        }
                        for finding in check.findings
                    ],
                }
                for check in self.suspicious
            ],
            "per_keypoint": self.per_keypoint,
            "per_video": {
                video: {"frames": frames, "points": points, "no_animal": none}
                for video, (frames, points, none) in self.per_video.items()
            },
            "notes": list(self.notes),
        }


def check_labels(
    labels: Labels,
    *,
    skeleton: Sequence[tuple[str, str]] = (),
    sizes: dict[str, tuple[int, int]] | None = None,
    threshold: float = SUSPICIOUS_Z,
) -> LabelCheck:
    """Look for labels that are probably wrong.

    Each pose is compared with a subspace fitted to the poses of other frames only (99 % of their variance, in ten
    parts), so that a wrong label cannot hide by pulling the subspace to itself. A bone is a pair of `skeleton`; without
    a skeleton each keypoint's most constant distance to another one is taken. Left and right count as exchanged where
    the pose fits at least twice as well with a pair of sides, or all of them, exchanged.

    Parameters
    ----------
    labels : Labels
    skeleton : pairs of str
    sizes : dict, optional
        Frame → (width, height) of its image in pixels, to find points outside of it.
    threshold : float
        Robust z from which a finding is reported.

    Returns
    -------
    LabelCheck
    """
    findings: dict[int, list[Finding]] = {row: [] for row in range(labels.n_frames)}
    notes: list[str] = []
    groups: dict[tuple[bool, ...], list[int]] = {}
    for i, members in enumerate(labels.has):
        groups.setdefault(tuple(bool(one) for one in members), []).append(i)
    for members, animals in groups.items():
        columns = tuple(int(k) for k in np.flatnonzero(members))
        where = [(row, i) for row in range(labels.n_frames) for i in animals if labels.labelled[row, i].any()]
        if not where:
            continue
        poses = np.stack([labels.xy[row, i] for row, i in where])[:, columns]
        names = tuple(labels.keypoints[k] for k in columns)
        found, said = _check_poses(poses, names, skeleton, threshold)
        notes += [note for note in said if note not in notes]
        for at, kind, places, score, text in found:
            row, i = where[at]
            keypoints = tuple(names[place] for place in places)
            findings[row].append(Finding(kind, labels.individuals[i], keypoints, score, text))
    _check_places(labels, sizes or {}, findings)
    checks = []
    for row, frame in enumerate(labels.frames):
        ordered = tuple(sorted(findings[row], key=lambda finding: -finding.score))
        checks.append(FrameCheck(frame, ordered[0].score if ordered else 0.0, ordered))
    checks.sort(key=lambda check: -check.score)
    per_keypoint = {name: int(labels.labelled[:, :, k].any(axis=1).sum()) for k, name in enumerate(labels.keypoints)}
    return LabelCheck(tuple(checks), per_keypoint, _per_video(labels), tuple(notes))


_Found = tuple[int, Kind, tuple[int, ...], float, str]


def _check_poses(
    poses: npt.NDArray[np.float64], names: tuple[str, ...], skeleton: Sequence[tuple[str, str]], threshold: float
) -> tuple[list[_Found], list[str]]:
    """Check poses of alike animals, (m, K, 2); returns (pose, kind, places, score, text), and what was not possible."""
    found: list[_Found] = []
    notes: list[str] = []
    if len(names) < 2:
        return found, notes
    subspaces = _subspaces(poses)
    swapped: set[int] = set()
    if subspaces is None:
        need = int(np.ceil(2 * len(names) * _FOLDS / (_FOLDS - 1))) + 1
        notes.append(
            f"Unusual poses and exchanged sides are looked for once about {need} frames are labelled "
            f"(now {poses.shape[0]}; twice the {len(names)} keypoints are needed)."
        )
    else:
        errors = _errors(poses, np.arange(poses.shape[0]), subspaces)
        z = _robust_z(errors, _FLOOR_PX)
        found += _swaps(poses, names, errors, z, subspaces)
        swapped = {at for at, *_ in found}
        for at, k in zip(*np.nonzero(np.nan_to_num(z) >= threshold), strict=True):
            if int(at) not in swapped:
                text = f"{names[k]} lies {errors[at, k]:.0f} px off the usual poses"
                found.append((int(at), "pca", (int(k),), float(z[at, k]), text))
    bones = [(names.index(a), names.index(b)) for a, b in skeleton if a in names and b in names]
    bones = bones or _stiff_pairs(poses)
    for a, b in bones:
        lengths = np.linalg.norm(poses[:, a] - poses[:, b], axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log(np.maximum(lengths, 0.5))
        known = np.isfinite(logs)
        if known.sum() < _MIN_LENGTHS:
            continue
        median = float(np.median(lengths[known]))
        z_bone = np.abs(_robust_z(logs[:, None], max(_FLOOR_LOG, 1.5 / max(median, 1.0)), signed=True)[:, 0])
        for at in np.flatnonzero(np.nan_to_num(z_bone) >= threshold):
            if int(at) in swapped:
                continue
            text = f"{names[a]} to {names[b]} is {lengths[at]:.0f} px, usually {median:.0f} px"
            found.append((int(at), "bone", (a, b), float(z_bone[at]), text))
    if not bones:
        notes.append("Lengths of bones are not compared: draw a skeleton, or label more frames.")
    return found, notes


def _subspaces(poses: npt.NDArray[np.float64]) -> list[Subspace] | None:
    """Fit one subspace for each part, to the poses of all other parts; None with too few poses."""
    part = np.arange(poses.shape[0]) % _FOLDS
    flat = poses.reshape(poses.shape[0], -1)
    found = [fit_subspace(flat[part != fold], SINGLEVIEW_VARIANCE) for fold in range(min(_FOLDS, len(poses)))]
    return [each for each in found if each is not None] if all(each is not None for each in found) else None


def _errors(
    poses: npt.NDArray[np.float64], rows: npt.NDArray[np.int64], subspaces: list[Subspace]
) -> npt.NDArray[np.float64]:
    """Return the distance (m, K) of each point of `poses` (m, K, 2), frames `rows`, from the other parts' subspace."""
    errors = np.full(poses.shape[:2], np.nan)
    for fold, subspace in enumerate(subspaces):
        own = rows % _FOLDS == fold
        if own.any():
            errors[own] = subspace.distances(poses[own].reshape(int(own.sum()), -1))
    return errors


def _robust_z(values: npt.NDArray[np.float64], floor: float, *, signed: bool = False) -> npt.NDArray[np.float64]:
    """Return (value - median) / spread of each column, where the spread is 1.4826 MAD and at least `floor`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a keypoint without any label has no median
        median = np.nanmedian(values, axis=0)
        spread = np.maximum(MAD_TO_SIGMA * np.nanmedian(np.abs(values - median), axis=0), floor)
    z: npt.NDArray[np.float64] = (values - median) / spread
    return z if signed else np.maximum(z, 0.0)


def _swaps(
    poses: npt.NDArray[np.float64],
    names: tuple[str, ...],
    errors: npt.NDArray[np.float64],
    z: npt.NDArray[np.float64],
    subspaces: list[Subspace],
) -> list[_Found]:
    pairs = side_pairs(names)
    if not pairs:
        return []
    trials: list[tuple[tuple[int, int], ...]] = [(pair,) for pair in pairs]
    if len(pairs) > 1:
        trials.append(pairs)
    before = _total(errors)
    # only poses that are odd as they are can be better the other way
    odd = np.flatnonzero(before > 2 * float(np.nanmedian(before)) + _FLOOR_PX)
    best: dict[int, tuple[float, tuple[tuple[int, int], ...]]] = {}
    for trial in trials:
        other = poses[odd].copy()
        for a, b in trial:
            other[:, [a, b]] = other[:, [b, a]]
        after = _total(_errors(other, odd, subspaces))
        places = [place for pair in trial for place in pair]
        both = np.isfinite(poses[odd][:, places, 0]).all(axis=1) if len(trial) == 1 else np.ones(odd.size, bool)
        for place in np.flatnonzero(both & (after < _SWAP_GAIN * before[odd])):
            at = int(odd[place])
            score = float(before[at] / max(after[place], _FLOOR_PX))
            if score > best.get(int(at), (0.0, ()))[0]:
                best[int(at)] = (score, trial)
    found: list[_Found] = []
    for row, (score, trial) in best.items():
        swapped = tuple(place for pair in trial for place in pair)
        what = " and ".join(names[place] for place in trial[0])
        if len(trial) > 1:
            what = "all left and right points"
        # exchanged sides are surer than any single odd point in the same frame
        worst = float(np.nan_to_num(z[row]).max())
        text = f"{what} seem to be exchanged: the pose fits {score:.0f} times as well the other way"
        found.append((row, "swap", swapped, max(worst, SUSPICIOUS_Z) + score, text))
    return found


def _total(errors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    total: npt.NDArray[np.float64] = np.sqrt(np.nansum(errors**2, axis=1))
    return total


def _stiff_pairs(poses: npt.NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return for each keypoint the other one to which its distance varies least, if by less than a fifth."""
    n_keypoints = poses.shape[1]
    distances = np.linalg.norm(poses[:, :, None] - poses[:, None], axis=3)
    pairs: set[tuple[int, int]] = set()
    for k in range(n_keypoints):
        best, choice = 0.2, -1
        for other in range(n_keypoints):
            lengths = distances[:, k, other]
            lengths = lengths[np.isfinite(lengths)]
            if other == k or lengths.size < _MIN_LENGTHS:
                continue
            median = float(np.median(lengths))
            spread = MAD_TO_SIGMA * float(np.median(np.abs(lengths - median))) / max(median, 5.0)
            if spread < best:
                best, choice = spread, other
        if choice >= 0:
            pairs.add((min(k, choice), max(k, choice)))
    return sorted(pairs)


def _check_places(labels: Labels, sizes: dict[str, tuple[int, int]], findings: dict[int, list[Finding]]) -> None:
    """Find points outside of their image, and two keypoints at exactly the same place."""
    for row, frame in enumerate(labels.frames):
        width, height = sizes.get(frame, (0, 0))
        for i, individual in enumerate(labels.individuals):
            points = labels.xy[row, i]
            seen: dict[tuple[float, float], str] = {}
            for name, (x, y) in zip(labels.keypoints, points.tolist(), strict=True):
                if not np.isfinite(x):
                    continue
                if width and not (-0.5 <= x <= width and -0.5 <= y <= height):
                    text = f"{name} at ({x:.0f}, {y:.0f}) lies outside of the image ({width}x{height})"
                    findings[row].append(Finding("outside", individual, (name,), 100.0, text))
                if (x, y) in seen:
                    other = seen[x, y]
                    text = f"{other} and {name} are at exactly the same place"
                    findings[row].append(Finding("same place", individual, (other, name), SUSPICIOUS_Z, text))
                seen[x, y] = name


def _per_video(labels: Labels) -> dict[str, tuple[int, int, int]]:
    counts: dict[str, tuple[int, int, int]] = {}
    points = labels.labelled.sum(axis=(1, 2))
    for row, frame in enumerate(labels.frames):
        folder = folder_and_name(frame)[0]
        frames, n_points, none = counts.get(folder, (0, 0, 0))
        counts[folder] = (frames + 1, n_points + int(points[row]), none + (frame in labels.no_animal))
    return dict(sorted(counts.items()))
