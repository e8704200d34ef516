"""How well a board covers its videos: one sentence, and the numbers on demand."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from castle_core.boards import Board
from ui.words import plain


def coverage_line(board: Board) -> None:
    """Show the sentence of each video (or of the one there is), with the numbers behind a button."""
    known = [(video, video.coverage) for video in board.videos if video.coverage]
    if not known:
        return
    with st.container(horizontal=True, vertical_alignment="center", key="coverage"):
        video, coverage = known[0]
        n = sum(entry.video == video.stem for entry in board.entries)
        more = f" ({plain(video.name)}; for the others see Numbers)" if len(known) > 1 else ""
        st.markdown(f":material/donut_large: {sentence(coverage, n)}{more}", width="stretch")
        with st.popover("Numbers", icon=":material/query_stats:"):
            st.caption(
                "Distance in feature space from every frame that was looked at to its nearest pick: smaller is better. "
                "Beside it, the same for as many frames at even distances and at random."
            )
            st.dataframe(
                [
                    {
                        "video": each.name,
                        "these frames": _round(values.get("mean")),
                        "even distances": _round(values.get("uniform_mean")),
                        "random": _round(values.get("random_mean")),
                        "95th percentile": _round(values.get("p95")),
                    }
                    for each, values in known
                ],
                hide_index=True,
                width="content",
            )


def sentence(coverage: Mapping[str, Any], n: int) -> str:
    """Say in one sentence what `n` frames are worth: against random ones where that is known, else against stride."""
    equivalent, mean, uniform = (coverage.get(key) for key in ("equivalent_random_n", "mean", "uniform_mean"))
    these = "This frame covers, as chosen," if n == 1 else f"These {n} frames cover, as chosen,"
    if isinstance(equivalent, int | float) and equivalent > n:
        return f"{these} as much of the video as **{round(equivalent)} random ones**."
    if isinstance(mean, int | float) and isinstance(uniform, int | float) and uniform > 0 and mean < uniform:
        return f"{these} the video {100 * (1 - mean / uniform):.0f} % closer than frames at even distances."
    return f"{these} the video about as well as random ones: its poses are hardly different."


def _round(value: Any) -> float | None:
    return round(float(value), 3) if isinstance(value, int | float) else None
