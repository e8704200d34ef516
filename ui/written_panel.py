"""What was written: the green line, the rounds with their undo, and single frames to take back."""

import time

import streamlit as st

from castle_core.boards import restore_board
from castle_core.errors import CastleError
from castle_core.frames import RoundSummary, list_rounds, remove_frame, undo_round
from castle_core.machine import clock
from castle_core.projects import Project
from ui.job_panel import last_ended
from ui.people import current_user
from ui.pictures import picture, timeline_of
from ui.server import jobs
from ui.words import counted, plain

NEXT = "Proceed to the next tab to label frames"
_WRITERS = ("write_board", "choose_frames", "import_zips", "suggest")
_STARTED_HERE = (*_WRITERS, "inspect_zips")
_SHOWN, _SEEN, _NOTE = "green-shown", "green-seen", "undo-note"


def green_line(project: Project) -> None:
    """Say what the user's last writing job has written, where it lies, and where to go on.

    Others do not see it: they find the round among those that were written. It goes with the user's next action:
    another job of this page, another source, another page, an undo, or Dismiss.
    """
    _note_of_undo(project)
    job = last_ended(_WRITERS, project=str(project.path), owner=current_user())
    if job is None or job.state != "finished" or not job.result or "written" not in job.result:
        return
    if st.session_state.get(_SEEN, 0) >= job.id or _went_on(project, job.id):
        return
    written, kept = int(job.result["written"]), int(job.result.get("kept") or 0)
    folders = [str(folder) for folder in job.result.get("directories") or ()]
    folders = folders or [str(project.frames_folder(stem)) for stem in job.result.get("videos") or ()]
    round_id = str(job.result.get("round_id") or job.result.get("round") or "")
    if not written and kept:
        _nothing_new(job.id, kept)
        return
    if round_id and round_id not in {each.info.id for each in list_rounds(project)}:
        return
    st.session_state[_SHOWN] = job.id
    with st.container(key="green-line"):
        _bring_into_sight("green-line", f"job-{job.id}")
        before = f" {counted(kept, 'frame was', 'frames were')} there already." if kept else ""
        st.success(f"**{counted(written, 'frame')} written.**{before} {NEXT}.", icon=":material/check_circle:")
        for warning in job.result.get("warnings") or ():
            st.warning(plain(str(warning)), icon=":material/warning:")
        with st.container(horizontal=True, vertical_alignment="center"):
            st.page_link("pages/label_export.py", label="Label export", icon=":material/arrow_forward:")
            if round_id:
                st.button(
                    "Undo this round",
                    key=f"undo-green-{job.id}",
                    icon=":material/undo:",
                    type="tertiary",
                    on_click=_undo,
                    args=(str(project.path), round_id),
                )
            st.button("Dismiss", key=f"green-{job.id}", type="tertiary", on_click=take_green_line_away)
        for folder in folders[:3] or [str(project.path / "labeled-data")]:
            st.code(folder, language=None, wrap_lines=True)


def _nothing_new(number: int, kept: int) -> None:
    st.session_state[_SHOWN] = number
    words = "The frame was" if kept == 1 else f"All {kept:,} frames were"
    with st.container(key="green-line"):
        _bring_into_sight("green-line", f"job-{number}")
        st.info(f"{words} in the project already: nothing was written.", icon=":material/info:")
        st.button("Dismiss", key=f"green-{number}", type="tertiary", on_click=take_green_line_away)


def _note_of_undo(project: Project) -> None:
    """Say what an undo or a removal has done, until the user goes on."""
    note = st.session_state.get(_NOTE)
    if note is None:
        return
    if note["project"] != str(project.path) or _went_on(project, note["job"]):
        del st.session_state[_NOTE]
        return
    with st.container(key="undo-note"):
        _bring_into_sight("undo-note", note["id"])
        st.info(plain(note["text"]), icon=":material/undo:")


def _bring_into_sight(key: str, occasion: str) -> None:
    """Scroll to the container of this key, once an occasion: the page may stand at its end, where the button was."""
    st.html(
        "<script>{const seen = (window.castleSeen ??= new Set());"
        f"if (!seen.has({occasion!r})) {{seen.add({occasion!r});"
        f"document.querySelector('.st-key-{key}')?.scrollIntoView({{block: 'center'}});}}}}</script>",
        unsafe_allow_javascript=True,
    )


def _take_note(project: str, text: str) -> None:
    newest = jobs().list(project=project, owner=current_user(), limit=1)
    number = max((job.id for job in newest), default=0)
    st.session_state[_NOTE] = {"project": project, "text": text, "job": number, "id": f"note-{time.time_ns()}"}


def take_green_line_away() -> None:
    """Forget the green line that was shown, and the note of an undo."""
    st.session_state.pop(_NOTE, None)
    st.session_state[_SEEN] = max(st.session_state.get(_SEEN, 0), st.session_state.get(_SHOWN, 0))


def _went_on(project: Project, number: int) -> bool:
    """Say whether the user has started another job of this page since."""
    newest = jobs().list(project=str(project.path), owner=current_user(), kinds=_STARTED_HERE, limit=1)
    return any(job.id > number for job in newest)


def _undo(project: str, round_id: str) -> None:
    take_green_line_away()
    try:
        opened = Project.open(project)
        report = undo_round(opened, round_id)
    except CastleError as error:
        _take_note(project, str(error))
        return
    stay = sum(len(frames) for frames in report.labelled.values())
    note = f"{counted(report.n_removed, 'frame')} taken back." + (
        f" {counted(stay, 'labelled frame')} stayed." if stay else ""
    )
    try:
        if restore_board(opened, round_id) is not None:
            note += " The board waits again, as it was."
    except CastleError as error:  # the frames are taken back all the same, and the note must say so
        note += f" The board does not come back: {error}"
    _take_note(project, note)


def rounds_panel(project: Project) -> None:
    """List the rounds that were written, newest first, each with its undo; and single frames to remove."""
    rounds = list_rounds(project)
    if not rounds:
        return
    n_frames = sum(each.n_frames for each in rounds)
    with st.expander(f"Written so far: {counted(n_frames, 'frame')} in {counted(len(rounds), 'round')}", key="rounds"):
        for each in rounds[:20]:
            _round(project, each)
        if len(rounds) > 20:
            st.caption(f"and {counted(len(rounds) - 20, 'older round')}")
        if not project.read_only:
            _remove_one(project)


def _round(project: Project, each: RoundSummary) -> None:
    labelled = sum(len(frames) for frames in each.labelled.values())
    who = f" · {plain(each.info.who)}" if each.info.who else ""
    videos = ", ".join(f"{plain(stem)} ({len(frames)})" for stem, frames in list(each.frames.items())[:4])
    more = f" and {len(each.frames) - 4} more" if len(each.frames) > 4 else ""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(
            f"**{counted(each.n_frames, 'frame')}** · {labelled} labelled · {plain(each.info.method)}{who} · "
            f"{each.info.when[:16].replace('T', ' ')}  \n{videos}{more}",
            width="stretch",
        )
        off = project.read_only or labelled == each.n_frames
        others = each.info.who not in ("", current_user())
        if (others or each.info.method == "zip") and not off:
            with st.popover("Undo", icon=":material/undo:", key=f"undo-ask-{each.info.id}"):
                if others:
                    st.markdown(f"**{plain(each.info.who)}** wrote this round. Take its frames back all the same?")
                if each.info.method == "zip":
                    st.markdown("These frames came from a zip, which is not kept here: to have them again, upload it.")
                words = f"Take back what {plain(each.info.who)} wrote" if others else "Take the frames back"
                _undo_button(project, each, words, off=off)
        else:
            _undo_button(project, each, "Undo", off=off)


def _undo_button(project: Project, each: RoundSummary, words: str, *, off: bool) -> None:
    st.button(
        words,
        key=f"undo-{each.info.id}",
        icon=":material/undo:",
        disabled=off,
        help="Takes back the unlabelled frames of this round; labelled ones stay.",
        on_click=_undo,
        args=(str(project.path), each.info.id),
    )


def _remove_one(project: Project) -> None:
    stems = [stem for stem in project.frame_folders() if project.selected(stem)]
    if not stems:
        return
    st.markdown("**Remove one written frame**")
    left, middle, right = st.columns([3, 3, 2], vertical_alignment="bottom")
    stem = left.selectbox("Video of the frame", stems, key="remove-video")
    try:
        labelled = project.labelled(stem)
    except CastleError as error:
        st.error(plain(str(error)))
        return
    frames = [frame for frame in project.selected(stem) if frame not in labelled]
    fps = timeline.average_fps if (timeline := timeline_of(project, stem)) else None
    frame = middle.selectbox(
        "Frame",
        frames,
        index=None,
        placeholder="Choose an unlabelled frame",
        format_func=lambda f: f"frame {f} · {clock(f / fps)}" if fps else f"frame {f}",
        key=f"remove-frame-{stem}",
    )
    right.button(
        "Remove",
        icon=":material/delete:",
        width="stretch",
        disabled=frame is None,
        on_click=_remove,
        args=(str(project.path), stem, frame),
    )
    if frame is not None and timeline_of(project, stem) is not None:
        st.html(f'<img src="{picture(project)(stem, frame, 320)}" alt="Frame {int(frame)}" style="max-width:320px">')


def _remove(project: str, stem: str, frame: int) -> None:
    take_green_line_away()
    try:
        remove_frame(Project.open(project), stem, frame)
        _take_note(project, f"Frame {frame} of {stem} removed.")
    except CastleError as error:
        _take_note(project, str(error))
