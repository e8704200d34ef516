"""Boards: frames that were chosen and wait for somebody to keep, drop or swap them before anything is written."""

from castle_core.boards.board import Alternative, Board, BoardVideo, Entry, Point, State
from castle_core.boards.shelf import (
    Written,
    add_frame,
    discard_board,
    edit_board,
    list_boards,
    load_board,
    restore_board,
    save_board,
    set_state,
    swap_frame,
    write_board,
    written_before,
)

__all__ = [
    "Alternative",
    "Board",
    "BoardVideo",
    "Entry",
    "Point",
    "State",
    "Written",
    "add_frame",
    "discard_board",
    "edit_board",
    "list_boards",
    "load_board",
    "restore_board",
    "save_board",
    "set_state",
    "swap_frame",
    "write_board",
    "written_before",
]
