"""Frame i is the i-th frame that the decoder puts out, however it is reached."""

import cv2
import numpy as np
import pytest
import zoo

from castle_core.video import open_video


@pytest.fixture(params=sorted(zoo.ZOO))
def name(request):
    return request.param


def test_sequential_and_random_access_are_bit_identical_to_plain_decoding(name, video_file, straight):
    path = video_file(name)
    expected = straight(path)
    rng = np.random.default_rng(len(name))
    with open_video(path) as video:
        assert video.n_frames == len(expected)
        assert (video.height, video.width) == expected.shape[1:3]
        in_order = np.concatenate([batch.data for batch in video.batches(7)])
        assert np.array_equal(in_order, expected)
        for frame_index in rng.permutation(video.n_frames)[:24].tolist():
            assert np.array_equal(video.frame_at(frame_index), expected[frame_index]), frame_index
        for _ in range(4):
            asked = rng.integers(0, video.n_frames, size=5)  # any order, with duplicates
            batch = video.frames_at(asked)
            assert np.array_equal(batch.data, expected[asked])
            assert batch.frame_index.tolist() == asked.tolist()
            assert np.array_equal(batch.time_s, video.times_s[asked])


def test_the_pictures_spell_the_index(name, video_file):
    kind = zoo.ZOO[name]
    if kind.rotation:
        pytest.skip("the boxes are turned away")
    first = -kind.shift if kind.shift < 0 else 0  # what the edit list cuts off
    with open_video(video_file(name)) as video:
        assert video.n_frames == kind.n_frames - first
        for frame_index in (0, video.n_frames // 2, video.n_frames - 1):
            assert zoo.spelled(video.frame_at(frame_index)) == frame_index + first


@pytest.mark.parametrize("name", sorted(name for name, kind in zoo.ZOO.items() if kind.opencv))
def test_rgb_equals_opencv(name, video_file):
    capture = cv2.VideoCapture(str(video_file(name)))  # noqa: TID251
    with open_video(video_file(name)) as video:
        count = 0
        for batch in video.batches(16):
            for image in batch.data:
                read, bgr = capture.read()
                assert read
                assert np.array_equal(image, bgr[..., ::-1]), count
                count += 1
        assert not capture.read()[0]
    capture.release()


def test_times_are_those_of_the_file_from_zero(name, video_file):
    kind = zoo.ZOO[name]
    with open_video(video_file(name)) as video:
        times = np.array(zoo.stamps(kind)[-video.n_frames :]) / (10 * kind.fps)
        tolerance = 0.00101 if kind.suffix in (".mkv", ".webm") else 2e-5  # Matroska rounds to milliseconds
        if kind.suffix != ".h264":  # which has no times at all
            assert np.allclose(video.times_s, times - times[0], atol=tolerance)
            assert video.info.variable_frame_rate == (kind.times == "variable")
            if kind.times != "variable":
                assert video.average_fps == pytest.approx(kind.fps, rel=1e-6)
        assert video.times_s[0] == 0
        assert (np.diff(video.times_s) > 0).all()


def test_key_frames_can_be_decoded_alone_and_sizes_fit(name, video_file):
    with open_video(video_file(name)) as video:
        keys = video.key_frame_indices
        assert keys[0] >= 0
        assert (np.diff(keys) > 0).all()
        assert len(keys) == video.info.n_keyframes
        assert video.packet_sizes.shape == (video.n_frames,)
        assert 0 < video.packet_sizes.sum() <= video.path.stat().st_size
    if name == "every_frame_claims_key_mp4":
        assert 1 < len(keys) < 10


def test_real_videos_are_read_exactly(shared_data, straight):
    """Also a recording by an old x264 (openfield), whose groups decode wrongly without the file's first packet."""
    rng = np.random.default_rng(0)
    for path, n_frames in (
        (shared_data / "lp_mirror_mouse/videos/test_vid.mp4", 994),
        (shared_data / "dlc_openfield/m3v1mp4.mp4", 2330),
        (shared_data / "sleap/videos/dance.mp4", 450),
    ):
        with open_video(path) as video:
            assert video.n_frames == n_frames
            start = min(1173, n_frames - 60)
            expected = np.concatenate([batch.data for batch in video.batches(20, start, start + 60)])
            for offset in rng.permutation(60)[:4].tolist():
                assert np.array_equal(video.frame_at(start + offset), expected[offset])
            capture = cv2.VideoCapture(str(path))  # noqa: TID251
            for image in next(video.batches(10)).data:
                assert np.array_equal(image, capture.read()[1][..., ::-1])
            capture.release()
