"""Small videos of every awkward kind, made with PyAV; each frame spells its index in black and white boxes."""

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av  # noqa: TID251
import numpy as np

N_FRAMES = 50


@dataclass(frozen=True)
class Kind:
    """How to make one video; `opencv` is False where OpenCV's reader fails (AV1) or gives black frames (interlaced)."""

    suffix: str
    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    size: tuple[int, int] = (96, 64)
    options: dict = field(default_factory=dict)
    gop: int = 12
    b_frames: int | None = None
    n_frames: int = N_FRAMES
    fps: int = 30
    shift: int = 0  # added to each time stamp, in frames
    times: str = "even"  # even | variable | repeated
    rotation: int = 0
    interlaced: bool = False
    forget_keys: bool = False  # without its table of key frames, an mp4 calls every frame one
    mux: dict = field(default_factory=dict)
    format: str | None = None
    opencv: bool = True


_B = {"preset": "veryfast", "x264-params": "bframes=3:b-adapt=0:b-pyramid=normal:scenecut=0:keyint=12:min-keyint=12"}
_OPEN = {"preset": "veryfast", "x264-params": _B["x264-params"] + ":open-gop=1"}
_FAST = {"preset": "ultrafast"}

ZOO = {
    "h264_b_mp4": Kind(".mp4", options=_B),
    "h264_b_avi": Kind(".avi", options=_B),
    "h264_b_mkv": Kind(".mkv", options=_B),
    "h264_b_mov_fragments": Kind(".mov", options=_B, mux={"movflags": "frag_keyframe+empty_moov"}),
    "h264_open_gop_mp4": Kind(".mp4", options=_OPEN),
    "h264_open_gop_mkv": Kind(".mkv", options=_OPEN),
    "h264_open_gop_avi": Kind(".avi", options=_OPEN),
    "h264_open_gop_ts": Kind(".ts", options=_OPEN),
    "h264_one_gop": Kind(".mp4", options={"preset": "veryfast"}, gop=500),
    "h264_intra_only": Kind(".mp4", options=_FAST, gop=1),
    "h264_lossless": Kind(".mp4", options={"preset": "veryfast", "qp": "0"}),
    "h264_intra_refresh": Kind(".mp4", options={"preset": "veryfast", "x264-params": "intra-refresh=1:keyint=12"}),
    "variable_rate_mp4": Kind(".mp4", options=_B, times="variable"),
    "variable_rate_mkv": Kind(".mkv", options=_B, times="variable"),
    "late_start_mp4": Kind(".mp4", options=_B, shift=100, mux={"use_editlist": "0"}),
    "late_start_mkv": Kind(".mkv", options=_B, shift=100),
    "late_start_ts": Kind(".ts", options=_B, shift=100),
    "edit_list": Kind(".mp4", options=_B, shift=-17, mux={"avoid_negative_ts": "disabled", "use_editlist": "1"}),
    "raw_h264": Kind(".h264", options=_B),
    "interlaced_ts": Kind(
        ".ts", options={"preset": "veryfast", "x264-params": "tff=1:bframes=2"}, interlaced=True, opencv=False
    ),
    "mpeg2_ts": Kind(".ts", codec="mpeg2video", b_frames=2),
    "mpeg2_mpg": Kind(".mpg", codec="mpeg2video", b_frames=2),
    "hevc_mp4": Kind(".mp4", codec="libx265", options={**_FAST, "x265-params": "log-level=none:keyint=12:bframes=3"}),
    "hevc_open_gop_mkv": Kind(
        ".mkv", codec="libx265", options={**_FAST, "x265-params": "log-level=none:keyint=12:bframes=3:open-gop=1"}
    ),
    "mpeg4_avi": Kind(".avi", codec="mpeg4", b_frames=2),
    "mpeg4_mp4": Kind(".mp4", codec="mpeg4", b_frames=2),
    "mjpeg_avi": Kind(".avi", codec="mjpeg", pix_fmt="yuvj420p"),
    "mjpeg_mkv_2000_fps": Kind(".mkv", codec="mjpeg", pix_fmt="yuvj422p", fps=2000, times="repeated"),
    "vp8_webm": Kind(".webm", codec="libvpx", options={"auto-alt-ref": "1", "lag-in-frames": "10", "cpu-used": "8"}),
    "vp9_webm": Kind(".webm", codec="libvpx-vp9", options={"deadline": "realtime", "cpu-used": "8"}),
    "vp9_altref_webm": Kind(".webm", codec="libvpx-vp9", options={"auto-alt-ref": "1", "cpu-used": "8"}, gop=25),
    "av1_webm": Kind(
        ".webm", codec="libsvtav1", options={"preset": "12", "svtav1-params": "lp=1"}, gop=16, opencv=False
    ),
    "gray_mp4": Kind(".mp4", pix_fmt="gray", options=_B),
    "gray_ffv1_mkv": Kind(".mkv", codec="ffv1", pix_fmt="gray"),
    "gray16_ffv1_mkv": Kind(".mkv", codec="ffv1", pix_fmt="gray16le"),
    "raw_bgr_avi": Kind(".avi", codec="rawvideo", pix_fmt="bgr24"),
    "yuv444_odd_mp4": Kind(".mp4", pix_fmt="yuv444p", size=(97, 63), options=_B),
    "mpeg4_odd_avi": Kind(".avi", codec="mpeg4", size=(97, 63), b_frames=1),
    "ten_bit_mp4": Kind(".mp4", pix_fmt="yuv420p10le", options=_B),
    "full_range_mp4": Kind(".mp4", pix_fmt="yuvj420p", options=_B),
    "rotated_90_mp4": Kind(".mp4", options=_B, rotation=90),
    "rotated_180_mp4": Kind(".mp4", options=_B, rotation=180),
    "rotated_270_mov": Kind(".mov", options=_B, rotation=270),
    "every_frame_claims_key_mp4": Kind(".mp4", options=_B, forget_keys=True),
    "one_frame_mp4": Kind(".mp4", options=_B, n_frames=1),
    "two_frames_avi": Kind(".avi", codec="mpeg4", n_frames=2),
}


def picture(frame_index: int, width: int, height: int) -> np.ndarray:
    """Return (height, width, 3) uint8: a drifting texture, a moving disc, and the index in sixteen boxes on top."""
    y, x = np.mgrid[:height, :width]
    image = np.empty((height, width, 3), np.uint8)
    image[..., 0] = 120 + 60 * np.sin((x + 2 * frame_index) / 7)
    image[..., 1] = 120 + 60 * np.cos((y - frame_index) / 5)
    image[..., 2] = (x * 3 + y * 2 + frame_index * 5) % 256
    disc = (x - width / 2 - 20 * np.sin(frame_index / 4)) ** 2 + (y - height / 2 - 12 * np.cos(frame_index / 3)) ** 2
    image[disc < 80] = (250, 240, 30)
    box = max(1, width // 16)
    for bit in range(16):
        image[:box, bit * box : (bit + 1) * box] = 255 if frame_index >> bit & 1 else 0
    return image


def spelled(image: np.ndarray) -> int:
    """Read the index back from a picture, (H, W) or (H, W, 3)."""
    box = max(1, image.shape[1] // 16)
    return sum(int(image[: box - 1, bit * box + 1 : (bit + 1) * box - 1].mean() > 127) << bit for bit in range(16))


def stamps(kind: Kind) -> list[int]:
    """Return the frames' time stamps in ticks of 1/(10·fps) s."""
    even = [10 * (i + kind.shift) for i in range(kind.n_frames)]
    if kind.times == "variable":
        return [even[i] + int(7 * (i % 3 == 1)) + 50 * (i > 30) for i in range(kind.n_frames)]
    return even


def make(kind: Kind, folder: Path, name: str) -> Path:
    """Encode one video of the zoo."""
    path = folder / f"{name}{kind.suffix}"
    width, height = kind.size
    with av.open(str(path), "w", format=kind.format, options=kind.mux) as container:
        stream = container.add_stream(kind.codec, rate=kind.fps, options=kind.options)
        stream.width, stream.height, stream.pix_fmt = width, height, kind.pix_fmt
        context = stream.codec_context
        context.thread_count = 1
        ticks = Fraction(1, kind.fps) if kind.times == "even" else Fraction(1, 10 * kind.fps)
        context.time_base = ticks
        context.gop_size = kind.gop
        if kind.b_frames is not None:
            context.max_b_frames = kind.b_frames
        if kind.codec in ("mpeg4", "mjpeg", "mpeg2video"):
            context.bit_rate = 4_000_000
        if kind.interlaced:
            context.flags |= 1 << 29 | 1 << 18
        if kind.rotation:
            stream.set_display_rotation(kind.rotation)
        shifts = stamps(kind)
        for frame_index in range(kind.n_frames):
            frame = av.VideoFrame.from_ndarray(picture(frame_index, width, height), format="rgb24")
            frame = frame.reformat(format=kind.pix_fmt)
            # Encoders want time stamps from zero; the shift is made on the packets.
            frame.pts = round((shifts[frame_index] - shifts[0]) * Fraction(1, 10 * kind.fps) / ticks)
            frame.time_base = ticks
            for packet in stream.encode(frame):
                _mux(container, packet, kind, ticks)
        for packet in stream.encode(None):
            _mux(container, packet, kind, ticks)
    if kind.forget_keys:
        path.write_bytes(path.read_bytes().replace(b"stss", b"free"))
    return path


def _mux(container, packet, kind: Kind, ticks: Fraction) -> None:
    shift = round(Fraction(kind.shift, kind.fps) / packet.time_base)
    packet.pts += shift
    packet.dts += shift
    container.mux(packet)
