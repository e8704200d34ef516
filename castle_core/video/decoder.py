"""Decode chosen frames exactly, each group of pictures at most once; never pass off a damaged frame as a good one."""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import av  # noqa: TID251
import av.error  # noqa: TID251
import numpy as np

from castle_core.errors import VideoError
from castle_core.video.container import open_container, packets
from castle_core.video.index import Ints, VideoIndex

_DECODE_ERRORS = (av.error.FFmpegError, OSError, ValueError)
# How many packets to read past rather than seek.
_READ_ON = 48
# From this share of wanted frames on, decoding is spread over threads; below, frames that no other refers to are
# skipped, which costs less in total.
_DENSE_SHARE = 0.5
_DENSE_FRAMES = 64
_MAX_THREADS = 8


class _Trouble(Exception):
    """Something in this stretch could not be decoded; look again, carefully."""


class _WrongPlace(Exception):
    """A seek did not lead where the index said."""


@dataclass
class _Lane:
    """One open decoder and the place it has reached in the file."""

    container: Any
    stream: Any
    context: Any
    feed: Iterator[Any] | None = None
    position: int = 0
    ahead: Any = None


class Decoder:
    """Yields decoded frames of one video for sorted frame indices. Not safe for two threads.

    Parameters
    ----------
    path : Path
        The video.
    index : VideoIndex
        Its index.
    fast : bool
        Skip the loop filter: a little less exact, much cheaper. For thumbnails only.
    """

    def __init__(self, path: Path, index: VideoIndex, *, fast: bool = False) -> None:
        self._path = path
        self._index = index
        self._fast = fast
        self._lanes: dict[bool, _Lane] = {}
        self._seeks_well = True
        # How many key packets before the nearest one decoding has to start in this file; learnt from failures.
        self._back = 0

    def __enter__(self) -> "Decoder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._reset()

    def _reset(self) -> None:
        for lane in self._lanes.values():
            if lane.feed is not None:
                close: Callable[[], None] = lane.feed.close  # type: ignore[attr-defined]
                close()
            lane.container.close()
        self._lanes.clear()

    def frames(self, frame_indices: Ints) -> Iterator[tuple[int, Any]]:
        """Decode frames in display order.

        Parameters
        ----------
        frame_indices : (k,) int64
            Ascending, distinct, inside the video.

        Yields
        ------
        tuple
            The frame's index, and PyAV's frame, or None if it cannot be decoded.
        """
        starts = self._index.start_position[frame_indices]
        done = 0
        while done < len(frame_indices):
            try:
                for frame_index, frame in self._run(frame_indices[done:], starts[done:]):
                    done += 1
                    yield frame_index, frame
                return
            except _Trouble:
                self._reset()
            except _WrongPlace:
                self._reset()
                self._seeks_well = False
            # Look at the group in which it happened packet by packet, then go on behind it.
            stop = int(np.searchsorted(starts, starts[done], side="right"))
            yield from self._group_with_damage(int(starts[done]), frame_indices[done:stop])
            done = stop

    # -- the quick way ------------------------------------------------------------------------------------------

    def _run(self, wanted: Ints, starts: Ints) -> Iterator[tuple[int, Any]]:
        """Decode all of `wanted`, seeking only over gaps; raise `_Trouble` at the first sign of damage."""
        index = self._index
        first = 0
        while first < len(wanted):
            # A stretch: groups that follow each other so closely that reading on is cheaper than seeking.
            stop = first
            last_packet = -1
            key = self._key(starts[first])
            while stop < len(wanted):
                group_key = self._key(starts[stop])
                if stop > first and group_key > last_packet + 1:
                    break
                group_stop = int(np.searchsorted(starts, starts[stop], side="right"))
                last_packet = max(last_packet, int(index.frame_packet[wanted[stop:group_stop]].max()))
                stop = group_stop
            stretch = wanted[first:stop]
            n_packets = last_packet + 1 - key
            dense = len(stretch) >= _DENSE_FRAMES and len(stretch) >= _DENSE_SHARE * n_packets
            yield from self._stretch(self._lane(threaded=dense), key, stretch)
            first = stop

    def _key(self, start: int) -> int:
        return int(self._index.keys[max(0, start - self._back)])

    def _stretch(self, lane: _Lane, key: int, stretch: Ints) -> Iterator[tuple[int, Any]]:
        """Decode from the packet `key` to the last packet needed, and yield the frames of `stretch` as they come."""
        packet_frame = self._index.packet_frame
        wanted = set(stretch.tolist())
        order = iter(stretch.tolist())
        due = next(order)
        first_shown = int(packet_frame[key])
        expected = max(0, first_shown)
        last_packet = int(self._index.frame_packet[stretch].max())
        self._go_to(lane, key)
        for ordinal, packet in self._packets(lane, last_packet):
            shown = int(packet_frame[ordinal])
            if self._fast:
                lane.context.skip_frame = "DEFAULT" if shown in wanted else "NONREF"
            try:
                frames = lane.context.decode(packet)
            except av.error.EOFError:
                break
            except _DECODE_ERRORS as error:
                if 0 <= shown < first_shown:
                    continue  # made from pictures before `key`, which is why it is not wanted in this stretch
                raise _Trouble from error
            for frame in frames:
                if frame.pts is None or (frame.pts == key and not _starts_afresh(frame)):
                    raise _Trouble
                shown = int(packet_frame[frame.pts])
                if shown < first_shown:
                    continue
                # One that is left out without a word may have been the base of those that follow.
                if frame.is_corrupt or shown > due:
                    raise _Trouble
                if not self._fast and (self._index.frame_packet[expected:shown] <= last_packet).any():
                    raise _Trouble
                expected = shown + 1
                if shown == due:
                    yield due, frame
                    due = next(order, -1)
                    if due < 0:
                        return
        if due >= 0:
            raise _Trouble

    def _packets(self, lane: _Lane, last_packet: int) -> Iterator[tuple[int, Any]]:
        """Yield the packets up to `last_packet`, then None, which makes the decoder give out what it holds."""
        while lane.position <= last_packet:
            ordinal = lane.position
            packet = self._next(lane)
            # FFmpeg hands the stamp of a packet to the frame that comes out of it: so each frame names its packet.
            packet.pts = ordinal
            yield ordinal, packet
        yield last_packet, None

    def _next(self, lane: _Lane) -> Any:
        packet = lane.ahead
        lane.ahead = None
        if packet is None:
            assert lane.feed is not None
            try:
                packet = next(lane.feed)
            except (StopIteration, *_DECODE_ERRORS) as error:
                raise _WrongPlace from error
        if packet.size != self._index.size[lane.position]:
            raise _WrongPlace
        lane.position += 1
        return packet

    # -- lanes --------------------------------------------------------------------------------------------------

    def _lane(self, *, threaded: bool) -> _Lane:
        lane = self._lanes.get(threaded)
        if lane is None:
            container, stream = open_container(self._path)
            context = stream.codec_context
            options = {"err_detect": "crccheck+explode"}
            if self._fast:
                options["skip_loop_filter"] = "all"
            context.options = options
            if threaded:
                context.thread_count = min(_MAX_THREADS, _n_cores())
                context.thread_type = "AUTO"
            else:
                context.thread_count = 1
            lane = self._lanes[threaded] = _Lane(container, stream, context)
            lane.feed = packets(container, stream)
            self._prime(lane)
        return lane

    def _prime(self, lane: _Lane) -> None:
        """Show the decoder the first packet, also when it will start elsewhere.

        There x264 leaves its version, by which FFmpeg decodes around old bugs of it: without it, frames of some real
        recordings come out damaged after a seek.
        """
        assert lane.feed is not None
        lane.ahead = next(lane.feed, None)
        with contextlib.suppress(*_DECODE_ERRORS):
            lane.context.decode(lane.ahead)

    def _go_to(self, lane: _Lane, key: int) -> None:
        """Bring the lane to the packet `key`, with an empty decoder."""
        if not 0 <= key - lane.position <= _READ_ON:
            lane.ahead = None
            self._seek(lane, key)
        while lane.position < key:
            self._next(lane)
        lane.context.flush_buffers()

    def _seek(self, lane: _Lane, key: int) -> None:
        index = self._index
        if key > 0 and index.identity is not None and self._seeks_well:
            stamps = index.pts if index.format.startswith("matroska") and not index.decoded else index.dts
            place = int(np.searchsorted(index.keys, key))
            for back in (0, 1, 4):
                target = int(index.keys[max(0, place - back)])
                stamp = int(stamps[target])
                if stamp < -(1 << 62):
                    continue
                try:
                    lane.container.seek(stamp, stream=lane.stream, backward=True)
                    lane.feed = packets(lane.container, lane.stream)
                    first = next(lane.feed, None)
                except _DECODE_ERRORS:
                    continue
                if first is None:
                    continue
                ordinal = index.ordinal_of(first.pos, first.pts, first.dts)
                if ordinal is not None and ordinal <= key and first.size == index.size[ordinal]:
                    lane.position = ordinal
                    lane.ahead = first
                    return
        self._rewind(lane)

    def _rewind(self, lane: _Lane) -> None:
        """Open the file anew and read from its beginning: slow, but possible with every format."""
        for threaded, known in list(self._lanes.items()):
            if known is lane:
                del self._lanes[threaded]
                lane.container.close()
                fresh = self._lane(threaded=threaded)
                self._lanes[threaded] = lane
                lane.container, lane.stream, lane.context = fresh.container, fresh.stream, fresh.context
                lane.feed, lane.position, lane.ahead = fresh.feed, 0, fresh.ahead

    # -- the careful way ----------------------------------------------------------------------------------------

    def _group_with_damage(self, start: int, group: Ints) -> Iterator[tuple[int, Any]]:
        key, good = self._intact(start, group)
        missing = iter(group.tolist())
        if good:
            try:
                for frame_index, frame in self._stretch(self._lane(threaded=False), key, np.array(good, np.int64)):
                    for other in missing:
                        if other == frame_index:
                            break
                        yield other, None
                    yield frame_index, frame
            except (_Trouble, _WrongPlace):
                self._reset()
        for other in missing:
            yield other, None

    def _intact(self, start: int, group: Ints) -> tuple[int, list[int]]:
        """Decode one group on one thread and say which of its frames no damage can have reached.

        Those are the frames that lie before the first damaged packet in the file: any later one may be made from it.

        Returns
        -------
        tuple
            The packet to start from, and the intact frames, ascending.
        """
        own_key = int(self._index.keys[start])
        best_key, best, last_broken = own_key, set[int](), -1
        for back in _steps_back(start):
            # A recording may mark as key frames pictures from which the decoder cannot start: open groups with strict
            # reference lists, periodic intra refresh. Damage is real if it shows again from an earlier start.
            key = int(self._index.keys[start - back])
            good, broken = self._attempt(key, group)
            if len(good) > len(best):
                best_key, best = key, good
            if len(good) == len(group):
                self._back = max(self._back, back)
                break
            if broken is not None and (broken == last_broken or key < broken < own_key):
                break
            last_broken = -1 if broken is None else broken
        return best_key, sorted(best)

    def _attempt(self, key: int, wanted: Ints) -> tuple[set[int], int | None]:
        """Decode from `key` until something breaks; return the frames before that, and the broken packet if known."""
        index = self._index
        asked = set(wanted.tolist())
        first_shown = int(index.packet_frame[key])
        out: set[int] = set()
        broken: int | None = None
        lane = self._lane(threaded=False)
        last_packet = int(index.frame_packet[wanted].max())
        try:
            self._go_to(lane, key)
            for ordinal, packet in self._packets(lane, last_packet):
                shown = int(index.packet_frame[ordinal])
                if self._fast:
                    lane.context.skip_frame = "DEFAULT" if shown in asked else "NONREF"
                try:
                    frames = lane.context.decode(packet)
                except av.error.EOFError:
                    frames = []
                except _DECODE_ERRORS:
                    if 0 <= shown < first_shown:
                        continue
                    broken = ordinal
                    frames = _drain(lane.context)
                for frame in frames:
                    if frame.pts is None:
                        continue
                    if frame.pts == key and not _starts_afresh(frame):
                        return set(), None
                    shown = int(index.packet_frame[frame.pts])
                    if frame.is_corrupt and shown >= first_shown:
                        broken = int(frame.pts) if broken is None else min(broken, int(frame.pts))
                    out.add(shown)
                if broken is not None:
                    break
        except _WrongPlace:
            self._reset()
            if self._seeks_well:
                self._seeks_well = False
                return self._attempt(key, wanted)
            raise VideoError(f"{self._path.name} has changed while it was open. Open it again.") from None
        limit = broken
        if broken is None:
            # A frame that vanished without a word counts as damage, too.
            due = asked if self._fast else set(range(max(0, first_shown), int(wanted.max()) + 1))
            gone = [int(index.frame_packet[i]) for i in due - out]
            limit = min((packet for packet in gone if packet <= last_packet), default=None)
        else:
            self._reset()  # a decoder that met damage is not trusted with the next group
        good = out & asked
        if limit is not None:
            good = {i for i in good if index.frame_packet[i] < limit}
        return good, broken


def _n_cores() -> int:
    """Count the cores that this process may use; macOS only tells how many there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _steps_back(start: int) -> list[int]:
    """Return 0, 1, 2, 4, … up to `start`."""
    steps = [0]
    while steps[-1] < start:
        steps.append(min(start, max(1, 2 * steps[-1])))
    return steps


def _starts_afresh(frame: Any) -> bool:
    return bool(frame.key_frame) or int(frame.pict_type) == 1  # an I picture


def _drain(context: Any) -> list[Any]:
    """Get the frames that the decoder still holds."""
    try:
        return list(context.decode(None))
    except _DECODE_ERRORS:
        return []
