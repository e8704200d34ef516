"""The job that chooses frames of a project's videos and puts them on a board, or straight to disk."""

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from castle_core import boards
from castle_core.boards import Alternative, Board, BoardVideo, Entry
from castle_core.errors import CastleError, ConfigError, JobError, SelectionError, VideoError
from castle_core.files import nfc
from castle_core.frames import new_id
from castle_core.frames.record import utc_now
from castle_core.job_functions.settings import BUDGET_KEYS, SELECTION_KEYS, check_keys, selection_config, whole_number
from castle_core.progress import Task, TaskPart
from castle_core.projects import Project

if TYPE_CHECKING:
    from castle_core.selection import Selection, SelectionConfig
    from castle_core.video import Video


def choose_frames(
    task: Task,
    *,
    project: str,
    owner: str,
    videos: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    review: bool = True,
    context: int = 2,
    board: str = "",
    again: str = "",
) -> dict[str, Any]:
    """Choose diverse frames and put them on a board; without review, write them at once.

    The board is written once, at the end and in one step, so a job that was ended in the middle and runs again gives
    the same board.

    Parameters
    ----------
    task : Task
        Progress counts thousandths of a video.
    project : str
        The project's folder.
    owner : str
        Whom the board belongs to.
    videos : sequence of mapping
        ``name`` (stem or file name), and what is set for this video only: ``start``, ``stop``, ``exclude``, ``n``.
    settings : mapping
        For all videos: fields of `SelectionConfig`; ``budget`` with ``minimum`` and ``maximum`` for so many frames over
        all videos together.
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
    SelectionError, VideoError
        If no video gives any frame. With several videos, those that fail become warnings of the board.
    """
    if not videos:
        raise ConfigError("Choose at least one video.")
    check_keys(settings, (*SELECTION_KEYS, *BUDGET_KEYS), "Choosing frames")
    opened = Project.open(project)
    board_id = board or task.key or new_id()
    if not _is_waiting(opened, board_id):
        if before := boards.written_before(opened, board_id):  # an attempt before this one had finished
            return before.to_json()
        old = boards.load_board(opened, again) if again else None
        made = _Chooser(opened, owner, settings, context, old).choose(board_id, videos, task)
        boards.save_board(opened, made, task)
    if again and again != board_id:
        boards.discard_board(opened, again)
    if review:
        return {"board": board_id, "frames": len(boards.load_board(opened, board_id).kept)}
    return boards.write_board(opened, board_id, task, who=owner).to_json()


def _is_waiting(project: Project, board_id: str) -> bool:
    return any(waiting.id == board_id for waiting in boards.list_boards(project))


@dataclass
class _Chooser:
    """Everything that the videos of one run have in common."""

    project: Project
    owner: str
    settings: Mapping[str, Any]
    context: int
    old: Board | None

    def choose(self, board_id: str, videos: Sequence[Mapping[str, Any]], task: Task) -> Board:
        stems = [self._stem(video) for video in videos]
        configs = [selection_config(self.settings, video) for video in videos]
        warnings: list[str] = []
        choose = self._jointly if self.settings.get("budget") is not None else self._one_by_one
        board_videos, entries = choose(stems, configs, warnings, task)
        numbered = tuple(Entry(**(vars(entry) | {"id": place})) for place, entry in enumerate(entries))
        told = {key: value for key, value in self.settings.items() if value is not None}
        ranges = {stem: dict(video) for stem, video in zip(stems, videos, strict=True) if len(video) > 1}
        return Board(
            id=board_id,
            created=utc_now(),
            owner=self.owner,
            settings={**told, "context": self.context, **({"videos": ranges} if ranges else {})},
            videos=tuple(board_videos),
            entries=numbered,
            warnings=tuple(warnings),
            method=configs[0].method,
            seed=configs[0].seed,
            context=self.context,
        )

    def _stem(self, video: Mapping[str, Any]) -> str:
        check_keys(video, ("name", *SELECTION_KEYS), "A video")
        if "name" not in video:
            raise ConfigError("Each video needs its name.")
        return self.project.video(nfc(str(video["name"]))).stem

    def _one_by_one(
        self, stems: Sequence[str], configs: "Sequence[SelectionConfig]", warnings: list[str], task: Task
    ) -> tuple[list[BoardVideo], list[Entry]]:
        from castle_core.selection import select_frames

        board_videos: list[BoardVideo] = []
        entries: list[Entry] = []
        failures: list[CastleError] = []
        for place, (stem, config) in enumerate(zip(stems, configs, strict=True)):
            part = TaskPart(task, place, len(stems), stem if len(stems) > 1 else "")
            part.progress(0, 1)
            try:
                with self.project.open_video(stem) as video:
                    pinned = self._pinned(stem)
                    if config.n <= len(pinned):
                        raise SelectionError(
                            f"All {config.n} frames of {stem} are pinned. Unpin some, or ask for more frames."
                        )
                    config = replace(config, n=config.n - len(pinned))
                    selection = select_frames(video, config, covered=self._covered(stem), task=part)
                    board_videos.append(self._board_video(stem, video, config, selection))
                    entries += self._entries(stem, video, selection)
                    warnings += [f"{stem}: {line}" if len(stems) > 1 else line for line in selection.warnings]
            except JobError:
                raise
            except CastleError as error:
                failures.append(error)
                warnings.append(str(error))
            part.progress(1, 1)
        if failures and not entries:
            raise failures[0]
        return board_videos, entries

    def _jointly(
        self, stems: Sequence[str], configs: "Sequence[SelectionConfig]", warnings: list[str], task: Task
    ) -> tuple[list[BoardVideo], list[Entry]]:
        from castle_core.selection import select_from_videos

        budget = whole_number(self.settings, "budget", 1) or 1
        pinned = sum(len(self._pinned(stem)) for stem in stems)
        if budget <= pinned:
            raise SelectionError(f"All {pinned} frames are pinned. Unpin some, or ask for more frames.")
        with ExitStack() as stack:
            opened: dict[str, Video] = {}
            for stem in stems:
                try:
                    opened[stem] = stack.enter_context(self.project.open_video(stem))
                except VideoError as error:
                    warnings.append(str(error))
                    if len(warnings) == len(stems):
                        raise
            used = [config for stem, config in zip(stems, configs, strict=True) if stem in opened]
            minimum = whole_number(self.settings, "minimum", 0) or 0
            if pinned:  # what is pinned is taken off the budget, and must not make the rest impossible
                minimum = min(minimum, (budget - pinned) // max(1, len(used)))
            selections = select_from_videos(
                list(opened.values()),
                used,
                budget=budget - pinned,
                minimum=minimum,
                maximum=whole_number(self.settings, "maximum", 1),
                covered={str(video.path): self._covered(stem) for stem, video in opened.items()},
                task=task,
            )
            board_videos, entries = [], []
            for (stem, video), config, selection in zip(opened.items(), used, selections, strict=True):
                board_videos.append(self._board_video(stem, video, config, selection))
                entries += self._entries(stem, video, selection)
                warnings += [f"{stem}: {line}" for line in selection.warnings]
        return board_videos, entries

    def _stays(self, stem: str) -> list[Entry]:
        """What the board before this one hands on: pinned frames, and those that were added by hand."""
        return [entry for entry in self.old.entries if entry.video == stem and entry.stays] if self.old else []

    def _pinned(self, stem: str) -> list[Entry]:
        """What is taken off the number of frames that was asked for; frames added by hand come on top of it."""
        return [entry for entry in self._stays(stem) if not entry.by_hand]

    def _covered(self, stem: str) -> tuple[int, ...]:
        """Frames that must not be chosen: those of the project, and those decided on in the board before this one."""
        decided = (
            {e.frame_index for e in self.old.entries if e.video == stem and (e.state != "keep" or e.stays)}
            if self.old
            else set()
        )
        return tuple(sorted(decided | set(self.project.covered(stem))))

    def _board_video(self, stem: str, video: "Video", config: "SelectionConfig", selection: "Selection") -> BoardVideo:
        return BoardVideo(
            stem=stem,
            name=self.project.video(stem).name,
            n_frames=video.n_frames,
            duration_s=float(video.info.duration_s),
            average_fps=float(video.average_fps),
            ranges=usable_ranges(video, config),
            covered=self.project.covered(stem),
            min_gap=selection.min_gap_used,
            coverage=_finite(selection.coverage.to_json()),
        )

    def _entries(self, stem: str, video: "Video", selection: "Selection") -> list[Entry]:
        chosen = [
            Entry(
                id=0,
                video=stem,
                frame_index=int(pick.frame_index),
                time_s=float(pick.time_s),
                reason=pick.reason,
                score=None if pick.score is None else float(pick.score),
                alternatives=tuple(
                    Alternative(int(other), float(video.times_s[other]))
                    for other in selection.alternatives.get(pick.frame_index, ())
                ),
            )
            for pick in selection.picks
        ]
        return sorted([*self._stays(stem), *chosen], key=lambda entry: entry.frame_index)


def _finite(report: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no NaN: what could not be measured is null."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in report.items()
    }


def usable_ranges(video: "Video", config: "SelectionConfig") -> tuple[tuple[int, int], ...]:
    """Return the half-open frame ranges of a video that frames may be chosen from."""
    import numpy as np

    from castle_core.ranges import usable_mask

    usable = np.asarray(usable_mask(video.times_s, config.start, config.stop, config.exclude), dtype=np.int8)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], usable, [0]))))
    return tuple((int(start), int(stop)) for start, stop in edges.reshape(-1, 2))
