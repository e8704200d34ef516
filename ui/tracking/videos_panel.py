"""The project's videos by how much of them was lost, the worst first."""

from collections.abc import Sequence

import streamlit as st

from castle_core.projects import Project, VideoEntry
from ui.tracking.strips import lost_share
from ui.tracking.tracks import Tracks


def worst_first(
    videos: Sequence[VideoEntry], tracks: dict[str, Tracks | None]
) -> list[tuple[VideoEntry, float | None]]:
    """Return the videos with the largest share of frames that a ROI is lost on; untracked ones come last."""
    shares = {
        video.stem: max((lost_share(track, found.tracked) for track in found.rois.values()), default=1.0)
        if (found := tracks.get(video.stem))
        else None
        for video in videos
    }
    order = sorted(
        videos, key=lambda video: (shares[video.stem] is None, -(shares[video.stem] or 0.0), video.stem.casefold())
    )
    return [(video, shares[video.stem]) for video in order]


def videos_panel(project: Project, videos: Sequence[VideoEntry], tracks: dict[str, Tracks | None]) -> None:
    """List the videos, the one that lost most first; a click opens one."""
    st.subheader("Videos, the worst first", anchor=False)
    rows = worst_first(videos, tracks)
    with st.container(height=340 if len(rows) > 7 else "content", border=True, key="track-list"):
        for video, share in rows:
            found = tracks.get(video.stem)
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.button(
                    video.name,
                    key=f"track-open-{video.stem}",
                    type="tertiary",
                    on_click=_open,
                    args=(video.stem,),
                )
                if found is None or share is None:
                    st.caption("not tracked")
                    continue
                each = " · ".join(
                    f"ROI {roi} lost {100 * lost_share(track, found.tracked):.1f} %"
                    for roi, track in found.rois.items()
                )
                st.caption(f"{int(found.tracked.sum()):,} of {len(found.tracked):,} frames tracked · {each or 'empty'}")


def _open(stem: str) -> None:
    st.session_state["track-video"] = stem
