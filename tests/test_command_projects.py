"""What commands make of a name of a project that is not there."""

import sys

import pytest

from castle_core.cli import main
from castle_core.state import castle_home
from castle_core.video import VideoWriter


@pytest.fixture
def film(tmp_path):
    import numpy as np

    path = tmp_path / "walk.mp4"
    with VideoWriter(path, fps=30, width=64, height=48) as writer:
        for value in range(12):
            writer.write(np.full((48, 64, 3), 10 * value, np.uint8))
    return path


@pytest.fixture
def run(monkeypatch):
    def castle(*arguments):
        monkeypatch.setattr(sys, "argv", ["castle", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code

    return castle


@pytest.mark.parametrize("command", [["export-frames", "--indices", "3"], ["select", "-n", "3"]])
def test_a_mistyped_project_leaves_nothing_behind(castle_folders, tmp_path, capsys, run, command):
    assert run(command[0], "walk", *command[1:], "--project", "mcie") == 1
    assert "no project" in capsys.readouterr().err
    text = tmp_path / "notes.mp4"
    text.write_text("this is no video")
    assert run(command[0], text, *command[1:], "--project", "mcie") == 1
    assert "notes.mp4 is not a video" in capsys.readouterr().err
    assert not (castle_home() / "mcie").exists()


def test_a_frame_that_is_not_there_leaves_no_new_project(castle_folders, film, capsys, run):
    assert run("export-frames", film, "--indices", "1,999999", "--project", "mice") == 1
    assert "Frame 999999 is outside" in capsys.readouterr().err
    assert not (castle_home() / "mice").exists()


def test_a_new_project_is_made_of_a_film(castle_folders, film, capsys, run):
    assert run("export-frames", film, "--indices", "3", "--context", "0", "--project", "mice") == 0
    assert "Made a new project" in capsys.readouterr().err
    assert (castle_home() / "mice" / "labeled-data" / "walk" / "img00000003.png").is_file()
