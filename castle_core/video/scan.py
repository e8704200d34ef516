"""Make the index of a video: a pass over its packets, with decoding only where the time stamps do not tell enough."""

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av  # noqa: TID251
import av.error  # noqa: TID251
import numpy as np

from castle_core.errors import VideoError
from castle_core.video.container import open_container, packets, stream_facts
from castle_core.video.index import NO_TIME, Bools, Floats, Ints, VideoIndex

# Containers whose time stamps are made up by FFmpeg (AVI counts chunks, raw streams have none at all).
_WITHOUT_TIMES = {"avi", "h264", "hevc", "vvc", "m4v", "mpegvideo", "mjpeg", "obu", "vc1", "h263", "h261", "dirac"}
# Frames decoded at first, to know the pictures.
_N_FIRST = 3
# In these codecs a packet may hold a picture that is never shown, or none at all.
_HIDDEN_PICTURES = {"vp8", "libvpx", "vc1", "wmv3", "rv30", "rv40", "flashsv", "theora"}


@dataclass
class _Packets:
    pts: list[int] = field(default_factory=list)
    dts: list[int] = field(default_factory=list)
    pos: list[int] = field(default_factory=list)
    size: list[int] = field(default_factory=list)
    key: list[bool] = field(default_factory=list)
    discard: list[bool] = field(default_factory=list)
    truncated: bool = False


@dataclass(frozen=True)
class _Picture:
    width: int
    height: int
    rotation_deg: int
    pixel_format: str
    all_alone: bool


def scan(path: Path) -> VideoIndex:
    """Read the packets of `path` and work out which of them carries frame i.

    Parameters
    ----------
    path : Path
        A video file.

    Returns
    -------
    VideoIndex
        With at least one frame.

    Raises
    ------
    VideoError
        If it is not a video, or not one frame of it can be decoded.
    """
    picture = _first_picture(path)
    container, stream = open_container(path)
    try:
        facts = stream_facts(container, stream)
        found = _collect(container, stream)
    finally:
        container.close()
    pts = np.array(found.pts, np.int64)
    dts = np.array(found.dts, np.int64)
    key = np.array(found.key, bool)
    shown = ~np.array(found.discard, bool)
    start_s = 0.0
    by_time = facts.format not in _WITHOUT_TIMES and facts.codec not in _HIDDEN_PICTURES
    if by_time and _times_tell_all(pts, key, shown):
        frame_packet = np.flatnonzero(shown)
        frame_packet = frame_packet[np.argsort(pts[frame_packet], kind="stable")]
        stamps = pts[frame_packet]
        start_s = float(stamps[0] * facts.tick_s)
        time_s = (stamps - stamps[0]) * facts.tick_s
        if len(key) > 1 and key.all() and not picture.all_alone:
            _, key = _decode_all(path, key)  # every packet claims to be a key frame, and that is not so
    else:
        by_time = False
        frame_packet, key = _decode_all(path, key)
        time_s = _times(pts, dts, frame_packet, facts.tick_s, facts.guessed_fps)
    if len(frame_packet) == 0:
        raise VideoError(f"{path.name} holds no frame that can be shown. Was the recording stopped at once?")
    return VideoIndex(
        pts=pts,
        dts=dts,
        pos=np.array(found.pos, np.int64),
        size=np.array(found.size, np.int64),
        key=key,
        frame_packet=frame_packet.astype(np.int64),
        time_s=time_s,
        start_s=start_s,
        decoded=not by_time,
        truncated=found.truncated,
        width=picture.width,
        height=picture.height,
        rotation_deg=picture.rotation_deg,
        pixel_format=picture.pixel_format,
        codec=facts.codec,
        format=facts.format,
        tick_s=facts.tick_s,
        nominal_fps=facts.guessed_fps,
        profile=facts.profile,
    )


def _first_picture(path: Path) -> _Picture:
    """Decode until a few frames come out: only a frame tells size, format and rotation for certain.

    Whether those few are all decodable alone shows up containers that call every packet a key frame.
    """
    container, stream = open_container(path)
    stream.codec_context.thread_count = 1
    seen: list[Any] = []
    try:
        for packet in _with_end(container, stream):
            try:
                frames = stream.codec_context.decode(packet)
            except av.error.EOFError:
                break
            except (av.error.FFmpegError, OSError):
                continue
            seen.extend(frames)
            if len(seen) >= _N_FIRST:
                break
    finally:
        container.close()
    if seen:
        first, alone = seen[0], all(frame.key_frame for frame in seen)
        return _Picture(first.width, first.height, _quarter_turn(first), first.format.name, alone)
    raise VideoError(
        f"{path.name} holds no frame that can be decoded. It is empty, damaged, or of a kind that FFmpeg does not know."
    )


def _quarter_turn(frame: Any) -> int:
    """Return the rotation as 0, 90, 180 or 270 degrees counter-clockwise; other angles are ignored, as in OpenCV."""
    angle = int(frame.rotation) % 360
    return angle if angle % 90 == 0 else 0


def _with_end(container: Any, stream: Any) -> Any:
    with contextlib.suppress(av.error.FFmpegError, OSError):
        yield from packets(container, stream)
    yield None


def _collect(container: Any, stream: Any) -> _Packets:
    found = _Packets()
    pts, dts, pos, size, key, discard = found.pts, found.dts, found.pos, found.size, found.key, found.discard
    last_is_partial = False
    try:
        for packet in packets(container, stream):
            stamp = packet.pts
            pts.append(NO_TIME if stamp is None else stamp)
            stamp = packet.dts
            dts.append(NO_TIME if stamp is None else stamp)
            stamp = packet.pos
            pos.append(-1 if stamp is None else stamp)
            size.append(packet.size)
            key.append(packet.is_keyframe)
            discard.append(packet.is_discard)
            last_is_partial = packet.is_corrupt
    except (av.error.FFmpegError, OSError):
        found.truncated = True
    if last_is_partial:
        # The file ends inside this packet: what is left of it is not a frame.
        found.truncated = True
        for column in (pts, dts, pos, size, key, discard):
            column.pop()
    return found


def _times_tell_all(pts: Ints, key: Bools, shown: Bools) -> bool:
    """Tell whether sorting by time stamp gives what the decoder puts out: stamps unique, start at a key frame."""
    if len(pts) == 0 or (pts == NO_TIME).any():
        return False
    ordered = np.sort(pts)
    if (np.diff(ordered) == 0).any():
        return False
    # A stream that starts in the middle of a group, or with pictures that refer to before its start, loses frames.
    return bool(key[0]) and bool((pts[1:] > pts[0]).all())


def _decode_all(path: Path, key: Bools) -> tuple[Ints, Bools]:
    """Decode the whole video and note from which packet each frame came, and which packets really start afresh.

    FFmpeg hands each packet's time stamp to the frame that comes out of it. Here the stamps are replaced by the
    packets' ordinals, so that the frames name their packets even where the container has no stamps.
    """
    container, stream = open_container(path)
    stream.codec_context.thread_type = "AUTO"
    order: list[int] = []
    really_key = np.zeros(len(key), bool)
    try:
        ordinal = 0
        for packet in _with_end(container, stream):
            if packet is not None:
                if ordinal >= len(key):  # the torn packet at the end, which the index leaves out
                    continue
                packet.pts = ordinal
                ordinal += 1
            try:
                frames = stream.codec_context.decode(packet)
            except av.error.EOFError:
                break
            except (av.error.FFmpegError, OSError):
                continue
            for frame in frames:
                if frame.pts is not None:
                    order.append(frame.pts)
                    really_key[frame.pts] = frame.key_frame
    finally:
        container.close()
    frame_packet = np.array(order, np.int64)
    if len(np.unique(frame_packet)) != len(frame_packet):
        raise VideoError(
            f"{path.name} packs several frames into one packet, which cannot be indexed. Convert it to mp4 (H.264)."
        )
    return frame_packet, key & really_key


def _times(pts: Ints, dts: Ints, frame_packet: Ints, tick_s: float, nominal_fps: float) -> Floats:
    """Give the frames times in display order from whichever stamps are complete, else from the nominal rate."""
    for stamps in (pts, dts):
        used = np.sort(stamps[frame_packet])
        if len(used) and used[0] != NO_TIME and (np.diff(used) > 0).all():
            return np.asarray((used - used[0]) * tick_s, np.float64)
    return np.arange(len(frame_packet), dtype=np.float64) / (nominal_fps or 25.0)
