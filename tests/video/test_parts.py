"""A part of a frame has the colours of the whole, bit for bit, in every pixel format; other formats go whole."""

import av  # noqa: TID251
import numpy as np
import pytest

from castle_core.video import open_video
from castle_core.video.pixels import Converter

FORMATS = ["yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "gray", "nv12", "rgb24", "yuv420p10le"]
SIZES = [(320, 240), (322, 242), (321, 243), (318, 241)]
LIMITED_709, FULL_601, UNKNOWN = (1, 1), (2, 5), (0, 2)


def noise(name, width, height, color_range, colorspace, rng):
    frame = av.VideoFrame(width, height, name)
    for plane in frame.planes:
        samples = rng.integers(0, 256, plane.line_size * plane.height, dtype=np.uint8)
        if name.endswith("10le"):
            samples[1::2] %= 4  # the upper byte of ten bits
        np.ndarray(samples.shape, np.uint8, buffer=plane)[:] = samples
    frame.color_range, frame.colorspace = color_range, colorspace
    return frame


def boxes(width, height, rng):
    """Boxes at each corner and edge, in the middle, of one pixel, of the whole frame, and anywhere."""
    yield from ((0, 0, 50, 40), (width - 50, 0, width, 40), (0, height - 40, 50, height))
    yield from ((width - 51, height - 41, width, height), (99, 77, 180, 140), (width - 1, height - 1, width, height))
    yield (0, 0, width, height)
    for _ in range(6):
        x0, y0 = int(rng.integers(0, width - 1)), int(rng.integers(0, height - 1))
        yield x0, y0, int(rng.integers(x0 + 1, width + 1)), int(rng.integers(y0 + 1, height + 1))


@pytest.mark.parametrize("rotation", [0, 90, 180])
@pytest.mark.parametrize("name", FORMATS)
def test_a_part_equals_the_whole(name, rotation):
    rng = np.random.default_rng(FORMATS.index(name))
    for (stored_width, stored_height), colours in zip(SIZES, (LIMITED_709, FULL_601, UNKNOWN, FULL_601), strict=True):
        frame = noise(name, stored_width, stored_height, *colours, rng)
        whole = Converter(rotation).rgb(frame)
        height, width = whole.shape[:2]
        converter = Converter(rotation)
        for x0, y0, x1, y1 in boxes(width, height, rng):
            out = np.full_like(whole, 77)
            assert converter.rgb_inside(frame, out, (x0, y0, x1, y1)) is out
            np.testing.assert_array_equal(out[y0:y1, x0:x1], whole[y0:y1, x0:x1])


def test_only_a_part_is_converted():
    frame = noise("yuv420p", 320, 240, *LIMITED_709, np.random.default_rng(0))
    out = np.full((240, 320, 3), 77, np.uint8)
    Converter(0).rgb_inside(frame, out, (100, 100, 150, 150))
    assert (out[:64] == 77).all()
    assert (out[:, 200:] == 77).all()


@pytest.mark.parametrize(
    "name", ["h264_b_mp4", "interlaced_ts", "mjpeg_avi", "gray_mp4", "full_range_mp4", "ten_bit_mp4", "rotated_90_mp4"]
)
def test_parts_of_decoded_frames(name, video_file):
    with open_video(video_file(name)) as video:
        canvas = np.zeros((video.height, video.width, 3), np.uint8)
        box = (5, 3, 40, 35)
        for (i, picture), (j, decoded) in zip(video.stream(0, 20), video.decoded(0, 20), strict=True):
            assert i == j
            decoded.rgb(canvas, box)
            np.testing.assert_array_equal(canvas[3:35, 5:40], picture[3:35, 5:40])
