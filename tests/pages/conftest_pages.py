"""Helpers of the page tests."""

import json
from typing import Any

from castle_core.boards import Alternative, Board, BoardVideo, Entry, save_board


def board_of(project, frames) -> Board:
    """Put a board with these frames of ``walk`` on the shelf."""
    entries = tuple(
        Entry(i, "walk", f, f / 10, "typical", alternatives=(Alternative(f + 1, 0.0),)) for i, f in enumerate(frames)
    )
    video = BoardVideo("walk", "walk.mp4", 60, 6.0, 10.0, ((0, 20), (30, 60)), (), 2, {"equivalent_random_n": 9})
    board = Board("b1", "2026-11-25T10:00:00+00:00", "local", {"method": "kmeans"}, (video,), entries)
    save_board(project, board)
    return board


def own_state(at) -> dict[str, Any]:
    """Return what our code put into the session; it must be plain JSON values."""
    components = ("trimmer-", "gallery-", "uploader-", "player-", "canvas-walk-")
    state = {
        key: value for key, value in at.session_state._state.filtered_state.items() if not key.startswith(components)
    }
    json.dumps(state)
    return state
