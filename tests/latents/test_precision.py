"""Half precision stays close to fp32, on a model of real depth with random weights."""

import numpy as np
import pytest
import torch

from castle_core.encoders.transformer import TransformerEncoder
from castle_core.latents.batching import BatchLimit, choose_batch_size, encode
from castle_core.pooling import cell_weights, pool_weighted


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    return torch.from_numpy(np.kron(coarse, np.ones((1, 14, 14, 1), np.uint8)))


def model():
    from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    torch.manual_seed(0)
    config = Dinov2WithRegistersConfig(
        hidden_size=192, num_hidden_layers=12, num_attention_heads=3, image_size=112, patch_size=14
    )
    return Dinov2WithRegistersModel(config)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_latents_agree_with_fp32(pictures, precision):
    mask = np.zeros((112, 112), np.uint8)
    mask[20:80, 30:70] = 1
    weights = torch.from_numpy(np.stack([cell_weights(mask, 1, 14)] * 2)[:, None])
    rows = []
    for chosen in ("fp32", precision):
        tokens = TransformerEncoder(model(), name="m", input_size=112, precision=chosen).encode(pictures)
        rows.append(pool_weighted(tokens.patch_tokens, weights)[:, 0])
    assert rows[1].dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(*rows).min() >= 0.999


class Small:
    """An encoder that holds three pictures at most."""

    name, input_size, device = "small", 8, "cpu"

    def __init__(self):
        self.sizes = []

    def encode(self, images):
        from castle_core.encoders.base import Tokens

        self.sizes.append(len(images))
        if len(images) > 3:
            raise torch.OutOfMemoryError("too much")
        return Tokens(None, images)


def test_what_fitted_is_remembered():
    small, limit = Small(), BatchLimit()
    for _ in range(2):
        assert encode(small, torch.zeros(8, 2), limit).patch_tokens.shape == (8, 2)
    assert small.sizes == [8, 4, 2, 2, 2, 2, 2, 2, 2, 2]
    assert choose_batch_size(small, None) == 32
    assert choose_batch_size(small, 5) == 5
