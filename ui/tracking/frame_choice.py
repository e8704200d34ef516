"""Which video and which frame of it are looked at."""

from collections.abc import Sequence

import streamlit as st

from castle_core.machine import clock
from castle_core.projects import Project, VideoEntry
from castle_core.prompts import prompt_frames
from castle_core.timeline import Timeline

_FRAMES = "track-frames"
_SHOWN = 9
_WIDGETS = ("track-slider", "track-number")


def current_frame(stem: str, n_frames: int) -> int:
    """Return the frame of a video that is looked at."""
    frames = st.session_state.get(_FRAMES)
    frame = frames.get(stem, 0) if isinstance(frames, dict) else 0
    return max(0, min(int(frame), n_frames - 1))


def go_to_frame(stem: str, frame_index: int) -> None:
    """Look at another frame from the next run on."""
    frames = st.session_state.get(_FRAMES)
    st.session_state[_FRAMES] = {**(frames if isinstance(frames, dict) else {}), stem: int(frame_index)}


def choose_video(videos: Sequence[VideoEntry]) -> VideoEntry:
    """Show the videos; `videos` is not empty."""
    by_stem = {video.stem: video for video in videos}
    if len(videos) == 1:
        return videos[0]
    if st.session_state.get("track-video") not in by_stem:
        st.session_state.pop("track-video", None)
    stem = st.selectbox(
        "Video", list(by_stem), format_func=lambda s: by_stem[s].name, key="track-video", persist_state="session"
    )
    return by_stem[str(stem)]


def choose_frame(project: Project, stem: str, timeline: Timeline) -> int:
    """Show slider, number and steps; return the frame. Frames with drawings are one click away."""
    frame, last = current_frame(stem, timeline.n_frames), timeline.n_frames - 1
    drawn = prompt_frames(project, stem)
    for name in _WIDGETS:
        st.session_state[f"{name}-{stem}"] = frame
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        if last > 0:
            st.slider(
                "Frame",
                0,
                last,
                key=f"track-slider-{stem}",
                on_change=_taken,
                args=(stem, f"track-slider-{stem}"),
                width="stretch",
            )
        st.number_input(
            f"Frame index (0 to {last})",
            0,
            last,
            key=f"track-number-{stem}",
            on_change=_taken,
            args=(stem, f"track-number-{stem}"),
            width=170,
        )
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        for step in (-10, -1, 1, 10):
            st.button(
                f"{step:+d}",
                key=f"track-step{step}",
                help=f"{abs(step)} frame{'s' if abs(step) > 1 else ''} {'on' if step > 0 else 'back'}",
                on_click=go_to_frame,
                args=(stem, max(0, min(last, frame + step))),
            )
        fps = timeline.average_fps or 1.0
        st.markdown(f":small[frame {frame:,} · {clock(frame / fps)}]", width="stretch")
        if drawn:
            shown = sorted(drawn)[:_SHOWN]
            st.markdown(f":small[drawn on {'frames' if len(drawn) > 1 else 'frame'}]", width="content")
            for each in shown:
                comma = "," if each != shown[-1] else ""
                if each == frame:
                    st.markdown(f":small[**{each}**{comma}]", width="content")
                    continue
                st.button(
                    f"{each}{comma}",
                    key=f"track-go-{each}",
                    type="tertiary",
                    help=f"Go to frame {each}, which has drawings",
                    on_click=go_to_frame,
                    args=(stem, each),
                )
            if len(drawn) > _SHOWN:
                st.caption(f"and {len(drawn) - _SHOWN} more")
    return frame


def _taken(stem: str, widget: str) -> None:
    go_to_frame(stem, int(st.session_state[widget]))
