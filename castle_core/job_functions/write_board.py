"""The job that writes a reviewed board to disk."""

from typing import Any

from castle_core import boards
from castle_core.errors import ProjectError
from castle_core.progress import Task
from castle_core.projects import Project


def write_board(task: Task, *, project: str, owner: str, board: str) -> dict[str, Any]:
    """Write a waiting board (see `castle_core.boards.write_board`).

    Parameters
    ----------
    task : Task
    project : str
        The project's folder.
    owner : str
        Who pressed Write.
    board : str
        The board's id. If an attempt before this one has written it, that is the result.

    Returns
    -------
    dict
        ``round_id``, ``written``, ``kept``, ``directories``, ``warnings``.
    """
    opened = Project.open(project)
    try:
        return boards.write_board(opened, board, task, who=owner).to_json()
    except ProjectError:
        try:
            boards.load_board(opened, board)
        except ProjectError:
            if before := boards.written_before(opened, board):
                return before.to_json()
        raise
