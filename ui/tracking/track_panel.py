"""Follow what was drawn: which videos, by which tracker, from where to where; the job's bar; what went wrong."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from castle_core.errors import CastleError
from castle_core.projects import Project, VideoEntry
from castle_core.prompts import prompt_frames, read_prompts
from castle_core.timeline import Timeline
from ui.job_panel import last_ended, live_bar, watched
from ui.people import current_user
from ui.server import jobs
from ui.tracking.frame_choice import current_frame
from ui.words import counted, plain

if TYPE_CHECKING:
    from castle_core.jobs import Job

_KIND_OF = {"background": "track", "sam2": "track_by_model"}
TRACK = tuple(_KIND_OF.values())
_TRACKERS = {"background": "Background (no download)", "sam2": "SAM 2"}
_ABOUT = {
    "background": "For a camera that stands still: what differs from the empty scene is followed. On any computer. "
    "Needs a box, polygon or painted mask of each ROI.",
    "sam2": "For any scene. Needs the model's weights once, and a GPU to be quick. Points are enough.",
}
_WHERE = {
    "all": "Whole video",
    "forward": "From here on",
    "backward": "From here back",
    "both": "Both ways",
}
DEFAULT_MODEL = "facebook/sam2.1-hiera-small"


def track_panel(
    project: Project,
    video: VideoEntry,
    timeline: Timeline,
    videos: Sequence[VideoEntry],
    tracked: Sequence[int] = (),
) -> None:
    """Show how the drawings on `video` are followed, there and in other videos; `tracked` are the ids in its masks."""
    by_stem = {each.stem: each for each in videos}
    saved = project.settings("track_rois").get("track", {})
    with st.container(border=True):
        st.subheader("Follow them through the video", anchor=False)
        left, right = st.columns(2, gap="large")
        with left:
            tracker = str(
                st.segmented_control(
                    "Tracker",
                    list(_TRACKERS),
                    default=saved.get("tracker") if saved.get("tracker") in _TRACKERS else "background",
                    required=True,
                    format_func=_TRACKERS.__getitem__,
                    key="tracker",
                    persist_state="session",
                )
            )
            st.caption(_ABOUT[tracker])
            settings: dict[str, Any] = {}
            if tracker == "sam2":
                settings["model"] = st.text_input(
                    "Model",
                    saved.get("model") or DEFAULT_MODEL,
                    key="sam2-model",
                    help="A name on the Hugging Face hub (name@revision fixes it), or a folder on the server.",
                ).strip()
        with right:
            stems = [video.stem]
            if len(videos) > 1 and st.session_state.get("track-where", "all") != "all":
                st.markdown(f":small[Only {plain(video.name)}: from one frame, one video is tracked at a time.]")
            elif len(videos) > 1:
                stems = st.multiselect(
                    "Videos",
                    list(by_stem),
                    default=[video.stem],
                    format_func=lambda stem: by_stem[stem].name,
                    key=f"track-videos-{video.stem}",
                    help=f"What is drawn on {video.name} serves all of them. Where a video has drawings of its own, "
                    "those count.",
                )
            where = str(
                st.segmented_control(
                    "Which frames",
                    list(_WHERE),
                    default="all",
                    required=True,
                    format_func=_WHERE.__getitem__,
                    key="track-where",
                    persist_state="session",
                    help="After a correction: only what follows from it is tracked anew; the other frames stay.",
                )
            )
            until = where != "all" and st.checkbox(
                "Only until the next frame with drawings", value=True, key="track-until", persist_state="session"
            )
        if where != "all":
            stems = [video.stem]
        _kept(project, video, tracked)
        _button(project, video, timeline, stems, tracker, settings, where, bool(until))


def _button(
    project: Project,
    video: VideoEntry,
    timeline: Timeline,
    stems: Sequence[str],
    tracker: str,
    settings: dict[str, Any],
    where: str,
    until: bool,
) -> None:
    drawn = prompt_frames(project, video.stem)
    frame = current_frame(video.stem, timeline.n_frames)
    running = watched(TRACK, project=str(project.path))
    reason = ""
    if project.read_only:
        reason = "This project is read-only."
    elif not drawn:
        reason = f"Nothing is drawn on {video.name} yet: draw each ROI on one frame first."
    elif not stems:
        reason = "Choose at least one video."
    elif where != "all" and frame not in drawn:
        reason = f"Nothing is drawn on frame {frame}: draw there, or track the whole video."
    elif tracker == "sam2" and not settings["model"]:
        reason = "Name a model, or a folder that holds one."
    if st.button(
        "Track" if where == "all" else f"Track again from frame {frame}",
        type="secondary" if running else "primary",
        icon=":material/play_arrow:",
        disabled=bool(reason or running),
        key="track",
    ):
        _start(project, video, timeline, list(stems), tracker, settings, where, until)
        st.rerun()
    if reason:
        st.caption(f":material/info: {plain(reason)}")
    if live_bar(TRACK, project=str(project.path)):
        return
    job = last_ended(TRACK, project=str(project.path))
    if job is not None and job.state == "failed" and not _is_seen(job):
        st.error(plain(job.error or "Something went wrong."), icon=":material/error:")
    elif job is not None and job.state == "finished" and _failures(job) and not _is_seen(job):
        for each in _failures(job):
            st.error(f"**{plain(str(each.get('video')))}**: {plain(str(each.get('reason')))}", icon=":material/error:")
    else:
        if job is not None and job.state == "finished" and (words := _outcome(job)):
            st.caption(f":material/check_circle: Last run: {words}")
        return
    if job is not None:
        st.button("Dismiss", key=f"track-failed-{job.id}", on_click=_seen, args=(job.id,), type="tertiary")


def _is_seen(job: "Job") -> bool:
    return st.session_state.get("track-failure-seen") == job.id


def _failures(job: "Job") -> list[dict[str, Any]]:
    """Return the videos of a finished job that could not be tracked."""
    failed = (job.result or {}).get("failed")
    return [each for each in failed if isinstance(each, dict)] if isinstance(failed, list) else []


def _kept(project: Project, video: VideoEntry, tracked: Sequence[int]) -> None:
    """Say what becomes of the masks that are there: those of drawn ROIs are replaced, others stay where not covered."""
    frames = prompt_frames(project, video.stem)
    drawn = {prompt.roi for prompt in read_prompts(project, video.stem)} if frames and tracked else set()
    others = [str(roi) for roi in tracked if roi not in drawn]
    if again := [str(roi) for roi in tracked if roi in drawn]:
        st.caption(
            f":material/history: ROI {', '.join(again)} {'has' if len(again) == 1 else 'have'} masks: they are "
            "replaced on the frames that are tracked. The masks as they are now are kept in `.castle/trash`."
        )
    if drawn and others:
        st.caption(
            f":material/layers: ROI {', '.join(others)} {'is' if len(others) == 1 else 'are'} not drawn here: "
            "the masks stay, except where a drawn ROI lies on them."
        )


def _outcome(job: "Job") -> str:
    """Say what a finished job has tracked, and where it lost something."""
    reports = (job.result or {}).get("tracked")
    found = [each for each in reports if isinstance(each, dict)] if isinstance(reports, list) else []
    if not found:
        return ""
    where = plain(str(found[0].get("video"))) if len(found) == 1 else counted(len(found), "video")
    frames = counted(sum(int(each.get("frames") or 0) for each in found), "frame")
    lost: dict[str, int] = {}
    for each in found:
        for roi, count in (each.get("lost") or {}).items():
            lost[str(roi)] = lost.get(str(roi), 0) + int(count)
    words = ", ".join(
        f"ROI {plain(roi)} lost on {counted(count, 'frame')}" if count else f"ROI {plain(roi)} never lost"
        for roi, count in lost.items()
    )
    return f"{frames} of {where} tracked; {words}."


def _seen(number: int) -> None:
    st.session_state["track-failure-seen"] = number


def _start(
    project: Project,
    video: VideoEntry,
    timeline: Timeline,
    stems: list[str],
    tracker: str,
    settings: dict[str, Any],
    where: str,
    until: bool,
) -> None:
    frame = current_frame(video.stem, timeline.n_frames)
    direction = "both" if where == "all" else where
    name = video.name if stems == [video.stem] else counted(len(stems), "video")
    try:
        jobs().submit(
            _KIND_OF[tracker],
            project=str(project.path),
            settings={
                "videos": stems,
                "tracker": tracker,
                "prompts_from": video.stem,
                "until_next_prompt": until,
                "direction": direction,
                "from_frame": None if where == "all" else frame,
                "settings": settings,
            },
            owner=current_user(),
            title=f"Track ROIs in {name}",
        )
        kept = {**project.settings("track_rois"), "track": {"tracker": tracker, **settings}}
        project.save_settings("track_rois", kept)
    except CastleError as error:
        st.session_state["job-note"] = str(error)
