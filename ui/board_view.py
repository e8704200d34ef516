"""A board as the gallery shows it, and what the gallery reports as edits of the board. No widgets here."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from castle_core.boards import Board, BoardVideo, Entry, add_frame, set_state, swap_frame
from castle_core.errors import CastleError, ProjectError
from castle_core.label_studio.labels_config import colours
from castle_core.machine import clock
from castle_core.projects import Project
from castle_core.timeline import Timeline

_STATES = ("keep", "drop", "pin")


def sections(
    board: Board,
    *,
    timeline: Callable[[str], Timeline | None],
    labelled: Callable[[str], Sequence[int]],
    picture: Callable[[str, str | int, int], str],
) -> list[dict[str, Any]]:
    """Describe a board for `ui.components.gallery.gallery`.

    Parameters
    ----------
    board : Board
    timeline : callable
        Stem → the video's timeline, or None while it is not known.
    labelled : callable
        Stem → labelled frames.
    picture : callable
        (stem, frame index or the word FRAME, width in pixels) → URL.
    """
    return [_section(board, video, timeline(video.stem), labelled(video.stem), picture) for video in board.videos]


def _section(
    board: Board,
    video: BoardVideo,
    timeline: Timeline | None,
    labelled: Sequence[int],
    picture: Callable[[str, str | int, int], str],
) -> dict[str, Any]:
    ranges = video.ranges or ((0, video.n_frames),)
    used = {(entry.video, entry.frame_index) for entry in board.entries}
    with_labels = set(labelled)
    shades = dict(zip(board.keypoints, colours(len(board.keypoints)), strict=True))
    return {
        "stem": video.stem,
        "title": video.name,
        "n_frames": video.n_frames,
        "fps": video.average_fps or 1.0,
        "length": clock(video.duration_s),
        "aspect": f"{timeline.width}/{timeline.height}" if timeline else "4/3",
        "motion": timeline.motion if timeline else (),
        "start": ranges[0][0],
        "stop": ranges[-1][1],
        "exclude": [[a[1], b[0]] for a, b in itertools.pairwise(ranges)],
        "labelled": sorted(with_labels),
        "selected": [frame for frame in video.covered if frame not in with_labels],
        "small": picture(video.stem, "FRAME", 180),
        "large": picture(video.stem, "FRAME", 1280),
        "entries": [
            {
                "key": f"{entry.id}:{entry.frame_index}",
                "frame": entry.frame_index,
                "time": clock(entry.time_s),
                "reason": entry.reason or "chosen",
                "state": entry.state,
                "swap": _has_other(entry, used),
                "src": picture(entry.video, entry.frame_index, 320),
                "points": _points(board, entry, timeline, shades),
            }
            for entry in board.entries
            if entry.video == video.stem
        ],
    }


def _points(board: Board, entry: Entry, timeline: Timeline | None, shades: Mapping[str, str]) -> list[list[Any]]:
    """Return the model's points that lie in the picture, as the gallery draws them."""
    if timeline is None:
        return []
    shares = {
        name: (x / timeline.width, y / timeline.height)
        for name, (x, y) in board.points_of(entry.video, entry.frame_index).items()
    }
    return [
        [round(x, 4), round(y, 4), shades[name], name] for name, (x, y) in shares.items() if 0 <= x <= 1 and 0 <= y <= 1
    ]


def _has_other(entry: Entry, used: set[tuple[str, int]]) -> bool:
    return any((entry.video, other.frame_index) not in used for other in entry.alternatives)


def apply_operations(
    project: Project, board: Board, operations: Sequence[Mapping[str, Any]]
) -> tuple[Board, tuple[str, ...]]:
    """Carry out what the gallery reported, one after the other.

    An operation that cannot be done (no other frame left, a frame added twice) leaves the board as it is and gives a
    line for the user; one that makes no sense is ignored, since it did not come from our page.

    Returns
    -------
    board : Board
        As it is on disk afterwards.
    notes : tuple of str
    """
    notes = []
    for operation in operations:
        try:
            board = _apply(project, board, operation)
        except CastleError as error:
            notes.append(str(error))
    return board, tuple(notes)


def _apply(project: Project, board: Board, operation: Mapping[str, Any]) -> Board:
    kind = operation.get("op")
    if kind == "state" and operation.get("state") in _STATES:
        ids = [number for number in map(_entry_id, operation.get("keys") or ()) if number is not None]
        return set_state(project, board.id, ids, operation["state"])
    if kind == "swap" and (number := _entry_id(operation.get("key"))) is not None:
        return swap_frame(project, board.id, number)
    if kind == "add" and isinstance(operation.get("frame"), int):
        stem = str(operation.get("stem"))
        if stem not in {video.stem for video in board.videos}:
            raise ProjectError(f"The video {stem} is not on this board. Choose frames from it first.")
        there = board.find(stem, operation["frame"])
        if there is not None and there.state != "drop":
            raise ProjectError(f"Frame {operation['frame']} of {stem} is on the board already.")
        return add_frame(project, board.id, stem, operation["frame"])
    return board


def _entry_id(key: Any) -> int | None:
    number = str(key).partition(":")[0]
    return int(number) if number.isdecimal() and len(number) < 12 else None
