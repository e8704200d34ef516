"""What an extraction is asked to do, as one frozen value."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from castle_core.errors import ConfigError
from castle_core.preprocess import Preprocess
from castle_core.ranges import Bound, parse_bound

PoolingName = Literal["roi-mean", "cls", "global", "point", "none"]
POOLINGS: tuple[PoolingName, ...] = ("roi-mean", "cls", "global", "point", "none")
# What product and CASTLE call the files; the plain ROI mean carries no tag.
POOLING_TAGS = {"roi-mean": "", "cls": "_cls", "global": "_gap", "none": "_map"}


@dataclass(frozen=True)
class ExtractConfig:
    """Settings of an extraction; one crop, one encoder, many outputs.

    Attributes
    ----------
    encoder : str
        Table name, model folder, checkpoint or hub id.
    roi_ids : tuple of int
        ROIs to pool, 1 … 255; 0 is the whole frame.
    preprocess : Preprocess
        What is done to the frame first.
    poolings : tuple
        "roi-mean" (CASTLE's latent), "cls", "global" (mean over all cells), "point" (needs `points`), "none" (the map).
    points : tuple of Path or str
        Point tracks: CSV files, or names under the project's ``points/``.
    interpolation : {"bilinear", "nearest"}
        How the map is read at a point.
    likelihood_threshold : float
        Points with less likelihood count as missing.
    input_size : int or None
        Edge of the model's input (pixels); None takes the model's own.
    precision : {"auto", "fp32", "bf16", "fp16"}
        Number format.
    batch_size : int or None
        Frames in one forward pass; None chooses by the device's memory.
    start, stop : Bound
        Part of the video, half-open.
    every : int
        Every so many frames; the others get status "not requested".
    angles : int
        0 for the plain latent; k > 0 for the rotation latent over k angles (CASTLE: 7).
    stack : bool
        Keep the k rotated latents as (n, k, D) instead of their mean.
    shard_frames : int
        Frames of the video in one saved piece of work.
    """

    encoder: str
    roi_ids: tuple[int, ...] = (1,)
    preprocess: Preprocess = field(default_factory=Preprocess)
    poolings: tuple[PoolingName, ...] = ("roi-mean",)
    points: tuple[str, ...] = ()
    interpolation: Literal["bilinear", "nearest"] = "bilinear"
    likelihood_threshold: float = 0.6
    input_size: int | None = None
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    batch_size: int | None = 32
    start: Bound = field(default_factory=lambda: parse_bound(0))
    stop: Bound = field(default_factory=lambda: parse_bound(1))
    every: int = 1
    angles: int = 0
    stack: bool = False
    shard_frames: int = 2000

    def __post_init__(self) -> None:
        if not self.roi_ids:
            raise ConfigError("Enter at least one ROI ID (0 is the whole frame).")
        for roi_id in self.roi_ids:
            if not 0 <= roi_id <= 255:
                raise ConfigError(f"ROI {roi_id} cannot be: ids run from 1 to 255 (0 is the whole frame).")
        if len(set(self.roi_ids)) != len(self.roi_ids):
            raise ConfigError(f"The ROI IDs {self.roi_ids} name one twice.")
        unknown = set(self.poolings) - set(POOLINGS)
        if unknown or not self.poolings:
            raise ConfigError(f"Pooling {sorted(unknown)} is not known. Choose from {', '.join(POOLINGS)}.")
        if self.preprocess.remove_background == "roi" and 0 in self.roi_ids:
            raise ConfigError(
                "The whole frame (ROI 0) has no background to remove. Keep all ROIs, or choose another ROI ID."
            )
        if "point" in self.poolings and not self.points:
            raise ConfigError("Spatial Point Extraction needs a Point Key: choose a point track (frame,x,y).")
        if self.interpolation not in ("bilinear", "nearest"):
            raise ConfigError(f"Interpolation is 'bilinear' or 'nearest', not {self.interpolation!r}.")
        if self.precision not in ("auto", "fp32", "bf16", "fp16"):
            raise ConfigError(f"Precision is auto, fp32, bf16 or fp16, not {self.precision!r}.")
        if self.batch_size is not None and not 1 <= self.batch_size <= 4096:
            raise ConfigError(f"A batch size of {self.batch_size} cannot be: choose 1 to 4096 (32 is a good start).")
        if self.every < 1:
            raise ConfigError(f"Every {self.every}th frame cannot be: choose 1 (every frame) or more.")
        if not 0 <= self.angles <= 72:
            raise ConfigError(f"{self.angles} angles cannot be: choose 1 to 72 (CASTLE takes 7).")
        if self.shard_frames < 1:
            raise ConfigError("A shard holds at least one frame.")

    def with_rotation(self, angles: int = 7, *, stack: bool = False) -> "ExtractConfig":
        """Return the same settings for a rotation latent: ROI means only."""
        return replace(self, angles=angles, stack=stack, poolings=("roi-mean",), points=())

    def needs_masks(self, roi_id: int, pooling: str) -> bool:
        """Say whether an output depends on masks at all: the whole frame and points without a crop do not."""
        masked = self.preprocess.center_roi is not None or self.preprocess.remove_background is not None
        return masked or (roi_id != 0 and pooling != "point")

    def identity(self, pooling: PoolingName | None = None) -> dict[str, Any]:
        """Return what decides about one pooling's numbers (or all), apart from video, range, masks and weights."""
        is_point = "point" in ((pooling,) if pooling else self.poolings)
        return {
            "preprocess": self.preprocess.to_json(),
            "interpolation": self.interpolation if is_point else None,
            "likelihood_threshold": self.likelihood_threshold if is_point else None,
            "every": self.every,
            "angles": self.angles,
            "stack": self.stack,
        }


def settings_hash(value: Any) -> str:
    """Return the SHA-256 (hex) of a JSON value, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path | Bound) else asdict(value)
