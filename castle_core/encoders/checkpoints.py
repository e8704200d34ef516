"""Turn Meta's and CASTLE's own ``.pth`` checkpoints into transformers models.

The checkpoints name their tensors after the original DINOv2 and DINOv3 code. Everything that a model needs to know
(width, depth, patch size, registers) is read from the shapes; the number of heads is width / 64, as in every published
size of both families.
"""

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from castle_core.errors import EncoderError

_HEAD_WIDTH = 64
# Buffers that follow from the configuration, or serve only training.
_IGNORED_ENDINGS = ("rope_embed.periods", "qkv.bias_mask")


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a ``.pth`` file of tensors, never executing code from it.

    Parameters
    ----------
    path : Path
        A file written by ``torch.save`` that holds a state dict, or a dict with one under ``model``, ``teacher`` or
        ``state_dict``.

    Returns
    -------
    dict of str to torch.Tensor
        Tensors by their original names, without ``module.`` or ``backbone.`` in front.

    Raises
    ------
    EncoderError
        If the file is missing, truncated, holds anything but tensors (a pickle that runs code is refused, not run),
        or no tensors at all.
    """
    import torch

    if not path.is_file():
        raise EncoderError(f"There is no weight file {path}. Copy it there, or choose another model.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = "is damaged or not a weight file (was the download cut off?)"
        if "weights_only" in str(error) or "Unsupported" in str(error):
            reason = "holds more than tensors, which could run code; it was refused"
        raise EncoderError(f"{path.name} {reason}. Download it again from its publisher.") from error
    for key in ("teacher", "model", "state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    tensors = (
        {_strip(name): value for name, value in dict(content).items() if isinstance(value, torch.Tensor)}
        if isinstance(content, Mapping)
        else {}
    )
    if not tensors:
        raise EncoderError(f"{path.name} holds no tensors. It is not a model's weights; download the right file.")
    return tensors


def _strip(name: str) -> str:
    for prefix in ("module.", "backbone."):
        name = name.removeprefix(prefix)
    return name


def model_from_checkpoint(path: Path) -> Any:
    """Build a transformers backbone from a DINOv2 or DINOv3 ViT checkpoint.

    Parameters
    ----------
    path : Path
        The ``.pth`` file.

    Returns
    -------
    transformers.PreTrainedModel
        ``Dinov2Model``, ``Dinov2WithRegistersModel`` or ``DINOv3ViTModel`` in fp32 and evaluation mode.

    Raises
    ------
    EncoderError
        If the file cannot be read, is of another architecture, or lacks tensors.
    """
    tensors = read_checkpoint(path)
    if "patch_embed.proj.weight" not in tensors or "blocks.0.attn.qkv.weight" not in tensors:
        raise EncoderError(
            f"{path.name} is not a DINOv2 or DINOv3 vision transformer (no patch embedding or attention blocks in it). "
            "Choose the backbone's weight file."
        )
    try:
        model = _dinov2(tensors) if "pos_embed" in tensors else _dinov3(tensors)
    except (KeyError, RuntimeError, ValueError) as error:
        detail = str(error).splitlines()[0]
        raise EncoderError(
            f"{path.name} does not fit the architecture that its tensors announce ({detail}). "
            "It may be incomplete or a fine-tuned variant; download the published backbone."
        ) from error
    return model.eval()


def _depth(tensors: Mapping[str, Any]) -> int:
    return 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("blocks."))


def _load(model: Any, state: dict[str, Any]) -> Any:
    result = model.load_state_dict(state, strict=False)
    missing = [name for name in result.missing_keys if not name.endswith("mask_token")]
    if missing or result.unexpected_keys:
        raise KeyError(f"missing {missing[:3]}, unexpected {list(result.unexpected_keys)[:3]}")
    return model


def _attention(tensors: Mapping[str, Any], block: str, target: str, *, key_bias: bool) -> dict[str, Any]:
    """Split the joint projection of queries, keys and values."""
    state = {}
    weights = tensors[f"{block}.attn.qkv.weight"].chunk(3)
    for letter, weight in zip("qkv", weights, strict=True):
        state[f"{target}.attention.{letter}_proj.weight"] = weight
    if f"{block}.attn.qkv.bias" in tensors:
        bias = tensors[f"{block}.attn.qkv.bias"].nan_to_num()
        for letter, part in zip("qkv", bias.chunk(3), strict=True):
            if letter != "k" or key_bias:
                state[f"{target}.attention.{letter}_proj.bias"] = part
    for kind in ("weight", "bias"):
        state[f"{target}.attention.o_proj.{kind}"] = tensors[f"{block}.attn.proj.{kind}"]
    return state


def _block(tensors: Mapping[str, Any], block: str, target: str, mlp: Mapping[str, str]) -> dict[str, Any]:
    """Rename norms, layer scales and the feed-forward part of one block."""
    state = {}
    for kind in ("weight", "bias"):
        for norm in ("norm1", "norm2"):
            state[f"{target}.{norm}.{kind}"] = tensors[f"{block}.{norm}.{kind}"]
        for ours, theirs in mlp.items():
            state[f"{target}.mlp.{ours}.{kind}"] = tensors[f"{block}.mlp.{theirs}.{kind}"]
    for number in (1, 2):
        state[f"{target}.layer_scale{number}.lambda1"] = tensors[f"{block}.ls{number}.gamma"]
    return state


def _dinov2(tensors: Mapping[str, Any]) -> Any:
    from transformers import Dinov2Config, Dinov2Model, Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    width, _, patch_size, _ = tensors["patch_embed.proj.weight"].shape
    side = math.isqrt(tensors["pos_embed"].shape[1] - 1)
    settings = {
        "hidden_size": width,
        "num_hidden_layers": _depth(tensors),
        "num_attention_heads": width // _HEAD_WIDTH,
        "mlp_ratio": tensors["blocks.0.mlp.fc1.weight"].shape[0] // width
        if "blocks.0.mlp.fc1.weight" in tensors
        else 4,
        "use_swiglu_ffn": "blocks.0.mlp.w12.weight" in tensors,
        "image_size": side * patch_size,
        "patch_size": patch_size,
    }
    state = {
        "embeddings.cls_token": tensors["cls_token"],
        "embeddings.mask_token": tensors["mask_token"],
        "embeddings.position_embeddings": tensors["pos_embed"],
        "embeddings.patch_embeddings.projection.weight": tensors["patch_embed.proj.weight"],
        "embeddings.patch_embeddings.projection.bias": tensors["patch_embed.proj.bias"],
        "layernorm.weight": tensors["norm.weight"],
        "layernorm.bias": tensors["norm.bias"],
    }
    mlp = {"fc1": "fc1", "fc2": "fc2"}
    if settings["use_swiglu_ffn"]:
        mlp = {"weights_in": "w12", "weights_out": "w3"}
    for index in range(_depth(tensors)):
        block, target = f"blocks.{index}", f"encoder.layer.{index}"
        state |= _attention(tensors, block, target, key_bias=True) | _block(tensors, block, target, mlp)
    if "register_tokens" not in tensors:
        return _load(Dinov2Model(Dinov2Config(**settings)), state)
    registers = tensors["register_tokens"]
    state["embeddings.register_tokens"] = registers
    config = Dinov2WithRegistersConfig(**settings, num_register_tokens=registers.shape[1])
    return _load(Dinov2WithRegistersModel(config), state)


def _dinov3(tensors: Mapping[str, Any]) -> Any:
    from transformers import DINOv3ViTConfig, DINOv3ViTModel

    width, _, patch_size, _ = tensors["patch_embed.proj.weight"].shape
    gated = "blocks.0.mlp.w1.weight" in tensors
    feed_forward = tensors["blocks.0.mlp.w1.weight" if gated else "blocks.0.mlp.fc1.weight"].shape[0]
    storage = tensors["storage_tokens"]
    config = DINOv3ViTConfig(
        hidden_size=width,
        intermediate_size=feed_forward,
        num_hidden_layers=_depth(tensors),
        num_attention_heads=width // _HEAD_WIDTH,
        num_register_tokens=storage.shape[1],
        patch_size=patch_size,
        image_size=224,
        use_gated_mlp=gated,
        hidden_act="silu" if gated else "gelu",
        query_bias="blocks.0.attn.qkv.bias" in tensors,
        value_bias="blocks.0.attn.qkv.bias" in tensors,
        key_bias=False,
    )
    state = {
        "embeddings.cls_token": tensors["cls_token"],
        "embeddings.mask_token": tensors["mask_token"].reshape(1, 1, width),
        "embeddings.register_tokens": storage,
        "embeddings.patch_embeddings.weight": tensors["patch_embed.proj.weight"],
        "embeddings.patch_embeddings.bias": tensors["patch_embed.proj.bias"],
        "norm.weight": tensors["norm.weight"],
        "norm.bias": tensors["norm.bias"],
    }
    mlp = {"up_proj": "fc1", "down_proj": "fc2"}
    if gated:
        mlp = {"gate_proj": "w1", "up_proj": "w2", "down_proj": "w3"}
    for index in range(_depth(tensors)):
        block, target = f"blocks.{index}", f"model.layer.{index}"
        state |= _attention(tensors, block, target, key_bias=False) | _block(tensors, block, target, mlp)
    return _load(DINOv3ViTModel(config), state)


def hash_tensors(state: Mapping[str, Any]) -> str:
    """Return the SHA-256 (hex) over names, shapes and fp32 bytes of a state dict, in the order of the names."""
    import torch

    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().to("cpu", torch.float32).contiguous()
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
