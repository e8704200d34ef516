"""selection.json: how each frame of a video was picked, round by round."""

import datetime
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from castle_core.labelled import frame_index_of
from castle_core.projects.documents import read_document

RECORD = "selection.json"


@dataclass(frozen=True)
class RoundInfo:
    """What one round of choosing has in common, over all its videos.

    Attributes
    ----------
    id : str
        Names the round; writing it again completes it.
    method : str
        How the frames were chosen: ``kmeans``, ``random``, …, ``by hand``, ``zip``.
    settings : mapping
        The parameters, as JSON values.
    seed : int or None
        Seed of the random numbers, if any were used.
    who, when : str
        User name; time in ISO 8601, UTC.
    coverage : mapping or None
        The coverage report of the selection, as JSON values.
    """

    id: str
    method: str = "by hand"
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    who: str = ""
    when: str = ""
    coverage: Mapping[str, Any] | None = None


def new_round(
    method: str,
    *,
    settings: Mapping[str, Any] | None = None,
    seed: int | None = None,
    who: str = "",
    coverage: Mapping[str, Any] | None = None,
    id: str | None = None,
) -> RoundInfo:
    """Return a round that starts now, with an id of its own unless one is given."""
    return RoundInfo(id or new_id(), method, settings or {}, seed, who, utc_now(), coverage)


def new_id() -> str:
    """Return an id that sorts by time: ``20261125-041530-3fa2b1``."""
    return f"{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def utc_now() -> str:
    """Return the time as ISO 8601 in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class RoundFrame:
    """One pick of a round.

    Attributes
    ----------
    frame_index : int
    name : str
        File name of the image.
    time_s : float or None
        Seconds since the start of the video.
    reason : str
        Why it was picked.
    score : float or None
        What the method gave it.
    context : int or None
        Context frames on either side, where a later export asked for more than its round did.
    """

    frame_index: int
    name: str
    time_s: float | None = None
    reason: str = ""
    score: float | None = None
    context: int | None = None


@dataclass(frozen=True)
class Round:
    """One round's picks in one video.

    Attributes
    ----------
    info : RoundInfo
    frames : tuple of RoundFrame
    context : int
        Context frames on either side that were written with each pick.
    others : tuple of int
        Frames whose images came with the round and belong to no pick (a zip may hold such): they stay when a single
        pick is taken back, and go when the whole round does.
    """

    info: RoundInfo
    frames: tuple[RoundFrame, ...]
    context: int = 2
    others: tuple[int, ...] = ()


@dataclass(frozen=True)
class SelectionRecord:
    """The content of one selection.json.

    Attributes
    ----------
    video : str
        The video's file name.
    rounds : tuple of Round
        Oldest first. A frame is in one round only: the one that picked it first.
    written : frozenset of str
        Images that we wrote into the folder, picks and context: only these are ever removed again.
    found : tuple of str
        Images that were in the folder before our first round and in no list.
    extra : mapping
        Keys that we do not know.
    """

    video: str = ""
    rounds: tuple[Round, ...] = ()
    written: frozenset[str] = frozenset()
    found: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def found_indices(self) -> tuple[int, ...]:
        """Frame indices of `found`."""
        return tuple(index for name in self.found if (index := frame_index_of(name)) is not None)

    def round(self, round_id: str) -> Round | None:
        """Return the round of this id, if it is here."""
        return next((each for each in self.rounds if each.info.id == round_id), None)

    def context_of(self, frame_index: int, default: int = 2) -> int:
        """Return how many context frames on either side belong to a picked frame."""
        for each in self.rounds:
            for frame in each.frames:
                if frame.frame_index == frame_index:
                    return each.context if frame.context is None else frame.context
        return default

    def with_context_of(self, frame_indices: Collection[int], context: int) -> "SelectionRecord":
        """Return the record in which these picks have at least so many context frames on either side."""

        def widened(each: Round, frame: RoundFrame) -> RoundFrame:
            has = each.context if frame.context is None else frame.context
            wanted = frame.frame_index in frame_indices and has < context
            return replace(frame, context=context) if wanted else frame

        rounds = (replace(each, frames=tuple(widened(each, frame) for frame in each.frames)) for each in self.rounds)
        return replace(self, rounds=tuple(rounds))

    def with_round(self, new: Round) -> "SelectionRecord":
        """Return the record with `new` in it: merged into the round of its id, else appended."""
        old = self.round(new.info.id)
        if old is None:
            return replace(self, rounds=(*self.rounds, new))
        have = {frame.frame_index for frame in old.frames}
        frames = (*old.frames, *(frame for frame in new.frames if frame.frame_index not in have))
        others = tuple(sorted({*old.others, *new.others}))
        merged = Round(old.info, _sorted(frames), max(old.context, new.context), others)
        return replace(self, rounds=tuple(merged if each is old else each for each in self.rounds))

    def without_frames(self, frame_indices: frozenset[int]) -> "SelectionRecord":
        """Return the record without these picks; rounds that hold nothing any more are left out."""
        rounds = (
            replace(each, frames=tuple(frame for frame in each.frames if frame.frame_index not in frame_indices))
            for each in self.rounds
        )
        return replace(self, rounds=tuple(each for each in rounds if each.frames))

    def to_json(self) -> dict[str, Any]:
        """Return the content of selection.json."""
        return {
            **self.extra,
            "format": 1,
            "video": self.video,
            "rounds": [_round_to_json(each) for each in self.rounds],
            "written": sorted(self.written),
            **({"found": list(self.found)} if self.found else {}),
        }


def read_record(folder: Path) -> SelectionRecord:
    """Read a folder's selection.json; none is an empty record.

    Raises
    ------
    ProjectError
        If it is damaged.
    """
    document = read_document(folder / RECORD)
    known = {"format", "video", "rounds", "written", "found"}
    rounds = document.get("rounds")
    return SelectionRecord(
        video=str(document.get("video", "")),
        rounds=tuple(_round_from_json(each) for each in rounds if isinstance(each, dict))
        if isinstance(rounds, list)
        else (),
        written=frozenset(str(name) for name in _list(document.get("written"))),
        found=tuple(str(name) for name in _list(document.get("found"))),
        extra={key: value for key, value in document.items() if key not in known},
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _sorted(frames: tuple[RoundFrame, ...]) -> tuple[RoundFrame, ...]:
    return tuple(sorted(frames, key=lambda frame: frame.frame_index))


def _round_to_json(each: Round) -> dict[str, Any]:
    info = each.info
    return {
        "id": info.id,
        "method": info.method,
        "settings": dict(info.settings),
        "seed": info.seed,
        "who": info.who,
        "when": info.when,
        "context": each.context,
        **({"others": list(each.others)} if each.others else {}),
        **({"coverage": dict(info.coverage)} if info.coverage is not None else {}),
        "frames": [
            {
                "frame_index": frame.frame_index,
                "name": frame.name,
                "time_s": frame.time_s,
                "reason": frame.reason,
                "score": frame.score,
                **({} if frame.context is None else {"context": frame.context}),
            }
            for frame in each.frames
        ],
    }


def _round_from_json(value: Mapping[str, Any]) -> Round:
    seed, coverage, settings = value.get("seed"), value.get("coverage"), value.get("settings")
    info = RoundInfo(
        id=str(value.get("id", "")),
        method=str(value.get("method", "")),
        settings=settings if isinstance(settings, dict) else {},
        seed=seed if isinstance(seed, int) else None,
        who=str(value.get("who", "")),
        when=str(value.get("when", "")),
        coverage=coverage if isinstance(coverage, dict) else None,
    )
    frames = tuple(
        RoundFrame(
            frame_index=int(frame["frame_index"]),
            name=str(frame["name"]),
            time_s=_number(frame.get("time_s")),
            reason=str(frame.get("reason", "")),
            score=_number(frame.get("score")),
            context=frame["context"] if isinstance(frame.get("context"), int) else None,
        )
        for frame in _list(value.get("frames"))
        if isinstance(frame, dict) and isinstance(frame.get("frame_index"), int) and "name" in frame
    )
    context = value.get("context", 2)
    others = tuple(index for index in _list(value.get("others")) if isinstance(index, int))
    return Round(info, _sorted(frames), context if isinstance(context, int) else 2, others)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
