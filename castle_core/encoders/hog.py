"""Gradient histograms as a visual model: no weights, no download, and the same function as frame selection uses."""

from typing import Any, Literal

from castle_core.encoders.base import Precision, Tokens
from castle_core.features import gradient_histograms


class HogEncoder:
    """Nine-bin gradient histograms of the cells of a grey picture; see `castle_core.features`."""

    name = "hog"
    patch_size = 8
    embed_dim = 9
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    antialias = True
    has_cls = False
    weight_hash = ""
    device = "cpu"
    precision: Precision = "fp32"
    is_light = True

    def __init__(self, input_size: int = 64) -> None:
        self.input_size = input_size

    def encode(self, images: Any) -> Tokens:
        """Encode (B, S, S, 3) uint8 RGB pictures; see `Encoder.encode`."""
        import cv2
        import numpy as np
        import torch

        pictures = images.numpy()
        gray = np.stack([cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in pictures])
        cells = self.input_size // self.patch_size
        histograms = gradient_histograms(gray, cells=cells).reshape(len(gray), cells, cells, self.embed_dim)
        return Tokens(None, torch.from_numpy(histograms))
