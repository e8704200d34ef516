"""Everything over the time of the video: heat map, traces under the video, gaps, clusters with their ethogram."""

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from castle_core.inspection import (
    Clusters,
    count_by_status,
    every_words,
    example_bouts,
    find_gaps,
    sampling_words,
    status_words,
    step_of,
)
from castle_core.machine import clock
from castle_core.preprocess import NOT_REQUESTED
from ui.components.lanes import Lane, lanes
from ui.inspector import held
from ui.inspector.frame_panel import frame_panel
from ui.inspector.jump_table import jump_table
from ui.inspector.look import Look, frame_shown, show_frame, take_choice
from ui.inspector.map_panel import frames_panel
from ui.playable import offer_copy
from ui.words import counted

_SESSION: Any = "session"
_SHOWN_GAPS = 500


def time_lanes(look: Look, rows: list[Lane], part: str, *, video: bool = False, **more: Any) -> None:
    """Show lanes over the time of the video; the frame chosen in them becomes the frame shown."""
    chosen = lanes(
        rows,
        identity=f"{look.held.version}-{part}",
        title=look.file.stem,
        n_frames=look.summary.n,
        fps=look.fps,
        knots=look.knots,
        src=look.source if video else "",
        poster=look.poster(960) if video else "",
        frame=frame_shown(look),
        key=f"inspector-lanes-{part}",
        **more,
    )
    take_choice(look, part, chosen)


def heat_panel(look: Look) -> None:
    """Show all channels over time."""
    left, right = st.columns([5, 2], gap="medium")
    with left:
        alike = st.toggle(
            "Alike channels side by side", key="inspector-order", value=True, help="Else in the model's own order."
        )
        height = int(np.clip(look.summary.dim, 160, 520))
        order = "alike" if alike else "own"
        time_lanes(look, [Lane("heat", f"{look.base}/heat.png?order={order}", height)], "heat")
        st.caption(
            "One line a channel. White is the channel's median over the video, blue below and red above it (full "
            "colour at three robust standard deviations), grey frames have no value."
        )
    with right:
        frame_panel(look)


def traces_panel(look: Look) -> None:
    """Show chosen channels under the video."""
    components = [f"p{i}" for i in range(min(8, look.summary.scores.shape[1]))]
    channels = [f"c{i}" for i in range(look.summary.dim)]
    busiest = np.argsort(-look.summary.spread, kind="stable")[:2]
    chosen = st.multiselect(
        "Traces",
        components + channels,
        default=[*components[:2], *(f"c{i}" for i in busiest)],
        format_func=lambda name: f"PC {int(name[1:]) + 1}" if name[0] == "p" else f"channel {name[1:]}",
        max_selections=8,
        key=f"inspector-traces-{look.summary.dim}",
        help="Principal components (PC) sum up what varies most; channels are the numbers of the file.",
    )
    names = [str(name) for name in chosen]
    if not names:
        st.caption("Choose a principal component or a channel.")
        return
    url = f"{look.base}/traces.json?names={','.join(names)}"
    label = {name: f"PC {int(name[1:]) + 1}" if name[0] == "p" else f"channel {name[1:]}" for name in names}
    _without_film(look)
    time_lanes(look, [Lane("trace", url, 96, label[name], name) for name in names], "traces", video=True)
    st.caption("Space plays, arrow keys step one frame (with Shift ten), the wheel or + and − zoom.")


def status_legend(look: Look) -> list[tuple[int, str]]:
    """Return each status code that occurs, in words with how many of the frames that were asked for have it."""
    counts = count_by_status(look.summary.status)
    counts.pop(NOT_REQUESTED, None)
    total = max(1, sum(counts.values()))
    return [(code, f"{status_words(code)}: {n:,} ({100 * n / total:.1f} %)") for code, n in counts.items()]


def gaps_panel(look: Look) -> None:
    """Show where frames have no value, and why."""
    url = f"{look.base}/codes.bin?by=status"
    left, right = st.columns([5, 2], gap="medium")
    with left:
        time_lanes(look, [Lane("codes", url, 72)], "gaps", legend=status_legend(look), legend_kind="status")
        gaps = find_gaps(look.summary.status)
        sampled = sampling_words(look.summary.status)
        if sampled:
            st.caption(f"Extracted: {sampled}. The other frames are no gaps.")
        if not look.summary.requested.any():
            st.info("No frame of this file was asked for.", icon=":material/info:")
        elif not gaps:
            asked = "Every frame that was asked for" if sampled else "Every frame"
            st.success(f"{asked} has a value.", icon=":material/check:")
        else:
            longest = sorted(gaps, key=lambda gap: -gap.n)[:_SHOWN_GAPS]
            table = pd.DataFrame(
                {
                    "first frame": [gap.start for gap in longest],
                    "last frame": [gap.stop - 1 for gap in longest],
                    "time": [clock(look.time_s(gap.start)) if look.timeline else "" for gap in longest],
                    "rows" if sampled else "frames": [gap.n for gap in longest],
                    "why": [status_words(gap.code) for gap in longest],
                }
            )
            more = f", the longest {_SHOWN_GAPS} below" if len(gaps) > _SHOWN_GAPS else ""
            st.caption(f"{counted(len(gaps), 'gap')}{more}. Choose one to see its first frame.")
            jump_table(look, table, "first frame", "gaps-table")
    with right:
        frame_panel(look, neighbours=False)


def clusters_panel(look: Look) -> None:
    """Show clusters: the ethogram that they make, their sizes, and example clips."""
    main, side = st.columns([5, 3], gap="medium")
    with main:
        found, which = _ethogram(look)
    with side:
        frame_panel(look)
    if which is not None:
        frames_panel(look, np.flatnonzero(found.labels == which), f"in cluster {which + 1}")


def _ethogram(look: Look) -> tuple[Clusters, int | None]:
    """Show the ethogram and examples of one cluster; returns which one, None where no frame has a value."""
    left, right = st.columns(2, vertical_alignment="bottom")
    k = int(left.number_input("Clusters", 2, 60, 8, key="inspector-k", persist_state=_SESSION))
    seed = int(right.number_input("Seed", 0, 2**31 - 1, 0, key="inspector-seed", help="Same seed, same clusters."))
    found = held.clusters(look.held, k, seed)
    total = max(1, int(found.sizes.sum()))
    names = [f"cluster {i + 1}" for i in range(len(found.sizes))]
    legend = [
        (i, f"{name}: {100 * size / total:.1f} %")
        for i, (name, size) in enumerate(zip(names, found.sizes, strict=True))
    ]
    url = f"{look.base}/codes.bin?by=cluster&k={k}&seed={seed}"
    time_lanes(look, [Lane("codes", url, 72)], "ethogram", legend=legend, legend_kind="cluster")
    step = step_of(look.summary.status)
    held_on = f" Extracted: {every_words(step)}; each row stands for {step:,} frames." if step > 1 else ""
    st.caption(
        "The ethogram: which cluster each frame is in. k-means on the principal components, the largest first."
        + held_on
    )
    if not names:
        return found, None
    which = int(
        st.pills(
            "Look at", range(len(names)), default=0, format_func=names.__getitem__, key="inspector-which", required=True
        )
        or 0
    )
    which = min(which, len(names) - 1)
    _examples(look, found, which)
    return found, which


def _without_film(look: Look) -> None:
    """Say why nothing plays, and offer a copy that does."""
    if look.has_video and look.timeline is not None and not look.source:
        offer_copy(look.project, look.file.stem)


def _examples(look: Look, clusters: Clusters, which: int) -> None:
    bouts, typical = example_bouts(clusters, look.summary.status, which, 3), int(clusters.typical[which])
    st.button(
        f"Show its most typical frame ({typical:,})", key="inspector-typical", on_click=show_frame, args=(look, typical)
    )
    if not bouts:
        st.caption("It has no run of two rows or more: its frames come one by one.")
        return
    _without_film(look)
    grid = st.grid(min_column_width=200, gap="small")
    for bout in bouts:
        with grid.cell():
            words = f"frames {bout.start:,} to {bout.stop - 1:,}"
            if look.source:
                frames, clock_s = np.array(look.knots).T
                seconds = np.interp([bout.start, bout.stop], frames, clock_s)
                address = f"{look.source}#t={seconds[0]:.3f},{max(seconds[1], seconds[0] + 0.05):.3f}"
                first = look.poster(320).replace("FRAME", str(bout.start))
                st.html(
                    f'<video src="{address}" poster="{first}" aria-label="Example: {words}" controls muted loop '
                    'playsinline preload="none" style="width:100%;border-radius:.5rem;background:#000"></video>'
                )
            st.button(
                words,
                key=f"inspector-bout-{bout.start}",
                on_click=show_frame,
                args=(look, bout.start),
                help="Show its first frame.",
            )
