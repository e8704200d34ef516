"""The frame shown: its picture, where it is, and the frames most like it."""

import streamlit as st

from castle_core.errors import CastleError
from castle_core.inspection import status_words
from ui.inspector import held
from ui.inspector.look import Look, frame_shown, row_for, show_frame
from ui.pictures import picture
from ui.words import plain

_N = 6


def frame_panel(look: Look, *, neighbours: bool = True) -> None:
    """Show the frame; steps to others, and finds those most like it."""
    frame_index = frame_shown(look)
    last = look.summary.n - 1
    st.session_state["inspector-go"] = frame_index
    st.number_input("Frame shown", 0, last, key="inspector-go", on_change=_go, args=(look,))
    _picture(look, frame_index, 480)
    row, other = row_for(look, frame_index)
    code = int(look.summary.status[row])
    said = [look.where(frame_index), *([other] if other else [])]
    st.caption(" · ".join([*said, f"no value: {plain(status_words(code))}"] if code else said))
    if not neighbours or code:
        return
    if st.toggle("Most alike frames", key="inspector-alike", help="By all channels; at least half a second apart."):
        _alike(look, row)


def _picture(look: Look, frame_index: int, width: int) -> None:
    if look.has_video:
        url = picture(look.project)(look.file.stem, frame_index, width)
        st.html(
            f'<img src="{url}" alt="Frame {frame_index}" '
            'style="width:100%;max-height:45vh;object-fit:contain;border-radius:.5rem">'
        )


def _alike(look: Look, frame_index: int) -> None:
    gap = max(1, round(look.fps / 2)) if look.timeline else 15
    try:
        found = held.alike(look.held, frame_index, _N, gap)
    except CastleError as error:
        st.caption(plain(str(error)))
        return
    grid = st.grid(min_column_width=85, gap="small")
    for place, one in enumerate(found):
        with grid.cell():
            _picture(look, one.frame_index, 160)
            st.button(
                f"{one.frame_index:,}",
                key=f"inspector-alike-{place}",
                help=f"{look.where(one.frame_index)}, similarity {one.similarity:.2f}. Show this frame.",
                on_click=show_frame,
                args=(look, one.frame_index),
                width="stretch",
            )
            st.caption(f"{one.similarity:.2f}")


def _go(look: Look) -> None:
    show_frame(look, int(st.session_state["inspector-go"]))
