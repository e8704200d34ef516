"""A copy of a video that any browser plays, frame for frame and time for time, for looking only."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from castle_core.progress import QUIET, Task
from castle_core.video.decoder import Decoder
from castle_core.video.pixels import Bytes, Converter
from castle_core.video.reader import Video, open_video
from castle_core.video.writer import VideoWriter

_CRF = 23
_GOP = 30


def needs_proxy(video: Video) -> bool:
    """Tell whether browsers cannot be trusted to play `video` as it is."""
    index, suffix = video.index, video.path.suffix.lower()
    if index.truncated or index.decoded:
        return True
    if suffix in (".mp4", ".m4v"):
        plain = index.pixel_format in ("yuv420p", "yuvj420p") and "4:4:4" not in index.profile
        return not (plain and index.codec in ("h264", "av1", "libdav1d", "vp9"))
    if suffix == ".webm":
        return not (index.pixel_format == "yuv420p" and index.codec in ("vp8", "vp9", "av1", "libdav1d"))
    return True


def make_proxy(source: Path, target: Path, task: Task = QUIET) -> None:
    """Write `target`, an H.264 mp4 with the frames of `source` as displayed, at the same times.

    Its frame i is frame i of the source and is shown at ``times_s[i]``, so that a player's place in the copy names the
    frame of the original. It has no B-frames and a key frame at least every 30 frames, which makes jumping exact and
    quick. A frame that cannot be decoded is shown as a gray picture that says so. There is no sound.

    Parameters
    ----------
    source : Path
        Any video that `open_video` reads.
    target : Path
        File to make, ``.mp4``; it appears when it is whole.
    task : Task
        Progress in frames; may raise to cancel, which leaves nothing behind.

    Raises
    ------
    VideoError
        If the source cannot be read.
    ProjectError
        If the target cannot be written.
    """
    with open_video(source) as video:
        writer = VideoWriter(
            target,
            fps=video.average_fps,
            width=video.width,
            height=video.height,
            crf=_CRF,
            gop=_GOP,
            variable=True,
            b_frames=0,
        )
        converter = Converter(video.index.rotation_deg)
        size = (video.index.width, video.index.height)
        plain = video.index.rotation_deg == 0 and size[0] % 2 == 0 and size[1] % 2 == 0
        with writer, Decoder(video.path, video.index) as decoder:
            for frame_index, frame in decoder.frames(np.arange(video.n_frames, dtype=np.int64)):
                time_s = float(video.times_s[frame_index])
                whole = frame is not None and (frame.width, frame.height) == size
                if whole and plain:
                    writer.write_frame(frame.reformat(format="yuv420p", threads=1), time_s=time_s)
                else:
                    writer.write(converter.rgb(frame) if whole else _notice(video, frame_index), time_s=time_s)
                task.progress(frame_index + 1, video.n_frames, "frames")


def _notice(video: Video, frame_index: int) -> Bytes:
    picture: Any = np.full((video.height, video.width, 3), 96, np.uint8)
    scale = max(0.3, video.width / 640)
    text = f"frame {frame_index} cannot be decoded"
    cv2.putText(picture, text, (round(0.05 * video.width), video.height // 2), 0, scale, (255, 255, 255), 1)
    return np.asarray(picture)
