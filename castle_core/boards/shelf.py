"""The boards that wait in a project, as files; edits from two browser tabs are merged, one after the other."""

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from castle_core.boards.board import Board, Entry, State, board_from_json
from castle_core.errors import CastleError, FrameIndexError, ProjectError, SelectionError
from castle_core.files import atomic_path, atomic_write_json, is_locked, locked, make_folder
from castle_core.frames import export_frames, list_rounds, new_round
from castle_core.progress import QUIET, Task, TaskPart
from castle_core.projects.documents import read_document

if TYPE_CHECKING:
    from castle_core.projects import Project

_COPIES_KEPT = 50
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Written:
    """What writing a board has done.

    Attributes
    ----------
    round_id : str
    written : int
        Frames that are selected now and were not before.
    kept : int
        Frames that had been selected already.
    directories : tuple of Path
        The folders in ``labeled-data``.
    warnings : tuple of str
    """

    round_id: str
    written: int
    kept: int
    directories: tuple[Path, ...]
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            **asdict(self),
            "directories": [str(directory) for directory in self.directories],
            "warnings": list(self.warnings),
        }


def _shelf(project: "Project") -> Path:
    return make_folder(project.cache_dir / "boards")


def _path(project: "Project", board_id: str) -> Path:
    if not _ID.fullmatch(board_id):
        raise ProjectError(f"There is no board {board_id!r}.")
    return _shelf(project) / f"{board_id}.json"


def _gone(board_id: str) -> ProjectError:
    return ProjectError(f"The board {board_id} is not waiting any more: it was written or discarded.")


def save_board(project: "Project", board: Board, task: Task = QUIET) -> None:
    """Put a new board on the shelf, in one step that `task` may refuse (a lost lease)."""
    path = _path(project, board.id)
    with atomic_path(path, publish=task.publish) as temporary:
        temporary.write_text(json.dumps(board.to_json(), ensure_ascii=False, allow_nan=False), encoding="utf-8")


def load_board(project: "Project", board_id: str) -> Board:
    """Return a waiting board.

    Raises
    ------
    ProjectError
        If it is not there any more, or damaged.
    """
    path = _path(project, board_id)
    document = read_document(path)
    if not document:
        raise _gone(board_id)
    board = board_from_json(document)
    if board.writing_by and not is_locked(_writing(path)):
        return replace(board, writing_by="")
    return board


def _writing(path: Path) -> Path:
    """Whose lock is held for as long as the board is being written, and no longer, whatever becomes of the writer."""
    return path.with_suffix(".writing")


def list_boards(project: "Project") -> tuple[Board, ...]:
    """Return the waiting boards, newest first; damaged files are left out."""
    boards = []
    for path in _shelf(project).glob("*.json"):
        try:
            boards.append(load_board(project, path.stem))
        except ProjectError:
            continue
    return tuple(sorted(boards, key=lambda board: (board.created, board.id), reverse=True))


def discard_board(project: "Project", board_id: str) -> None:
    """Take a board off the shelf; one that is gone already is no error."""
    path = _path(project, board_id)
    with locked(path):
        path.unlink(missing_ok=True)


def edit_board(project: "Project", board_id: str, change: Callable[[Board], Board]) -> Board:
    """Apply one edit to a board as it is on disk now, under its lock, and return the result.

    So two tabs, or two people, who edit one board at once both find their edits in it.

    Raises
    ------
    ProjectError
        If the board is gone, or being written; what `change` raises changes nothing.
    """
    path = _path(project, board_id)
    with locked(path):
        board = load_board(project, board_id)
        if board.writing_by:
            raise ProjectError(f"The board is being written by {board.writing_by} and cannot be changed any more.")
        changed = change(board)
        if changed != board:
            changed = replace(changed, revision=board.revision + 1)
            atomic_write_json(path, changed.to_json())
    return changed


def set_state(project: "Project", board_id: str, entry_ids: Iterable[int], state: State) -> Board:
    """Keep, drop or pin frames of a waiting board (see `Board.with_state`)."""
    wanted = tuple(entry_ids)
    return edit_board(project, board_id, lambda board: board.with_state(wanted, state))


def swap_frame(project: "Project", board_id: str, entry_id: int) -> Board:
    """Exchange a frame of a waiting board for the next best one (see `Board.swapped`)."""
    stem = load_board(project, board_id).entry(entry_id).video
    taken = project.covered(stem)
    return edit_board(project, board_id, lambda board: board.swapped(entry_id, taken))


def add_frame(project: "Project", board_id: str, video: str, frame_index: int) -> Board:
    """Add a frame of a project's video to a waiting board.

    Raises
    ------
    FrameIndexError
        If the index lies outside the video.
    SelectionError
        If the frame is selected or labelled already.
    """
    stem = project.video(video).stem
    with project.open_video(stem) as opened:
        if not 0 <= frame_index < opened.n_frames:
            raise FrameIndexError(
                f"Frame {frame_index} is outside {video}, whose frames are 0 to {opened.n_frames - 1}."
            )
        time_s = float(opened.times_s[frame_index])
    if frame_index in project.covered(stem):
        raise SelectionError(f"Frame {frame_index} of {video} is selected or labelled already.")
    return edit_board(project, board_id, lambda board: board.added(stem, frame_index, time_s))


def write_board(project: "Project", board_id: str, task: Task = QUIET, *, who: str = "") -> Written:
    """Write the kept and pinned frames of a board as a round, and take it off the shelf (see `restore_board`).

    Running it again after a crash completes the same round. While it is written the board cannot be edited.

    Parameters
    ----------
    project : Project
    board_id : str
    task : Task
        Progress counts images, over all videos.
    who : str
        Who pressed Write; by default the board's owner.

    Raises
    ------
    SelectionError
        If every frame was dropped.
    ProjectError, VideoError
        If something cannot be written or read; the board then waits on.
    """
    project.require_writable()
    path = _path(project, board_id)
    with locked(_writing(path)):
        with locked(path):
            board = load_board(project, board_id)
            if not board.kept:
                raise SelectionError(
                    "Every frame of this board is dropped: there is nothing to write. Keep one or more."
                )
            board = replace(board, writing_by=who or board.owner or "somebody")
            atomic_write_json(path, board.to_json())
        try:
            written = _export(project, board, task, who or board.owner)
        except BaseException:
            with contextlib.suppress(CastleError), locked(path):
                if path.exists():
                    atomic_write_json(path, replace(board, writing_by="").to_json())
            raise
        with locked(path):
            os.replace(path, _written_copy(path))
        _forget_oldest(path)
    return written


def _written_copy(path: Path) -> Path:
    """Where a board lies after it was written, in case its round is taken back."""
    return make_folder(path.parent / "written") / path.name


def _forget_oldest(path: Path) -> None:
    copies = sorted(_written_copy(path).parent.glob("*.json"), key=lambda copy: copy.stat().st_mtime_ns)
    for copy in copies[:-_COPIES_KEPT]:
        copy.unlink(missing_ok=True)


def restore_board(project: "Project", board_id: str) -> Board | None:
    """Put a board that was written on the shelf again, with all that was dropped, pinned, swapped and added.

    Returns
    -------
    Board or None
        None if it waits already, or the round was not written from a board of the last fifty.
    """
    path = _path(project, board_id)
    with locked(path):
        copy = _written_copy(path)
        if path.exists() or not copy.is_file():
            return None
        board = replace(board_from_json(read_document(copy)), writing_by="")
        atomic_write_json(copy, board.to_json())
        os.replace(copy, path)
    return board


def _export(project: "Project", board: Board, task: Task, who: str) -> Written:
    by_video: dict[str, list[Entry]] = {}
    for entry in board.kept:
        by_video.setdefault(entry.video, []).append(entry)
    for stem in by_video:  # all of them must be there before the first is written
        project.video(stem)
    info = new_round(board.method, settings=board.settings, seed=board.seed, who=who, id=board.id)
    results = []
    for place, (stem, entries) in enumerate(by_video.items()):
        coverage = board.video(stem).coverage or None
        results.append(
            export_frames(
                project,
                stem,
                [entry.frame_index for entry in entries],
                context=board.context,
                picks=entries,
                round_info=replace(info, coverage=coverage),
                task=TaskPart(task, place, len(by_video)),  # its messages name the video
            )
        )
    return Written(
        board.id,
        sum(len(result.written) for result in results),
        sum(len(result.kept) for result in results),
        tuple(result.directory for result in results),
        tuple(warning for result in results for warning in result.warnings),
    )


def written_before(project: "Project", board_id: str) -> Written | None:
    """Return what writing this board has left in the project; None if it was never written."""
    for each in list_rounds(project):
        if each.info.id == board_id:
            folders = tuple(project.frames_folder(stem) for stem in each.frames)
            return Written(board_id, each.n_frames, 0, folders)
    return None
