"""Two made-up pose models: one that is merely noisy, and one that errs at frames that are written down."""

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from castle_core.demo.body import KEYPOINTS
from castle_core.demo.motion import RARE_BEHAVIOURS

ErrorKind = Literal["jump", "swap", "drift", "lost"]

_SWAPS = (
    ("left_forepaw", "right_forepaw"),
    ("left_hindpaw", "right_hindpaw"),
    ("left_ear", "right_ear"),
    ("nose", "tail_base"),
)


@dataclass
class MadeUpModel:
    """Turns true keypoints into a model's predictions, frame by frame and seeded.

    Parameters
    ----------
    seed : numpy.random.SeedSequence
        The same seed gives the same predictions.
    noise_px : float
        Standard deviation of the position in pixels; it doubles in rare poses.
    scale : float
        Size of the animal, for the size of the errors.
    fps : float
        Frames a second, for the length of the errors.
    errs : bool
        Whether the model makes gross errors: a keypoint jumps (half of the times confidently), left and right are
        swapped, a keypoint drifts away, several are lost. One about every 1.5 seconds, one to twenty frames long.
    """

    seed: np.random.SeedSequence
    noise_px: float
    scale: float
    fps: float
    errs: bool = False
    _rng: np.random.Generator = field(init=False)
    _wait: int = field(init=False, default=0)
    _age: int = field(init=False, default=0)
    _duration: int = field(init=False, default=0)
    _kind: ErrorKind = field(init=False, default="jump")

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)
        self._wait = self._pause()

    def _pause(self) -> int:
        return max(3, round(float(self._rng.uniform(0.8, 2.0)) * self.fps))

    def _begin(self) -> None:
        rng = self._rng
        self._kind = ("jump", "jump", "swap", "drift", "lost")[int(rng.integers(5))]
        longest = {"jump": 0.2, "swap": 0.3, "drift": 0.6, "lost": 0.3}[self._kind]
        shortest = 0.35 if self._kind == "drift" else 0.03
        self._duration = max(1, round(float(rng.uniform(shortest, longest)) * self.fps))
        self._age = 0
        n_points = 5 if self._kind == "lost" else 1
        self._points = rng.choice(len(KEYPOINTS), n_points, replace=False)
        self._swap = [KEYPOINTS.index(name) for name in _SWAPS[int(rng.integers(len(_SWAPS)))]]
        angle = rng.uniform(-math.pi, math.pi, n_points)
        reach = rng.uniform(38, 130, n_points) * self.scale
        self._offset = np.stack([np.cos(angle), np.sin(angle)], axis=1) * reach[:, None]
        self._likelihood = float(rng.uniform(0.03, 0.45) if rng.random() < 0.5 else rng.uniform(0.8, 0.97))

    def predict(self, truth: np.ndarray, behaviour: str) -> tuple[np.ndarray, str]:
        """Predict one frame.

        Parameters
        ----------
        truth : numpy.ndarray
            (K, 2) float64 true positions in pixels.
        behaviour : str
            What the animal does.

        Returns
        -------
        prediction : numpy.ndarray
            (K, 3) float64: x, y in pixels and likelihood in [0, 1].
        error : str
            Kind of the gross error that is going on, or empty.
        """
        rng = self._rng
        rare = behaviour in RARE_BEHAVIOURS
        result = np.empty((truth.shape[0], 3))
        result[:, :2] = truth + rng.normal(0, self.noise_px * (2.0 if rare else 1.0), truth.shape)
        result[:, 2] = np.clip(0.995 - np.abs(rng.normal(0, 0.03 if rare else 0.008, truth.shape[0])), 0, 1)
        if not self.errs:
            return result, ""
        if self._wait > 0:
            self._wait -= 1
            if self._wait > 0:
                return result, ""
            self._begin()
        self._spoil(result)
        kind = self._kind
        self._age += 1
        if self._age >= self._duration:
            self._wait = self._pause()
        return result, kind

    def _spoil(self, result: np.ndarray) -> None:
        if self._kind == "swap":
            result[self._swap] = result[self._swap[::-1]]
        elif self._kind == "drift":
            way = math.sin(math.pi * (self._age + 1) / (self._duration + 1))
            result[self._points, :2] += self._offset * way
            result[self._points, 2] *= 1.0 - 0.35 * way
        else:
            result[self._points, :2] += self._offset
            result[self._points, 2] = self._likelihood if self._kind == "jump" else 0.2 * self._likelihood
