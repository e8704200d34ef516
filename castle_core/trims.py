"""Which part of each video is used: one setting for all of them, and overrides for single ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Part:
    """Frames to use of one video: half-open ``[start, stop)`` without the half-open intervals of ``exclude``."""

    start: int
    stop: int
    exclude: tuple[tuple[int, int], ...] = ()

    @property
    def n_usable(self) -> int:
        """How many frames are left."""
        inside = merged([(max(a, self.start), min(b, self.stop)) for a, b in self.exclude])
        return max(0, self.stop - self.start - sum(b - a for a, b in inside))


@dataclass(frozen=True)
class Skip:
    """What is left out of every video, in seconds: at its beginning, at its end, and intervals from its beginning."""

    start_s: float = 0.0
    end_s: float = 0.0
    exclude_s: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Trims:
    """One setting for all videos, and the videos that have their own (by stem)."""

    shared: Skip = field(default_factory=Skip)
    own: Mapping[str, Part] = field(default_factory=dict)

    def part(self, stem: str, *, n_frames: int, fps: float) -> Part:
        """Return the frames to use of a video of `n_frames` at `fps`.

        The shared setting skips the same seconds of each. Where that would leave nothing of a short video, all of it is
        used: a video should never vanish silently.
        """
        if (own := self.own.get(stem)) is not None:
            stop = min(own.stop, n_frames)
            return Part(min(own.start, stop - 1), stop, _clipped(own.exclude, n_frames))
        start = round(self.shared.start_s * fps)
        stop = n_frames - round(self.shared.end_s * fps)
        if start >= stop:
            start, stop = 0, n_frames
        frames = [(round(a * fps), round(b * fps)) for a, b in self.shared.exclude_s]
        return Part(start, stop, _clipped(frames, n_frames))

    def with_part(self, stem: str, part: Part, *, n_frames: int, fps: float, for_all: bool) -> "Trims":
        """Return the setting after the user chose `part` on one video, for all videos or only for this one."""
        if not for_all:
            return replace(self, own={**self.own, stem: part})
        shared = Skip(
            part.start / fps, (n_frames - part.stop) / fps, tuple((a / fps, b / fps) for a, b in part.exclude)
        )
        return Trims(shared, {other: own for other, own in self.own.items() if other != stem})

    def without(self, stem: str) -> "Trims":
        """Return the setting in which a video has no setting of its own any more."""
        return replace(self, own={other: own for other, own in self.own.items() if other != stem})

    def to_json(self) -> dict[str, Any]:
        """Return JSON values that `from_json` reads."""
        return {
            "shared": [self.shared.start_s, self.shared.end_s, [list(pair) for pair in self.shared.exclude_s]],
            "own": {s: [p.start, p.stop, [list(pair) for pair in p.exclude]] for s, p in self.own.items()},
        }

    @classmethod
    def from_json(cls, value: Any) -> "Trims":
        """Read what `to_json` wrote; anything else gives the empty setting."""
        try:
            start_s, end_s, exclude_s = value["shared"]
            shared = Skip(float(start_s), float(end_s), tuple((float(a), float(b)) for a, b in exclude_s))
            own = {
                str(stem): Part(int(start), int(stop), tuple((int(a), int(b)) for a, b in exclude))
                for stem, (start, stop, exclude) in value["own"].items()
            }
        except (KeyError, TypeError, ValueError, AttributeError):
            return cls()
        return cls(shared, own)


def merged(intervals: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Sort half-open intervals, join those that touch, and leave out empty ones."""
    result: list[tuple[int, int]] = []
    for a, b in sorted(intervals):
        if a >= b:
            continue
        if result and a <= result[-1][1]:
            result[-1] = (result[-1][0], max(b, result[-1][1]))
        else:
            result.append((a, b))
    return tuple(result)


def _clipped(intervals: Sequence[tuple[int, int]], n_frames: int) -> tuple[tuple[int, int], ...]:
    return merged([(max(0, a), min(b, n_frames)) for a, b in intervals])
