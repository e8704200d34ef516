"""A table whose chosen row brings its frame up."""

from typing import Any

import pandas as pd
import streamlit as st

from ui.inspector.look import Look, show_frame


def jump_table(look: Look, table: pd.DataFrame, column: str, part: str) -> None:
    """Show a table whose chosen row's frame is shown."""
    event: Any = st.dataframe(
        table,
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key=f"inspector-{part}",
        height=min(420, 60 + 35 * len(table)),
    )
    rows = event.selection.rows
    before = st.session_state.get(f"inspector-{part}-row")
    now = [int(table[column].iloc[row]) for row in rows if row < len(table)]
    if now and now[0] != before:
        st.session_state[f"inspector-{part}-row"] = now[0]
        show_frame(look, now[0])
        st.rerun(scope="fragment")
    if not now:
        st.session_state[f"inspector-{part}-row"] = None
