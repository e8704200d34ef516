"""The first source: videos of the project, trimmed, and frames chosen from them by a job."""

from typing import Any

import streamlit as st

from castle_core.errors import CastleError
from castle_core.projects import Project, VideoEntry
from castle_core.trims import Trims
from ui.add_videos import add_videos, video_upload_news
from ui.job_panel import SAFE, last_ended, live_bar, watched
from ui.options_panel import Options, options_panel
from ui.people import current_user
from ui.pictures import timeline_of
from ui.server import jobs
from ui.trim_panel import current_trims, trim_panel
from ui.words import counted, plain

CHOOSE = "choose_frames"
_KNOWN, _CHOSEN, _TURN = "videos-known", "videos-chosen", "videos-turn"


def video_source(project: Project, *, boards_wait: bool) -> None:
    """Show videos, options, the trimmer and the button; the button is quieter while a board waits."""
    videos = project.videos()
    if not videos:
        with st.container(border=True):
            st.subheader("Add the first videos", anchor=False)
            st.caption("Frames are chosen from them afterwards. Videos are never changed, moved or re-encoded.")
            add_videos(project)
            video_upload_news(project)
        return
    left, right = st.columns([5, 7], gap="large")
    with left:
        chosen, busy = _videos(project, videos)
        with st.container(border=True):
            st.subheader("How to choose", anchor=False)
            options = options_panel(project, [video.stem for video in chosen])
        _button(project, chosen, options, busy=busy, boards_wait=boards_wait)
    with right:
        trim_panel(project, chosen)


def _videos(project: Project, videos: tuple[VideoEntry, ...]) -> tuple[list[VideoEntry], int]:
    by_stem = {video.stem: video for video in videos}
    known = st.session_state.get(_KNOWN)
    if known is None or list(by_stem) != known:
        now = st.session_state.get(_key(), known or [])
        _choose([stem for stem in by_stem if stem in now or stem not in (known or [])])
        st.session_state[_KNOWN] = list(by_stem)
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.subheader("Videos", anchor=False, width="stretch")
            if len(videos) > 3:
                st.button("All", type="tertiary", on_click=_choose, args=(list(by_stem),), help="Use every video")
                st.button("None", type="tertiary", on_click=_choose, args=([],), help="Use no video")
        stems = st.multiselect(
            "Choose frames from",
            list(by_stem),
            default=[stem for stem in st.session_state.get(_CHOSEN, ()) if stem in by_stem],
            format_func=lambda stem: by_stem[stem].name,
            key=_key(),
            persist_state="session",
            placeholder="Choose at least one video",
        )
        for path in project.clashing_videos()[:3]:
            st.warning(
                f"**{plain(path.name)}** is left out: another video has the same name.", icon=":material/content_copy:"
            )
        with st.container(gap=None):
            with st.expander("Add videos", icon=":material/add:", expanded=bool(st.session_state.get("add-open"))):
                busy = add_videos(project)
            with st.container(gap="small"):
                video_upload_news(project)
    return [by_stem[stem] for stem in stems], busy


def _key() -> str:
    return f"videos-{st.session_state.get(_TURN, 0)}"


def _choose(stems: list[str]) -> None:
    # A new widget whose default this is: a value put into an existing one can be lost when two runs follow closely.
    st.session_state[_CHOSEN] = stems
    st.session_state[_TURN] = st.session_state.get(_TURN, 0) + 1


def _button(project: Project, chosen: list[VideoEntry], options: Options, *, busy: int, boards_wait: bool) -> None:
    running = watched([CHOOSE], project=str(project.path))
    reason = ""
    if project.read_only:
        reason = "This project is read-only."
    elif not chosen:
        reason = "Choose at least one video."
    elif busy:
        reason = f"{counted(busy, 'upload')} under way: the button waits until the files are here."
    elif any(video.missing for video in chosen):
        reason = "A chosen video is gone: connect its drive, or take it off the list."
    # No callback: its arguments would be those of the run before, without a number that was typed just now.
    if st.button(
        "Extract frames",
        type="secondary" if boards_wait or running else "primary",
        width="stretch",
        disabled=bool(reason or running),
        icon=":material/auto_awesome:",
        key="extract",
    ):
        _start(project, [video.stem for video in chosen], options)
        st.rerun()
    if reason:
        st.caption(f":material/info: {reason}")
    if live_bar([CHOOSE], project=str(project.path), note=f"{SAFE} The frames wait here."):
        return
    job = last_ended([CHOOSE], project=str(project.path), owner=current_user())
    if job is not None and job.state == "failed" and st.session_state.get("choose-failure-seen") != job.id:
        st.error(f"{plain(job.error or 'Something went wrong.')}", icon=":material/error:")
        st.button("Dismiss", key=f"choose-failed-{job.id}", on_click=_failure_seen, args=(job.id,), type="tertiary")


def _failure_seen(number: int) -> None:
    st.session_state["choose-failure-seen"] = number


def _start(opened: Project, stems: list[str], options: Options) -> None:
    trims = current_trims(opened)
    what = opened.video(stems[0]).name if len(stems) == 1 else counted(len(stems), "video")
    try:
        videos = [part_settings(opened, stem, trims) for stem in stems]
        for video in videos:
            if video["name"] in options.latents:
                video["latents"] = options.latents[video["name"]]
        jobs().submit(
            CHOOSE,
            project=str(opened.path),
            settings={
                "videos": videos,
                "settings": options.settings,
                "review": options.review,
                "context": options.context,
            },
            owner=current_user(),
            title=f"Choose frames from {what}",
        )
        saved = {**options.settings, "context": options.context, "review": options.review, "trims": trims.to_json()}
        opened.save_settings("extract_frames", saved)
    except CastleError as error:
        st.session_state["job-note"] = str(error)


def part_settings(project: Project, stem: str, trims: Trims) -> dict[str, Any]:
    """Return the part of a video to use as a job takes it: ``name``, and ``start``, ``stop``, ``exclude`` where set.

    Raises
    ------
    CastleError
        If something is set and the video has not been read yet.
    """
    video: dict[str, Any] = {"name": stem}
    if trims == Trims():
        return video
    timeline = timeline_of(project, stem)
    if timeline is None:
        raise CastleError(f"{stem} has not been read yet, so it cannot be trimmed. Open it in the trimmer first.")
    part = trims.part(stem, n_frames=timeline.n_frames, fps=timeline.average_fps)
    video |= {"start": f"{part.start}f", "stop": f"{part.stop}f"}
    if part.exclude:
        video["exclude"] = [[f"{a}f", f"{b}f"] for a, b in part.exclude]
    return video
