"""A model's predictions as points to start from: what of them is sent for each frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from castle_core.errors import ConfigError, LabelStudioError, PredictionError
from castle_core.label_studio.pictures import Picture

if TYPE_CHECKING:
    from castle_core.predictions import Predictions
    from castle_core.projects import Project


@dataclass(frozen=True)
class PreLabel:
    """Points of one frame: (K, 2) pixels, NaN where nothing is sent, and the mean likelihood of those that are."""

    xy: np.ndarray
    score: float | None


class PreLabels:
    """Looks a model's points up, one video in memory at a time.

    Parameters
    ----------
    project : Project
    model : str
        Name of the model, as `find_models` gives it.
    keypoints : sequence of str
        K names of the labels; what else the model predicts is left out.
    threshold : float
        Points of a smaller likelihood are not sent. Points without a likelihood are.

    Raises
    ------
    ConfigError
        If the threshold is not within 0 and 1.
    PredictionError
        If there is no such model, or it has no predictions of a video.
    """

    def __init__(self, project: "Project", model: str, keypoints: Sequence[str], threshold: float) -> None:
        from castle_core.predictions import find_models

        if not 0 <= threshold <= 1:
            raise ConfigError(f"The likelihood threshold must be within 0 and 1, not {threshold}.")
        stems = [video.stem for video in project.videos()]
        models = {each.name: each for each in find_models(project.path, stems)}
        if model not in models:
            known = ", ".join(models) or "none yet"
            raise PredictionError(f"The project has no model {model!r}. It has: {known}.")
        if not models[model].files:
            raise PredictionError(models[model].hint(project.path))
        self.model = model
        self.threshold = threshold
        self.keypoints = tuple(keypoints)
        self.without: set[str] = set()
        """Videos of which frames were asked for and the model has no predictions."""
        self._files = {file.stem: file.path for file in models[model].files}
        self._stem = ""
        self._loaded: Predictions | None = None
        self._columns: list[int | None] = []

    def of(self, picture: Picture) -> PreLabel | None:
        """Return the points of a frame; None where the model says nothing about it. Ask for frames by video.

        Raises
        ------
        LabelStudioError
            If the predictions hold several animals.
        PredictionError
            If the file cannot be read.
        """
        if picture.frame_index is None or picture.video not in self._files:
            self.without.add(picture.video)
            return None
        predictions = self._predictions(picture.video)
        if picture.frame_index >= predictions.n_frames:
            return None
        xy = np.full((len(self.keypoints), 2), np.nan)
        likelihood = np.full(len(self.keypoints), np.nan)
        for place, column in enumerate(self._columns):
            if column is None:
                continue
            value = predictions.likelihood[picture.frame_index, column]
            if np.isnan(value) or value >= self.threshold:
                xy[place] = predictions.xy[picture.frame_index, column]
                likelihood[place] = value
        sent = likelihood[np.isfinite(xy).all(axis=1)]
        if not len(sent):
            return None
        known = sent[np.isfinite(sent)]
        return PreLabel(xy, float(known.mean()) if len(known) else None)

    def _predictions(self, stem: str) -> "Predictions":
        from castle_core.predictions import load_predictions

        if self._loaded is None or self._stem != stem:
            self._loaded = None  # the old one goes before the new one comes
            loaded = load_predictions(self._files[stem], video_name=stem)
            if len(set(loaded.individuals)) > 1:
                animals = ", ".join(sorted(set(loaded.individuals)))
                raise LabelStudioError(
                    f"{self._files[stem].name} holds several animals ({animals}); Label Studio takes one. "
                    "Push without pre-labels, or label these in DeepLabCut or SLEAP."
                )
            places = {name: column for column, name in enumerate(loaded.keypoints)}
            self._columns = [places.get(name) for name in self.keypoints]
            if all(column is None for column in self._columns):
                raise PredictionError(
                    f"{self._files[stem].name} predicts none of the project's keypoints; it has: "
                    f"{', '.join(loaded.keypoints[:8])}. Correct the names on the page Label export."
                )
            self._loaded, self._stem = loaded, stem
        return self._loaded
