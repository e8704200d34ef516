"""Where models are found, what a missing one says, and that any transformers backbone loads."""

import json

import pytest
import torch

from castle_core.encoders import ENCODERS, add_model, encoder_slug, encoder_status, load_encoder
from castle_core.errors import EncoderError


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    folder = tmp_path / "models"
    monkeypatch.setenv("CASTLE_MODELS", str(folder))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return folder


@pytest.fixture
def tiny_folder(tmp_path):
    from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    torch.manual_seed(0)
    config = Dinov2WithRegistersConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=56, patch_size=14, num_register_tokens=2
    )
    folder = tmp_path / "tiny"
    Dinov2WithRegistersModel(config).save_pretrained(folder)
    return folder


def test_a_saved_folder_loads_and_knows_its_sizes(tiny_folder):
    encoder = load_encoder(str(tiny_folder))
    assert (encoder.name, encoder.patch_size, encoder.input_size, encoder.embed_dim) == ("tiny", 14, 56, 32)
    tokens = encoder.encode(torch.zeros((2, 56, 56, 3), dtype=torch.uint8))
    assert tokens.patch_tokens.shape == (2, 4, 4, 32)
    assert tokens.cls.shape == (2, 32)
    assert len(encoder.weight_hash) == 64


def test_a_convolutional_model_gives_a_map():
    from transformers import DINOv3ConvNextConfig, DINOv3ConvNextModel

    from castle_core.encoders.transformer import TransformerEncoder

    model = DINOv3ConvNextModel(DINOv3ConvNextConfig(hidden_sizes=[8, 8, 16, 24], depths=[1, 1, 1, 1]))
    encoder = TransformerEncoder(model, name="conv", input_size=64)
    assert (encoder.patch_size, encoder.embed_dim) == (32, 24)
    assert encoder.encode(torch.zeros((1, 64, 64, 3), dtype=torch.uint8)).patch_tokens.shape == (1, 2, 2, 24)


def test_own_normalisation_is_used(tiny_folder):
    image = torch.full((1, 56, 56, 3), 200, dtype=torch.uint8)
    before = load_encoder(str(tiny_folder)).encode(image).cls
    (tiny_folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0, 0, 0], "image_std": [1, 1, 1]}))
    assert not torch.allclose(load_encoder(str(tiny_folder)).encode(image).cls, before)


def test_missing_models_say_what_to_do():
    assert encoder_status("hog").state == "ready"
    assert encoder_status("dinov2_vitb14_reg4_pretrain").state == "download"
    gated = encoder_status("dinov3_vitb16")
    assert gated.state == "gated"
    assert "HF_TOKEN" in gated.advice
    for name in ("dinov2_vitb14_reg4_pretrain", "dinov3_vitl16", "owner/model", "no such thing"):
        with pytest.raises(EncoderError):
            load_encoder(name)
    with pytest.raises(EncoderError, match="dinov2_vitb14_reg4_pretrain"):
        load_encoder("no such thing")


def test_damaged_folders_say_so(tiny_folder):
    (tiny_folder / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(EncoderError, match="cannot be loaded"):
        load_encoder(str(tiny_folder))
    (tiny_folder / "config.json").unlink()
    with pytest.raises(EncoderError, match=r"config\.json"):
        load_encoder(str(tiny_folder))


def test_a_model_that_was_added_is_found_by_its_name(tiny_folder, models):
    add_model(tiny_folder)
    assert encoder_status("tiny").state == "ready"
    assert load_encoder("tiny").embed_dim == 32
    with pytest.raises(EncoderError, match="exists already"):
        add_model(tiny_folder)
    assert [p.name for p in models.iterdir()] == ["tiny"]


def test_the_publishers_file_is_found_by_its_stem(models, shared_data):
    models.mkdir()
    source = shared_data / "parity" / "dinov3_tiny_16.pth"
    (models / "dinov3_vitb16_pretrain_lvd1689m-73cec8be.pth").write_bytes(source.read_bytes())
    encoder = load_encoder("dinov3_vitb16", input_size=224)
    assert (encoder.name, encoder.interpolation, encoder.antialias) == ("dinov3_vitb16", "bicubic", False)


def test_input_sizes_must_divide_into_patches(tiny_folder):
    with pytest.raises(EncoderError, match="Choose 56 px"):
        load_encoder(str(tiny_folder), input_size=60)


def test_slugs_are_file_names():
    assert encoder_slug("facebook/dinov2-small") == "facebook--dinov2-small"
    assert all(encoder_slug(name) == name for name in ENCODERS)
