"""A picture of which one cell (a patch of the model's input) is chosen, by mouse or arrow keys."""

import base64
from typing import Any

import streamlit as st

from ui.components import source

_mount = st.components.v2.component("castle_patch", **source("patch"))


def choose_patch(jpeg: bytes, rows: int, columns: int, *, alt: str, key: str) -> tuple[int, int]:
    """Show a picture and return row and column of the chosen cell; the middle one at first.

    Parameters
    ----------
    jpeg : bytes
        The picture.
    rows, columns : int
        How it is divided.
    alt : str
        Says what is in the picture.
    key : str
        Key of the widget.
    """
    middle = [rows // 2, columns // 2]
    result = _mount(
        key=key,
        data={
            "src": "data:image/jpeg;base64," + base64.b64encode(jpeg).decode(),
            "alt": alt,
            "label": "Choose a patch: click, or move with the arrow keys",
            "rows": rows,
            "columns": columns,
            "cell": middle,
        },
        default={"cell": middle},
        on_cell_change=lambda: None,
    )
    return checked_cell(result.cell, rows, columns)


def checked_cell(cell: Any, rows: int, columns: int) -> tuple[int, int]:
    """Return what a browser sent as a cell of the picture; the middle one where it is none."""
    try:
        row, column = int(cell[0]), int(cell[1])
    except (TypeError, ValueError, IndexError, KeyError):
        return rows // 2, columns // 2
    return min(max(row, 0), rows - 1), min(max(column, 0), columns - 1)
