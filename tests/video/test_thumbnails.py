"""Small gray pictures from the luma plane, and motion from packet sizes."""

import av  # noqa: TID251
import cv2
import numpy as np
import pytest
import zoo

from castle_core.errors import ConfigError, FrameIndexError
from castle_core.video import VideoWriter, motion_energy, open_video
from castle_core.video.pixels import shrink

_DEPTH = {"ten_bit_mp4": 10, "gray16_ffv1_mkv": 16}


_LUMA_KINDS = ["h264_b_mp4", "ten_bit_mp4", "gray_mp4", "gray16_ffv1_mkv", "yuv444_odd_mp4", "full_range_mp4"]
_LUMA_KINDS += ["rotated_90_mp4", "rotated_180_mp4", "rotated_270_mov", "vp9_webm"]


@pytest.mark.parametrize("name", _LUMA_KINDS)
def test_exact_thumbnails_are_the_area_averaged_luma(name, video_file):
    path = video_file(name)
    with av.open(str(path)) as container:
        lumas = []
        for frame in container.decode(video=0):
            plane, kind = frame.planes[0], np.uint16 if name in _DEPTH else np.uint8
            luma = np.frombuffer(plane, kind).reshape(plane.height, -1)[:, : plane.width].astype(np.float32)
            luma /= 2.0 ** (_DEPTH.get(name, 8) - 8)
            lumas.append(np.rot90(luma, zoo.ZOO[name].rotation // 90))
    with open_video(path) as video:
        got = list(video.thumbnails(width=24, fast=False))
    assert [index for index, _ in got] == list(range(len(lumas)))
    for (_, image), luma in zip(got, lumas, strict=True):
        height = round(24 * luma.shape[0] / luma.shape[1])
        assert image.shape == (height, 24)
        assert image.dtype == np.uint8
        expected = cv2.resize(np.ascontiguousarray(luma), (24, height), interpolation=cv2.INTER_AREA)
        assert np.abs(image - expected).max() <= 1.01


@pytest.mark.parametrize("name", ["raw_bgr_avi", "mjpeg_avi", "hevc_mp4", "interlaced_ts", "av1_webm"])
def test_fast_thumbnails_resemble_the_frames(name, video_file):
    with open_video(video_file(name)) as video:
        for frame_index, image in video.thumbnails(width=32):
            gray = cv2.cvtColor(video.frame_at(frame_index), cv2.COLOR_RGB2GRAY)
            small = cv2.resize(gray, image.shape[::-1], interpolation=cv2.INTER_AREA).astype(float)
            assert np.corrcoef(small.ravel(), image.ravel())[0, 1] > 0.97
            assert np.abs(small - image).mean() < 20  # limited range against full range


@pytest.mark.parametrize("name", sorted(zoo.ZOO))
def test_sparse_thumbnails_equal_those_of_a_full_pass(name, video_file):
    """Skipping what no wanted frame needs changes nothing."""
    with open_video(video_file(name)) as video:
        every = dict(video.thumbnails(width=16))
        assert sorted(every) == list(range(video.n_frames))
        rng = np.random.default_rng(1)
        asked = rng.integers(0, video.n_frames, 9)
        got = list(video.thumbnails(asked, width=16))
        assert [index for index, _ in got] == np.unique(asked).tolist()
        for index, image in got:
            assert np.array_equal(image, every[index]), index
        keys = [index for index, _ in video.thumbnails(video.key_frame_indices, width=16)]
        assert keys == video.key_frame_indices.tolist()


def test_large_pictures_are_halved_without_moving_or_darkening():
    y, x = np.mgrid[:1023, :1281]
    image = (100 + 50 * np.sin(x / 90) + 40 * np.cos(y / 70)).astype(np.uint8)
    expected = cv2.resize(image.astype(np.float32), (64, 51), interpolation=cv2.INTER_AREA)
    assert np.abs(shrink(image, 64, 51) - expected).max() < 3  # three of 1023 rows are left out
    noise = np.random.default_rng(0).integers(0, 256, (1024, 1280)).astype(np.uint8)
    small = shrink(noise, 64, 51)
    assert small.shape == (51, 64)
    assert abs(small.mean() - noise.mean()) < 0.6


def test_arguments(video_file):
    with open_video(video_file("h264_b_mp4")) as video:
        with pytest.raises(FrameIndexError):
            video.thumbnails([50])
        with pytest.raises(ConfigError):
            video.thumbnails(width=0)
        with pytest.raises(ConfigError):
            video.thumbnails(on_error="ignore")
        assert list(video.thumbnails([])) == []
        (_, image), *_ = video.thumbnails([3], width=500)
        assert image.shape == (333, 500)
        # Readers do not disturb each other.
        a, b = video.thumbnails(), video.batches(1)
        for index in range(12):
            assert next(a)[0] == index
            assert next(b).frame_index.tolist() == [index]
            video.frame_at(49 - index)


@pytest.mark.parametrize(("codec", "suffix"), [("h264", ".mp4"), ("mpeg4", ".avi"), ("vp9", ".webm")])
def test_motion_energy_follows_motion(codec, suffix, tmp_path):
    rng = np.random.default_rng(0)
    scene = rng.integers(60, 180, (96, 96, 3)).astype(np.uint8)
    scene = cv2.GaussianBlur(scene, (0, 0), 2)
    moving = np.zeros(240, bool)
    moving[60:120] = moving[180:220] = True
    path = tmp_path / f"move{suffix}"
    place = 20.0
    with VideoWriter(path, fps=30, width=96, height=96, codec=codec, crf=25, gop=40) as writer:
        for active in moving:
            place += 3 * active
            image = scene.copy()
            cv2.circle(
                image, (int(48 + 30 * np.cos(place / 9)), int(48 + 30 * np.sin(place / 9))), 9, (250, 20, 20), -1
            )
            writer.write(image)
    with open_video(path) as video:
        energy = motion_energy(video)
    assert energy.dtype == np.float32
    assert energy.shape == (240,)
    assert energy.min() >= 0
    assert energy.max() <= 1
    assert np.median(energy[moving]) > 3 * np.median(energy[~moving]) + 0.05
    assert energy[moving].mean() > 2 * energy[~moving].mean()


@pytest.mark.parametrize("name", ["one_frame_mp4", "two_frames_avi", "mjpeg_avi", "raw_bgr_avi", "h264_intra_only"])
def test_motion_energy_of_videos_that_say_little(name, video_file):
    with open_video(video_file(name)) as video:
        energy = motion_energy(video)
    assert energy.shape == (video.n_frames,)
    assert np.isfinite(energy).all()
