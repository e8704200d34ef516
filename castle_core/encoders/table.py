"""The visual models by name: what they are, where their weights come from, and what size of picture they take."""

from dataclasses import dataclass
from typing import Literal

Interpolation = Literal["bilinear", "bicubic"]


@dataclass(frozen=True)
class EncoderInfo:
    """One visual model.

    Attributes
    ----------
    name : str
        The name in file names and on the page.
    hub_id : str
        Repository on the Hugging Face hub; empty where no weights are needed.
    patch_size : int
        Edge of a patch (pixels); the stride of the feature map for convolutional models.
    input_size : int
        Edge of the square picture that the model is fed (pixels), unless asked otherwise.
    embed_dim : int
        Length D of a token.
    n_parameters : int
        Number of weights; four bytes each on disk.
    interpolation : {"bilinear", "bicubic"}
        How the crop is brought to `input_size`, as CASTLE does for the family: DINOv2 bilinear and prefiltered where it
        shrinks, DINOv3 bicubic without a prefilter.
    gated : bool
        Whether the publisher asks for an account and consent before the download.
    checkpoint_stem : str
        Beginning of the name of the publisher's own ``.pth`` file.
    help : str
        One line for the page.
    """

    name: str
    hub_id: str
    patch_size: int
    input_size: int
    embed_dim: int
    n_parameters: int
    interpolation: Interpolation = "bilinear"
    gated: bool = False
    checkpoint_stem: str = ""
    help: str = ""


def _dinov2(name: str, size: str, embed_dim: int, n_parameters: int, text: str) -> EncoderInfo:
    return EncoderInfo(
        name,
        f"facebook/dinov2-with-registers-{size}",
        14,
        518,
        embed_dim,
        n_parameters,
        checkpoint_stem=name,
        help=text,
    )


def _dinov3(name: str, embed_dim: int, n_parameters: int, text: str, *, patch_size: int = 16) -> EncoderInfo:
    return EncoderInfo(
        name,
        f"facebook/{name.replace('_', '-', 1).replace('_', '-')}-pretrain-lvd1689m",
        patch_size,
        592,
        embed_dim,
        n_parameters,
        interpolation="bicubic",
        gated=True,
        checkpoint_stem=f"{name}_pretrain",
        help=text,
    )


_INFOS = (
    _dinov2(
        "dinov2_vitb14_reg4_pretrain", "base", 768, 86_600_000, "Meta's DINOv2 ViT-B/14 with registers, well-tested"
    ),
    _dinov3("dinov3_vitb16", 768, 85_700_000, "newer, potentially better representations"),
    _dinov3("dinov3_vitl16", 1024, 303_100_000, "larger model, higher quality but slower"),
    _dinov2("dinov2_vits14_reg4_pretrain", "small", 384, 22_100_000, "small DINOv2, four times as fast; for CPUs"),
    _dinov2("dinov2_vitl14_reg4_pretrain", "large", 1024, 304_400_000, "large DINOv2, slower"),
    _dinov3("dinov3_vits16", 384, 21_600_000, "small DINOv3, four times as fast; for CPUs"),
    _dinov3("dinov3_convnext_tiny", 768, 27_800_000, "convolutional DINOv3 with a coarse feature map", patch_size=32),
    EncoderInfo("hog", "", 8, 64, 9, 0, help="gradient histograms: no download, quick on any CPU"),
)

ENCODERS: dict[str, EncoderInfo] = {info.name: info for info in _INFOS}
DEFAULT_ENCODER = _INFOS[0].name
