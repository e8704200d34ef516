"""All scores of one video: read where the model's metric files are at hand, computed where they are not."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from castle_core.errors import PredictionError
from castle_core.pose_pca import confident_poses, multiview_error, singleview_error
from castle_core.predictions import Predictions, read_label_csv, read_metric_csv
from castle_core.scores import (
    PcaColumns,
    Score,
    ScoreName,
    default_pca_columns,
    eks_disagreement,
    ensemble_disagreement,
    likelihood_score,
    temporal_norm,
)


@dataclass(frozen=True)
class Knowledge:
    """What is known beside the predictions of a video.

    Attributes
    ----------
    metrics : mapping of str to Path
        Metric files of Lightning Pose: ``temporal_norm``, ``pca_singleview``, ``pca_multiview``.
    labels : Path or None
        ``CollectedData.csv``, to fit the subspace of usual poses to.
    config : Path or None
        The model's ``config.yaml`` with ``columns_for_singleview_pca`` and ``mirrored_column_matches``.
    others : tuple of Predictions
        Other models' predictions of the same video.
    """

    metrics: Mapping[str, Path] = field(default_factory=dict)
    labels: Path | None = None
    config: Path | None = None
    others: tuple[Predictions, ...] = ()


def score_frames(predictions: Predictions, knowledge: Knowledge) -> tuple[dict[ScoreName, Score], list[str]]:
    """Compute or read every score that the data allow.

    Returns
    -------
    scores : dict
        Name to `Score`; scores that cannot be had are absent.
    notes : list of str
        Why a score is absent, or what it was computed from; a line each.

    Raises
    ------
    PredictionError, LabelError
        If a metric, label or configuration file, or another model's predictions, do not fit.
    """
    notes: list[str] = []
    scores: dict[ScoreName, Score] = {}
    likelihood = likelihood_score(predictions)
    if likelihood is not None:
        scores["likelihood"] = likelihood
    else:
        notes.append("There is no likelihood in the file: it does not count.")
    scores["temporal_norm"] = _read(predictions, knowledge, "temporal_norm") or Score(
        "temporal_norm", temporal_norm(predictions.xy), f"computed from {predictions.path.name}"
    )
    scores.update(_pca(predictions, knowledge, notes))
    disagreement = _disagreement(predictions, knowledge.others)
    if disagreement is not None:
        scores["disagreement"] = disagreement
    return scores, notes


def _read(predictions: Predictions, knowledge: Knowledge, name: ScoreName) -> Score | None:
    path = knowledge.metrics.get(name)
    if path is None:
        return None
    values = read_metric_csv(path, predictions.keypoints, predictions.n_frames)
    return Score(name, values, f"read from {path.name}")


def _pca(predictions: Predictions, knowledge: Knowledge, notes: list[str]) -> dict[ScoreName, Score]:
    scores = {name: score for name in PCA_NAMES if (score := _read(predictions, knowledge, name)) is not None}
    columns = pca_columns(predictions, knowledge.config)
    missing = [name for name in PCA_NAMES if name not in scores]
    if "pca_multiview" in missing and len(columns.mirrored) < 2:
        missing.remove("pca_multiview")
    if not missing:
        return scores
    fits: list[tuple[np.ndarray, str]] = []
    if knowledge.labels is not None:
        xy, n_labelled = _label_poses(knowledge.labels, predictions.keypoints)
        fits.append((xy, f"computed, usual poses from {n_labelled} labelled frames of {knowledge.labels.name}"))
    for name in missing:
        wanted = columns.mirrored if name == "pca_multiview" else columns.singleview
        group = tuple(sorted({column for part in wanted for column in part}))
        attempts: list[tuple[np.ndarray | None, str]] = [*fits, (None, "")]
        for poses, source in attempts:
            if poses is None:  # no labels, or too few of them
                poses = confident_poses(predictions.xy, predictions.likelihood, group)
                source = f"computed, usual poses from {poses.shape[0]} confidently predicted frames"
            error = multiview_error if name == "pca_multiview" else singleview_error
            result = error(predictions.xy, poses, columns)
            if result is not None:
                scores[name] = Score(name, result[0], source)
                break
        else:
            notes.append(
                f"{TITLES[name]} was left out: neither the labels nor the confident predictions are enough "
                f"frames (as many as twice the {len(group)} keypoints are needed)."
            )
    return scores


PCA_NAMES: tuple[ScoreName, ...] = ("pca_singleview", "pca_multiview")
TITLES: dict[ScoreName, str] = {
    "likelihood": "Likelihood",
    "temporal_norm": "Temporal norm",
    "pca_singleview": "PCA error (one view)",
    "pca_multiview": "PCA error (several views)",
    "disagreement": "Disagreement of the models",
}


def _label_poses(path: Path, keypoints: Sequence[str]) -> tuple[np.ndarray, int]:
    """Return labelled poses in the order of the model's keypoints, (N, K, 2), and how many frames hold any."""
    names, _, labelled = read_label_csv(path)
    xy = np.full((labelled.shape[0], len(keypoints), 2), np.nan)
    found = [name for name in keypoints if name in names]
    if not found:
        raise PredictionError(
            f"{path.name} labels other keypoints ({', '.join(names[:4])}, …) than the model predicts. "
            "Choose the labels that the model was trained on."
        )
    for name in found:
        xy[:, keypoints.index(name)] = labelled[:, names.index(name)]
    return xy, int(np.isfinite(xy).any(axis=(1, 2)).sum())


def pca_columns(predictions: Predictions, config: Path | None) -> PcaColumns:
    """Return which keypoints the subspaces are made of: what the model's configuration says, else all of them.

    Raises
    ------
    PredictionError
        If the configuration is no YAML, or names columns that do not exist.
    """
    if config is None:
        return default_pca_columns(predictions)
    data = _config_data(config)
    names = [str(name) for name in data.get("keypoint_names") or ()]
    single = _columns(data.get("columns_for_singleview_pca"), names, predictions, config)
    views = data.get("mirrored_column_matches")
    mirrored: tuple[tuple[int, ...], ...] = ()
    # one flat list stands for several cameras, where Lightning Pose has a file for each view
    if isinstance(views, list) and len(views) > 1 and all(isinstance(view, list) for view in views):
        mirrored = tuple(_columns(view, names, predictions, config) for view in views)
    groups = (single,) if single else default_pca_columns(predictions).singleview
    return PcaColumns(groups, mirrored)


def _columns(value: Any, names: list[str], predictions: Predictions, config: Path) -> tuple[int, ...]:
    columns = []
    order = names or list(predictions.keypoints)
    for entry in value if isinstance(value, list) else ():
        name = order[entry] if isinstance(entry, int) and 0 <= entry < len(order) else entry
        if name not in predictions.keypoints:
            raise PredictionError(
                f"{config.name} lists keypoint {entry!r} for the PCA, which {predictions.path.name} does not hold. "
                "Choose the configuration of this model."
            )
        columns.append(predictions.keypoints.index(str(name)))
    return tuple(columns)


def _config_data(config: Path) -> dict[str, Any]:
    import yaml

    try:
        value = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise PredictionError(f"{config} is no readable YAML file. Repair it, or leave it away.") from error
    data = value.get("data") if isinstance(value, dict) else None
    return data if isinstance(data, dict) else {}


def _disagreement(predictions: Predictions, others: tuple[Predictions, ...]) -> Score | None:
    if others:
        members = [predictions.xy]
        for other in others:
            if other.n_frames != predictions.n_frames:
                raise PredictionError(
                    f"{predictions.path.name} has {predictions.n_frames} rows and {other.path.name} "
                    f"{other.n_frames}. Give predictions of the same video."
                )
            missing = [name for name in predictions.keypoints if name not in other.keypoints]
            if len(missing) == len(predictions.keypoints):
                raise PredictionError(
                    f"{other.path.name} predicts other keypoints than {predictions.path.name}. "
                    "Give predictions of the same animal."
                )
            order = [other.keypoints.index(name) if name not in missing else -1 for name in predictions.keypoints]
            xy = other.xy[:, order]
            xy[:, [place for place, column in enumerate(order) if column < 0]] = math.nan
            members.append(xy)
        names = ", ".join(dict.fromkeys(str(m.path) for m in (predictions, *others)))
        return Score("disagreement", ensemble_disagreement(members), f"computed from {names}")
    values = eks_disagreement(predictions)
    return None if values is None else Score("disagreement", values, f"read from {predictions.path.name}")
