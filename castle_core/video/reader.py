"""`Video`: the one way in which this project reads frames."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from castle_core.errors import ConfigError, FrameDecodeError, FrameIndexError, VideoError
from castle_core.video.decoder import Decoder
from castle_core.video.index import Floats, Ints, VideoIndex
from castle_core.video.index_cache import load_or_scan
from castle_core.video.info import VideoInfo
from castle_core.video.pixels import Bytes, Converter, DecodedFrame

FrameIndices = Sequence[int] | npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class FrameBatch:
    """Frames with their places in the video.

    Attributes
    ----------
    data : (N, H, W, 3) uint8
        RGB, as displayed.
    frame_index : (N,) int64
        Which frames these are, in the order asked for.
    time_s : (N,) float64
        When they are shown, in seconds.
    """

    data: Bytes
    frame_index: Ints
    time_s: Floats

    def __len__(self) -> int:
        return len(self.frame_index)


class Video:
    """A video whose frame i is the i-th frame that the decoder puts out, however it is reached.

    Open it with `open_video`, use it in a ``with`` block, and in one thread at a time.

    Attributes
    ----------
    path : Path
        The file.
    info : VideoInfo
        Size, rate, codec and so on.
    n_frames, width, height : int
        As displayed.
    average_fps : float
        Measured, or the true rate that the user has set.
    times_s : (n,) float64
        When each frame is shown; frame 0 at 0. With a true rate set: i / true rate.
    key_frame_indices : (k,) int64
        Frames that can be decoded alone, ascending: the cheap ones.
    packet_sizes : (n,) int64
        Compressed bytes of each frame, in display order.
    """

    def __init__(self, path: Path, index: VideoIndex, *, true_fps: float | None = None) -> None:
        self.path = path
        self.index = index
        self.info = VideoInfo.of(path, index, true_fps)
        self.n_frames = index.n_frames
        self.width = self.info.width
        self.height = self.info.height
        self.average_fps = self.info.average_fps
        self.times_s: Floats = index.time_s if true_fps is None else np.arange(index.n_frames) / true_fps
        self.key_frame_indices: Ints = index.key_frame_indices()
        self.packet_sizes: Ints = index.frame_sizes()
        self._converter = Converter(index.rotation_deg)
        self._decoder: Decoder | None = Decoder(path, index)
        self._lock = RLock()

    def __enter__(self) -> "Video":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return self.n_frames

    def __repr__(self) -> str:
        return f"Video({str(self.path)!r}, n_frames={self.n_frames}, width={self.width}, height={self.height})"

    def close(self) -> None:
        """Close the file. The video cannot be read any more."""
        with self._lock:
            if self._decoder is not None:
                self._decoder.close()
                self._decoder = None

    def frame_at(self, frame_index: int) -> Bytes:
        """Return one frame, (H, W, 3) uint8 RGB.

        Raises
        ------
        FrameIndexError
            If there is no such frame.
        FrameDecodeError
            If the file is damaged there.
        """
        return np.asarray(self.frames_at([frame_index]).data[0])

    def frames_at(self, frame_indices: FrameIndices) -> FrameBatch:
        """Return frames in the order asked for; duplicates are fine. Each group of pictures is decoded once.

        Parameters
        ----------
        frame_indices : sequence of int
            0 … n_frames-1. Negative indices are refused, since they would hide mistakes.

        Raises
        ------
        FrameIndexError
            If one of them lies outside the video.
        FrameDecodeError
            If one of them cannot be decoded; nothing else is put in its place.
        """
        asked = self._checked(frame_indices)
        unique, places = np.unique(asked, return_inverse=True)
        data = np.empty((len(unique), self.height, self.width, 3), np.uint8)
        with self._lock:
            if self._decoder is None:
                raise VideoError(f"{self.path.name} has been closed. Open it again to read frames.")
            for row, (frame_index, frame) in enumerate(self._decoder.frames(unique)):
                self._convert(frame_index, frame, data[row])
        if len(unique) != len(asked) or (unique != asked).any():
            data = data[places]
        return FrameBatch(data, asked, self.times_s[asked])

    def batches(self, size: int, start: int = 0, stop: int | None = None, step: int = 1) -> Iterator[FrameBatch]:
        """Yield frames start, start + step, … below `stop` in batches of `size`; the last one may be smaller.

        Parameters
        ----------
        size : int
            Frames in a batch, at least 1.
        start, stop : int
            Half-open range of frame indices, clipped to the video; `stop` None means its end.
        step : int
            At least 1.

        Raises
        ------
        ConfigError
            If `size` or `step` is below 1 or `start` is negative.
        FrameDecodeError
            If one of the frames cannot be decoded.
        """
        if size < 1 or step < 1 or start < 0:
            raise ConfigError(f"Batches need size >= 1, step >= 1 and start >= 0, not {size=}, {step=}, {start=}.")
        stop = self.n_frames if stop is None else min(stop, self.n_frames)
        return self._batches(size, np.arange(start, max(start, stop), step, dtype=np.int64))

    def _batches(self, size: int, frame_indices: Ints) -> Iterator[FrameBatch]:
        with Decoder(self.path, self.index) as decoder:
            frames = decoder.frames(frame_indices)
            for first in range(0, len(frame_indices), size):
                part = frame_indices[first : first + size]
                data = np.empty((len(part), self.height, self.width, 3), np.uint8)
                for row in range(len(part)):
                    self._convert(*next(frames), data[row])
                yield FrameBatch(data, part, self.times_s[part])

    def stream(self, start: int = 0, stop: int | None = None, step: int = 1) -> Iterator[tuple[int, Bytes | None]]:
        """Yield frames start, start + step, … below `stop` one by one, going on past damage.

        Parameters
        ----------
        start, stop, step : int
            As for `batches`.

        Yields
        ------
        tuple of int and (H, W, 3) uint8 array or None
            Frame index and RGB picture; None where the frame cannot be decoded.
        """
        for frame_index, decoded in self.decoded(start, stop, step):
            if decoded is None:
                yield frame_index, None
            else:
                yield frame_index, decoded.rgb(np.empty((self.height, self.width, 3), np.uint8))

    def decoded(
        self, start: int = 0, stop: int | None = None, step: int = 1
    ) -> Iterator[tuple[int, DecodedFrame | None]]:
        """Yield frames like `stream`, with their colours still to be made: where they are looked at, in any thread.

        Yields
        ------
        tuple of int and DecodedFrame or None
            Frame index and decoded frame; None where the frame cannot be decoded.
        """
        stop = self.n_frames if stop is None else min(stop, self.n_frames)
        converter = Converter(self.index.rotation_deg)
        with Decoder(self.path, self.index) as decoder:
            for frame_index, frame in decoder.frames(np.arange(start, max(start, stop), step, dtype=np.int64)):
                if frame is None or (frame.width, frame.height) != (self.index.width, self.index.height):
                    yield frame_index, None
                else:
                    yield frame_index, DecodedFrame(frame, converter)

    def thumbnails(
        self,
        frame_indices: FrameIndices | None = None,
        *,
        width: int = 64,
        on_error: Literal["raise", "skip"] = "raise",
        fast: bool = True,
    ) -> Iterator[tuple[int, Bytes]]:
        """Yield small gray pictures: the luma plane, area-averaged, without a colour conversion.

        Parameters
        ----------
        frame_indices : sequence of int, optional
            Frames wanted, in any order; default all. They come sorted, each once.
        width : int
            Pixels across; the height follows from the shape of the video, at least 1.
        on_error : {"raise", "skip"}
            What to do with a frame that cannot be decoded: raise `FrameDecodeError`, or leave it out.
        fast : bool
            Skip the decoder's loop filter. It changes a thumbnail by a grey level or two and saves much time.

        Yields
        ------
        tuple of int and (h, w) uint8
            Frame index and its picture, as displayed.

        Raises
        ------
        FrameIndexError
            If one of the indices lies outside the video.
        """
        if width < 1 or on_error not in ("raise", "skip"):
            raise ConfigError(f"Thumbnails need width >= 1 and on_error 'raise' or 'skip', not {width=}, {on_error=}.")
        if frame_indices is None:
            wanted = np.arange(self.n_frames, dtype=np.int64)
        else:
            wanted = np.unique(self._checked(frame_indices))
        return self._thumbnails(wanted, width, on_error, fast)

    def _thumbnails(self, wanted: Ints, width: int, on_error: str, fast: bool) -> Iterator[tuple[int, Bytes]]:
        height = max(1, round(width * self.height / self.width))
        with Decoder(self.path, self.index, fast=fast) as decoder:
            for frame_index, frame in decoder.frames(wanted):
                if frame is None or (frame.width, frame.height) != (self.index.width, self.index.height):
                    if on_error == "raise":
                        self._refuse(frame_index, frame)
                    continue
                yield frame_index, self._converter.gray(frame, width, height)

    def _convert(self, frame_index: int, frame: Any, out: Bytes) -> None:
        if frame is None or (frame.width, frame.height) != (self.index.width, self.index.height):
            self._refuse(frame_index, frame)
        self._converter.rgb(frame, out)

    def _refuse(self, frame_index: int, frame: Any) -> None:
        if frame is None:
            what = "cannot be decoded: the file is damaged there. Choose another frame or copy the video again"
        else:
            what = f"is {frame.width}x{frame.height} pixels, unlike the first frame. Convert the video to one size"
        raise FrameDecodeError(f"Frame {frame_index} of {self.path.name} {what}.", frame_index=frame_index)

    def _checked(self, frame_indices: FrameIndices) -> Ints:
        asked = np.asarray(frame_indices)
        if asked.size == 0:
            return np.empty(0, np.int64)
        if asked.ndim != 1 or not np.issubdtype(asked.dtype, np.integer):
            raise ConfigError(f"Frame indices are whole numbers in one row, not {asked.dtype} of shape {asked.shape}.")
        outside = asked[(asked < 0) | (asked >= self.n_frames)]
        if len(outside):
            raise FrameIndexError(
                f"Frame {int(outside[0])} is not in {self.path.name}, whose frames are 0 … {self.n_frames - 1}."
            )
        return asked.astype(np.int64)


def open_video(path: Path | str, *, cache_dir: Path | str | None = None, true_fps: float | None = None) -> Video:
    """Open a video for exact reading.

    Parameters
    ----------
    path : Path or str
        The file.
    cache_dir : Path or str, optional
        Folder in which the index is kept, so that opening again is instant.
    true_fps : float, optional
        The camera's true frame rate, where the file's is wrong; every time then follows from it.

    Raises
    ------
    VideoError
        If the file is missing, is not a video, or not one frame of it can be decoded.
    ConfigError
        If `true_fps` is not a positive number.
    """
    if true_fps is not None and not 0 < true_fps < float("inf"):
        raise ConfigError(f"The true frame rate must be a positive number, not {true_fps}.")
    path = Path(path)
    index = load_or_scan(path, None if cache_dir is None else Path(cache_dir))
    return Video(path, index, true_fps=true_fps)
