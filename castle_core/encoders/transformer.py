"""Any transformers image backbone as an encoder: DINOv2, DINOv3 (ViT and ConvNeXt), and whatever a lab brings along."""

import json
import math
from pathlib import Path
from typing import Any, Literal

from castle_core.encoders.base import Precision, Tokens
from castle_core.encoders.checkpoints import hash_tensors
from castle_core.errors import EncoderError

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)

# Multiplications and additions for one picture, below which a second thread costs more than it brings.
_LIGHT_OPERATIONS = 200_000_000


class TransformerEncoder:
    """A transformers model in evaluation mode on one device; implements `Encoder`.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A backbone whose ``last_hidden_state`` is normalised: (B, prefix + h·w, D) tokens, or a (B, C, h, w) map.
    name : str
        Name for files and metadata.
    input_size : int
        Edge of the square input (pixels); must be a multiple of the patch size.
    interpolation : {"bilinear", "bicubic"}
        How crops are brought to the input size; "bicubic" goes without a prefilter, as CASTLE does for DINOv3.
    device : str
        A torch device.
    precision : {"fp32", "bf16", "fp16"}
        Number format of weights and activations.
    mean, std : tuple of float
        Colour normalisation of RGB in 0..1.

    Raises
    ------
    EncoderError
        If the input size does not fit the patches, or the model is no image backbone.
    """

    def __init__(
        self,
        model: Any,
        *,
        name: str,
        input_size: int,
        interpolation: Literal["bilinear", "bicubic"] = "bilinear",
        device: str = "cpu",
        precision: Precision = "fp32",
        mean: tuple[float, ...] = _IMAGENET_MEAN,
        std: tuple[float, ...] = _IMAGENET_STD,
    ) -> None:
        import torch

        self.name = name
        self.patch_size = encoder_stride(model.config)
        if input_size < self.patch_size or input_size % self.patch_size:
            raise EncoderError(
                f"An input size of {input_size} px does not divide into {name}'s patches of {self.patch_size} px. "
                f"Choose {max(1, round(input_size / self.patch_size)) * self.patch_size} px."
            )
        self.input_size = input_size
        self.interpolation = interpolation
        self.antialias = interpolation == "bilinear"
        self.device = device
        self.precision = precision
        self.weight_hash = hash_tensors(model.state_dict())
        self._dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
        self._model = model.to(device=device, dtype=self._dtype).eval()
        self._scale = torch.tensor([1 / (255 * value) for value in std], device=device)
        self._shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)], device=device)
        probe = self.encode(torch.zeros((1, input_size, input_size, 3), dtype=torch.uint8))
        self.has_cls = probe.cls is not None
        self.embed_dim = int(probe.patch_tokens.shape[-1])
        n_weights = sum(weight.numel() for weight in model.parameters())
        self.is_light = 2 * n_weights * (input_size // self.patch_size) ** 2 < _LIGHT_OPERATIONS

    def encode(self, images: Any) -> Tokens:
        """Encode pictures; see `Encoder.encode`."""
        import torch

        with torch.inference_mode():
            pixels = self._normalised(images.to(self.device, non_blocking=True)).to(self._dtype)
            hidden = self._model(pixel_values=pixels).last_hidden_state
            if hidden.ndim == 4:
                return Tokens(None, hidden.permute(0, 2, 3, 1))
            side = pixels.shape[-1] // self.patch_size
            n_prefix = hidden.shape[1] - side * side
            if n_prefix < 0:
                raise EncoderError(
                    f"{self.name} gives {hidden.shape[1]} tokens for a {side} x {side} grid; it is not an image "
                    "backbone that this app can read. Choose another model."
                )
            cls = hidden[:, 0] if n_prefix else None
            return Tokens(cls, hidden[:, n_prefix:].unflatten(1, (side, side)))

    def _normalised(self, images: Any) -> Any:
        """Return (B, 3, S, S) float32 pixels with the colours that the model was trained on."""
        import torch

        if images.dtype != torch.uint8:
            return images.float() * self._scale.view(1, 3, 1, 1) + self._shift.view(1, 3, 1, 1)
        # By rows of the picture, in place: with three colours innermost, this took a third of a light model's time.
        n, height, width, _ = images.shape
        rows = images.float().reshape(n, height, width * 3)
        rows.mul_(self._scale.repeat(width)).add_(self._shift.repeat(width))
        return rows.view(n, height, width, 3).permute(0, 3, 1, 2)


def encoder_stride(config: Any) -> int:
    """Return the edge (pixels) of a cell of the feature map, from a transformers configuration."""
    patch = getattr(config, "patch_size", None)
    if getattr(config, "hidden_sizes", None):  # convolutional: a stem of `patch_size` or 4, then halved at every stage
        return int((patch or 4) * 2 ** (len(config.hidden_sizes) - 1))
    if isinstance(patch, list | tuple):
        patch = patch[0]
    if not isinstance(patch, int):
        raise EncoderError(
            f"{type(config).__name__} names no patch size; it is not an image backbone. Choose another model."
        )
    return patch


def folder_normalisation(folder: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and std of RGB in 0..1 from a model folder's ``preprocessor_config.json``, else ImageNet's."""
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        return _IMAGENET_MEAN, _IMAGENET_STD
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        mean = tuple(float(v) for v in content.get("image_mean", _IMAGENET_MEAN))
        std = tuple(float(v) for v in content.get("image_std", _IMAGENET_STD))
    except (ValueError, TypeError) as error:
        raise EncoderError(f"{path} cannot be read ({error}). Save the model again.") from error
    if len(mean) != 3 or len(std) != 3 or not all(math.isfinite(v) and v > 0 for v in std):
        raise EncoderError(
            f"{path} names no usable colour normalisation (image_mean, image_std). Save the model again."
        )
    return mean, std
