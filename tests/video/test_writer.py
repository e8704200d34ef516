"""Writing videos, copies for browsers, single pictures, and `castle info`."""

import errno
import json
import os
from fractions import Fraction

import cv2
import numpy as np
import pytest
import zoo

from castle_core.cli.app import app
from castle_core.cli.output import run_app
from castle_core.errors import ConfigError, JobCancelled, ProjectError, VideoError
from castle_core.progress import Task
from castle_core.video import VideoWriter, encode_jpeg, encode_png, make_proxy, needs_proxy, open_video


@pytest.mark.parametrize(("codec", "suffix", "error"), [("h264", ".mp4", 3), ("mpeg4", ".avi", 5), ("mjpeg", ".avi", 5),
                                                        ("ffv1", ".mkv", 2), ("vp9", ".webm", 6)])  # fmt: skip
def test_what_is_written_is_read_back(codec, suffix, error, tmp_path):
    path = tmp_path / f"out{suffix}"
    y, x = np.mgrid[:48, :64]
    images = [(90 + x + y // 2 + 2 * i).astype(np.uint8) for i in range(12)]
    with VideoWriter(path, fps=Fraction(30000, 1001), width=64, height=48, codec=codec, gop=5) as writer:
        for i, image in enumerate(images):
            writer.write(image if i % 2 else np.repeat(image[..., None], 3, axis=2))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    with open_video(path) as video:
        assert video.n_frames == 12
        assert (video.width, video.height) == (64, 48)
        assert video.average_fps == pytest.approx(30000 / 1001, rel=1e-3)
        for i, image in enumerate(images):
            assert np.abs(video.frame_at(i)[..., 1].astype(int) - image).mean() < error
        if codec != "mjpeg":
            assert len(video.key_frame_indices) >= 2


def test_odd_sizes_are_padded_and_times_kept(tmp_path):
    path = tmp_path / "out.mp4"
    times = [0.0, 0.01, 0.05, 0.5, 0.51]
    with VideoWriter(path, fps=30, width=33, height=17, variable=True) as writer:
        for i, time_s in enumerate(times):
            writer.write(np.full((17, 33, 3), 40 * i, np.uint8), time_s=time_s)
    with open_video(path) as video:
        assert (video.width, video.height) == (34, 18)
        assert np.allclose(video.times_s, times, atol=2e-5)
        assert video.info.variable_frame_rate


def test_nothing_is_left_behind_when_writing_fails(tmp_path):
    image = np.zeros((16, 16, 3), np.uint8)
    with pytest.raises(RuntimeError), VideoWriter(tmp_path / "a.mp4", fps=30, width=16, height=16) as writer:
        writer.write(image)
        raise RuntimeError
    with pytest.raises(ConfigError, match="16x16"), VideoWriter(tmp_path / "a.mp4", fps=30, width=16, height=16) as w:
        w.write(np.zeros((16, 18, 3), np.uint8))
    with pytest.raises(VideoError, match="no frames"), VideoWriter(tmp_path / "a.mp4", fps=30, width=16, height=16):
        pass
    with pytest.raises(ConfigError):
        VideoWriter(tmp_path / "a.mp4", fps=30, width=16, height=16, codec="theora")
    with pytest.raises(ConfigError):
        VideoWriter(tmp_path / "a.mp4", fps=0, width=16, height=16)
    with pytest.raises(VideoError):
        VideoWriter(tmp_path / "a.unknown", fps=30, width=16, height=16)
    with pytest.raises(ProjectError, match="gone"):
        VideoWriter(tmp_path / "gone" / "a.mp4", fps=30, width=16, height=16)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with (
        pytest.raises(ProjectError, match=r"disk is full"),
        VideoWriter(tmp_path / "a.mp4", fps=30, width=16, height=16) as writer,
    ):
        writer.write(np.zeros((16, 16, 3), np.uint8))
        monkeypatch.setattr(os, "fsync", full)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["mpeg4_odd_avi", "variable_rate_mkv", "rotated_90_mp4", "edit_list", "ten_bit_mp4"])
def test_proxy_has_the_same_frames_at_the_same_times(name, video_file, tmp_path):
    target = tmp_path / "proxy.mp4"
    source = video_file(name)
    make_proxy(source, target)
    with open_video(source) as video, open_video(target) as proxy:
        assert not needs_proxy(proxy)
        assert proxy.n_frames == video.n_frames
        assert np.allclose(proxy.times_s, video.times_s, atol=2e-5)
        assert (proxy.info.codec, proxy.info.pixel_format) == ("h264", "yuv420p")
        for i in range(0, video.n_frames, 9):
            one, two = video.frame_at(i), proxy.frame_at(i)[: video.height, : video.width]
            assert np.corrcoef(one.ravel(), two.ravel())[0, 1] > 0.93
            if not zoo.ZOO[name].rotation:
                assert zoo.spelled(two) == zoo.spelled(one)


def test_who_needs_a_proxy(video_file):
    expected = {
        "h264_b_mp4": False, "full_range_mp4": False, "vp9_webm": False, "av1_webm": False, "vp8_webm": True,
        "h264_lossless": True, "ten_bit_mp4": True, "yuv444_odd_mp4": True, "hevc_mp4": True, "mpeg4_mp4": True,
        "h264_b_avi": True, "h264_b_mkv": True, "late_start_ts": True, "raw_h264": True,
    }  # fmt: skip
    for name, needed in expected.items():
        with open_video(video_file(name)) as video:
            if name != "vp8_webm":  # browsers play it, but its index comes from decoding
                assert needs_proxy(video) == needed, name


def test_proxy_can_be_cancelled(video_file, tmp_path):
    class Impatient(Task):
        def progress(self, done, total, message=""):
            if done == 10:
                raise JobCancelled("Cancelled.")

    with pytest.raises(JobCancelled):
        make_proxy(video_file("h264_b_avi"), tmp_path / "proxy.mp4", Impatient())
    assert list(tmp_path.iterdir()) == []


def test_pictures():
    image = zoo.picture(5, 160, 96)
    png = encode_png(image)
    assert png == encode_png(image.copy())
    assert np.array_equal(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)[..., ::-1], image)
    gray = np.ascontiguousarray(image[..., 1])
    assert np.array_equal(cv2.imdecode(np.frombuffer(encode_png(gray), np.uint8), cv2.IMREAD_UNCHANGED), gray)
    small = cv2.imdecode(np.frombuffer(encode_jpeg(image, width=80, quality=95), np.uint8), cv2.IMREAD_COLOR)
    assert small.shape == (48, 80, 3)
    assert np.abs(small[..., ::-1].mean((0, 1)) - image.mean((0, 1))).max() < 3
    assert cv2.imdecode(np.frombuffer(encode_jpeg(image, width=999), np.uint8), 1).shape == image.shape
    with pytest.raises(ConfigError):
        encode_png(image.astype(float))


def test_castle_info(video_file, tmp_path, capsys):
    assert run_app(app, ["info", str(video_file("rotated_90_mp4")), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts | {"n_frames": 50, "width": 64, "height": 96, "average_fps": 30.0, "codec": "h264"} == facts
    assert facts["keyframes"] == 5
    assert facts["duration_s"] == pytest.approx(50 / 30)
    assert facts["variable_frame_rate"] is False
    assert run_app(app, ["info", str(video_file("variable_rate_mp4"))]) == 0
    assert "50 frames of 96x64" in capsys.readouterr().out
    (tmp_path / "bad.mp4").write_bytes(b"no video at all")
    assert run_app(app, ["info", str(tmp_path / "bad.mp4"), "--json"]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert "bad.mp4" in output.err
    assert output.err.count("\n") == 1
