"""The publisher's checkpoints give the publisher's numbers, and bad files are refused in one line."""

import pickle

import numpy as np
import pytest
import torch

from castle_core.encoders.checkpoints import hash_tensors, model_from_checkpoint, read_checkpoint
from castle_core.encoders.transformer import TransformerEncoder
from castle_core.errors import EncoderError
from castle_core.pooling import cell_weights, pool_weighted


@pytest.mark.parametrize(
    ("family", "size"),
    [("dinov2_tiny_reg4", 518), ("dinov2_tiny_reg4", 224), ("dinov3_tiny_16", 592), ("dinov3_tiny_16", 224)],
)
def test_tokens_and_roi_mean_agree_with_the_published_code(shared_data, family, size):
    golden = np.load(shared_data / "parity" / f"{family}.npz")
    model = model_from_checkpoint(shared_data / "parity" / f"{family}.pth")
    encoder = TransformerEncoder(model, name=family, input_size=size)
    tokens = encoder.encode(torch.from_numpy(golden[f"image_{size}"])[None])
    expected = golden[f"patch_tokens_{size}"]
    scale = np.abs(expected).max()
    assert np.abs(tokens.patch_tokens[0].flatten(0, 1).numpy() - expected).max() < 1e-4 * scale
    assert np.abs(tokens.cls[0].numpy() - golden[f"cls_{size}"]).max() < 1e-4 * scale
    roi_id = int(golden[f"mask_{size}"].max())
    weights = cell_weights((golden[f"mask_{size}"] == roi_id).astype(np.uint8), 1, encoder.patch_size)
    mean = pool_weighted(tokens.patch_tokens, torch.from_numpy(weights)[None, None])[0, 0].numpy()
    assert np.abs(mean - golden[f"roi_mean_{size}"]).max() < 1e-4 * np.abs(golden[f"roi_mean_{size}"]).max()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_points_the_same_way(shared_data, precision):
    golden = np.load(shared_data / "parity" / "dinov2_tiny_reg4.npz")
    model = model_from_checkpoint(shared_data / "parity" / "dinov2_tiny_reg4.pth")
    encoder = TransformerEncoder(model, name="tiny", input_size=224, precision=precision)
    tokens = encoder.encode(torch.from_numpy(golden["image_224"])[None]).patch_tokens
    mean, expected = tokens.float().mean(dim=(0, 1, 2)).numpy(), golden["patch_tokens_224"].mean(axis=0)
    assert mean @ expected / np.linalg.norm(mean) / np.linalg.norm(expected) > 0.999


def test_a_pickle_that_runs_code_is_refused_and_not_run(tmp_path):
    target = tmp_path / "ran"

    class Bomb:
        def __reduce__(self):
            return (open, (str(target), "w"))

    path = tmp_path / "model.pth"
    path.write_bytes(pickle.dumps({"model": Bomb()}))
    with pytest.raises(EncoderError, match=r"model\.pth"):
        read_checkpoint(path)
    assert not target.exists()


def test_truncated_missing_and_wrong_files_say_so(tmp_path, shared_data):
    whole = (shared_data / "parity" / "dinov2_tiny_reg4.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    torch.save({"layer.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(EncoderError, match="damaged"):
        model_from_checkpoint(tmp_path / "cut.pth")
    with pytest.raises(EncoderError, match="no weight file"):
        model_from_checkpoint(tmp_path / "absent.pth")
    with pytest.raises(EncoderError, match="not a DINOv2 or DINOv3"):
        model_from_checkpoint(tmp_path / "other.pth")


def test_a_checkpoint_without_a_block_says_what_is_missing(tmp_path, shared_data):
    tensors = read_checkpoint(shared_data / "parity" / "dinov3_tiny_16.pth")
    torch.save({k: v for k, v in tensors.items() if not k.startswith("blocks.1.norm1")}, tmp_path / "hole.pth")
    with pytest.raises(EncoderError, match=r"hole\.pth does not fit"):
        model_from_checkpoint(tmp_path / "hole.pth")


def test_the_hash_sees_values_names_and_shapes():
    one = {"a": torch.zeros(2, 3)}
    assert hash_tensors(one) == hash_tensors({"a": torch.zeros(2, 3, dtype=torch.float16)})
    for other in ({"b": torch.zeros(2, 3)}, {"a": torch.zeros(3, 2)}, {"a": torch.ones(2, 3)}):
        assert hash_tensors(other) != hash_tensors(one)
