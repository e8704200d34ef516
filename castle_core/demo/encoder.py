"""A tiny visual model with random weights, saved as transformers saves one, so that it loads like any other.

The network is DINOv2's with registers (patches of 14 pixels), only 64 wide and 2 blocks deep. Its files are written
without torch: importing that would take longer than the whole demo project.
"""

from pathlib import Path

import numpy as np

from castle_core.files import atomic_path, atomic_write_json, make_folder

_WIDTH, _BLOCKS, _HEADS, _MLP_RATIO, _REGISTERS, _PATCH, _IMAGE = 64, 2, 2, 2, 4, 14, 518


def write_tiny_encoder(folder: Path, seed: int) -> Path:
    """Write ``config.json``, ``preprocessor_config.json`` and ``model.safetensors``.

    Parameters
    ----------
    folder : Path
        Folder of the model; made when absent.
    seed : int
        Decides about the weights.

    Returns
    -------
    Path
        `folder`, which ``transformers.AutoModel.from_pretrained`` takes.
    """
    from safetensors.numpy import save_file

    make_folder(folder)
    with atomic_path(folder / "model.safetensors") as temporary:
        save_file(_weights(np.random.default_rng([seed, 7])), temporary, metadata={"format": "pt"})
    atomic_write_json(
        folder / "config.json",
        {
            "architectures": ["Dinov2WithRegistersModel"],
            "model_type": "dinov2_with_registers",
            "hidden_size": _WIDTH,
            "num_hidden_layers": _BLOCKS,
            "num_attention_heads": _HEADS,
            "mlp_ratio": _MLP_RATIO,
            "num_register_tokens": _REGISTERS,
            "image_size": _IMAGE,
            "patch_size": _PATCH,
            "num_channels": 3,
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-6,
            "layerscale_value": 1.0,
            "qkv_bias": True,
            "use_swiglu_ffn": False,
            "dtype": "float32",
        },
    )
    atomic_write_json(
        folder / "preprocessor_config.json",
        {
            "image_processor_type": "BitImageProcessor",
            "do_convert_rgb": True,
            "do_resize": True,
            "size": {"height": _IMAGE, "width": _IMAGE},
            "resample": 2,
            "do_center_crop": False,
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": [0.485, 0.456, 0.406],
            "image_std": [0.229, 0.224, 0.225],
        },
    )
    return folder


def _weights(rng: np.random.Generator) -> dict[str, np.ndarray]:
    def normal(*shape: int, spread: float = 0.08) -> np.ndarray:
        return (spread * rng.standard_normal(shape)).astype(np.float32)

    cells = (_IMAGE // _PATCH) ** 2
    weights = {
        "embeddings.cls_token": normal(1, 1, _WIDTH),
        "embeddings.mask_token": np.zeros((1, _WIDTH), np.float32),
        "embeddings.position_embeddings": normal(1, cells + 1, _WIDTH, spread=0.02),
        "embeddings.register_tokens": normal(1, _REGISTERS, _WIDTH),
        "embeddings.patch_embeddings.projection.weight": normal(_WIDTH, 3, _PATCH, _PATCH, spread=0.04),
        "embeddings.patch_embeddings.projection.bias": normal(_WIDTH),
    }
    hidden = _WIDTH * _MLP_RATIO
    for block in range(_BLOCKS):
        start = f"encoder.layer.{block}."
        linear = {
            "attention.attention.query": (_WIDTH, _WIDTH),
            "attention.attention.key": (_WIDTH, _WIDTH),
            "attention.attention.value": (_WIDTH, _WIDTH),
            "attention.output.dense": (_WIDTH, _WIDTH),
            "mlp.fc1": (hidden, _WIDTH),
            "mlp.fc2": (_WIDTH, hidden),
        }
        for name, (out, into) in linear.items():
            weights[f"{start}{name}.weight"] = normal(out, into, spread=into**-0.5)
            weights[f"{start}{name}.bias"] = np.zeros(out, np.float32)
        for norm in ("norm1", "norm2"):
            weights[f"{start}{norm}.weight"] = np.ones(_WIDTH, np.float32)
            weights[f"{start}{norm}.bias"] = np.zeros(_WIDTH, np.float32)
        for gain in ("layer_scale1", "layer_scale2"):
            weights[f"{start}{gain}.lambda1"] = np.ones(_WIDTH, np.float32)
    weights["layernorm.weight"] = np.ones(_WIDTH, np.float32)
    weights["layernorm.bias"] = np.zeros(_WIDTH, np.float32)
    return weights
