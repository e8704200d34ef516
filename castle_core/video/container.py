"""Open a file with FFmpeg, safely: files only, real video formats only, one line when it fails."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av  # noqa: TID251
import av.container  # noqa: TID251
import av.error  # noqa: TID251
import av.logging  # noqa: TID251

from castle_core.errors import VideoError

# Demuxers that hold one stream of pictures in one file. Play lists and scripts (hls, concat, ...) are left out because
# an uploaded file of that kind could name any other file of the server; text and single images because they are no
# videos, though FFmpeg would draw them.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,avi,matroska,webm,mpegts,mpeg,mpegvideo,m4v,h264,hevc,vvc,av1,obu,ivf,asf,flv,live_flv,"
    "mjpeg,mjpeg_2000,gif,mxf,nut,ogg,yuv4mpegpipe,wtv,dv,vc1,rm,swf,gxf,dirac,cine,smjpeg,ipmovie,nuv,amv,dxa,h263,h261"
)
NO_PTS = -(1 << 63)

# No log at all. With any level set, PyAV's log function waits for Python's lock on the decoder's own threads, while the
# thread that closes or flushes the decoder holds that lock and waits for them: both wait for ever.
av.logging.set_level(None)


@dataclass(frozen=True)
class StreamFacts:
    """What the container says about its video stream; counts and times in it are not believed."""

    codec: str
    format: str
    tick_s: float
    guessed_fps: float
    profile: str


def open_container(path: Path) -> tuple[Any, Any]:
    """Open `path` and find its video stream.

    Returns
    -------
    tuple
        PyAV's input container and video stream. The caller closes the container.

    Raises
    ------
    VideoError
        If there is no such file, it is not a video, or it holds no picture stream.
    """
    if not path.is_file():
        what = "is a folder, not a video" if path.is_dir() else "does not exist"
        raise VideoError(f"{path} {what}. Check the path.")
    if path.stat().st_size == 0:
        raise VideoError(f"{path.name} is empty (0 bytes). Copy the file again.")
    try:
        # "file:" keeps a name such as "concat:a" or "http:b" from being read as an address.
        container = av.open(
            "file:" + os.path.abspath(path),
            options={"format_whitelist": _FORMATS, "protocol_whitelist": "file"},
            metadata_errors="replace",
        )
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise VideoError(f"{path.name} {_why_not(path, error)}") from error
    streams = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not streams or streams[0].codec_context is None:
        container.close()
        raise VideoError(f"{path.name} holds no pictures that can be decoded. Is it a sound file, or a damaged video?")
    return container, streams[0]


def _is_cover(stream: Any) -> bool:
    disposition = getattr(stream, "disposition", None)
    return bool(disposition and disposition & type(disposition).attached_pic)


def _why_not(path: Path, error: Exception) -> str:
    if isinstance(error, PermissionError):
        return "cannot be read: you have no permission. Ask its owner for read access."
    with open(path, "rb") as file:
        head = file.read(12)
    if head[4:8] in {b"ftyp", b"mdat", b"moov", b"free", b"wide"}:
        return (
            "is an unfinished mp4: its table of frames (moov) is missing, as after a crash of the recording program. "
            "Copy it again, or repair it with a tool such as untrunc."
        )
    return "is not a video that can be read. Convert it, e.g. to mp4 with H.264, or check that it was copied whole."


def stream_facts(container: Any, stream: Any) -> StreamFacts:
    """Read codec, format and nominal rate of an open stream."""
    rate = stream.average_rate or stream.guessed_rate or stream.base_rate
    return StreamFacts(
        codec=str(stream.codec_context.name),
        format=str(container.format.name),
        tick_s=float(stream.time_base) if stream.time_base else 0.0,
        guessed_fps=float(rate) if rate and 0 < float(rate) < 1e6 else 0.0,
        profile=str(stream.codec_context.profile or ""),
    )


def packets(container: Any, stream: Any) -> Iterator[Any]:
    """Yield the stream's packets in file order, without the empty one that ends PyAV's demuxing.

    Raises
    ------
    av.error.FFmpegError
        Where the file breaks off or cannot be read.
    """
    for packet in container.demux(stream):
        if packet.size == 0 and packet.dts is None and packet.pts is None:
            continue
        yield packet
