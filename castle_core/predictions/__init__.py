"""Predictions of pose models, read from whatever file they were written to."""

from castle_core.predictions.finding import (
    METRICS,
    ModelFolder,
    PredictionFile,
    find_models,
    find_predictions,
    metrics_by_name,
)
from castle_core.predictions.model import Predictions, check_frame_count
from castle_core.predictions.reading import PREDICTION_SUFFIXES, load_predictions
from castle_core.predictions.tables import read_label_csv, read_metric_csv

__all__ = [
    "METRICS",
    "PREDICTION_SUFFIXES",
    "ModelFolder",
    "PredictionFile",
    "Predictions",
    "check_frame_count",
    "find_models",
    "find_predictions",
    "load_predictions",
    "metrics_by_name",
    "read_label_csv",
    "read_metric_csv",
]
