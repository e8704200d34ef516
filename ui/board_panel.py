"""The board: chosen frames that wait for a look, before anything is written."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from castle_core.boards import Board, discard_board, list_boards, load_board
from castle_core.errors import CastleError
from castle_core.projects import Project
from ui.board_view import apply_operations, sections
from ui.components.gallery import gallery
from ui.coverage import coverage_line
from ui.job_panel import watched
from ui.people import current_user
from ui.pictures import labelled_frames, picture, timeline_of
from ui.server import jobs
from ui.words import code, counted, plain

WRITE = "write_board"
_ANCHOR = "look-at-the-frames"


def waiting_boards(project: Project) -> tuple[Board, ...]:
    """Return the boards of a project that wait, the newest first."""
    return list_boards(project)


def waiting_line(boards: Sequence[Board]) -> str:
    """Say at the top of the page what waits further down, with a link to it; without boards, what the page is for."""
    if not boards:
        return "Choose the frames worth labelling."
    count = counted(len(boards[0].entries), "frame") if len(boards) == 1 else counted(len(boards), "board")
    return f"**{count} {'waits' if count.startswith('1 ') else 'wait'} to be looked at:** [go there](#{_ANCHOR})."


def board_panel(project: Project) -> None:
    """Show the waiting boards of a project, one at a time; nothing where there are none."""
    boards = waiting_boards(project)
    if not boards:
        return
    chosen = boards[0].id
    st.divider()
    if len(boards) > 1:
        names = {board.id: _name(board) for board in boards}
        if st.session_state.get("board") not in names:
            st.session_state.pop("board", None)
        chosen = st.pills(
            f"{len(boards)} boards wait in this project",
            list(names),
            default=chosen,
            format_func=lambda board_id: names.get(board_id, ""),
            key="board",
            required=True,
        )
    _board(project, str(chosen))


def _name(board: Board) -> str:
    who = "" if board.owner == current_user() else f" · {board.owner}"
    when = board.created[:16].replace("T", " ")
    videos = board.videos[0].name if len(board.videos) == 1 else counted(len(board.videos), "video")
    return f"{plain(videos)} · {counted(len(board.entries), 'frame')} · {when}{plain(who)}"


@st.fragment(key="board-fragment")
def _board(project: Project, board_id: str) -> None:
    if st.session_state.pop("rerun-page", False):
        st.rerun()
    try:
        board = load_board(project, board_id)
    except CastleError:
        st.rerun()
    state = f"applied-{board_id}"
    applied = int(st.session_state.get(state, 0))
    st.subheader("Look at the frames", anchor=_ANCHOR)
    st.caption(f"{_method(board)} Nothing is written yet: drop, swap or add frames, then write them.")
    for warning in board.warnings:
        st.warning(plain(warning), icon=":material/warning:")
    coverage_line(board)
    for note in st.session_state.pop(f"notes-{board_id}", ()):
        st.info(plain(note), icon=":material/info:")
    writing = bool(board.writing_by) or any(
        job.settings.get("board") == board_id for job in watched([WRITE], project=str(project.path))
    )
    _foot(project, board, writing, top=True)
    shown = board
    if board.keypoints and not st.toggle(
        "Show the model's points",
        value=True,
        key="show-points",
        help="Where the model sees each keypoint. Look closer at a frame and point at a dot for its name. "
        "Frames that you add by hand show none.",
    ):
        shown = replace(board, points={})
    operations = gallery(
        sections(
            shown,
            timeline=lambda stem: timeline_of(project, stem),
            labelled=lambda stem: labelled_frames(project, stem),
            picture=picture(project),
        ),
        applied=applied,
        editable=not writing and not project.read_only,
        key=f"gallery-{board_id}",
    )
    if operations:
        board, notes = apply_operations(project, board, operations)
        st.session_state[state] = operations[-1]["seq"]
        st.session_state[f"notes-{board_id}"] = list(notes)
        st.rerun(scope="fragment")
    _add_by_index(project, board, writing)
    _foot(project, board, writing, top=False)


def _method(board: Board) -> str:
    names = {
        "kmeans": "Chosen for diversity of poses",
        "kcenter": "Chosen as far from each other as possible",
        "uniform": "Chosen at even distances",
        "random": "Chosen at random",
        "latents": "Chosen for diversity of latents",
        "by hand": "Chosen to stand for a set of frames in the Inspector",
    }
    words = names.get(board.method, "Chosen where the model is least sure")
    gap = max((video.min_gap for video in board.videos), default=1)
    return f"{words}, at least {counted(gap, 'frame')} apart." if gap > 1 else f"{words}."


def _foot(project: Project, board: Board, writing: bool, *, top: bool) -> None:
    place = "top" if top else "foot"
    kept = len(board.kept)
    pinned = sum(entry.state == "pin" for entry in board.entries)
    with st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center", key=f"board-{place}"):
        if top:
            total = len(board.entries)
            st.markdown(
                f"**{kept} of {total}** frames kept" + (f" · {pinned} pinned" if pinned else ""), width="stretch"
            )
        else:
            folder = project.path / "labeled-data"
            context = f", and up to {2 * board.context} context frames around each" if board.context else ""
            st.caption(f"Frames are written as PNG to `{code(str(folder))}`{context}.", width="stretch")
        if not top and pinned < len(board.entries):
            st.button(
                "Choose the others again",
                key=f"again-{place}",
                disabled=writing or project.read_only,
                on_click=_again,
                args=(str(project.path), board.id),
                help="Frames that are pinned or were added by hand stay, dropped ones are not chosen again, and the "
                "rest is chosen anew. Drop what you do not want first: else the same frames may well come again.",
                icon=":material/refresh:",
            )
        if st.button("Discard", key=f"discard-{place}", disabled=writing, icon=":material/delete:"):
            _confirm_discard(project, board.id, kept)
        st.button(
            "Writing …" if writing else f"Write {counted(kept, 'frame')}",
            key=f"write-{place}",
            type="primary" if not top else "secondary",
            disabled=writing or not kept or project.read_only,
            on_click=_write,
            args=(str(project.path), board.id, kept),
            icon=":material/save:",
            help=None if kept else "Every frame is dropped: keep at least one.",
        )


@st.dialog("Discard this board?")
def _confirm_discard(project: Project, board_id: str, kept: int) -> None:
    st.write(f"{counted(kept, 'frame')} will not be written. Choosing frames again with the same seed gives them back.")
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Keep the board"):
            st.rerun()
        if st.button("Discard", type="primary", key="discard-really"):
            discard_board(project, board_id)
            st.rerun()


def _write(project: str, board_id: str, kept: int) -> None:
    jobs().submit(
        WRITE,
        project=project,
        settings={"board": board_id},
        owner=current_user(),
        title=f"Write {counted(kept, 'frame')}",
    )
    st.session_state["rerun-page"] = True


def _again(project: str, board_id: str) -> None:
    board = load_board(Project.open(project), board_id)
    told = {"context", "videos", "model", "scores"}
    settings: dict[str, Any] = {key: value for key, value in board.settings.items() if key not in told}
    settings["seed"] = int(board.seed or 0) + 1
    own = board.settings.get("videos") or {}
    job: dict[str, Any] = {
        "videos": [dict(own.get(video.stem) or {"name": video.stem}) for video in board.videos],
        "settings": settings,
        "review": True,
        "context": board.context,
        "again": board_id,
    }
    if model := board.settings.get("model"):
        job["model"] = model
    jobs().submit(
        "suggest" if model else "choose_frames",
        project=project,
        settings=job,
        owner=current_user(),
        title=f"Choose frames again from {counted(len(board.videos), 'video')}",
    )
    st.session_state["rerun-page"] = True


def _add_by_index(project: Project, board: Board, writing: bool) -> None:
    with (
        st.expander("Add a frame by its index", icon=":material/add_photo_alternate:"),
        st.form("add-frame", border=False),
    ):
        left, middle, right = st.columns([3, 2, 1], vertical_alignment="bottom")
        stems = [video.stem for video in board.videos]
        stem = left.selectbox("Video", stems, format_func=lambda s: board.video(s).name, key="add-video")
        last = max(video.n_frames for video in board.videos) - 1
        index = middle.number_input(
            "Frame index",
            0,
            value=0,
            help=f"The first frame of a video is frame 0, the last {last:,}.",
            key="add-index",
        )
        if right.form_submit_button("Add", width="stretch", disabled=writing or project.read_only):
            operation = {"op": "add", "stem": stem, "frame": int(index)}
            _, notes = apply_operations(project, board, [operation])
            st.session_state[f"notes-{board.id}"] = list(notes)
            st.rerun(scope="fragment")
