"""A damaged frame is refused by name; nothing else is put in its place; intact frames are not refused."""

import contextlib
import subprocess
import sys

import numpy as np
import pytest
import zoo

from castle_core.errors import FrameDecodeError, VideoError
from castle_core.video import VideoWriter, make_proxy, open_video

# The kinds whose decoders notice a packet full of noise. Those of VP8 and VP9 decode any bytes.
_KINDS = [
    "h264_b_mp4",
    "h264_b_mkv",
    "h264_open_gop_mp4",
    "h264_open_gop_ts",
    "hevc_mp4",
    "mpeg4_mp4",
    "h264_intra_only",
]


def damaged(path, target, packets, how):
    """Copy `path`, overwriting the packets of the given ordinals."""
    with open_video(path) as video:
        index = video.index
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(3)
    for ordinal in packets:
        start = data.find(_head(path, ordinal)) if path.suffix == ".mkv" else int(index.pos[ordinal])
        size = int(index.size[ordinal])
        data[start : start + size] = bytes(size) if how == "zeros" else rng.bytes(size)
    target.write_bytes(data)
    return target


def _head(path, ordinal):
    import av  # noqa: TID251

    with av.open(str(path)) as container:
        for number, packet in enumerate(container.demux(video=0)):
            if number == ordinal:
                return bytes(packet)
    raise AssertionError


@pytest.mark.parametrize("how", ["zeros", "noise"])
@pytest.mark.parametrize("name", [kind for kind in _KINDS if not kind.endswith("_ts")])
def test_a_corrupt_packet_costs_its_group_only(name, how, video_file, straight, tmp_path):
    path = video_file(name)
    expected = straight(path)
    with open_video(path) as video:
        index = video.index
        keys = [*index.keys.tolist(), index.n_packets]
    hit = keys[1] + (2 if keys[2] - keys[1] > 2 else 0)
    stop = next(key for key in keys if key > hit)
    bad_copy = damaged(path, tmp_path / f"bad{path.suffix}", [hit], how)
    errors = {}
    with open_video(bad_copy) as video:
        assert video.n_frames == len(expected)
        for frame_index in range(video.n_frames):
            try:
                image = video.frame_at(frame_index)
            except FrameDecodeError as refusal:
                errors[frame_index] = refusal
                continue
            assert np.array_equal(image, expected[frame_index]), f"frame {frame_index} is wrong, and silently"
        for frame_index, refusal in errors.items():
            assert refusal.frame_index == frame_index
            assert f"Frame {frame_index} of {bad_copy.name} " in str(refusal)
        refused = set(errors)
        assert int(index.packet_frame[hit]) in refused
        # Frames of other groups are there; in an open group, leading frames may lean on the damaged one.
        touched = {int(index.packet_frame[packet]) for packet in range(keys[1], stop)}
        touched |= {i for i in range(video.n_frames) if keys[1] <= index.keys[index.start_position[i]] < stop}
        assert refused <= touched
        shown = [i for i, _ in video.thumbnails(on_error="skip", fast=False)]
        assert set(shown) == set(range(video.n_frames)) - refused
        assert shown == sorted(shown)
        fast = {i for i, _ in video.thumbnails(on_error="skip")}
        assert int(index.packet_frame[hit]) not in fast
        assert fast >= set(range(video.n_frames)) - touched
        with pytest.raises(FrameDecodeError):
            list(video.thumbnails())
        with pytest.raises(FrameDecodeError):
            list(video.batches(8))
        assert np.array_equal(video.frame_at(0), expected[0])  # and the video is still usable


def test_a_corrupt_group_in_the_middle(video_file, straight, tmp_path):
    path = video_file("h264_b_mp4")
    expected = straight(path)
    with open_video(path) as video:
        first, stop = video.index.keys[1:3].tolist()
    bad_copy = damaged(path, tmp_path / "bad.mp4", range(first, stop), "noise")
    with open_video(bad_copy) as video:
        good = [i for i, _ in video.thumbnails(on_error="skip")]
        assert good == [*range(first), *range(stop, len(expected))]
        assert np.array_equal(video.frame_at(stop), expected[stop])
        with pytest.raises(FrameDecodeError, match=rf"Frame {first} of bad\.mp4 cannot be decoded"):
            video.frame_at(first)
        asked = [0, stop, len(expected) - 1]
        assert np.array_equal(video.frames_at(asked).data, expected[asked])
    make_proxy(bad_copy, tmp_path / "proxy.mp4")
    with open_video(tmp_path / "proxy.mp4") as proxy:
        assert proxy.n_frames == len(expected)  # numbering stays; the bad ones say that they are bad


def test_the_first_group_is_corrupt(video_file, straight, tmp_path):
    """Then FFmpeg no longer knows the first packet for a key frame, and counts from the first frame it can make."""
    path = video_file("h264_b_mp4")
    expected = straight(path)
    bad_copy = damaged(path, tmp_path / "bad.mp4", range(2), "noise")
    with open_video(bad_copy) as video:
        lost = len(expected) - video.n_frames
        assert 0 < lost <= 12
        good = 0
        for frame_index in range(video.n_frames):
            with contextlib.suppress(FrameDecodeError):
                assert np.array_equal(video.frame_at(frame_index), expected[frame_index + lost])
                good += 1
        assert good > 30


def test_a_file_that_changes_while_open_is_noticed(video_file, tmp_path):
    path = tmp_path / "changing.mp4"
    path.write_bytes(video_file("h264_b_mp4").read_bytes())
    with open_video(path) as video:
        path.write_bytes(video_file("h264_intra_only").read_bytes())
        with pytest.raises(VideoError):
            video.frame_at(20)


_ABANDON = """
import sys
import av
from castle_core.video import open_video
assert av.logging.get_level() is None
for _ in range(40):
    with open_video(sys.argv[1]) as video:
        batches = video.batches(70)
        try:
            next(batches)
        except Exception as error:
            assert type(error).__name__ == "FrameDecodeError", error
        batches.close()
        list(zip(range(3), video.thumbnails(on_error="skip")))
"""


def test_leaving_a_threaded_decoder_that_complains_does_not_hang(tmp_path):
    """A decoder's threads must not wait for Python's lock in order to log: whoever closes them holds it."""
    path = tmp_path / "long.mp4"
    with VideoWriter(path, fps=30, width=96, height=64, gop=200) as writer:
        for frame_index in range(160):
            writer.write(zoo.picture(frame_index, 96, 64))
    bad_copy = damaged(path, tmp_path / "bad.mp4", range(75, 140, 3), "noise")
    finished = subprocess.run([sys.executable, "-c", _ABANDON, bad_copy], timeout=120, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", _KINDS)
def test_noise_in_random_packets_is_never_shown(name, seed, video_file, straight, tmp_path):
    path = video_file(name)
    expected = straight(path)
    rng = np.random.default_rng(seed)
    with open_video(path) as video:
        hit = int(rng.integers(1, video.index.n_packets - 1))
    try:
        bad_copy = damaged(path, tmp_path / f"bad{path.suffix}", [hit], ["zeros", "noise"][seed % 2])
        video = open_video(bad_copy)
    except VideoError:
        return
    with video:
        if video.n_frames != len(expected):
            return  # the container itself was hit, and counts differently
        for frame_index in range(video.n_frames):
            try:
                assert np.array_equal(video.frame_at(frame_index), expected[frame_index])
            except FrameDecodeError:
                continue
