"""Write a video: quickly, with exact times, and with its final name only when it is whole."""

import os
import tempfile
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av  # noqa: TID251
import av.error  # noqa: TID251
import av.video.reformatter  # noqa: TID251
import numpy as np
import numpy.typing as npt

from castle_core.errors import ConfigError, VideoError
from castle_core.files import current_umask, write_error

_ENCODERS = {
    "h264": ("libx264", {"preset": "veryfast"}),
    "mpeg4": ("mpeg4", {}),
    "mjpeg": ("mjpeg", {}),
    "ffv1": ("ffv1", {}),
    "vp9": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "row-mt": "1"}),
}
_TICKS_PER_S = 90_000


class VideoWriter:
    """Writes frames one by one; use it in a ``with`` block.

    The file appears under its final name when the block ends well; if the block raises, nothing is left behind. Sizes
    that are odd are padded to even ones by repeating the last row or column, as H.264 (yuv420p) needs.

    Parameters
    ----------
    path : Path
        The final name; its suffix chooses the container (.mp4, .avi, .mkv, .mov, .webm).
    fps : Fraction or float
        Frame rate; exact for fractions such as 30000/1001.
    width, height : int
        Pixels of the frames.
    codec : {"h264", "mpeg4", "mjpeg", "ffv1", "vp9"}
        Video codec.
    crf : int
        Quality of H.264 and VP9: lower is better, 15 is nearly lossless.
    gop : int, optional
        Frames from key frame to key frame; default the encoder's own.
    preset : str, optional
        x264's speed, e.g. ``ultrafast``; default ``veryfast``.
    threads : int
        Encoder threads; 0 lets the encoder choose.
    variable : bool
        Times are given frame by frame in `write` and kept to 1/90000 s.
    b_frames : int, optional
        Most B-frames in a row; default the encoder's own.

    Raises
    ------
    ConfigError
        If a setting cannot be.
    ProjectError
        If the folder cannot be written to or the disk is full.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        fps: Fraction | float,
        width: int,
        height: int,
        codec: str = "h264",
        crf: int = 15,
        gop: int | None = None,
        preset: str | None = None,
        threads: int = 0,
        variable: bool = False,
        b_frames: int | None = None,
    ) -> None:
        if codec not in _ENCODERS:
            raise ConfigError(f"The codec must be one of {', '.join(_ENCODERS)}, not {codec!r}.")
        rate = fps if isinstance(fps, Fraction) else Fraction(fps).limit_denominator(100_000)
        if not 0 < rate <= 100_000 or width < 1 or height < 1:
            raise ConfigError(f"A video needs a positive rate and size, not {fps} fps and {width}x{height}.")
        self.path = Path(path)
        self.n_frames = 0
        self._shape = (height, width)
        self._padding = (height % 2, width % 2)
        self._variable = variable
        self._last_pts = -1
        self._time_base = Fraction(1, _TICKS_PER_S) if variable else 1 / rate
        self._i420: Any = None
        self._reformatter = av.video.reformatter.VideoReformatter()
        try:
            descriptor, name = tempfile.mkstemp(
                prefix=f".{self.path.stem[:40]}.", suffix=f".part{self.path.suffix}", dir=self.path.parent
            )
        except OSError as error:
            raise write_error(self.path, error) from error
        os.close(descriptor)
        self._temporary = Path(name)
        try:
            self._open(codec, rate, crf, gop, preset, threads, b_frames)
        except BaseException:
            self._temporary.unlink(missing_ok=True)
            raise

    def _open(
        self,
        codec: str,
        rate: Fraction,
        crf: int,
        gop: int | None,
        preset: str | None,
        threads: int,
        b_frames: int | None,
    ) -> None:
        encoder, options = _ENCODERS[codec]
        options = dict(options)
        if codec in ("h264", "vp9"):
            options["crf"] = str(crf)
        if codec == "h264" and preset is not None:
            options["preset"] = preset
        try:
            self._container = av.open("file:" + os.path.abspath(self._temporary), "w", options=self._muxer_options())
            stream: Any = self._container.add_stream(encoder, rate=rate, options=options)
        except (av.error.FFmpegError, ValueError) as error:
            raise VideoError(f"{self.path.name} cannot be made as {codec}: {error}. Try the suffix .mp4.") from error
        stream.width = self._shape[1] + self._padding[1]
        stream.height = self._shape[0] + self._padding[0]
        stream.pix_fmt = {"mjpeg": "yuvj420p"}.get(codec, "yuv420p")
        stream.codec_context.time_base = self._time_base
        stream.codec_context.thread_count = threads
        if codec == "vp9":
            stream.codec_context.bit_rate = 0
        if codec in ("mpeg4", "mjpeg"):
            stream.codec_context.bit_rate = 40 * stream.width * stream.height
        if gop is not None:
            stream.codec_context.gop_size = gop
        if b_frames is not None:
            stream.codec_context.max_b_frames = b_frames
        self._stream = stream

    def _muxer_options(self) -> dict[str, str]:
        # The table of frames goes first, so that a browser can start playing before it has the whole file.
        return {"movflags": "+faststart"} if self.path.suffix.lower() in (".mp4", ".mov", ".m4v") else {}

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def write(self, image: npt.NDArray[np.uint8], *, time_s: float | None = None) -> None:
        """Append one frame.

        Parameters
        ----------
        image : (H, W, 3) or (H, W) uint8
            RGB or gray.
        time_s : float, optional
            When to show it, for a variable rate; must grow from frame to frame.
        """
        if image.shape[:2] != self._shape or image.dtype != np.uint8 or image.ndim not in (2, 3):
            raise ConfigError(
                f"{self.path.name} takes uint8 frames of {self._shape[1]}x{self._shape[0]} pixels, "
                f"not {image.dtype} of shape {image.shape}."
            )
        if any(self._padding):
            around = ((0, self._padding[0]), (0, self._padding[1]), (0, 0))
            image = np.pad(image, around[: image.ndim], mode="edge")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24" if image.ndim == 3 else "gray")
        self.write_frame(self._reformatter.reformat(frame, format=self._stream.pix_fmt, threads=1), time_s=time_s)

    def write_i420(self, planes: npt.NDArray[np.uint8], *, time_s: float | None = None) -> None:
        """Append one frame that is in the encoder's pixel format already, which saves the conversion.

        Parameters
        ----------
        planes : (3 H / 2, W) uint8
            The planes Y, U and V one below the other, as ``cv2.COLOR_RGB2YUV_I420`` makes them; H and W even.
        time_s : float, optional
            As in `write`.
        """
        height, width = self._shape
        if planes.shape != (height * 3 // 2, width) or planes.dtype != np.uint8 or any(self._padding):
            raise ConfigError(f"{self.path.name} takes planes of {width}x{height * 3 // 2}, not {planes.shape}.")
        if self._stream.pix_fmt != "yuv420p" or self._stream.name != "libx264":
            raise ConfigError(f"{self.path.name} is not H.264: give it RGB frames.")
        if self._i420 is None:
            self._i420 = av.VideoFrame(width, height, "yuv420p")
        flat = planes.reshape(-1)
        start = 0
        # x264 copies what it gets, so that one frame serves for all: fresh ones would cost more than encoding them
        for plane in self._i420.planes:
            rows, columns = plane.height, plane.width
            target = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
            target[:rows, :columns] = flat[start : start + rows * columns].reshape(rows, columns)
            start += rows * columns
        self.write_frame(self._i420, time_s=time_s)

    def write_frame(self, frame: Any, *, time_s: float | None = None) -> None:
        """Append a frame of PyAV in the encoder's pixel format and (even) size."""
        pts = self.n_frames
        if self._variable:
            if time_s is None:
                raise ConfigError("A video with a variable rate needs the time of each frame.")
            pts = round(time_s * _TICKS_PER_S)
        if pts <= self._last_pts:
            raise ConfigError(f"Frame {self.n_frames} of {self.path.name} is not later than the one before it.")
        frame.pts, frame.time_base = pts, self._time_base
        frame.pict_type = 0
        self._last_pts = pts
        self._mux(frame)
        self.n_frames += 1

    def _mux(self, frame: Any) -> None:
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except OSError as error:
            raise write_error(self.path, error) from error
        except (av.error.FFmpegError, ValueError) as error:
            raise VideoError(f"{self.path.name} cannot be written: {error}.") from error

    def close(self) -> None:
        """Finish the file and give it its final name."""
        try:
            if self.n_frames == 0:
                raise VideoError(f"{self.path.name} got no frames, so it was not written.")
            self._mux(None)
            try:
                self._container.close()
                with open(self._temporary, "rb+") as written:
                    os.fsync(written.fileno())
                self._temporary.chmod(0o666 & ~current_umask())
                os.replace(self._temporary, self.path)
            except OSError as error:
                raise write_error(self.path, error) from error
        finally:
            self.discard()

    def discard(self) -> None:
        """Drop the unfinished file; does nothing once it is finished."""
        try:
            self._container.close()
        except (OSError, av.error.FFmpegError):
            pass  # it is thrown away anyway
        finally:
            self._temporary.unlink(missing_ok=True)
