"""Geometry: where things land, what is black, and that ids never mix."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from castle_core.errors import ConfigError
from castle_core.preprocess import (
    NO_MASK,
    OK,
    ROI_ABSENT,
    TAIL_ABSENT,
    Preprocess,
    apply_affine,
    compose,
    crop_affine,
    measure_pose,
    measure_poses,
    resize_affine,
    tail_reference,
    turned,
)
from castle_core.rendering import render_crop, render_input, source_box, warp_frame, warp_mask
from castle_core.rois import largest_component


def animal(heading_deg, *, center=(160.0, 120.0), size=(240, 320), scale=1):
    """Draw a body (ROI 1) whose tail (ROI 2) points to `heading_deg`; exact geometry in, uint8 ids out."""
    mask = np.zeros(size, np.uint8)
    direction = np.array([np.cos(np.radians(heading_deg)), np.sin(np.radians(heading_deg))])
    x, y = center
    tail_end = np.array([x, y]) + 70 * scale * direction
    cv2.line(mask, (round(x), round(y)), tuple(np.round(tail_end).astype(int).tolist()), 2, 3)
    cv2.ellipse(mask, (round(x), round(y)), (28 * scale, 16 * scale), heading_deg, 0, 360, 1, -1)
    return mask


@pytest.mark.parametrize("kind", ["nearest", "centroid"])
@pytest.mark.parametrize("heading", range(0, 360, 15))
def test_the_tail_comes_to_point_straight_down(heading, kind):
    settings_ = Preprocess(center_roi=1, crop_width=200, crop_height=180, tail_roi=2, tail_point=kind)
    mask = animal(heading, center=(320.0, 240.0), size=(480, 640), scale=2)
    x, y, angle, status = measure_pose(mask, settings_)
    assert status == OK
    affine = crop_affine(settings_, np.array([x, y]), angle)
    reference = np.array(tail_reference(largest_component(mask, 2), (x, y), kind))
    center = apply_affine(affine, np.array([x, y]))
    np.testing.assert_allclose(center, [100, 90], atol=1e-9)
    dx, dy = apply_affine(affine, reference) - center
    assert dy > 0
    assert abs(np.degrees(np.arctan2(dx, dy))) < 0.1
    error = (angle - heading + 180) % 360 - 180
    assert abs(error) < (1.0 if kind == "centroid" else 3.0)


def test_the_crop_keeps_the_centroid_in_the_middle():
    settings_ = Preprocess(center_roi=1, crop_width=120, crop_height=100)
    mask = animal(33, center=(151.0, 117.0))
    x, y, angle, _ = measure_pose(mask, settings_)
    crop = warp_mask(mask, crop_affine(settings_, np.array([x, y]), angle), 120, 100)
    ys, xs = np.nonzero(crop == 1)
    assert abs(xs.mean() - 60) < 0.5
    assert abs(ys.mean() - 50) < 0.5


def test_status_says_what_is_missing():
    settings_ = Preprocess(center_roi=1, tail_roi=2)
    only_body = np.where(animal(10) == 1, 1, 0).astype(np.uint8)
    assert measure_pose(None, settings_)[3] == NO_MASK
    assert measure_pose(np.zeros((5, 5), np.uint8), settings_)[3] == ROI_ABSENT
    assert measure_pose(only_body, settings_)[3] == TAIL_ABSENT


@settings(max_examples=40, deadline=None)
@given(angle=st.floats(-180, 180), x=st.floats(-20, 120), y=st.floats(-20, 90), seed=st.integers(0, 99))
def test_masks_never_gain_ids(angle, x, y, seed):
    mask = (np.random.default_rng(seed).integers(0, 3, (80, 100)) * 100).astype(np.uint8)
    settings_ = Preprocess(center_roi=1, crop_width=64, crop_height=64, tail_roi=2)
    affine = crop_affine(settings_, np.array([x, y]), angle)
    assert set(np.unique(warp_mask(mask, affine, 64, 64))) <= {0, 100, 200}


def test_a_crop_larger_than_the_frame_is_black_outside_and_exact_inside():
    frame = np.random.default_rng(0).integers(30, 256, (40, 60, 3), dtype=np.uint8)
    settings_ = Preprocess(center_roi=1, crop_width=100, crop_height=90)
    affine = crop_affine(settings_, np.array([30.0, 20.0]), 0.0)
    crop, _ = render_crop(frame, np.zeros((40, 60), np.uint8), settings_, affine, background_roi=None)
    assert crop.shape == (90, 100, 3)
    np.testing.assert_array_equal(crop[25:65, 20:80], frame)
    outside = np.ones((90, 100), bool)
    outside[25:65, 20:80] = False
    assert (crop[outside] == 0).all()


def test_the_edge_has_no_dark_fringe():
    frame = np.full((50, 50, 3), 200, np.uint8)
    affine = np.array([[1.0, 0.0, 10.3], [0.0, 1.0, 10.3]])
    result = warp_frame(frame, affine, 70, 70)
    assert set(np.unique(result)) == {0, 200}


def test_model_input_is_the_crop_up_to_the_scale():
    frame = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 256, (120, 160, 3), dtype=np.uint8), (0, 0), 3)
    mask = animal(40, center=(80.0, 60.0), size=(120, 160))
    settings_ = Preprocess(center_roi=1, crop_width=56, crop_height=56, tail_roi=2)
    x, y, angle, _ = measure_pose(mask, settings_)
    affine = crop_affine(settings_, np.array([x, y]), angle)
    crop, ids = render_crop(frame, mask, settings_, affine, background_roi=None)
    same = render_input(frame, mask, settings_, affine, 56)
    np.testing.assert_array_equal(same.image, crop)
    np.testing.assert_array_equal(same.mask, ids)
    larger = render_input(frame, mask, settings_, affine, 112).image
    assert np.abs(cv2.resize(larger, (56, 56), interpolation=cv2.INTER_AREA).astype(int) - crop).max() <= 6


def test_shrinking_is_prefiltered():
    checkers = (np.indices((256, 256)).sum(axis=0) % 2 * 255).astype(np.uint8)
    frame = np.repeat(checkers[..., None], 3, axis=2)
    seen = render_input(frame, np.zeros((256, 256), np.uint8), Preprocess(), np.eye(2, 3), 56)
    assert np.abs(seen.image.astype(int) - 127).max() < 30
    assert seen.affine[0, 0] == pytest.approx(56 / 256)


@pytest.mark.parametrize("shape", [(100, 200), (200, 100), (30, 60)])
def test_letterbox_keeps_the_aspect_ratio(shape):
    frame = np.full((*shape, 3), 255, np.uint8)
    seen = render_input(frame, np.ones(shape, np.uint8), Preprocess(letterbox=True), np.eye(2, 3), 64)
    assert seen.image.any(axis=2).mean() == pytest.approx(0.5, abs=0.05)
    assert (seen.mask != 0).mean() == pytest.approx(0.5, abs=0.05)
    assert not seen.image[0, 0].any()
    corner = apply_affine(seen.affine, np.array([-0.5, -0.5]))
    assert min(corner) == pytest.approx(-0.5)


def test_background_is_removed_for_all_or_one():
    frame = np.full((240, 320, 3), 9, np.uint8)
    mask = animal(0)
    keep_all, _ = render_crop(frame, mask, Preprocess(remove_background="all"), np.eye(2, 3), background_roi=None)
    keep_one, _ = render_crop(frame, mask, Preprocess(remove_background="roi"), np.eye(2, 3), background_roi=2)
    np.testing.assert_array_equal(keep_all[..., 0] != 0, mask != 0)
    np.testing.assert_array_equal(keep_one[..., 0] != 0, mask == 2)


class Masks:
    height, width = 240, 320

    def __init__(self, masks):
        self.masks = masks

    def mask_at(self, frame_index):
        return self.masks[frame_index]


def test_gaps_are_filled_the_shorter_way_round_and_long_ones_stay():
    masks = [animal(170), None, animal(-170), *[np.zeros((240, 320), np.uint8)] * 3, animal(-170)]
    settings_ = Preprocess(center_roi=1, tail_roi=2, tail_point="centroid", fill_gaps=2)
    poses = measure_poses(Masks(masks), settings_, len(masks), average_fps=30)
    assert poses.status.tolist() == [OK, OK, OK, ROI_ABSENT, ROI_ABSENT, ROI_ABSENT, OK]
    assert abs(abs(poses.angle_deg[1]) - 180) < 2
    assert np.isnan(poses.center[4]).all()


def test_smoothing_has_no_delay_and_keeps_nan_apart():
    headings = np.concatenate([np.full(20, 20), np.full(20, 60)])
    masks = [animal(int(h)) for h in headings]
    masks[5] = None
    settings_ = Preprocess(center_roi=1, tail_roi=2, tail_point="centroid", smooth_s=0.1)
    poses = measure_poses(Masks(masks), settings_, 40, average_fps=30)
    assert np.flatnonzero(np.isnan(poses.angle_deg)).tolist() == [5]
    crossing = np.interp(40, poses.angle_deg[15:25], np.arange(15, 25))
    assert abs(crossing - 19.5) < 0.3


def test_a_turn_goes_counter_clockwise_about_the_middle():
    affine = turned(np.eye(2, 3), 90, 101, 101)
    np.testing.assert_allclose(apply_affine(affine, np.array([50.0, 50.0])), [50, 50], atol=1e-9)
    np.testing.assert_allclose(apply_affine(affine, np.array([60.0, 50.0])), [50, 40], atol=1e-9)


def test_resize_and_composition_agree():
    first, second = resize_affine(300, 200, 56, letterbox=False), np.array([[0.0, -1.0, 3.0], [1.0, 0.0, 4.0]])
    points = np.array([[0.0, 0.0], [299.5, 199.5], [np.nan, 1.0]])
    np.testing.assert_allclose(
        apply_affine(compose(second, first), points), apply_affine(second, apply_affine(first, points))
    )
    np.testing.assert_allclose(apply_affine(first, np.array([-0.5, 199.5])), [-0.5, 55.5])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"center_roi": 256}, "1 to 255"),
        ({"center_roi": 0}, "1 to 255"),
        ({"tail_roi": 2}, "Center ROI on"),
        ({"center_roi": 2, "tail_roi": 2}, "two different"),
        ({"center_roi": 1, "crop_width": 0}, "2 to 8192"),
        ({"center_roi": 1, "crop_height": 99999}, "2 to 8192"),
        ({"remove_background": "some"}, "remove_background"),
        ({"fill_gaps": -1}, "negative"),
    ],
)
def test_impossible_settings_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        Preprocess(**wrong)


@settings(max_examples=60, deadline=None)
@given(
    x=st.floats(-40, 360),
    y=st.floats(-40, 280),
    angle=st.floats(-180, 180),
    crop=st.tuples(st.integers(2, 200), st.integers(2, 200)),
    size=st.sampled_from([28, 112]),
    kind=st.sampled_from([("bilinear", True), ("bicubic", False)]),
    letterbox=st.booleans(),
)
def test_a_crop_is_made_from_the_box_around_it_alone(x, y, angle, crop, size, kind, letterbox):
    frame = np.random.default_rng(3).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    settings_ = Preprocess(center_roi=1, tail_roi=2, crop_width=crop[0], crop_height=crop[1], letterbox=letterbox)
    affine = crop_affine(settings_, np.array([x, y]), angle)
    x0, y0, x1, y1 = source_box([affine], settings_, 320, 240)
    assert 0 <= x0 < x1 <= 320
    assert 0 <= y0 < y1 <= 240
    inside = ~frame
    inside[y0:y1, x0:x1] = frame[y0:y1, x0:x1]
    mask = np.zeros((240, 320), np.uint8)
    seen, again = (
        render_input(picture, mask, settings_, affine, size, interpolation=kind[0], antialias=kind[1]).image
        for picture in (frame, inside)
    )
    np.testing.assert_array_equal(seen, again)


def test_the_box_holds_every_turn_and_the_whole_frame_has_none():
    settings_ = Preprocess(center_roi=1, crop_width=100, crop_height=60)
    plain = crop_affine(settings_, np.array([160.0, 120.0]), 0.0)
    turns = [turned(plain, degrees, 100, 60) for degrees in (0, 90)]
    x0, y0, x1, y1 = source_box(turns, settings_, 320, 240)
    assert min(x1 - x0, y1 - y0) >= 100
    assert source_box([np.eye(2, 3)], Preprocess(), 320, 240) is None
