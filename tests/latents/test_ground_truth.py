"""Geometry on the demo's own animal: masks whose centres, headings and pictures are known."""

import cv2
import numpy as np
import pytest

from castle_core.demo import make_demo
from castle_core.demo.body import shapes
from castle_core.demo.drawing import Scene
from castle_core.demo.motion import Pose
from castle_core.latents import ExtractConfig
from castle_core.latents.crop_video import extract_crop_video
from castle_core.preprocess import (
    OK,
    Preprocess,
    apply_affine,
    crop_affine,
    measure_pose,
    measure_poses,
    tail_reference,
)
from castle_core.projects import Project
from castle_core.rendering import render_crop, warp_mask
from castle_core.rois import MaskFile, component_centroid, largest_component
from castle_core.video import open_video

WIDTH, HEIGHT, N_FRAMES = 640, 480, 45


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    folder = tmp_path_factory.mktemp("truth") / "demo"
    make_demo(folder, seconds=N_FRAMES / 30, n_videos=1, encoder=False, seed=3)
    return Project.open(folder)


@pytest.fixture(scope="module")
def masks(recording):
    path = recording.path / "track" / recording.videos()[0].name / "mask_list.h5"
    with MaskFile(path) as file:
        return [file.mask_at(i) for i in range(N_FRAMES)]


def outline_centroid(outline):
    moments = cv2.moments(outline.astype(np.float32))
    return np.array([moments["m10"], moments["m01"]]) / moments["m00"]


def straight_sway():
    """Find the phase at which the demo's tail, which always swings a little, lies on the body's axis."""
    ways = np.linspace(-np.pi, 0, 181)
    off = [outline_centroid(shapes(Pose(0, 0, 0.0, sway=s), 1.0).tail) for s in ways]
    return ways[int(np.argmin([abs(np.arctan2(y, -x)) for x, y in off]))]


@pytest.mark.parametrize("degrees", range(0, 360, 10))
def test_the_heading_is_the_true_one_at_every_angle(degrees):
    scene = Scene(WIDTH, HEIGHT, np.random.SeedSequence(0))
    pose = Pose(320.3, 240.6, np.radians(degrees), sway=straight_sway())
    mask = scene.paint(shapes(pose, 1.0)).mask
    # CASTLE's reference is a pixel on the rim of the tail's root, here 10 px wide and 50 px away: up to 6.5 degrees
    # beside the axis. The centroid is what to take where the heading matters.
    for kind, limit in (("centroid", 1.0), ("nearest", 6.5)):
        settings = Preprocess(center_roi=1, tail_roi=2, tail_point=kind)
        x, y, angle, status = measure_pose(mask, settings)
        assert status == OK
        assert abs((angle - (degrees + 180) + 180) % 360 - 180) < limit
        affine = crop_affine(settings, np.array([x, y]), angle)
        reference = np.array(tail_reference(largest_component(mask, 2), (x, y), kind))
        dx, dy = apply_affine(affine, reference) - apply_affine(affine, np.array([x, y]))
        assert dy > 0
        assert abs(np.degrees(np.arctan2(dx, dy))) < 0.1


def test_centred_crops_keep_the_centroid_in_the_middle_and_gain_no_ids(masks):
    for tail_roi in (None, 2):
        settings = Preprocess(center_roi=1, tail_roi=tail_roi, tail_point="centroid")
        for mask in masks[::4]:
            x, y, angle, _ = measure_pose(mask, settings)
            crop = warp_mask(mask, crop_affine(settings, np.array([x, y]), angle), 300, 300)
            assert np.abs(np.array(component_centroid(largest_component(crop, 1))) - 150).max() < 0.5
            assert set(np.unique(crop)) <= set(np.unique(mask))


def test_the_crop_video_is_the_crop(recording, masks):
    settings = Preprocess(center_roi=1, tail_roi=2)
    path = extract_crop_video(recording, "mouse_day1", ExtractConfig(encoder="hog", preprocess=settings))

    class Masks:
        height, width = HEIGHT, WIDTH

        def mask_at(self, frame_index):
            return masks[frame_index]

    poses = measure_poses(Masks(), settings, N_FRAMES, average_fps=30)
    with open_video(path) as crop, recording.open_video("mouse_day1") as source:
        assert crop.n_frames == source.n_frames == N_FRAMES
        np.testing.assert_allclose(crop.times_s, source.times_s, atol=1e-3)
        for i in range(0, N_FRAMES, 11):
            affine = crop_affine(settings, poses.center[i], poses.angle_deg[i])
            expected, _ = render_crop(source.frame_at(i), masks[i], settings, affine, background_roi=None)
            error = np.mean((crop.frame_at(i).astype(float) - expected.astype(float)) ** 2)
            assert 10 * np.log10(255**2 / error) >= 38
