"""What is on disk when a process dies, the disk is full, or two processes write one folder at once."""

import contextlib
import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fake_videos import install, killed_at, make_project, pixels, tree

from castle_core.errors import ProjectError
from castle_core.frames import (
    export_frames,
    images_by_index,
    list_rounds,
    new_round,
    read_record,
    remove_frame,
    undo_round,
)
from castle_core.progress import Task

TESTS = Path(__file__).resolve().parent.parent


@pytest.fixture
def project(tmp_path, monkeypatch):
    install(monkeypatch)
    return make_project(tmp_path / "project", ("mouse", "rat"))


def _round(name):
    return new_round("kmeans", id=name)


def _without_time(files):
    return {name: re.sub(rb'"(when|created)": "[^"]*"', b"", data) for name, data in files.items()}


def _assert_consistent(project, stem="mouse"):
    folder = project.frames_folder(stem)
    selected, record = project.selected(stem), read_record(folder)
    on_disk = set(images_by_index(folder).values())
    assert set(selected.values()) <= on_disk, "a listed frame has no image"
    told = {frame.frame_index for each in record.rounds for frame in each.frames}
    assert set(selected) <= told, "a listed frame is not told about"
    for name in on_disk:
        assert (folder / name).read_bytes().endswith(b"IEND\xaeB`\x82"), "half an image has its final name"


def _kill_everywhere(make, work, finished):
    """Kill `work` before each of its renames and deletions in turn; a re-run must end as if nothing had happened."""
    n_kills = 0
    while True:
        project = make(n_kills)
        killed = killed_at(n_kills, lambda project=project: work(project))
        _assert_consistent(project)
        if not killed:
            break
        n_kills += 1
        work(project)
        _assert_consistent(project)
        assert _without_time(tree(project.path)) == finished
    return n_kills


SIZES = [pytest.param([12], 1, id="small"), pytest.param([12, 30, 31, 50], 2, id="large", marks=pytest.mark.heavy)]


@pytest.mark.parametrize(("frames", "context"), SIZES)
def test_export_killed_at_every_rename(tmp_path, monkeypatch, frames, context):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    install(monkeypatch)

    def make(number):
        project = make_project(tmp_path / f"{number}")
        export_frames(project, "mouse", [10], context=0, round_info=_round("one"))
        return project

    def work(project):
        export_frames(project, "mouse", frames, context=context, round_info=_round("two"))

    whole = make("whole")
    work(whole)
    assert _kill_everywhere(make, work, _without_time(tree(whole.path))) >= 9


@pytest.mark.parametrize(("frames", "context"), SIZES)
def test_undo_killed_at_every_deletion(tmp_path, monkeypatch, frames, context):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    install(monkeypatch)

    def make(number):
        project = make_project(tmp_path / f"{number}")
        export_frames(project, "mouse", [10], round_info=_round("one"))
        export_frames(project, "mouse", frames, context=context, round_info=_round("two"))
        return project

    def work(project):
        with contextlib.suppress(ProjectError):  # there is no such round if only the cleaning up was left to do
            undo_round(project, "two")

    whole = make("whole")
    work(whole)
    assert _kill_everywhere(make, work, _without_time(tree(whole.path))) >= 8


def test_the_next_writer_finishes_a_dead_ones_change(project):
    for count in range(2, 30, 3):
        if not killed_at(count, lambda: export_frames(project, "mouse", [30], round_info=_round("dead"))):
            break
        export_frames(project, "mouse", [10])
        remove_frame(project, "mouse", 10)
        if 30 in project.selected("mouse"):
            break
    assert list(project.selected("mouse")) == [30]
    assert list(images_by_index(project.frames_folder("mouse"))) == [28, 29, 30, 31, 32]
    assert [each.info.id for each in list_rounds(project)] == ["dead"]
    assert [path.name for path in (project.path / "labeled-data").iterdir()] == ["mouse"]


_WRITER = """
import sys
sys.path.insert(0, sys.argv[1])
import castle_core.video, fake_videos
castle_core.video.open_video = fake_videos.FakeVideo
from castle_core.frames import export_frames, new_round
from castle_core.projects import Project
project = Project.open(sys.argv[2])
sys.stdin.readline()
for start in range(int(sys.argv[3]), 60, 4):
    export_frames(project, "mouse", [start, start + 1], round_info=new_round("kmeans", id=sys.argv[4]))
"""


def test_two_processes_write_one_folder(project):
    writers = []
    try:
        for start, name in ((0, "ada"), (1, "bob")):
            command = [sys.executable, "-c", _WRITER, str(TESTS), str(project.path), str(start), name]
            writers.append(subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE))
        for writer in writers:
            writer.stdin.write(b"\n")
            writer.stdin.flush()
        for writer in writers:
            _, problems = writer.communicate(timeout=60)
            assert writer.returncode == 0, problems.decode()
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
            writer.stderr.close()
            writer.stdin.close()
    expected = {start + more for first in (0, 1) for start in range(first, 60, 4) for more in (0, 1)}
    assert set(project.selected("mouse")) == {index for index in expected if index < 60}
    folder = project.frames_folder("mouse")
    record = read_record(folder)
    frames = [frame.frame_index for each in record.rounds for frame in each.frames]
    assert sorted(frames) == sorted(project.selected("mouse"))  # each in one round
    assert {each.info.id for each in record.rounds} == {"ada", "bob"}
    assert [path.name for path in (project.path / "labeled-data").iterdir()] == ["mouse"]
    import cv2

    for index, name in images_by_index(folder).items():
        assert (cv2.imread(str(folder / name))[..., ::-1] == pixels(0, index)).all()


@pytest.mark.parametrize("count", range(8))
def test_a_disk_that_is_full_leaves_nothing(project, monkeypatch, count):
    """Wherever the space runs out while files are written, nothing has changed and the message says so."""
    export_frames(project, "mouse", [10])
    before = tree(project.path)
    left = [count]
    original = os.fsync

    def full(descriptor):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(ProjectError, match="the disk is full"):
            export_frames(project, "mouse", [40])
    assert tree(project.path) == before
    export_frames(project, "mouse", [40])
    assert list(project.selected("mouse")) == [10, 40]


@pytest.fixture
def small_disk(tmp_path):
    """A real disk of 256 kB, where we may mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_real_small_disk(small_disk, monkeypatch):
    install(monkeypatch)
    project = make_project(small_disk / "project", n_frames=2000)
    export_frames(project, "mouse", [10])
    before = tree(project.path)
    with pytest.raises(ProjectError, match="the disk is full"):
        export_frames(project, "mouse", list(range(0, 2000, 5)))
    assert tree(project.path) == before
    assert [path.name for path in (project.path / "labeled-data").iterdir()] == ["mouse"]
    export_frames(project, "mouse", [40])
    assert list(project.selected("mouse")) == [10, 40]


def test_a_read_only_disk(small_disk, monkeypatch):
    install(monkeypatch)
    project = make_project(small_disk / "project")
    export_frames(project, "mouse", [10])
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert project.read_only
    assert project.covered("mouse") == (10,)
    assert project.path not in project.cache_dir.parents
    with project.open_video("mouse") as video:
        assert video.n_frames == 60
    for work in (
        lambda: export_frames(project, "mouse", [20]),
        lambda: remove_frame(project, "mouse", 10),
        lambda: project.set_true_fps("mouse", 100),
    ):
        with pytest.raises(ProjectError, match="is read-only"):
            work()


def test_an_image_taken_back_meanwhile_is_made_again(project):
    """Frame 20 is there when the export starts, and its round is undone before the export gets the lock."""
    export_frames(project, "mouse", [20], round_info=_round("one"))

    class Meanwhile(Task):
        done = False

        def progress(self, done, total, message=""):
            if total and done == total and not self.done:
                self.done = True
                undo_round(project, "one")

    export_frames(project, "mouse", [20, 40], round_info=_round("two"), task=Meanwhile())
    assert list(project.selected("mouse")) == [20, 40]
    _assert_consistent(project)
    assert list(images_by_index(project.frames_folder("mouse"))) == [18, 19, 20, 21, 22, 38, 39, 40, 41, 42]
