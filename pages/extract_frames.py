"""Extract frames: where from, what, run, look, write."""

import streamlit as st

from ui.board_panel import board_panel, waiting_boards, waiting_line
from ui.hard_source import hard_source
from ui.project_chooser import require_project
from ui.source_choice import HARD, VIDEOS, source_choice
from ui.video_source import video_source
from ui.written_panel import green_line, rounds_panel, take_green_line_away
from ui.zip_source import zip_source

project = require_project()
st.title("Extract frames", anchor=False)
boards = waiting_boards(project)
st.caption(f"{waiting_line(boards)} Nothing is written until you accept them.")
green_line(project)
source = source_choice(on_change=take_green_line_away)
waiting = bool(boards)
if source == VIDEOS:
    video_source(project, boards_wait=waiting)
elif source == HARD:
    hard_source(project, boards_wait=waiting)
else:
    zip_source(project)
board_panel(project)
rounds_panel(project)
