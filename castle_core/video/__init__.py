"""Frame index ↔ time stamp ↔ pixels: the only place that decodes video."""

from castle_core.video.fingerprint import fingerprint
from castle_core.video.images import encode_jpeg, encode_png
from castle_core.video.info import VideoInfo
from castle_core.video.motion import motion_energy
from castle_core.video.pixels import DecodedFrame
from castle_core.video.proxy import make_proxy, needs_proxy
from castle_core.video.reader import FrameBatch, Video, open_video
from castle_core.video.writer import VideoWriter

__all__ = [
    "DecodedFrame",
    "FrameBatch",
    "Video",
    "VideoInfo",
    "VideoWriter",
    "encode_jpeg",
    "encode_png",
    "fingerprint",
    "make_proxy",
    "motion_energy",
    "needs_proxy",
    "open_video",
]
