"""Whole extractions on the demo: rows, status, resume, skip, trash, and one pass for many outputs."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from extractions import CONFIG, N_FRAMES, NO_MASK_FRAMES, NO_ROI_2_FRAMES, expected_status, latent_of, write_points

from castle_core.encoders import load_encoder
from castle_core.encoders.base import Tokens
from castle_core.errors import ConfigError, EncoderError, RoiError
from castle_core.latents import ExtractConfig
from castle_core.latents.extraction import extract_video
from castle_core.latents.preflight import preflight
from castle_core.pooling import cell_weights, pool_weighted
from castle_core.preprocess import (
    NO_MASK,
    NOT_REQUESTED,
    OK,
    POINT_MISSING,
    POINT_OUTSIDE,
    ROI_ABSENT,
    Preprocess,
    apply_affine,
    crop_affine,
    crop_size,
    measure_pose,
    resize_affine,
)
from castle_core.ranges import parse_bound
from castle_core.rendering import render_input


def test_a_row_a_frame_and_nan_exactly_where_status_says_so(project, stem, tiny):
    done = extract_video(project, stem, CONFIG, tiny)
    for roi_id in (1, 2):
        latents = latent_of(done, roi=roi_id)
        np.testing.assert_array_equal(latents.status, expected_status(roi_id))
        assert latents.latent.shape == (N_FRAMES, tiny.embed_dim)
        np.testing.assert_array_equal(np.isnan(latents.latent).all(axis=1), latents.status != OK)
        np.testing.assert_array_equal(np.isnan(latents.latent).any(axis=1), latents.status != OK)
        assert latents.metadata["status_counts"]["1"] == 2
    registry = json.loads((project.path / "config.json").read_text())
    assert registry["latent"][f"{stem}_ROI_2_tiny-dinov2.npz"] == project.videos()[0].name
    assert not list(project.cache_dir.glob("shards/*/*"))


def test_every_pooling_of_one_pass_equals_its_own_pass(project, stem, tiny):
    together = replace(CONFIG, poolings=("roi-mean", "cls", "global", "none"))
    done = extract_video(project, stem, together, tiny)
    assert len(done.written) == 8
    for pooling in ("roi-mean", "cls", "global"):
        alone = replace(CONFIG, poolings=(pooling,), roi_ids=(2,))
        again = extract_video(project, stem, alone, tiny, skip_existing=False)
        np.testing.assert_array_equal(latent_of(again, roi=2).latent, latent_of(done, roi=2, pooling=pooling).latent)
    path = project.path / "latent" / tiny.name / f"{stem}_ROI_1_tiny-dinov2_map.h5"
    with h5py.File(path) as file:
        assert file["latent"].shape == (N_FRAMES, tiny.embed_dim, 4, 4)
        assert file["latent"].dtype == np.float16
        mean = file["latent"][0].astype(np.float32).mean(axis=(1, 2))
        assert np.isnan(file["latent"][7]).all()
    np.testing.assert_allclose(mean, latent_of(done, roi=1, pooling="global").latent[0], atol=2e-3)


class MeanColour:
    """An encoder whose tokens are the mean colours of its cells: results can be worked out by hand."""

    name, patch_size, embed_dim, interpolation, antialias = "colour", 8, 3, "bilinear", True
    has_cls, weight_hash, device, precision, is_light = False, "", "cpu", "fp32", True

    def __init__(self, input_size=64):
        self.input_size = input_size
        self.passes = 0

    def encode(self, images):
        self.passes += 1
        side = self.input_size // 8
        cells = images.float().reshape(len(images), side, 8, side, 8, 3).mean(dim=(2, 4))
        return Tokens(None, cells)


def test_many_rois_cost_one_pass(project, stem):
    one, many = MeanColour(), MeanColour()
    extract_video(project, stem, replace(CONFIG, roi_ids=(1,)), one)
    extract_video(project, stem, replace(CONFIG, roi_ids=(1, 2, 3)), many, skip_existing=False)
    assert many.passes == one.passes


class Coordinates(MeanColour):
    """An encoder whose map is the coordinate itself: every cell says where its centre is in the input (pixels)."""

    name, embed_dim = "coordinates", 2

    def encode(self, images):
        centres = torch.arange(self.input_size // 8) * 8 + 3.5
        y, x = torch.meshgrid(centres, centres, indexing="ij")
        return Tokens(None, torch.stack([x, y], dim=-1).expand(len(images), -1, -1, -1))


@pytest.mark.parametrize(
    "preprocess",
    [
        Preprocess(),
        Preprocess(letterbox=True),
        Preprocess(center_roi=1, crop_width=80, crop_height=60),
        Preprocess(center_roi=1, crop_width=81, crop_height=81, tail_roi=2, tail_point="centroid"),
    ],
)
def test_points_are_read_where_they_are(project, stem, preprocess):
    rng = np.random.default_rng(0)
    path = project.path / "track" / project.videos()[0].name / "mask_list.h5"
    rows, expected = [], {}
    with h5py.File(path) as file:
        for frame_index in range(N_FRAMES):
            if frame_index in (*NO_MASK_FRAMES, *NO_ROI_2_FRAMES, 30, 31):
                continue
            mask = file[str(frame_index)][()]
            point = np.array(largest_center(mask)) + rng.uniform(-8, 8, 2)
            rows.append((frame_index, *point))
            affine = np.eye(2, 3)
            if preprocess.center_roi:
                x, y, angle, _ = measure_pose(mask, preprocess)
                affine = crop_affine(preprocess, np.array([x, y]), angle)
            width, height = crop_size(preprocess, 160, 120)
            resize = resize_affine(width, height, 64, letterbox=preprocess.letterbox)
            expected[frame_index] = apply_affine(resize, apply_affine(affine, point))
    write_points(project, "body", stem, [*rows, (31, -40.0, 5.0)])
    config = replace(CONFIG, roi_ids=(1,), poolings=("point",), points=("body",), preprocess=preprocess)
    latents = latent_of(extract_video(project, stem, config, Coordinates()), pooling="point")
    assert latents.status[30] == POINT_MISSING
    assert latents.status[31] == POINT_OUTSIDE
    inside = {f: p for f, p in expected.items() if ((p > 4) & (p < 59)).all()}
    assert len(inside) > 40
    for frame_index, point in inside.items():
        assert np.abs(latents.latent[frame_index] - point).max() < 0.05 * 8


def largest_center(mask):
    ys, xs = np.nonzero(mask == 1)
    return xs.mean(), ys.mean()


def test_nearest_and_bilinear_differ_and_are_not_confused(project, stem, tiny):
    write_points(project, "p", stem, [(f, 40.3, 50.7) for f in range(N_FRAMES)])
    config = replace(CONFIG, roi_ids=(1,), poolings=("point",), points=("p",))
    smooth = np.array(latent_of(extract_video(project, stem, config, tiny), pooling="point").latent)
    again = extract_video(project, stem, replace(config, interpolation="nearest"), tiny)
    assert not np.allclose(latent_of(again, pooling="point").latent[0], smooth[0])


def test_ranges_and_every_leave_the_other_rows_not_requested(project, stem, tiny):
    config = replace(CONFIG, roi_ids=(1,), start=parse_bound("10f"), stop=parse_bound("50f"), every=4)
    latents = latent_of(extract_video(project, stem, config, tiny), roi=1)
    wanted = np.zeros(N_FRAMES, bool)
    wanted[10:50:4] = True
    np.testing.assert_array_equal(latents.status == NOT_REQUESTED, ~wanted)
    whole = latent_of(extract_video(project, stem, replace(CONFIG, roi_ids=(1,)), tiny), roi=1)
    np.testing.assert_allclose(latents.latent[wanted], whole.latent[wanted], atol=1e-5)


def test_rotation_latent_is_the_mean_of_its_stack_and_hardly_turns(project, stem, tiny):
    config = replace(CONFIG, roi_ids=(1,), preprocess=Preprocess(center_roi=1, crop_width=80, crop_height=80))
    stack = latent_of(extract_video(project, stem, config.with_rotation(7, stack=True), tiny), roi=1)
    assert stack.latent.shape == (N_FRAMES, 7, tiny.embed_dim)
    stacked = np.array(stack.latent)
    mean = latent_of(extract_video(project, stem, config.with_rotation(7), tiny), roi=1)
    np.testing.assert_allclose(mean.latent, stacked.mean(axis=1), rtol=1e-4, atol=1e-5)
    plain = latent_of(extract_video(project, stem, config, tiny), roi=1)
    np.testing.assert_allclose(stacked[:, 0], plain.latent, atol=1e-5)


def test_the_whole_frame_needs_no_masks(project, stem, tiny):
    for path in (project.path / "track").glob("*/*"):
        path.unlink()
    latents = latent_of(extract_video(project, stem, replace(CONFIG, roi_ids=(0,)), tiny), roi=0)
    assert not latents.status.any()
    with pytest.raises(RoiError, match="no tracked ROIs"):
        extract_video(project, stem, CONFIG, tiny)


def test_masks_of_another_video_are_refused(project, stem, tiny):
    path = project.path / "track" / project.videos()[0].name / "mask_list.h5"
    path.unlink()
    with h5py.File(path, "w") as file:
        file["0"] = np.zeros((5, 6), np.uint8)
    with pytest.raises(RoiError, match="belong to another video"):
        extract_video(project, stem, CONFIG, tiny)
    assert preflight(project, [stem], CONFIG, tiny)[0].verdict == "problem"


def declare_nine_rois(project):
    """Let the masks say that they hold nine ROIs, of which three are on some frame."""
    masks = project.path / "track" / project.videos()[0].name / "mask_list.h5"
    with h5py.File(masks, "r+") as file:
        for name in ("roi_count", "n_rois"):
            if name in file:
                file[name][()] = 9


def test_a_roi_that_was_never_tracked_is_refused(project, stem, tiny):
    with pytest.raises(RoiError, match="ROI 9 is on no frame"):
        extract_video(project, stem, replace(CONFIG, roi_ids=(9,)), tiny)
    for preprocess in (Preprocess(center_roi=9), Preprocess(center_roi=1, tail_roi=9)):
        (row,) = preflight(project, [stem], replace(CONFIG, preprocess=preprocess), tiny)
        assert (row.verdict, row.cause) == ("problem", "masks")
        assert "turn off what needs it" in row.message


def test_a_roi_that_never_appears_gives_nan_rows_and_a_warning(project, stem, tiny):
    declare_nine_rois(project)
    config = replace(CONFIG, roi_ids=(9,))
    assert "ROI 9 in 0 %" in preflight(project, [stem], config, tiny)[0].message
    latents = latent_of(extract_video(project, stem, config, tiny), roi=9)
    assert set(latents.status.tolist()) == {NO_MASK, ROI_ABSENT}
    assert np.isnan(latents.latent).all()


def test_a_crop_around_or_turned_by_a_roi_that_is_not_there_is_a_problem(project, stem, tiny):
    declare_nine_rois(project)
    for preprocess, words in (
        (Preprocess(center_roi=9), "Turn Center ROI off"),
        (Preprocess(center_roi=1, tail_roi=9), "Turn Rotate based on Tail off"),
    ):
        (row,) = preflight(project, [stem], replace(CONFIG, preprocess=preprocess), tiny)
        assert (row.verdict, row.cause) == ("problem", "masks")
        assert "ROI 9 is on none of the frames" in row.message
        assert words in row.message


@pytest.mark.parametrize("crop", [(41, 33), (601, 501)])
def test_odd_and_huge_crops_at_the_border(project, stem, crop):
    masks = project.path / "track" / project.videos()[0].name / "mask_list.h5"
    corner = np.zeros((120, 160), np.uint8)
    corner[:9, :14], corner[-5:, -6:] = 1, 2
    with h5py.File(masks, "r+") as file:
        for frame_index, mask in ((0, np.zeros_like(corner)), (1, corner)):
            del file[str(frame_index)]
            file[str(frame_index)] = mask
    preprocess = Preprocess(center_roi=1, crop_width=crop[0], crop_height=crop[1])
    config = replace(CONFIG, roi_ids=(1,), preprocess=preprocess, stop=parse_bound("2f"))
    encoder = MeanColour()
    latents = latent_of(extract_video(project, stem, config, encoder), roi=1)
    assert latents.status[:2].tolist() == [ROI_ABSENT, OK]
    affine = crop_affine(preprocess, np.array([6.5, 4.0]), 0.0)  # the middle of the 14 x 9 rectangle
    with project.open_video(stem) as video:
        seen = render_input(video.frame_at(1), corner, preprocess, affine, encoder.input_size)
    tokens = encoder.encode(torch.from_numpy(seen.image[None])).patch_tokens
    weights = torch.from_numpy(cell_weights(seen.mask, 1, encoder.patch_size)[None, None])
    np.testing.assert_allclose(latents.latent[1], pool_weighted(tokens, weights)[0, 0].numpy(), rtol=1e-5)
    inside = seen.image[seen.mask == 1]
    assert inside.any(axis=1).all()  # the ROI lies on the picture, not on the black beside it


def test_hog_needs_no_weights(project, stem):
    hog = load_encoder("hog")
    latents = latent_of(extract_video(project, stem, replace(CONFIG, roi_ids=(1,)), hog), roi=1)
    assert latents.latent.shape == (N_FRAMES, 9)
    with pytest.raises(EncoderError, match="no CLS token"):
        extract_video(project, stem, replace(CONFIG, poolings=("cls",)), hog)


def test_remove_background_of_others_sees_only_its_own_roi(project, stem):
    config = replace(CONFIG, roi_ids=(1, 2), poolings=("global",), preprocess=Preprocess(remove_background="roi"))
    done = extract_video(project, stem, config, MeanColour())
    one, two = latent_of(done, roi=1).latent[0], latent_of(done, roi=2).latent[0]
    assert not np.allclose(one, two)
    assert one.max() < 60


def test_out_of_memory_halves_the_batch(project, stem, tiny, monkeypatch):
    sizes = []
    encode = type(tiny).encode

    def tight(self, images):
        if len(images) > 3:
            raise torch.OutOfMemoryError("too much")
        sizes.append(len(images))
        return encode(self, images)

    expected = np.array(latent_of(extract_video(project, stem, replace(CONFIG, roi_ids=(1,)), tiny), roi=1).latent)
    monkeypatch.setattr(type(tiny), "encode", tight)
    done = extract_video(project, stem, replace(CONFIG, roi_ids=(1,)), tiny, skip_existing=False)
    assert max(sizes) <= 3
    np.testing.assert_allclose(latent_of(done, roi=1).latent, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"roi_ids": ()}, "at least one"),
        ({"roi_ids": (256,)}, "1 to 255"),
        ({"roi_ids": (-1,)}, "1 to 255"),
        ({"roi_ids": (1, 1)}, "twice"),
        ({"batch_size": 0}, "batch size"),
        ({"every": 0}, "Every"),
        ({"poolings": ("point",)}, "Point Key"),
        ({"poolings": ("median",)}, "median"),
        ({"angles": 99}, "angles"),
        ({"roi_ids": (0,), "preprocess": Preprocess(remove_background="roi")}, "no background"),
    ],
)
def test_impossible_settings_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        ExtractConfig(encoder="hog", **wrong)
