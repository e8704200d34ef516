"""The GPU's warp, run on the CPU, against OpenCV's."""

import cv2
import numpy as np
import pytest
import torch

from castle_core.latents.device_warp import render_batch, warp_batch
from castle_core.latents.frames import Prepared, View, prepare, source_affine
from castle_core.preprocess import NO_MASK, Poses, Preprocess
from castle_core.rendering import warp_frame


def picture(seed=0, size=(120, 160)):
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 2.5)


@pytest.mark.parametrize("degrees", [0, 33, 90, 200])
def test_both_warps_agree_within_two_grey_levels(degrees):
    turn = np.radians(degrees)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) * 1.3
    affine = np.column_stack([rotation, np.array([50.3, 41.7]) - rotation @ np.array([80.2, 60.4])])
    expected = warp_frame(picture(), affine, 100, 90)
    frames = torch.from_numpy(picture()[None])
    warped = warp_batch(frames, affine[None], 100, 90)[0].permute(1, 2, 0).numpy()
    black = (expected == 0).all(axis=2) != (warped == 0).all(axis=2)
    assert black.mean() < 0.01  # a pixel of the border may fall on either side
    assert np.abs(warped - expected)[~black].max() <= 2


class OnDevice:
    """An encoder's description whose device is not "cpu", though the tensors are."""

    patch_size, interpolation, antialias, device = 8, "bilinear", True, "cpu:0"

    def __init__(self, input_size):
        self.input_size = input_size


@pytest.mark.parametrize(
    ("preprocess", "input_size"),
    [
        (Preprocess(), 64),
        (Preprocess(letterbox=True), 64),
        (Preprocess(remove_background="all"), 64),
        (Preprocess(center_roi=1, crop_width=64, crop_height=64, tail_roi=2), 64),
        (Preprocess(center_roi=1, crop_width=48, crop_height=48, tail_roi=2), 96),
    ],
)
def test_the_models_input_is_the_same(preprocess, input_size):
    mask = np.zeros((120, 160), np.uint8)
    mask[40:80, 60:110] = 1
    poses = Poses(np.array([[80.0, 60.0]]), np.array([37.0]), np.zeros(1, np.uint8))
    poses = poses if preprocess.center_roi else None
    view = View(preprocess, (None,), (0,))
    there = OnDevice(input_size)
    prepared = prepare(picture(), mask, 0, view, poses, there)
    assert prepared.images == []
    got = render_batch([Prepared(1, NO_MASK, [], [], None), prepared], view, there, 0, 0, 3)
    assert not got[0].any()
    assert not got[2].any()
    here = OnDevice(input_size)
    here.device = "cpu"
    expected = prepare(picture(), mask, 0, view, poses, here)
    np.testing.assert_array_equal(prepared.masks[0], expected.masks[0])
    np.testing.assert_allclose(prepared.affine, expected.affine)
    difference = np.abs(got[1].permute(1, 2, 0).numpy() - expected.images[0])
    # Beside hard edges of removed backgrounds the order of blackening and scaling shows.
    assert np.quantile(difference, 0.97) <= 2
    if preprocess.remove_background is None:
        assert difference.max() <= 4
    assert source_affine(preprocess, poses, 0).shape == (2, 3)


@pytest.mark.needs_cuda
def test_an_extraction_on_a_gpu_points_the_same_way(project, stem):
    from castle_core.encoders import load_encoder
    from castle_core.latents import ExtractConfig, read_latents
    from castle_core.latents.extraction import extract_video

    rows = {}
    for device in ("cpu", "cuda"):
        encoder = load_encoder(str(project.path / "encoders" / "tiny-dinov2"), device=device, input_size=56)
        extract_video(project, stem, ExtractConfig(encoder="tiny"), encoder, skip_existing=False)
        path = project.path / "latent" / encoder.name / f"{stem}_ROI_1_{encoder.name}.npz"
        rows[device] = np.array(read_latents(path).latent)
    good = ~np.isnan(rows["cpu"]).any(axis=1)
    a, b = rows["cpu"][good], rows["cuda"][good]
    cosine = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert cosine.min() > 0.999
