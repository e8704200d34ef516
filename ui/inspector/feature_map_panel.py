"""A feature map, frame by frame: its tokens in colours, and how alike they are to one that is clicked."""

from pathlib import Path

import numpy as np
import streamlit as st

from castle_core.errors import CastleError
from castle_core.inspection import read_tokens
from castle_core.latents.frame_files import similarity, token_rgb
from castle_core.video.images import encode_jpeg
from ui.components.lanes import Lane
from ui.components.patch import choose_patch
from ui.inspector.frame_panel import frame_panel
from ui.inspector.look import Look, frame_shown
from ui.inspector.time_panels import status_legend, time_lanes
from ui.latents.pictures import show_picture
from ui.words import plain

_EDGE = 518


def feature_map_panel(look: Look) -> None:
    """Show the tokens of the frame shown, and which frames of the video have some."""
    left, right = st.columns([5, 2], gap="medium")
    with left:
        lane = Lane("codes", f"{look.base}/codes.bin?by=status", 40)
        time_lanes(look, [lane], "tokens", legend=status_legend(look), legend_kind="status")
        _tokens(look, frame_shown(look))
    with right:
        frame_panel(look, neighbours=False)


def _tokens(look: Look, frame_index: int) -> None:
    path = look.held.path()
    try:
        colours, rows, columns = _colours(str(path), look.held.version, frame_index)
    except CastleError as error:
        st.info(plain(str(error)), icon=":material/block:")
        return
    one, two = st.columns(2)
    with one:
        row, column = choose_patch(
            colours, rows, columns, alt=f"Token map of frame {frame_index} in colours", key="inspector-map-patch"
        )
        st.caption(
            "Token map: its first three principal components as red, green, blue. "
            f"Patch: row {row}, column {column} of {rows} x {columns}"
        )
    with two:
        show_picture(
            _similar(str(path), look.held.version, frame_index, row, column),
            f"Similarity of every patch to row {row}, column {column}",
        )
        st.caption("Cosine similarity to the patch: dark 0 or less, bright 1")


@st.cache_data(max_entries=100, show_spinner=False)
def _colours(path: str, version: str, frame_index: int) -> tuple[bytes, int, int]:
    del version  # part of the cache's key only
    tokens = read_tokens(Path(path), frame_index)
    return encode_jpeg(_large(token_rgb(tokens)), quality=92), tokens.shape[0], tokens.shape[1]


@st.cache_data(max_entries=100, show_spinner=False)
def _similar(path: str, version: str, frame_index: int, row: int, column: int) -> bytes:
    del version
    return encode_jpeg(_large(alike_colours(similarity(read_tokens(Path(path), frame_index), row, column))), quality=92)


def alike_colours(alike: np.ndarray) -> np.ndarray:
    """Paint similarities (h, w), dark for 0 or less and bright for 1, as (h, w, 3) uint8 RGB."""
    import cv2

    grey = np.round(255 * np.clip(alike, 0, 1)).astype(np.uint8)
    return np.ascontiguousarray(cv2.applyColorMap(grey, cv2.COLORMAP_VIRIDIS)[..., ::-1])


def _large(cells: np.ndarray) -> np.ndarray:
    import cv2

    return np.asarray(cv2.resize(cells, (_EDGE, _EDGE), interpolation=cv2.INTER_NEAREST))
