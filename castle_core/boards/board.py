"""One board as a value: what is on it, and the edits as functions from board to board."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

from castle_core.errors import ConfigError, ProjectError, SelectionError

State = Literal["keep", "drop", "pin"]
ADDED = "added by hand"
Point = Sequence[float | None]  # x, y in pixels of the video; None where the model has no position


@dataclass(frozen=True)
class Alternative:
    """A frame that may take the place of a pick."""

    frame_index: int
    time_s: float


@dataclass(frozen=True)
class Entry:
    """One frame on a board.

    Attributes
    ----------
    id : int
        Names the entry for as long as the board lives; a swap changes its frame, not its id.
    video : str
        The video's stem.
    frame_index : int
    time_s : float
        Seconds since the start of the video, by the true frame rate where one is set.
    reason : str
        Why it was picked, as a sentence or a few words.
    score : float or None
        What the method gave it.
    state : {"keep", "drop", "pin"}
        ``drop`` is not written. ``pin`` is written, and stays when the rest is chosen anew.
    alternatives : tuple of Alternative
        The next best frames, best first.
    """

    id: int
    video: str
    frame_index: int
    time_s: float
    reason: str = ""
    score: float | None = None
    state: State = "keep"
    alternatives: tuple[Alternative, ...] = ()

    @property
    def by_hand(self) -> bool:
        """Whether a person added it to the board."""
        return self.reason == ADDED

    @property
    def stays(self) -> bool:
        """Whether it stays when the rest is chosen anew: pinned, or added by hand and not dropped since."""
        return self.state == "pin" or (self.by_hand and self.state == "keep")


@dataclass(frozen=True)
class BoardVideo:
    """What a board knows about one of its videos, so that it can be shown without opening the video.

    Attributes
    ----------
    stem, name : str
    n_frames : int
    duration_s : float
        By the true frame rate where one is set.
    average_fps : float
    ranges : tuple of (int, int)
        The half-open frame ranges that frames were chosen from.
    covered : tuple of int
        Frames that were selected or labelled before.
    min_gap : int
        The smallest distance in frames between picks that was used.
    coverage : mapping
        The coverage report, as JSON values; empty if there is none.
    """

    stem: str
    name: str
    n_frames: int
    duration_s: float
    average_fps: float
    ranges: tuple[tuple[int, int], ...] = ()
    covered: tuple[int, ...] = ()
    min_gap: int = 1
    coverage: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Board:
    """Frames that wait for review.

    Attributes
    ----------
    id : str
        Also the id of the round that it becomes when it is written.
    created : str
        ISO 8601, UTC.
    owner : str
        Who had the frames chosen.
    settings : mapping
        What they were chosen by, as JSON values.
    videos : tuple of BoardVideo
    entries : tuple of Entry
        By video, then frame.
    warnings : tuple of str
    method : str
    seed : int or None
    context : int
        Context frames on either side that will be written.
    revision : int
        Counts the edits.
    writing_by : str
        Who is writing it to disk at the moment; empty for nobody. Where the writer has died, `load_board` knows.
    keypoints : tuple of str
        Names of what the model predicts, where hard frames were looked for; else empty.
    points : mapping
        Stem → frame index (as text) → a `Point` for each keypoint: what the model predicts on the frames of the board
        and on those that may take their place.
    """

    id: str
    created: str
    owner: str
    settings: Mapping[str, Any]
    videos: tuple[BoardVideo, ...]
    entries: tuple[Entry, ...]
    warnings: tuple[str, ...] = ()
    method: str = "kmeans"
    seed: int | None = None
    context: int = 2
    revision: int = 0
    writing_by: str = ""
    keypoints: tuple[str, ...] = ()
    points: Mapping[str, Mapping[str, Sequence[Point]]] = field(default_factory=dict)

    def points_of(self, video: str, frame_index: int) -> dict[str, tuple[float, float]]:
        """Return where the model sees each keypoint of a frame, in pixels; those without a position are left out."""
        found = self.points.get(video, {}).get(str(frame_index), ())
        return {
            name: (x, y) for name, (x, y) in zip(self.keypoints, found, strict=False) if x is not None and y is not None
        }

    def entry(self, entry_id: int) -> Entry:
        """Return the entry of this id; `ProjectError` if there is none."""
        for entry in self.entries:
            if entry.id == entry_id:
                return entry
        raise ProjectError(f"The board has no frame number {entry_id}. Reload the page.")

    def video(self, stem: str) -> BoardVideo:
        """Return what is known about a video; `ProjectError` if it is not on the board."""
        for video in self.videos:
            if video.stem == stem:
                return video
        raise ProjectError(f"The video {stem} is not on this board. Choose frames from it first.")

    def find(self, video: str, frame_index: int) -> Entry | None:
        """Return the entry that holds this frame, if there is one."""
        return next((e for e in self.entries if e.video == video and e.frame_index == frame_index), None)

    @property
    def kept(self) -> tuple[Entry, ...]:
        """The entries that will be written."""
        return tuple(entry for entry in self.entries if entry.state != "drop")

    def with_state(self, entry_ids: Iterable[int], state: State) -> "Board":
        """Return the board with these entries kept, dropped or pinned.

        Raises
        ------
        ConfigError, ProjectError
            If there is no such state, or no such entry.
        """
        if state not in get_args(State):
            raise ConfigError(f"A frame on a board is one of {', '.join(get_args(State))}, not {state!r}.")
        wanted = {self.entry(entry_id).id for entry_id in entry_ids}
        return self._with_entries(replace(e, state=state) if e.id in wanted else e for e in self.entries)

    def swapped(self, entry_id: int, taken: Collection[int] = ()) -> "Board":
        """Return the board with an entry's frame exchanged for the next best one; its old frame comes last in line.

        Parameters
        ----------
        entry_id : int
        taken : collection of int
            Frames of that video that are written or labelled by now and not to be offered.

        Raises
        ------
        SelectionError
            If no other frame is left for it.
        """
        entry = self.entry(entry_id)
        used = {other.frame_index for other in self.entries if other.video == entry.video} | set(taken)
        free = [other for other in entry.alternatives if other.frame_index not in used]
        if not free:
            raise SelectionError(
                f"There is no other frame like frame {entry.frame_index} of {entry.video} left. "
                "Drop it, or add a frame by its index."
            )
        rest = tuple(other for other in entry.alternatives if other != free[0])
        changed = replace(
            entry,
            frame_index=free[0].frame_index,
            time_s=free[0].time_s,
            reason=f"swapped for frame {entry.frame_index}",
            score=None,
            state="pin" if entry.state == "pin" else "keep",
            alternatives=(*rest, Alternative(entry.frame_index, entry.time_s)),
        )
        return self._with_entries(changed if each is entry else each for each in self.entries)

    def added(self, video: str, frame_index: int, time_s: float) -> "Board":
        """Return the board with one more frame, kept; a frame that is on it and was dropped is kept again.

        Raises
        ------
        ProjectError
            If the video is not on the board.
        """
        self.video(video)
        there = self.find(video, frame_index)
        if there is not None:
            return self.with_state([there.id], "keep") if there.state == "drop" else self
        entry = Entry(self.next_id, video, frame_index, time_s, ADDED)
        return self._with_entries((*self.entries, entry))

    @property
    def next_id(self) -> int:
        """An entry id that is not in use."""
        return max((entry.id for entry in self.entries), default=-1) + 1

    def _with_entries(self, entries: Iterable[Entry]) -> "Board":
        order = {video.stem: place for place, video in enumerate(self.videos)}
        ordered = sorted(entries, key=lambda entry: (order.get(entry.video, len(order)), entry.frame_index))
        return replace(self, entries=tuple(ordered))

    def to_json(self) -> dict[str, Any]:
        """Return the board as JSON values."""
        # `asdict` copies number by number, which takes its time where there are many points
        return {"format": 1, **asdict(replace(self, points={})), "points": self.points}


def board_from_json(value: Mapping[str, Any]) -> Board:
    """Make a board from what `Board.to_json` gave.

    Raises
    ------
    ProjectError
        If something is missing or of the wrong kind.
    """
    try:
        videos = tuple(
            BoardVideo(**(video | {"ranges": _pairs(video["ranges"]), "covered": tuple(video["covered"])}))
            for video in value["videos"]
        )
        entries = tuple(
            Entry(**(entry | {"alternatives": tuple(Alternative(**other) for other in entry["alternatives"])}))
            for entry in value["entries"]
        )
        fields = {key: item for key, item in value.items() if key != "format"}
        fields |= {"videos": videos, "entries": entries, "warnings": tuple(value["warnings"])}
        return Board(**(fields | {"keypoints": tuple(value.get("keypoints", ())), "points": _points(value)}))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ProjectError(f"A waiting board is damaged ({error}). Discard it and choose the frames again.") from error


def _points(value: Mapping[str, Any]) -> Mapping[str, Mapping[str, Sequence[Point]]]:
    points: Mapping[str, Mapping[str, Sequence[Point]]] = value.get("points", {})
    for frames in points.values():
        for each in frames.values():
            if any(len(point) != 2 or not all(isinstance(v, int | float | None) for v in point) for point in each):
                raise ValueError("a point has two numbers")
    return points


def _pairs(ranges: Iterable[Iterable[int]]) -> tuple[tuple[int, int], ...]:
    return tuple((int(start), int(stop)) for start, stop in ranges)
