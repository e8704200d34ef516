"""What a selection is asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from castle_core.errors import ConfigError
from castle_core.ranges import BEGINNING, END, Bound, parse_bound, parse_interval

Method = Literal["kmeans", "kcenter", "uniform", "random", "latents"]
Features = Literal["gradients", "pixels"]


@dataclass(frozen=True)
class SelectionConfig:
    """How many frames to choose, from which part of a video, and how.

    Attributes
    ----------
    n : int
        Frames to choose, at least 1.
    method : {"kmeans", "kcenter", "uniform", "random", "latents"}
        ``kmeans``: frames that stand for all others best. ``kcenter``: frames as far from each other as can be.
        ``uniform``: midpoints of n equal intervals. ``random``: drawn at random. ``latents``: as kmeans, on latents.
    features : {"gradients", "pixels"}
        What frames are compared by.
    start, stop : Bound, or what `parse_bound` takes
        Half-open range.
    exclude : tuple of (Bound, Bound), or of what `parse_interval` takes
        Half-open intervals to leave out.
    min_gap : int, optional
        Smallest distance in frames between two picks. Binding where given; by default `default_gap`.
    seed : int
        The same seed gives the same picks.
    exhaustive : bool
        Look at every frame instead of a bounded number of candidates.
    latents : Path, optional
        For ``latents``: an .npz file with one row a frame, or a folder that holds one for each video.
    """

    n: int = 20
    method: Method = "kmeans"
    features: Features = "gradients"
    start: Bound = BEGINNING
    stop: Bound = END
    exclude: tuple[tuple[Bound, Bound], ...] = ()
    min_gap: int | None = None
    seed: int = 0
    exhaustive: bool = False
    latents: Path | None = None

    def __post_init__(self) -> None:
        _check_whole(self.n, "The number of frames", 1)
        _check_whole(self.seed, "The seed", 0)
        if self.min_gap is not None:
            _check_whole(self.min_gap, "The minimum gap", 1)
        _check_choice(self.method, "method", get_args(Method))
        _check_choice(self.features, "features", get_args(Features))
        if self.method == "latents" and self.latents is None:
            raise ConfigError("The method latents needs a file of latents. Give one, or choose the method kmeans.")
        object.__setattr__(self, "start", parse_bound(self.start))
        object.__setattr__(self, "stop", parse_bound(self.stop))
        object.__setattr__(self, "exclude", tuple(parse_interval(interval) for interval in self.exclude))
        if self.latents is not None:
            object.__setattr__(self, "latents", Path(self.latents))

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> "SelectionConfig":
        """Make a config from plain values, as `to_json` writes them.

        Raises
        ------
        ConfigError
            If a key is unknown or a value cannot be.
        """
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(settings) - known):
            raise ConfigError(f"{unknown[0]!r} is no setting of a selection. There are: {', '.join(sorted(known))}.")
        return cls(**dict(settings))

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain values that JSON can hold."""
        return {
            "n": self.n,
            "method": self.method,
            "features": self.features,
            "start": str(self.start),
            "stop": str(self.stop),
            "exclude": [f"{first}-{last}" for first, last in self.exclude],
            "min_gap": self.min_gap,
            "seed": self.seed,
            "exhaustive": self.exhaustive,
            "latents": None if self.latents is None else str(self.latents),
        }


def _check_whole(value: object, what: str, smallest: int) -> None:
    if isinstance(value, bool) or not hasattr(value, "__index__") or int(value) < smallest:
        raise ConfigError(f"{what} must be a whole number of at least {smallest}, not {value!r}.")


def _check_choice(value: str, what: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{value!r} is not one of the {what} {', '.join(allowed)}.")
