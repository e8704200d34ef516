"""The project's videos by how much of them was lost, the worst first."""

from collections.abc import Mapping, Sequence

import streamlit as st

from castle_core.projects import VideoEntry
from castle_core.tracking.record import TrackSummary, worst_first
from ui.tracking.strips import lost_share
from ui.words import plain


def videos_panel(
    videos: Sequence[VideoEntry], found: Mapping[str, TrackSummary | None], unread: Sequence[str] = ()
) -> None:
    """List the videos, the one that lost most first; a click opens one. `unread` are stems that are being read."""
    st.subheader("Videos, the worst first", anchor=False)
    rows = worst_first([(video, found.get(video.stem)) for video in videos])
    with st.container(height=340 if len(rows) > 7 else "content", border=True, key="track-list"):
        for video, share in rows:
            summary = found.get(video.stem)
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.button(
                    plain(video.name),
                    key=f"track-open-{video.stem}",
                    type="tertiary",
                    on_click=_open,
                    args=(video.stem,),
                )
                if summary is None or share is None:
                    st.caption("its masks are being read" if video.stem in unread else "not tracked")
                    continue
                each = " · ".join(
                    f"ROI {roi} lost {100 * lost_share(track, summary.tracked):.1f} %"
                    for roi, track in summary.rois.items()
                )
                st.caption(
                    f"{int(summary.tracked.sum()):,} of {len(summary.tracked):,} frames tracked · {each or 'empty'}"
                )


def _open(stem: str) -> None:
    st.session_state["track-video"] = stem
