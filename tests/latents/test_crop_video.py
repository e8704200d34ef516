"""The crop video shows what the model sees, frame for frame."""

import cv2
import numpy as np
import pytest

from castle_core.errors import ConfigError
from castle_core.latents import ExtractConfig
from castle_core.latents.crop_video import extract_crop_video
from castle_core.latents.one_frame import run_frame
from castle_core.preprocess import Preprocess, crop_affine, measure_pose
from castle_core.rendering import render_crop
from castle_core.rois import MaskFile
from castle_core.video import open_video

PREPROCESS = Preprocess(center_roi=1, crop_width=64, crop_height=48, tail_roi=2)


def psnr(a, b):
    """Of the luma: halved chroma is the format's, and at this tiny size most of the difference."""
    a, b = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (a, b))
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b.astype(float)) ** 2))


def test_frames_times_and_pictures_are_the_sources(project, stem):
    config = ExtractConfig(encoder="hog", preprocess=PREPROCESS)
    path = extract_crop_video(project, stem, config)
    assert path == project.path / "crop" / stem / f"{stem}_ROI_1_crop.mp4"
    masks_path = project.path / "track" / project.videos()[0].name / "mask_list.h5"
    with open_video(path) as crop, project.open_video(stem) as source, MaskFile(masks_path) as masks:
        assert crop.n_frames == source.n_frames
        assert (crop.width, crop.height, crop.info.codec) == (64, 48, "h264")
        np.testing.assert_allclose(np.diff(crop.times_s), np.diff(source.times_s), atol=1e-3)
        for frame_index in (0, 25, 59):
            mask = masks.mask_at(frame_index)
            x, y, angle, _ = measure_pose(mask, PREPROCESS)
            affine = crop_affine(PREPROCESS, np.array([x, y]), angle)
            expected, _ = render_crop(source.frame_at(frame_index), mask, PREPROCESS, affine, background_roi=None)
            assert psnr(crop.frame_at(frame_index), expected) >= 38
        for frame_index in (7, 8, 20):  # no mask, no tail
            assert crop.frame_at(frame_index).max() <= 2


def test_one_frame_is_a_row_of_the_extraction(project, stem, tiny):
    from castle_core.latents.extraction import extract_video
    from castle_core.latents.npz import read_latents

    config = ExtractConfig(encoder="tiny", roi_ids=(1, 3), preprocess=PREPROCESS, batch_size=4)
    result = run_frame(project, stem, 12, config, tiny)
    extract_video(project, stem, config, tiny)
    path = project.path / "latent" / tiny.name / f"{stem}_ROI_3_tiny-dinov2_ctr.npz"
    np.testing.assert_allclose(result.roi_means[3], read_latents(path).latent[12], atol=1e-5)
    assert result.tokens.shape == (4, 4, tiny.embed_dim)
    assert run_frame(project, stem, 7, config, tiny).status == 1
    assert run_frame(project, stem, 12, config, tiny, forward=False).tokens is None


def test_without_a_centre_there_is_nothing_to_crop(project, stem):
    with pytest.raises(ConfigError, match="Center ROI on"):
        extract_crop_video(project, stem, ExtractConfig(encoder="hog"))
