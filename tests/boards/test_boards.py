import contextlib
import json
import multiprocessing
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from fake_videos import install, killed_at, make_project, tree, write_video
from hypothesis import given, settings
from hypothesis import strategies as st

from castle_core import boards
from castle_core.boards import Alternative, Board, BoardVideo, Entry, shelf
from castle_core.boards.board import board_from_json
from castle_core.errors import (
    ConfigError,
    FrameDecodeError,
    FrameIndexError,
    LeaseLostError,
    LockHeldError,
    ProjectError,
    SelectionError,
)
from castle_core.files import locked
from castle_core.frames import export_frames, list_rounds, read_record, undo_round
from castle_core.progress import Task


def _board(board_id="b1", *, stems=("mouse",), frames=(5, 20, 40), created="2026-01-01T00:00:00+00:00"):
    others = (Alternative(21, 0.7), Alternative(22, 22 / 30))
    entries = [
        Entry(place, stem, frame, frame / 30, "stands for 5 %", 0.05, alternatives=others if frame == 20 else ())
        for place, (stem, frame) in enumerate((stem, frame) for stem in stems for frame in frames)
    ]
    videos = tuple(BoardVideo(stem, f"{stem}.mp4", 60, 2.0, 30.0, ((0, 60),), (1,), 5, {"mean": 0.5}) for stem in stems)
    return Board(board_id, created, "ada", {"n": 3}, videos, tuple(entries), ("careful",), "kmeans", 7, 2)


@pytest.fixture
def project(tmp_path, monkeypatch):
    install(monkeypatch)
    return make_project(tmp_path / "project", ("mouse", "rat"))


def _frames(board):
    return [(entry.video, entry.frame_index, entry.state) for entry in board.entries]


# ---------------------------------------------------------------------- a board as a value


def test_keep_drop_pin():
    board = _board().with_state([0, 2], "drop").with_state([1], "pin").with_state([0], "keep")
    assert [entry.state for entry in board.entries] == ["keep", "pin", "drop"]
    assert [entry.frame_index for entry in board.kept] == [5, 20]
    with pytest.raises(ConfigError, match="keep, drop, pin"):
        board.with_state([0], "maybe")
    with pytest.raises(ProjectError, match="no frame number 9"):
        board.with_state([9], "keep")


def test_swap_goes_through_the_alternatives_and_comes_round():
    board = _board().with_state([1], "pin")
    once = board.swapped(1)
    assert once.entry(1).frame_index == 21
    assert once.entry(1).time_s == pytest.approx(0.7)
    assert once.entry(1).state == "pin"
    assert "frame 20" in once.entry(1).reason
    assert once.swapped(1).entry(1).frame_index == 22
    assert once.swapped(1).swapped(1).entry(1).frame_index == 20
    assert board.swapped(1, taken={21}).entry(1).frame_index == 22
    with pytest.raises(SelectionError, match="no other frame like frame 5"):
        board.swapped(0)
    with pytest.raises(SelectionError):
        board.swapped(1, taken={21, 22})


def test_a_dropped_frame_that_is_swapped_is_kept():
    assert _board().with_state([1], "drop").swapped(1).entry(1).state == "keep"


def test_adding_a_frame():
    board = _board().added("mouse", 10, 1 / 3)
    assert _frames(board) == [("mouse", 5, "keep"), ("mouse", 10, "keep"), ("mouse", 20, "keep"), ("mouse", 40, "keep")]
    assert board.find("mouse", 10).id == 3
    assert board.added("mouse", 10, 1 / 3) == board
    assert board.with_state([0], "drop").added("mouse", 5, 1 / 6).entry(0).state == "keep"
    with pytest.raises(ProjectError, match="not on this board"):
        board.added("cat", 1, 0)


_edit = st.one_of(
    st.tuples(st.just("state"), st.integers(0, 5), st.sampled_from(["keep", "drop", "pin"])),
    st.tuples(st.just("swap"), st.integers(0, 5), st.just("")),
    st.tuples(st.just("add"), st.integers(0, 59), st.just("")),
)


def test_a_models_points_survive_json_and_swaps():
    points = {"mouse": {"20": [[1.5, 2.0], [None, None]], "21": [[3.0, 4.0], [5.0, 6.0]]}}
    board = replace(_board(), keypoints=("nose", "tail"), points=points)
    again = board_from_json(json.loads(json.dumps(board.to_json())))
    assert again == board
    assert again.points_of("mouse", 20) == {"nose": (1.5, 2.0)}
    swapped = again.swapped(1)
    assert swapped.entry(1).frame_index == 21
    assert swapped.points_of("mouse", 21) == {"nose": (3.0, 4.0), "tail": (5.0, 6.0)}
    assert swapped.points_of("mouse", 5) == {}
    assert swapped.points_of("rat", 20) == {}


def test_boards_of_before_have_no_points_and_damaged_ones_are_said():
    value = _board().to_json()
    del value["keypoints"], value["points"]
    assert board_from_json(value) == _board()
    for wrong in (
        {"mouse": {"5": [[1.0]]}},
        {"mouse": {"5": [["a", 1.0]]}},
        {"mouse": {"5": [3]}},
        {"mouse": [1]},
        [1],
    ):
        with pytest.raises(ProjectError, match="A waiting board is damaged"):
            board_from_json(value | {"points": wrong})


@settings(max_examples=40, deadline=None)
@given(edits=st.lists(_edit, max_size=12))
def test_any_edits_keep_frames_distinct_and_survive_json(edits):
    board = _board(stems=("mouse", "rat"))
    for what, number, state in edits:
        if what == "state":
            board = board.with_state([number], state)
        elif what == "add":
            board = board.added("rat", number, number / 30)
        else:
            with contextlib.suppress(SelectionError):
                board = board.swapped(number)
    frames = [(entry.video, entry.frame_index) for entry in board.entries]
    assert frames == sorted(set(frames))
    assert len({entry.id for entry in board.entries}) == len(board.entries)
    assert board_from_json(json.loads(json.dumps(board.to_json()))) == board


# ---------------------------------------------------------------------- boards on the shelf


def test_boards_wait_newest_first_and_writing_nothing_else(project):
    before = tree(project.path)
    boards.save_board(project, _board("old"))
    boards.save_board(project, _board("new", created="2026-02-01T00:00:00+00:00"))
    assert tree(project.path) == before
    assert [board.id for board in boards.list_boards(project)] == ["new", "old"]
    assert boards.load_board(project, "old") == _board("old")
    (project.cache_dir / "boards" / "bad.json").write_text("{")
    assert len(boards.list_boards(project)) == 2
    boards.discard_board(project, "old")
    boards.discard_board(project, "old")
    with pytest.raises(ProjectError, match="not waiting any more"):
        boards.load_board(project, "old")


@pytest.mark.parametrize("board_id", ["../x", "", "a/b", ".hidden", "x" * 200])
def test_a_board_id_cannot_leave_the_shelf(project, board_id):
    with pytest.raises(ProjectError):
        boards.load_board(project, board_id)


def test_edits_are_saved(project):
    boards.save_board(project, _board())
    assert boards.set_state(project, "b1", [0], "drop").revision == 1
    assert boards.set_state(project, "b1", [0], "drop").revision == 1  # nothing changed
    assert boards.swap_frame(project, "b1", 1).entry(1).frame_index == 21
    assert boards.add_frame(project, "b1", "mouse.mp4", 50).find("mouse", 50).time_s == pytest.approx(50 / 30)
    assert _frames(boards.load_board(project, "b1")) == [
        ("mouse", 5, "drop"),
        ("mouse", 21, "keep"),
        ("mouse", 40, "keep"),
        ("mouse", 50, "keep"),
    ]
    with pytest.raises(FrameIndexError, match="0 to 59"):
        boards.add_frame(project, "b1", "mouse", 60)
    export_frames(project, "mouse", [55, 22])
    with pytest.raises(SelectionError, match="already"):
        boards.add_frame(project, "b1", "mouse", 55)
    assert boards.swap_frame(project, "b1", 1).entry(1).frame_index == 20  # 22 is written by now


def _edit_many(path, entry_ids, start):
    from castle_core.projects import Project

    project = Project.open(path)
    start.wait(20)
    for entry_id in entry_ids:
        boards.set_state(project, "b1", [entry_id], "drop")


def test_two_tabs_lose_no_edits(project):
    boards.save_board(project, _board(frames=tuple(range(0, 60, 2))))
    context = multiprocessing.get_context("fork")
    start = context.Event()
    tabs = [
        context.Process(target=_edit_many, args=(project.path, range(first, 30, 2), start), daemon=True)
        for first in (0, 1)
    ]
    try:
        for tab in tabs:
            tab.start()
        start.set()
        for tab in tabs:
            tab.join(60)
            assert tab.exitcode == 0
    finally:
        for tab in tabs:
            tab.kill()
    board = boards.load_board(project, "b1")
    assert board.kept == ()
    assert board.revision == 30


# ---------------------------------------------------------------------- writing


def test_writing_a_board(project):
    boards.save_board(project, _board(stems=("mouse", "rat")))
    boards.set_state(project, "b1", [0], "drop")
    boards.set_state(project, "b1", [1], "pin")
    written = boards.write_board(project, "b1", who="bob")
    assert (written.round_id, written.written, written.kept) == ("b1", 5, 0)
    assert [folder.name for folder in written.directories] == ["mouse", "rat"]
    json.dumps(written.to_json())
    assert list(project.selected("mouse")) == [20, 40]
    assert list(project.selected("rat")) == [5, 20, 40]
    assert boards.list_boards(project) == ()
    (each,) = list_rounds(project)
    assert (each.info.id, each.info.method, each.info.seed, each.info.who) == ("b1", "kmeans", 7, "bob")
    assert each.info.coverage == {"mean": 0.5}
    frame = read_record(project.frames_folder("rat")).rounds[0].frames[0]
    assert (frame.reason, frame.score) == ("stands for 5 %", 0.05)
    assert boards.written_before(project, "b1").written == 5
    assert boards.written_before(project, "b2") is None
    with pytest.raises(ProjectError, match="not waiting any more"):
        boards.write_board(project, "b1")


def test_undo_brings_the_board_back_as_it_was(project):
    boards.save_board(project, _board(stems=("mouse", "rat")))
    boards.set_state(project, "b1", [0], "drop")
    boards.set_state(project, "b1", [2], "pin")
    boards.swap_frame(project, "b1", 1)
    before = boards.load_board(project, "b1")
    assert boards.restore_board(project, "b1") is None  # it waits
    boards.write_board(project, "b1")
    first = {stem: list(project.selected(stem)) for stem in ("mouse", "rat")}
    undo_round(project, "b1")
    assert boards.restore_board(project, "b1") == before
    assert boards.load_board(project, "b1") == before
    assert boards.write_board(project, "b1").written == 5
    assert {stem: list(project.selected(stem)) for stem in ("mouse", "rat")} == first
    assert [each.info.id for each in list_rounds(project)] == ["b1"]
    assert boards.restore_board(project, "no-such-board") is None


def test_only_the_last_written_boards_are_kept_for_undo(project, monkeypatch):
    monkeypatch.setattr(shelf, "_COPIES_KEPT", 2)
    for number in range(4):
        boards.save_board(project, _board(f"b{number}", frames=(number, 20 + number)))
        boards.write_board(project, f"b{number}")
    assert [boards.restore_board(project, f"b{number}") is not None for number in range(4)] == [
        False,
        False,
        True,
        True,
    ]


def test_progress_names_each_video_once(project):
    boards.save_board(project, _board(stems=("mouse", "rat")))
    said = []

    class Listening(Task):
        def progress(self, done, total, message=""):
            said.append(message)

    boards.write_board(project, "b1", Listening())
    assert set(said) == {"mouse", "rat"}


def test_an_empty_board_is_not_written(project):
    boards.save_board(project, _board().with_state([0, 1, 2], "drop"))
    with pytest.raises(SelectionError, match="nothing to write"):
        boards.write_board(project, "b1")
    assert boards.load_board(project, "b1").writing_by == ""


def test_a_board_that_cannot_be_written_waits_on(project):
    write_video(project.path / "videos" / "mouse.mp4", broken=[20])
    boards.save_board(project, _board())
    with pytest.raises(FrameDecodeError, match=r"Frame 20 of mouse\.mp4"):
        boards.write_board(project, "b1")
    assert not project.frames_folder("mouse").exists()
    boards.set_state(project, "b1", [1], "drop")
    assert boards.write_board(project, "b1").written == 2


def test_nothing_is_written_when_one_video_is_gone(project):
    boards.save_board(project, _board(stems=("mouse", "rat")))
    (project.path / "videos" / "rat.mp4").unlink()
    with pytest.raises(ProjectError, match="no video 'rat'"):
        boards.write_board(project, "b1")
    assert not (project.path / "labeled-data").exists()


def test_a_board_that_is_being_written_is_not_edited(project):
    boards.save_board(project, _board())

    class Meanwhile(Task):
        def progress(self, done, total, message=""):
            with pytest.raises(ProjectError, match="being written by ada"):
                boards.set_state(project, "b1", [0], "drop")

    assert boards.write_board(project, "b1", Meanwhile()).written == 3


def test_a_board_whose_writer_died_can_be_edited(project):
    boards.save_board(project, _board())

    class Dies(Task):
        def progress(self, done, total, message=""):
            if done:
                os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        boards.write_board(project, "b1", Dies())
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert '"writing_by": "ada"' in (project.cache_dir / "boards" / "b1.json").read_text()
    assert boards.load_board(project, "b1").writing_by == ""
    assert boards.set_state(project, "b1", [0], "drop").writing_by == ""
    assert boards.write_board(project, "b1").written == 2


def test_writing_twice_at_once_waits_for_the_first(project):
    boards.save_board(project, _board())
    seen = []

    class Meanwhile(Task):
        def progress(self, done, total, message=""):
            if not seen:
                seen.append(boards.load_board(project, "b1").writing_by)
                with ThreadPoolExecutor(1) as pool, pytest.raises(LockHeldError):
                    pool.submit(_write_impatiently, project).result()

    assert boards.write_board(project, "b1", Meanwhile()).written == 3
    assert seen == ["ada"]
    assert len(list_rounds(project)) == 1


def _write_impatiently(project):
    with locked(project.cache_dir / "boards" / "b1.writing", timeout_s=0.1):
        raise AssertionError("the lock is not held")


def test_killed_while_writing_and_written_again(tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    install(monkeypatch)
    count, killed = 0, True
    while killed:
        project = make_project(tmp_path / f"{count}", ("mouse", "rat"))
        boards.save_board(project, _board(stems=("mouse", "rat")))
        killed = killed_at(count, lambda project=project: boards.write_board(project, "b1"))
        if boards.list_boards(project):
            boards.write_board(project, "b1")
        (each,) = list_rounds(project)
        assert each.frames == {"mouse": (5, 20, 40), "rat": (5, 20, 40)}
        assert boards.list_boards(project) == ()
        assert boards.written_before(project, "b1").written == 6
        count += 7
    assert count > 20


def test_a_lost_lease_leaves_no_board(project):
    class Lost(Task):
        def publish(self, temporary, final):
            raise LeaseLostError("another attempt goes on")

    with pytest.raises(LeaseLostError):
        boards.save_board(project, _board(), Lost())
    assert boards.list_boards(project) == ()
    assert [path for path in (project.cache_dir / "boards").iterdir() if path.suffix == ".part"] == []


def test_boards_of_a_read_only_project_wait_elsewhere(project, monkeypatch):
    monkeypatch.setattr(type(project), "read_only", True)
    boards.save_board(project, replace(_board(), owner="bob"))
    assert [board.owner for board in boards.list_boards(project)] == ["bob"]
    with pytest.raises(ProjectError, match="read-only"):
        boards.write_board(project, "b1")
