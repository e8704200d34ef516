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
_MAX_RESTARTS = 12


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
            key = int(index.keys[starts[first]])
            while stop < len(wanted):
                group_key = int(index.keys[starts[stop]])
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

    def _stretch(self, lane: _Lane, key: int, stretch: Ints) -> Iterator[tuple[int, Any]]:
        """Decode from the packet `key` to the last packet needed, and yield the frames of `stretch` as they come."""
        packet_frame = self._index.packet_frame
        wanted = set(stretch.tolist())
        order = iter(stretch.tolist())
        due = next(order)
        first_shown = int(packet_frame[key])
        self._go_to(lane, key)
        for ordinal, packet in self._packets(lane, int(self._index.frame_packet[stretch].max())):
            shown = int(packet_frame[ordinal])
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
                if frame.pts is None:
                    raise _Trouble
                if frame.pts == key and not _starts_afresh(frame):
                    raise _Trouble
                shown = int(packet_frame[frame.pts])
                if shown < first_shown:
                    continue
                if frame.is_corrupt or shown > due:
                    raise _Trouble
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
            options = {"err_detect": "explode"}
            if self._fast:
                options["skip_loop_filter"] = "all"
            context.options = options
            if threaded:
                context.thread_count = min(_MAX_THREADS, len(os.sched_getaffinity(0)))
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
        if lane.context.is_open:
            lane.context.flush_buffers()
        if not 0 <= key - lane.position <= _READ_ON:
            lane.ahead = None
            self._seek(lane, key)
        while lane.position < key:
            self._next(lane)

    def _seek(self, lane: _Lane, key: int) -> None:
        index = self._index
        if key > 0 and index.identity is not None and self._seeks_well:
            stamps = index.pts if index.identity[0] == "pts" and index.format.startswith("matroska") else index.dts
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
                ordinal = index.ordinal_of(first.pts, first.dts)
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
        """Decode one group on one thread and say which frames no damage can have reached.

        A damaged packet costs its own frame. If that frame was wanted, the group is decoded again without asking for
        it: where no other frame refers to it, the decoder then skips it and the rest is intact. If the damage shows
        again, all later frames of the group may be made from it, and are refused.

        Returns
        -------
        tuple
            The packet to start from, and the intact frames, ascending.
        """
        key = int(self._index.keys[start])
        good: set[int] = set()
        for back in range(min(3, start + 1)):
            # A recording may mark as key frames pictures from which the decoder cannot start; try an earlier one.
            key = int(self._index.keys[start - back])
            remaining = group
            good = set()
            broken: int | None = None
            for _ in range(_MAX_RESTARTS):
                found, broken = self._attempt(key, remaining)
                good |= found
                if broken is None:
                    break
                own = int(self._index.packet_frame[broken])
                later = remaining[self._index.frame_packet[remaining] > broken]
                if len(later) == 0 or own not in remaining:
                    break
                remaining = later
            if good or broken is not None:
                break
        return key, sorted(good)

    def _attempt(self, key: int, wanted: Ints) -> tuple[set[int], int | None]:
        """Decode from `key` until something breaks; return the frames before that, and the broken packet if known."""
        index = self._index
        asked = set(wanted.tolist())
        first_shown = int(index.packet_frame[key])
        found: set[int] = set()
        broken: int | None = None
        lane = self._lane(threaded=False)
        try:
            self._go_to(lane, key)
            for ordinal, packet in self._packets(lane, int(index.frame_packet[wanted].max())):
                shown = int(index.packet_frame[ordinal])
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
                    if shown < first_shown:
                        continue
                    if frame.is_corrupt:
                        broken = int(frame.pts) if broken is None else min(broken, int(frame.pts))
                    elif shown in asked:
                        found.add(shown)
                if broken is not None:
                    break
        except _WrongPlace:
            self._reset()
            if self._seeks_well:
                self._seeks_well = False
                return self._attempt(key, wanted)
            raise VideoError(f"{self._path.name} has changed while it was open. Open it again.") from None
        limit = broken
        if broken is None and len(found) < len(asked):
            # A frame vanished without a word: later ones may have been made without it.
            limit = min(int(index.frame_packet[i]) for i in asked - found)
        if limit is not None:
            found = {i for i in found if index.frame_packet[i] < limit}
        return found, broken


def _starts_afresh(frame: Any) -> bool:
    return bool(frame.key_frame) or int(frame.pict_type) == 1  # an I picture


def _drain(context: Any) -> list[Any]:
    """Get the frames that the decoder still holds."""
    try:
        return list(context.decode(None))
    except _DECODE_ERRORS:
        return []
