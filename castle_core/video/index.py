"""Which packet of the file holds frame i: pure look-ups, no decoder.

Packets are numbered 0 … m-1 in file order (their *ordinal*), frames 0 … n-1 in the order in which they are shown.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

NO_TIME = -(1 << 63)


@dataclass(frozen=True)
class VideoIndex:
    """The packets of a video and the frames that come out of them.

    Attributes
    ----------
    pts, dts : (m,) int64
        Time stamps of the packets in the stream's ticks; `NO_TIME` where the container has none.
    pos : (m,) int64
        Where each packet starts in the file, -1 if unknown.
    size : (m,) int64
        Bytes.
    key : (m,) bool
        Decoding can start here.
    frame_packet : (n,) int64
        Ordinal of the packet that carries frame i.
    time_s : (n,) float64
        When frame i is shown, in seconds; frame 0 at 0.
    start_s : float
        Time stamp of frame 0 as stored in the file, in seconds.
    decoded : bool
        True if the order of the frames comes from a decoding pass, False if the time stamps told it.
    truncated : bool
        The file breaks off before its end.
    width, height : int
        Pixels as stored, before rotation.
    rotation_deg : int
        0, 90, 180 or 270: how far the stored picture is turned counter-clockwise to be shown.
    pixel_format, codec, format, profile : str
        FFmpeg's names.
    tick_s : float
        Length of one tick of the time stamps in seconds.
    nominal_fps : float
        Frame rate that the container claims; used only where there are no time stamps. 0 if it claims none.
    """

    pts: Ints
    dts: Ints
    pos: Ints
    size: Ints
    key: Bools
    frame_packet: Ints
    time_s: Floats
    start_s: float
    decoded: bool
    truncated: bool
    width: int
    height: int
    rotation_deg: int
    pixel_format: str
    codec: str
    format: str
    tick_s: float
    nominal_fps: float
    profile: str

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.frame_packet)

    @property
    def n_packets(self) -> int:
        """Number of packets."""
        return len(self.size)

    @cached_property
    def keys(self) -> Ints:
        """Ordinals of the packets at which decoding can start, ascending; the first packet always counts."""
        keys = np.flatnonzero(self.key)
        if self.n_packets and (len(keys) == 0 or keys[0] != 0):
            keys = np.concatenate([[0], keys])
        return keys.astype(np.int64)

    @cached_property
    def packet_frame(self) -> Ints:
        """(m,) int64: the frame that each packet carries, -1 for none."""
        frame = np.full(self.n_packets, -1, np.int64)
        frame[self.frame_packet] = np.arange(self.n_frames)
        return frame

    @cached_property
    def start_position(self) -> Ints:
        """(n,) int64: position in `keys` of the packet from which decoding must start to get frame i exactly.

        That is the last key packet that comes before the frame both in the file and on the screen: a frame that is
        stored after a key frame but shown before it (open GOP) may refer to pictures before that key frame.
        """
        position = np.searchsorted(self.keys, self.frame_packet, side="right") - 1
        order = self.packet_frame if self.decoded else self.pts
        while True:
            leading = (position > 0) & (order[self.frame_packet] < order[self.keys[position]])
            if not leading.any():
                return position.astype(np.int64)
            position = position - leading

    @cached_property
    def identity(self) -> tuple[str, Ints, Ints] | None:
        """By what a packet can be known again after a seek: name, sorted values, their ordinals; None if by nothing."""
        for name, stamps in (("pos", self.pos), ("pts", self.pts), ("dts", self.dts)):
            order = np.argsort(stamps, kind="stable")
            ordered = stamps[order]
            if len(ordered) and ordered[0] > (-1 if name == "pos" else NO_TIME) and (np.diff(ordered) > 0).all():
                return name, ordered, order.astype(np.int64)
        return None

    def ordinal_of(self, pos: int | None, pts: int | None, dts: int | None) -> int | None:
        """Return the ordinal of the packet with this place or these time stamps, or None if there is no single one."""
        if self.identity is None:
            return None
        name, ordered, order = self.identity
        stamp = {"pos": pos, "pts": pts, "dts": dts}[name]
        if stamp is None:
            return None
        place = int(np.searchsorted(ordered, stamp))
        if place == len(ordered) or ordered[place] != stamp:
            return None
        return int(order[place])

    def key_frame_indices(self) -> Ints:
        """(k,) int64: frames that can be decoded alone, ascending."""
        frames = self.packet_frame[np.flatnonzero(self.key)]
        return np.sort(frames[frames >= 0])

    def frame_sizes(self) -> Ints:
        """(n,) int64: bytes of each frame's packet, in display order."""
        return self.size[self.frame_packet]

    def average_fps(self) -> float:
        """Frames per second between the first and the last frame.

        The container's claim is taken where there is but one frame, or where the times agree with it as well as their
        rounding lets them (Matroska rounds to milliseconds).
        """
        span = float(self.time_s[-1] - self.time_s[0]) if self.n_frames > 1 else 0.0
        if span > 0:
            if self.nominal_fps and abs(span - (self.n_frames - 1) / self.nominal_fps) <= 1.01 * self.tick_s:
                return self.nominal_fps
            return (self.n_frames - 1) / span
        return self.nominal_fps or 25.0

    def variable_frame_rate(self) -> bool:
        """Tell whether the frames are unevenly spaced by more than the time stamps' rounding."""
        if self.n_frames < 3:
            return False
        steps = np.diff(self.time_s)
        usual = float(np.median(steps))
        return bool(np.abs(steps - usual).max() > max(2.01 * self.tick_s, 0.01 * usual))

    def to_arrays(self) -> dict[str, Any]:
        """Return all fields by name, for `numpy.savez`."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_arrays(cls, arrays: Any) -> "VideoIndex":
        """Rebuild an index from what `to_arrays` gave, as loaded from an npz file."""
        values: dict[str, Any] = {}
        for name in cls.__dataclass_fields__:
            value = arrays[name]
            values[name] = value.item() if value.ndim == 0 else value
        return cls(**values)
