"""What every visual model offers to the extraction: pictures in, tokens out."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

Precision = Literal["fp32", "bf16", "fp16"]


@dataclass(frozen=True)
class Tokens:
    """What a model says about a batch of pictures.

    Attributes
    ----------
    cls : torch.Tensor or None
        (B, D), the normalised token of the whole picture; None where the model has none.
    patch_tokens : torch.Tensor
        (B, h, w, D), the last layer's normalised patch tokens, row by row from the top left.
    """

    cls: Any
    patch_tokens: Any


class Encoder(Protocol):
    """A visual model that is ready to run.

    Attributes
    ----------
    name : str
        Name in file names and metadata.
    patch_size, input_size, embed_dim : int
        Edge of a cell of the feature map and of the input picture (pixels), and length of a token.
    interpolation : {"bilinear", "bicubic"}
        How a crop is brought to `input_size`.
    antialias : bool
        Whether the crop is prefiltered where it shrinks.
    has_cls : bool
        Whether `Tokens.cls` is there.
    weight_hash : str
        SHA-256 (hex) of the weights in fp32; empty for models without weights.
    device, precision : str
        Where and in which number format it runs.
    is_light : bool
        Whether a picture is so little work for a CPU that one thread is best. It depends on the model alone, so that a
        resumed run computes the same bits.
    """

    name: str
    patch_size: int
    input_size: int
    embed_dim: int
    interpolation: Literal["bilinear", "bicubic"]
    antialias: bool
    has_cls: bool
    weight_hash: str
    device: str
    precision: Precision
    is_light: bool

    def encode(self, images: Any) -> Tokens:
        """Encode pictures.

        Parameters
        ----------
        images : torch.Tensor
            (B, S, S, 3) uint8 RGB or, where a GPU warped them, (B, 3, S, S) float32 in 0..255; S a multiple of
            `patch_size`.

        Returns
        -------
        Tokens
            On the encoder's device, in its precision.
        """
        ...
