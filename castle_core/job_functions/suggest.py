"""The job that finds the frames a model finds hard, and puts them on a board or straight to disk."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from castle_core import boards
from castle_core.boards import Alternative, Board, BoardVideo, Entry, Point
from castle_core.errors import ConfigError
from castle_core.frames import new_id
from castle_core.frames.record import utc_now
from castle_core.job_functions.settings import check_keys
from castle_core.progress import Task
from castle_core.projects import Project

if TYPE_CHECKING:
    from castle_core.hard_frames import HardSelection, Source, SuggestConfig

SUGGEST_KEYS = (
    "n",
    "minimum",
    "maximum",
    "start",
    "stop",
    "exclude",
    "min_gap",
    "seed",
    "likelihood_threshold",
    "thresholds",
    "ensemble",
)


def suggest(
    task: Task,
    *,
    project: str,
    owner: str,
    model: str,
    videos: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    review: bool = True,
    context: int = 2,
    board: str = "",
    again: str = "",
) -> dict[str, Any]:
    """Suggest hard frames of some videos together, and put them on a board; without review, write them at once.

    Parameters
    ----------
    task : Task
    project : str
        The project's folder.
    owner : str
        Whom the board belongs to.
    model : str
        Name of the model (`castle_core.predictions.find_models`).
    videos : sequence of mapping
        ``name`` (stem or file name), and for this video only ``start``, ``stop``, ``exclude``. Empty: all videos that
        the model was run on.
    settings : mapping
        ``n`` frames over all videos together, ``minimum`` and ``maximum`` of each; ``start``, ``stop``, ``exclude``;
        ``min_gap``, ``seed``; ``likelihood_threshold``; ``thresholds`` (score → robust z); ``ensemble``.
    review : bool
        Leave the board for review.
    context : int
        Context frames on either side that will be written with each frame.
    board : str
        Id for the board; by default one made from the task's key, so that another attempt finds it again.
    again : str
        Id of a waiting board that this one replaces: its pinned frames and those added by hand stay, its dropped
        ones are not chosen again.

    Returns
    -------
    dict
        ``board`` (its id) and ``frames`` (how many) with review; else what `write_board` returns.

    Raises
    ------
    ConfigError
        If a setting is unknown or cannot be.
    PredictionError, SelectionError, VideoError
        If predictions are missing or do not fit, or so many frames cannot be had.
    """
    check_keys(settings, SUGGEST_KEYS, "Finding hard frames")
    for video in videos:
        check_keys(video, ("name", "start", "stop", "exclude"), "A video")
        if "name" not in video:
            raise ConfigError("Each video needs its name.")
    opened = Project.open(project)
    board_id = board or task.key or new_id()
    if not any(waiting.id == board_id for waiting in boards.list_boards(opened)):
        if before := boards.written_before(opened, board_id):  # an attempt before this one had finished
            return before.to_json()
        old = boards.load_board(opened, again) if again else None
        made = _make_board(opened, owner, model, videos, settings, context, board_id, old, task)
        boards.save_board(opened, made, task)
        if old is not None:
            boards.discard_board(opened, old.id)
    if review:
        return {"board": board_id, "frames": len(boards.load_board(opened, board_id).kept)}
    return boards.write_board(opened, board_id, task, who=owner).to_json()


def suggest_config(settings: Mapping[str, Any], *, n: int | None = None) -> "SuggestConfig":
    """Turn the settings of the job, JSON values, into a `SuggestConfig`; None means the default.

    Raises
    ------
    ConfigError
        If a value cannot be.
    """
    from castle_core.hard_frames import SuggestConfig
    from castle_core.hardness import Thresholds
    from castle_core.ranges import parse_bound, parse_interval

    given = {key: value for key, value in settings.items() if value is not None}
    values: dict[str, Any] = {key: int(given[key]) for key in ("n", "min_gap", "seed") if key in given}
    values |= {key: parse_bound(given[key]) for key in ("start", "stop") if key in given}
    if "exclude" in given:
        values["exclude"] = tuple(parse_interval(interval) for interval in given["exclude"])
    if n is not None:
        values["n"] = n
    z = given.get("thresholds") or None
    return SuggestConfig(thresholds=Thresholds(float(given.get("likelihood_threshold", 0.9)), z), **values)


def _make_board(
    project: Project,
    owner: str,
    model: str,
    videos: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    context: int,
    board_id: str,
    old: Board | None,
    task: Task,
) -> Board:
    from dataclasses import replace

    from castle_core.hard_frames import suggest_from_videos
    from castle_core.suggestions import project_sources

    stays = [entry for entry in old.entries if entry.stays] if old else []
    pinned = [entry for entry in stays if not entry.by_hand]  # frames added by hand come on top of the budget
    decided = [entry for entry in old.entries if entry.state != "keep" or entry.stays] if old else []
    n = int(settings.get("n") or 20) - len(pinned)
    if n < 1:
        raise ConfigError(f"All {len(pinned)} frames are pinned. Unpin some, or ask for more frames.")
    config = suggest_config(settings, n=n)
    with project_sources(project, model, videos, ensemble=bool(settings.get("ensemble", True))) as opened:
        stems = [project.video(source.name).stem for source in opened]
        sources = [
            replace(source, covered=(*source.covered, *(e.frame_index for e in decided if e.video == stem)))
            for source, stem in zip(opened, stems, strict=True)
        ]
        minimum, maximum = int(settings.get("minimum") or 0), settings.get("maximum")
        if pinned:  # what is pinned is taken off the budget, and must not make the rest impossible
            minimum = min(minimum, n // len(sources))
        selections = suggest_from_videos(
            sources,
            config,
            minimum=minimum,
            maximum=None if maximum is None else int(maximum),
            task=task,
        )
        board_videos = [
            _board_video(project, stem, source, selection)
            for stem, source, selection in zip(stems, sources, selections, strict=True)
        ]
        entries = [entry for entry in stays if entry.video in stems]
        for stem, source, selection in zip(stems, sources, selections, strict=True):
            entries += _entries(stem, source, selection)
        points = {
            stem: _points(source, [entry for entry in entries if entry.video == stem])
            for stem, source in zip(stems, sources, strict=True)
        }
        keypoints = sources[0].predictions.keypoints
    entries.sort(key=lambda entry: (stems.index(entry.video), entry.frame_index))
    many = len(stems) > 1
    warnings = [
        f"{stem}: {line}" if many else line
        for stem, selection in zip(stems, selections, strict=True)
        for line in selection.warnings
    ]
    told = {key: value for key, value in settings.items() if value is not None}
    ranges = {stem: dict(video) for stem, video in zip(stems, videos, strict=False) if len(video) > 1}
    found = {stem: selection.sources for stem, selection in zip(stems, selections, strict=True)}
    return Board(
        id=board_id,
        created=utc_now(),
        owner=owner,
        settings={
            **told,
            "model": model,
            "context": context,
            "scores": found,
            **({"videos": ranges} if ranges else {}),
        },
        videos=tuple(board_videos),
        entries=tuple(replace(entry, id=place) for place, entry in enumerate(entries)),
        warnings=tuple(warnings),
        method="hard",
        seed=config.seed,
        context=context,
        keypoints=keypoints,
        points=points,
    )


def _points(source: "Source", entries: Sequence[Entry]) -> dict[str, list[Point]]:
    """Return what the model predicts on the frames of a video that are, or may come, on the board."""
    xy = source.predictions.xy
    wanted = {entry.frame_index for entry in entries}
    wanted |= {other.frame_index for entry in entries for other in entry.alternatives}
    return {
        str(frame_index): [
            [round(x, 1), round(y, 1)] if math.isfinite(x) and math.isfinite(y) else [None, None]
            for x, y in xy[frame_index].tolist()
        ]
        for frame_index in sorted(wanted)
        if frame_index < len(xy)
    }


def _board_video(project: Project, stem: str, source: "Source", selection: "HardSelection") -> BoardVideo:
    import numpy as np

    assert source.video is not None, "a project's sources are opened with their videos"
    edges = np.flatnonzero(np.diff(np.concatenate(([0], selection.usable.astype(np.int8), [0])))).reshape(-1, 2)
    # covered frames are holes in what is usable, but not in the range that people set
    ranges: list[tuple[int, int]] = []
    covered = set(source.covered)
    for start, stop in edges.tolist():
        if ranges and all(frame_index in covered for frame_index in range(ranges[-1][1], start)):
            ranges[-1] = (ranges[-1][0], stop)
        else:
            ranges.append((start, stop))
    return BoardVideo(
        stem=stem,
        name=source.name,
        n_frames=source.video.n_frames,
        duration_s=float(source.video.info.duration_s),
        average_fps=float(source.video.average_fps),
        ranges=tuple(ranges),
        covered=tuple(project.covered(stem)),
        min_gap=selection.min_gap_used,
        coverage={},
    )


def _entries(stem: str, source: "Source", selection: "HardSelection") -> list[Entry]:
    assert source.times_s is not None, "a project's sources are opened with their videos"
    last = len(source.times_s) - 1
    return [
        Entry(
            id=0,
            video=stem,
            frame_index=pick.frame_index,
            time_s=pick.time_s,
            reason=pick.reason,
            score=pick.score,
            alternatives=tuple(
                Alternative(other, float(source.times_s[other])) for other in pick.alternatives if other <= last
            ),
        )
        for pick in selection.picks
    ]
