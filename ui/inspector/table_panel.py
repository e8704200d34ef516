"""The numbers themselves: a window of rows and channels, with a jump to any frame."""

import numpy as np
import pandas as pd
import streamlit as st

from castle_core.inspection import status_words
from castle_core.machine import clock
from ui.inspector import held
from ui.inspector.frame_panel import frame_panel
from ui.inspector.jump_table import jump_table
from ui.inspector.look import Look, frame_shown

_ROWS, _COLUMNS = 100, 24


def table_panel(look: Look) -> None:
    """Show rows around the frame shown."""
    left, right = st.columns([5, 2], gap="medium")
    with right:
        frame_panel(look)
    with left:
        dim = look.summary.dim
        first = int(
            st.number_input(
                "First channel",
                0,
                dim - 1,
                0,
                step=_COLUMNS,
                key="inspector-first-channel",
                help=f"{_COLUMNS} channels are shown, of {dim}.",
            )
        )
        last = min(dim, first + _COLUMNS)
        start = frame_shown(look) // _ROWS * _ROWS
        stop = min(look.summary.n, start + _ROWS)
        part = held.rows(look.held).read(start, stop)[:, first:last]
        frames = np.arange(start, stop)
        table = pd.DataFrame(part, columns=[f"col_{i}" for i in range(first, last)])
        table.insert(0, "status", [status_words(int(code)) for code in look.summary.status[start:stop]])
        table.insert(0, "time", [clock(look.time_s(int(frame))) if look.timeline else "" for frame in frames])
        table.insert(0, "frame", frames)
        st.caption(
            f"Rows {start:,} to {stop - 1:,} of {look.summary.n:,}. Write a frame under “Frame shown” to go there."
        )
        jump_table(look, table, "frame", "table")
