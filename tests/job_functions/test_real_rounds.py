"""From a real video to a board, to disk, and back: with the real reader and the real selection."""

import json
import shutil

import numpy as np
import pytest

from castle_core import boards
from castle_core.cli.app import app
from castle_core.cli.output import run_app
from castle_core.errors import VideoError
from castle_core.frames import list_rounds, undo_round
from castle_core.job_functions.check_upload import check_upload
from castle_core.job_functions.choose_frames import choose_frames
from castle_core.job_functions.write_board import write_board
from castle_core.progress import QUIET
from castle_core.projects import Project
from castle_core.video import VideoWriter


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Two videos of a bright square that walks over noise; 120 frames each."""
    folder = tmp_path_factory.mktemp("videos")
    for seed, name in enumerate(("a mouse.mp4", "b.mp4")):
        rng = np.random.default_rng(seed)
        noise = rng.integers(0, 60, (48, 64, 3), dtype=np.uint8)
        with VideoWriter(folder / name, fps=30, width=64, height=48, gop=30) as writer:
            for index in range(120):
                frame = noise.copy()
                x, y = int(25 + 24 * np.sin(index / 17 + seed)), int(18 + 16 * np.cos(index / 11))
                frame[y : y + 12, x : x + 12] = 220
                writer.write(frame)
    return folder


@pytest.fixture
def project(tmp_path, videos):
    made = Project.create(tmp_path / "project")
    for path in sorted(videos.iterdir()):
        made.link_video(path)
    return made


def _choose(project, board, **settings):
    said = {
        "videos": [{"name": "a mouse", "start": "10f", "exclude": [["40f", "60f"]]}, {"name": "b"}],
        "settings": {"n": 5, "seed": 3},
    }
    result = choose_frames(QUIET, project=str(project.path), owner="ada", board=board, **(said | settings))
    json.dumps(result, allow_nan=False)
    return boards.load_board(project, board) if "board" in result else result


def _frames(board):
    return [(entry.video, entry.frame_index) for entry in board.entries]


def test_choose_look_write_again_and_undo(project):
    board = _choose(project, "first")
    assert [stem for stem, _ in _frames(board)] == ["a mouse"] * 5 + ["b"] * 5
    mouse = [frame for stem, frame in _frames(board) if stem == "a mouse"]
    assert all(10 <= frame < 120 and not 40 <= frame < 60 for frame in mouse)
    assert board.videos[0].ranges == ((10, 40), (60, 120))
    assert all(entry.reason for entry in board.entries)
    assert _frames(_choose(project, "second")) == _frames(board)  # the seed decides
    swapped = boards.swap_frame(project, "second", 0)
    assert _frames(swapped) != _frames(board)

    write_board(QUIET, project=str(project.path), owner="ada", board="first")
    assert list(project.selected("a mouse")) == mouse
    third = _choose(project, "third")
    assert not set(_frames(third)) & set(_frames(board))
    assert third.videos[0].covered == tuple(mouse)
    write_board(QUIET, project=str(project.path), owner="ada", board="third")
    assert len(project.selected("a mouse")) == 10
    undo_round(project, "third")
    assert list(project.selected("a mouse")) == mouse
    assert [each.info.id for each in list_rounds(project)] == ["first"]


def test_one_budget_over_both(project):
    settings = {"budget": 7, "minimum": 2, "maximum": 5, "seed": 1}
    board = _choose(project, "joint", settings=settings)
    assert len(board.entries) == 7
    counts = [sum(stem == wanted for stem, _ in _frames(board)) for wanted in ("a mouse", "b")]
    assert min(counts) >= 2
    assert board.videos[0].ranges == ((10, 40), (60, 120))
    done = _choose(project, "direct", settings=settings, review=False)
    assert done["written"] == 7
    assert {(stem, i) for stem in ("a mouse", "b") for i in project.selected(stem)} == set(_frames(board))


def test_the_command_line_and_the_job_choose_and_write_the_same(project, tmp_path, videos, capsys):
    done = _choose(project, "job", videos=[{"name": "b"}], review=False)
    assert done["written"] == 5
    command = [
        "select",
        str(videos / "b.mp4"),
        "-n",
        "5",
        "--seed",
        "3",
        "--project",
        str(tmp_path / "other"),
        "--json",
    ]
    assert run_app(app, command) == 0
    assert json.loads(capsys.readouterr().out)["written"] == 5
    other = Project.open(tmp_path / "other")
    ours = {path.name: path.read_bytes() for path in project.frames_folder("b").iterdir()}
    theirs = {path.name: path.read_bytes() for path in other.frames_folder("b").iterdir()}
    for files in (ours, theirs):
        files["selection.json"] = json.loads(files["selection.json"])["rounds"][0]["frames"]
    assert ours == theirs


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda data: b"hello, this is no video" * 50, "new.mp4 was not added to the project"),
        (lambda data: b"", "new.mp4 was not added to the project"),
        (lambda data: data[: data.index(b"mdat") + 500], "new.mp4 was not added to the project"),
    ],
)
def test_uploads_that_are_no_videos_are_told_so_under_their_name(project, videos, spoil, words):
    upload = project.cache_dir / "uploads" / "3f2a.part.mp4"
    upload.parent.mkdir()
    upload.write_bytes(spoil((videos / "b.mp4").read_bytes()))
    with pytest.raises(VideoError) as caught:
        check_upload(QUIET, project=str(project.path), owner="ada", path=str(upload), name="new.mp4")
    assert str(caught.value).startswith(words)
    assert "3f2a" not in str(caught.value)
    assert upload.exists()
    assert len(project.videos()) == 2


def test_a_checked_upload_keeps_its_index(project, videos):
    upload = project.cache_dir / "uploads" / "3f2a"
    upload.parent.mkdir()
    shutil.copy(videos / "b.mp4", upload)
    said = check_upload(QUIET, project=str(project.path), owner="ada", path=str(upload), name="new one.mp4")
    assert said["n_frames"] == 120
    before = {path.name for path in (project.cache_dir / "index").iterdir()}
    with project.open_video("new one") as video:
        assert video.n_frames == 120
    assert {path.name for path in (project.cache_dir / "index").iterdir()} == before
