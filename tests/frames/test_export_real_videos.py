"""Export of real files: pixels, the command line, and the same bytes from both."""

import json
import shutil

import cv2
import numpy as np
import pytest
from fake_videos import tree

from castle_core.cli.app import app
from castle_core.cli.output import run_app
from castle_core.errors import FrameDecodeError, FrameIndexError
from castle_core.frames import export_frames
from castle_core.projects import Project
from castle_core.video import VideoWriter, open_video


@pytest.fixture(scope="module")
def video_file(tmp_path_factory):
    """80 frames of 64x48 h264 with B-frames; a bar moves, so that neighbours differ."""
    path = tmp_path_factory.mktemp("videos") / "a mouse.mp4"
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    with VideoWriter(path, fps=25, width=64, height=48, gop=20) as writer:
        for index in range(80):
            frame = noise.copy()
            frame[:, index % 60 : index % 60 + 4] = (255, index, 0)
            writer.write(frame)
    return path


@pytest.fixture
def project(tmp_path, video_file):
    made = Project.create(tmp_path / "project")
    shutil.copy(video_file, made.path / "videos")
    return made


def test_pixels_equal_the_readers(project, video_file):
    done = export_frames(project, "a mouse", [0, 19, 41, 79])
    with open_video(video_file) as video:
        assert video.n_frames == 80
        for path in sorted(done.directory.glob("*.png")):
            image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., ::-1]
            assert np.array_equal(image, video.frame_at(int(path.stem[3:])))
    assert done.context_written == (1, 2, 17, 18, 20, 21, 39, 40, 42, 43, 77, 78)
    with pytest.raises(FrameIndexError, match="0 to 79"):
        export_frames(project, "a mouse", [80])


def test_small_batches_give_the_same(project, monkeypatch):
    export_frames(project, "a mouse", [5, 40])
    first = {path.name: path.read_bytes() for path in project.frames_folder("a mouse").glob("*.png")}
    shutil.rmtree(project.frames_folder("a mouse"))
    monkeypatch.setattr("castle_core.frames.export._BATCH_BYTES", 64 * 48 * 3 * 2)
    export_frames(project, "a mouse", [5, 40])
    assert {path.name: path.read_bytes() for path in project.frames_folder("a mouse").glob("*.png")} == first


def test_the_command_line_writes_the_same_bytes(project, video_file, tmp_path, capsys):
    export_frames(project, "a mouse", [5, 40])
    command = ["export-frames", str(video_file), "--project", str(tmp_path / "new"), "--indices", "40, 5", "--json"]
    assert run_app(app, command) == 0
    printed = capsys.readouterr()
    said = json.loads(printed.out)
    assert "Made a new project" in printed.err
    folder = tmp_path / "new" / "labeled-data" / "a mouse"
    assert said["written"] == [5, 40]
    assert said["directory"] == str(folder)
    assert (tmp_path / "new" / "videos" / "a mouse.mp4").is_symlink()
    ours = {path.name: path.read_bytes() for path in project.frames_folder("a mouse").iterdir()}
    theirs = {path.name: path.read_bytes() for path in folder.iterdir()}
    ours.pop("selection.json")
    theirs.pop("selection.json")
    assert theirs == ours
    assert run_app(app, command) == 0
    assert json.loads(capsys.readouterr().out)["kept"] == [5, 40]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--indices", "5,x"], 2, "list of frame indices"),
        (["--indices", ""], 2, "list of frame indices"),
        (["--indices", "-3"], 2, "list of frame indices"),
        (["--indices", "5", "--context", "-1"], 2, "context"),
        (["--indices", "5,99"], 1, "Frame 99 is outside a mouse.mp4"),
    ],
)
def test_the_command_line_says_what_is_wrong(project, capsys, arguments, code, words):
    assert run_app(app, ["export-frames", "a mouse.mp4", "--project", str(project.path), *arguments]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert words in printed.err
    assert "Traceback" not in printed.err
    assert not (project.path / "labeled-data").exists()


def test_a_video_that_is_nowhere(project, capsys):
    assert run_app(app, ["export-frames", "cat.mp4", "--project", str(project.path), "--indices", "5"]) == 1
    assert "no video 'cat.mp4'" in capsys.readouterr().err


def test_true_frame_rate_reaches_the_reader(project):
    project.set_true_fps("a mouse", 250)
    with project.open_video("a mouse") as video:
        assert video.average_fps == 250
        assert np.allclose(video.times_s, np.arange(80) / 250)
    assert any((project.path / ".castle" / "index").iterdir())


def test_real_video(shared_data, tmp_path):
    project = Project.create(tmp_path / "project")
    project.link_video(shared_data / "sleap" / "videos" / "small_robot.mp4")
    assert export_frames(project, "small_robot", [0, 165], context=0).written == (0, 165)
    with project.open_video("small_robot") as video:
        image = cv2.imread(str(project.frames_folder("small_robot") / "img00000165.png"))[..., ::-1]
        assert np.array_equal(image, video.frame_at(165))


def test_a_second_video_of_one_stem_needs_another_name(project, video_file, tmp_path, capsys):
    (tmp_path / "day2").mkdir()
    other = shutil.copy(video_file, tmp_path / "day2" / "A Mouse.mp4")
    command = ["export-frames", str(other), "--project", str(project.path), "--indices", "5"]
    assert run_app(app, command) == 1
    assert "Add it as 'day2_A Mouse' instead?" in capsys.readouterr().err
    for _ in range(2):
        assert run_app(app, [*command, "--name", "day2_A Mouse"]) == 0
    assert [entry.stem for entry in project.videos()] == ["a mouse", "day2_A Mouse"]
    assert list(project.selected("day2_A Mouse")) == [5]


def _damage_group(path, key_frame):
    """Blank the bytes of a key frame, which spoils its whole group."""
    with open_video(path) as video:
        sizes = video.packet_sizes
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4 + int(sizes[:key_frame].sum())
    data[start : start + int(sizes[key_frame])] = bytes(int(sizes[key_frame]))
    path.write_bytes(data)


def test_a_damaged_group(project):
    _damage_group(project.path / "videos" / "a mouse.mp4", 40)
    export_frames(project, "a mouse", [5])
    before = tree(project.path)
    with pytest.raises(FrameDecodeError, match=r"^Frame 45 of a mouse\.mp4 cannot be decoded") as caught:
        export_frames(project, "a mouse", [20, 45])
    assert caught.value.frame_index == 45
    assert tree(project.path) == before
    done = export_frames(project, "a mouse", [39, 60])
    assert done.context_written == (37, 38, 61, 62)
    assert [warning.split(" of ")[0] for warning in done.warnings] == [
        "Context frame 40",
        "Context frame 41",
        "Context frame 58",
        "Context frame 59",
    ]
