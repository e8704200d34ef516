"""Files that are no (whole) videos give one clear line; odd names are no trouble."""

import shutil

import numpy as np
import pytest

from castle_core.errors import ConfigError, FrameIndexError, VideoError
from castle_core.video import VideoWriter, open_video


def one_line(error, *words):
    text = str(error.value)
    assert "\n" not in text
    for word in words:
        assert word in text
    return text


def test_not_a_video(tmp_path):
    cases = {
        "notes.mp4": b"these are my notes\n" * 400,
        "picture.mp4": b"\x89PNG\r\n\x1a\n" + bytes(2000),
        "list.mp4": b"ffconcat version 1.0\nfile '/etc/passwd'\n",
        "play.mp4": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        "noise.avi": np.random.default_rng(0).bytes(50_000),
    }
    for name, data in cases.items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(VideoError) as error:
            open_video(path)
        one_line(error, name)


def test_empty_missing_and_folder(tmp_path):
    (tmp_path / "empty.mp4").touch()
    for path, word in ((tmp_path / "empty.mp4", "0 bytes"), (tmp_path / "gone.mp4", "not exist"), (tmp_path, "folder")):
        with pytest.raises(VideoError) as error:
            open_video(path, cache_dir=tmp_path / "cache")
        one_line(error, word)


def test_mp4_without_its_table(video_file, tmp_path):
    data = video_file("h264_b_mp4").read_bytes()
    assert data.rfind(b"moov") > len(data) // 2  # the table comes last here
    path = tmp_path / "crashed.mp4"
    path.write_bytes(data[: data.rfind(b"moov") - 4])
    with pytest.raises(VideoError) as error:
        open_video(path)
    one_line(error, "crashed.mp4", "moov", "epair")


def test_no_frames(tmp_path):
    import av  # noqa: TID251

    path = tmp_path / "none.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        container.start_encoding()
    with pytest.raises(VideoError) as error:
        open_video(path)
    one_line(error, "none.avi", "frame")


@pytest.mark.parametrize("name", ["h264_b_mkv", "late_start_ts", "mpeg4_avi", "h264_b_mov_fragments"])
def test_cut_in_the_middle_keeps_the_whole_frames(name, video_file, straight, tmp_path):
    source = video_file(name)
    expected = straight(source)
    data = source.read_bytes()
    path = tmp_path / f"cut{source.suffix}"
    path.write_bytes(data[: len(data) * 6 // 10])
    with open_video(path) as video:
        assert 5 < video.n_frames < len(expected)
        good = 0
        for frame_index, _ in video.thumbnails(on_error="skip"):
            good += np.array_equal(video.frame_at(frame_index), expected[frame_index])
        assert good >= video.n_frames - 4  # what came after the cut may be missing for the last few


def test_header_that_promises_more_frames_than_there_are(tmp_path):
    """An mp4 with its table in front, cut: the table lists 40 frames, the file holds fewer."""
    path = tmp_path / "whole.mp4"
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (40, 64, 64, 3), dtype=np.uint8)
    with VideoWriter(path, fps=30, width=64, height=64, gop=5) as writer:
        for image in images:
            writer.write(image)
    with open_video(path) as video:
        assert video.n_frames == 40
        assert not video.info.truncated
        expected = video.frames_at(range(15)).data
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with open_video(cut) as video:
        assert 15 < video.n_frames < 25
        assert video.info.truncated
        assert np.array_equal(video.frames_at(range(15)).data, expected)


def test_wrong_count_in_the_header(video_file, tmp_path):
    """AVI states its number of frames in `avih`; it is not believed."""
    data = bytearray(video_file("mpeg4_avi").read_bytes())
    place = data.find(b"avih") + 8 + 16
    assert int.from_bytes(data[place : place + 4], "little") == 50
    data[place : place + 4] = (7).to_bytes(4, "little")
    length = data.find(b"strh") + 8 + 32
    data[length : length + 4] = (9000).to_bytes(4, "little")
    path = tmp_path / "liar.avi"
    path.write_bytes(data)
    with open_video(path) as video:
        assert video.n_frames == 50


@pytest.mark.parametrize(
    "name",
    [
        "mouse 1 (copy).mp4",
        'it\'s "quoted" & $HOME;`x`.mp4',
        "Mäuse_μ_老鼠_🐭.mp4",
        ".hidden.mp4",
        "..two.dots.mp4",
        "concat:a|b.mp4",
        "http:example.mp4",
        "img%03d.mp4",
        "x" * 196 + ".mp4",
        "-rf.mp4",
        "no suffix",
    ],
)
def test_names(name, video_file, tmp_path):
    path = tmp_path / name
    shutil.copy(video_file("h264_b_mp4"), path)
    with open_video(path, cache_dir=tmp_path / "cache") as video:
        assert video.n_frames == 50
        video.frame_at(30)
        assert video.info.path == path


def test_indices_outside(video_file):
    with open_video(video_file("h264_b_mp4")) as video:
        for bad in (50, -1, 10**12):
            with pytest.raises(FrameIndexError, match=r"0 … 49") as error:
                video.frame_at(bad)
            assert isinstance(error.value, IndexError)
        with pytest.raises(ConfigError):
            video.frames_at([1.5])
        with pytest.raises(ConfigError):
            video.batches(0)
        assert len(video.frames_at([])) == 0
        assert list(video.batches(5, 20, 20)) == []
        assert [b.frame_index.tolist() for b in video.batches(2, 44, 99, 2)] == [[44, 46], [48]]
    with pytest.raises(VideoError, match="closed"):
        video.frame_at(0)


def test_true_rate(video_file):
    with open_video(video_file("variable_rate_mp4"), true_fps=500) as video:
        assert video.average_fps == 500
        assert video.times_s.tolist() == (np.arange(50) / 500).tolist()
        assert not video.info.variable_frame_rate
        assert video.info.duration_s == pytest.approx(0.1)
    for wrong in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ConfigError):
            open_video(video_file("h264_b_mp4"), true_fps=wrong)
