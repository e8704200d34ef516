"""Which part of each video is used, set over the playing video; one setting for all, and overrides."""

from collections.abc import Sequence

import streamlit as st

from castle_core.boards import add_frame, list_boards
from castle_core.errors import CastleError
from castle_core.machine import clock
from castle_core.projects import Project, VideoEntry
from castle_core.timeline import Timeline
from castle_core.trims import Part, Trims
from ui import media
from ui.components.trimmer import Trim, trimmer
from ui.job_panel import job_bar, watched
from ui.people import current_user
from ui.pictures import labelled_frames, picture, timeline_of
from ui.playable import offer_copy
from ui.server import jobs
from ui.words import plain

ADVICE = (
    "Leave out parts without the animal, or with hands in the picture: frames are chosen because they differ, so such "
    "parts would be picked first."
)


def current_trims(project: Project) -> Trims:
    """Return what is set in this session; at first, what was used last in the project."""
    value = st.session_state.get(_key(project))
    return Trims.from_json(value if value is not None else project.settings("extract_frames").get("trims"))


def _key(project: Project) -> str:
    return f"trims-{project.path}"


def trim_panel(project: Project, videos: Sequence[VideoEntry], *, rerun_page: bool = False) -> None:
    """Show one of `videos` with its trimmer; `rerun_page` where the page shows something that follows the range."""
    if not videos:
        return
    by_stem = {video.stem: video for video in videos}
    if st.session_state.get("trim-video") not in by_stem:
        st.session_state.pop("trim-video", None)
    stem = videos[0].stem
    if len(videos) > 1:
        stem = str(
            st.selectbox(
                "Part to use of",
                list(by_stem),
                format_func=lambda s: by_stem[s].name + (" (own setting)" if s in current_trims(project).own else ""),
                key="trim-video",
            )
        )
    video = by_stem[stem]
    if video.missing:
        st.error(
            f"The file behind **{plain(video.name)}** is gone. Is its drive connected?", icon=":material/link_off:"
        )
        _remove(project, video)
        return
    timeline = timeline_of(project, stem)
    if timeline is None:
        not_ready(project, video)
        _remove(project, video)
        return
    _trimmer(project, video, timeline, many=len(videos) > 1, rerun_page=rerun_page)


def not_ready(project: Project, video: VideoEntry) -> None:
    """Say why a video cannot be shown yet: it must be read once, which a button starts, or it cannot be read at all."""
    running = [
        job for job in watched(["prepare_video"], project=str(project.path)) if job.settings.get("video") == video.stem
    ]
    if running:
        job_bar(running[0], with_cancel=False)
        return
    try:
        with project.open_video(video.stem):
            pass
    except CastleError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    st.info(
        "This kind of file is read once from end to end before it can be trimmed.", icon=":material/hourglass_empty:"
    )
    st.button("Read it now", key=f"prepare-{video.stem}", on_click=_prepare, args=(str(project.path), video.stem))


def _prepare(project: str, stem: str) -> None:
    jobs().submit(
        "prepare_video",
        project=project,
        settings={"video": stem},
        owner=current_user(),
        title=f"Read {stem}",
    )


@st.fragment(key="trimmer-fragment")
def _trimmer(project: Project, video: VideoEntry, timeline: Timeline, *, many: bool, rerun_page: bool) -> None:
    stem, fps = video.stem, timeline.average_fps or 1.0
    trims = current_trims(project)
    before = trims.part(stem, n_frames=timeline.n_frames, fps=fps)
    boards = [board for board in list_boards(project) if stem in {each.stem for each in board.videos}]
    added = [e.frame_index for e in boards[0].entries if e.video == stem and e.state != "drop"] if boards else []
    applied_key = f"trim-applied-{stem}"
    labelled = labelled_frames(project, stem)
    identity = f"{stem}|{timeline.n_frames}|{fps}|{st.session_state.get('trim-reset', 0)}"
    playable = timeline.playable or project.has_proxy(stem)
    trim, frames, applied = trimmer(
        Trim(before.start, before.stop, before.exclude),
        identity=identity,
        title=video.name,
        n_frames=timeline.n_frames,
        fps=fps,
        knots=timeline.knots,
        motion=timeline.motion,
        labelled=labelled,
        selected=[frame for frame in project.selected(stem) if frame not in set(labelled)],
        added=added,
        src=media.video_url(project, stem) if playable else "",
        poster=picture(project)(stem, "FRAME", 960),
        applied=int(st.session_state.get(applied_key, 0)),
        can_add=bool(boards) and not project.read_only,
        key=f"trimmer-{identity}",
    )
    for_all = True
    st.markdown(f":small[{_facts(video, timeline)}]")
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if many:
            for_all = (
                st.segmented_control(
                    "This setting is for",
                    ["all videos", "this video only"],
                    default="this video only" if stem in trims.own else "all videos",
                    required=True,
                    key=f"trim-for-{stem}-{st.session_state.get('trim-reset', 0)}",
                    label_visibility="collapsed",
                    help="All videos: the same seconds are skipped at the beginning and at the end of each.",
                )
                == "all videos"
            )
        _frame_rate(project, video, timeline)
        _remove(project, video)
        if not playable:
            offer_copy(project, stem)
    st.caption(f":material/lightbulb: {ADVICE}")
    part = Part(trim.start, trim.stop, trim.exclude)
    own = stem in trims.own
    if part != before or (many and own == for_all):
        after = trims.with_part(stem, part, n_frames=timeline.n_frames, fps=fps, for_all=for_all)
        st.session_state[_key(project)] = after.to_json()
        if rerun_page or own == for_all or part.n_usable == 0:
            st.rerun()
    if frames and boards:
        _add(project, boards[0].id, stem, frames)
        st.session_state[applied_key] = applied
        st.rerun()


def _facts(video: VideoEntry, timeline: Timeline) -> str:
    rate = "true rate" if video.true_fps else "from the file"
    return (
        f"{timeline.width} × {timeline.height} px · {timeline.n_frames:,} frames · {clock(timeline.duration_s)} · "
        f"{timeline.average_fps:g} frames/s ({rate})"
    )


def _frame_rate(project: Project, video: VideoEntry, timeline: Timeline) -> None:
    with st.popover("Frame rate", icon=":material/speed:", disabled=project.read_only):
        st.caption(
            "The rate in the file is often wrong in high-speed recordings. Set the true one, and every time shown "
            "follows it."
        )
        value = st.number_input(
            "True frames per second",
            0.0,
            1_000_000.0,
            float(video.true_fps or 0.0),
            help="0: as the file says.",
            key=f"fps-{video.stem}",
        )
        if st.button("Set", key=f"set-fps-{video.stem}", type="primary"):
            try:
                project.set_true_fps(video.stem, value or None)
                st.rerun()
            except CastleError as error:
                st.error(plain(str(error)))


def _remove(project: Project, video: VideoEntry) -> None:
    with st.popover("Remove", icon=":material/delete:", disabled=project.read_only):
        what = "Removes the link; the file that it leads to is not touched."
        if not video.is_link:
            what = "Moves the file to `removed-videos` in the project's folder, where it can be taken back by hand."
        others = _uploaded_by(project, video)
        whose = f"**{plain(others)}** uploaded it. " if others not in ("", current_user()) else ""
        st.markdown(
            f"Take **{plain(video.name)}** out of the project?  \n{whose}{what} "
            "Its frames, labels, masks and latents stay."
        )
        if st.button("Remove the video", key=f"remove-really-{video.stem}", type="primary"):
            try:
                project.remove_video(video.stem)
            except CastleError as error:
                st.error(plain(str(error)))
            else:
                st.rerun()


def _uploaded_by(project: Project, video: VideoEntry) -> str:
    """Return who uploaded a video, as far as the jobs remember; empty where it is not known, or another file by now."""
    if video.is_link:
        return ""
    checks = jobs().list(project=str(project.path), states=["finished"], kinds=["check_upload"], limit=300)
    # the newest comes first
    newest = next((job for job in checks if job.result and job.result.get("name") == video.name), None)
    if newest is None or not newest.result or newest.result.get("n_bytes") != video.path.stat().st_size:
        return ""
    return newest.owner


def _add(project: Project, board_id: str, stem: str, frames: Sequence[int]) -> None:
    notes = []
    for frame in frames:
        try:
            add_frame(project, board_id, stem, frame)
        except CastleError as error:
            notes.append(str(error))
    st.session_state[f"notes-{board_id}"] = notes
