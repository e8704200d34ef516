"""What is worth knowing about a video at a glance."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from castle_core.video.index import VideoIndex


@dataclass(frozen=True)
class VideoInfo:
    """Facts about a video as its decoder puts it out; the container's header is not believed.

    Attributes
    ----------
    path : Path
        The file.
    n_frames : int
        Frames that the decoder puts out.
    width, height : int
        Pixels as displayed: rotation applied, pixel aspect ignored.
    average_fps : float
        Frames per second over the whole video, or the true rate that the user has set.
    duration_s : float
        Seconds: ``n_frames / average_fps``.
    codec, pixel_format, container : str
        FFmpeg's names, e.g. ``h264``, ``yuv420p``, ``mov,mp4,m4a,3gp,3g2,mj2``.
    n_keyframes : int
        Frames that can be decoded alone.
    variable_frame_rate : bool
        The frames are not evenly spaced in time.
    rotation_deg : int
        0, 90, 180 or 270, counter-clockwise, already applied to what is shown.
    start_s : float
        Time stamp of the first frame in the file; times shown start at 0.
    truncated : bool
        The file breaks off before its end.
    """

    path: Path
    n_frames: int
    width: int
    height: int
    average_fps: float
    duration_s: float
    codec: str
    pixel_format: str
    container: str
    n_keyframes: int
    variable_frame_rate: bool
    rotation_deg: int
    start_s: float
    truncated: bool

    @classmethod
    def of(cls, path: Path, index: VideoIndex, true_fps: float | None) -> "VideoInfo":
        """Gather the facts from an index; `true_fps` replaces the measured rate."""
        turned = index.rotation_deg in (90, 270)
        average_fps = index.average_fps() if true_fps is None else true_fps
        return cls(
            path=path,
            n_frames=index.n_frames,
            width=index.height if turned else index.width,
            height=index.width if turned else index.height,
            average_fps=average_fps,
            duration_s=index.n_frames / average_fps,
            codec=index.codec,
            pixel_format=index.pixel_format,
            container=index.format,
            n_keyframes=len(index.key_frame_indices()),
            variable_frame_rate=index.variable_frame_rate() and true_fps is None,
            rotation_deg=index.rotation_deg,
            start_s=index.start_s,
            truncated=index.truncated,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the fields of ``castle info --json``."""
        return {
            "video": str(self.path),
            "n_frames": self.n_frames,
            "width": self.width,
            "height": self.height,
            "average_fps": self.average_fps,
            "duration_s": self.duration_s,
            "codec": self.codec,
            "pixel_format": self.pixel_format,
            "container": self.container,
            "keyframes": self.n_keyframes,
            "variable_frame_rate": self.variable_frame_rate,
            "rotation_deg": self.rotation_deg,
            "start_s": self.start_s,
            "truncated": self.truncated,
        }
