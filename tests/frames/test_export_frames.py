import json
import os

import cv2
import numpy as np
import pytest
from fake_videos import install, make_project, pixels, tree, write_video

from castle_core.errors import (
    ConfigError,
    FrameDecodeError,
    FrameIndexError,
    JobCancelled,
    LeaseLostError,
    LockHeldError,
    ProjectError,
)
from castle_core.frames import (
    export_frames,
    frames_lock,
    list_rounds,
    new_round,
    read_record,
    read_selected,
    remove_frame,
    undo_round,
)
from castle_core.progress import Task


@pytest.fixture
def project(tmp_path, monkeypatch):
    install(monkeypatch)
    return make_project(tmp_path / "project", ("mouse", "rat"))


def _rgb(path):
    return cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1]


def test_layout_pixels_list_and_record(project):
    done = export_frames(project, "mouse", [40, 3, 40], round_info=new_round("random", seed=7, who="ada"))
    folder = project.path / "labeled-data" / "mouse"
    assert done.directory == folder
    assert done.written == (3, 40)
    assert done.kept == ()
    assert done.context_written == (1, 2, 4, 5, 38, 39, 41, 42)
    assert (folder / "selected_frames.csv").read_bytes() == b"img00000003.png\nimg00000040.png\n"
    images = sorted(path.name for path in folder.glob("*.png"))
    assert images == [f"img{i:08d}.png" for i in (1, 2, 3, 4, 5, 38, 39, 40, 41, 42)]
    for name in images:
        assert np.array_equal(_rgb(folder / name), pixels(0, int(name[3:11])))
    (said,) = json.loads((folder / "selection.json").read_text())["rounds"]
    assert (said["method"], said["seed"], said["who"], said["context"]) == ("random", 7, "ada", 2)
    assert said["when"]
    assert [frame["frame_index"] for frame in said["frames"]] == [3, 40]
    assert said["frames"][1]["time_s"] == pytest.approx(40 / 30)
    assert project.selected("mouse") == {3: "img00000003.png", 40: "img00000040.png"}


def test_context_is_clipped_and_can_be_left_out(project):
    assert export_frames(project, "mouse", [0, 59]).context_written == (1, 2, 57, 58)
    assert export_frames(project, "rat", [0, 59], context=0).context_written == ()


def test_running_again_appends_and_changes_nothing_twice(project):
    export_frames(project, "mouse", [10])
    before = tree(project.path)
    again = export_frames(project, "mouse", [10])
    assert (again.written, again.kept) == ((), (10,))
    assert tree(project.path) == before
    more = export_frames(project, "mouse", [10, 12, 30])
    assert (more.written, more.kept) == ((12, 30), (10,))
    assert more.context_written == (13, 14, 28, 29, 31, 32)
    assert list(project.selected("mouse")) == [10, 12, 30]
    assert [[f.frame_index for f in r.frames] for r in read_record(more.directory).rounds] == [[10], [12, 30]]


def test_the_true_frame_rate_is_in_the_record(project):
    project.set_true_fps("mouse", 500)
    export_frames(project, "mouse", [50])
    assert read_record(project.frames_folder("mouse")).rounds[0].frames[0].time_s == pytest.approx(0.1)


def test_existing_names_paddings_and_pixels_stay(project):
    folder = project.path / "labeled-data" / "mouse"
    folder.mkdir(parents=True)
    (folder / "img0010.png").write_bytes(b"theirs")
    (folder / "img011.jpg").write_bytes(b"theirs too")
    (folder / "selected_frames.csv").write_text("﻿labeled-data\\mouse\\img0010.png\r\n\r\n", encoding="utf-8")
    export_frames(project, "mouse", [10, 12])
    assert (folder / "img0010.png").read_bytes() == b"theirs"
    assert (folder / "img011.jpg").read_bytes() == b"theirs too"
    assert not (folder / "img00000010.png").exists()
    assert not (folder / "img00000011.png").exists()
    assert (folder / "selected_frames.csv").read_text() == "img0010.png\nimg00000012.png\n"


def test_lines_that_name_no_frame_stay_in_the_list(project):
    folder = project.path / "labeled-data" / "mouse"
    folder.mkdir(parents=True)
    (folder / "selected_frames.csv").write_text("resting.png\nimg0050.png\nimg050.png\n")
    export_frames(project, "mouse", [10])
    text = "img00000010.png\nimg0050.png\nresting.png\nimg050.png\n"
    assert (folder / "selected_frames.csv").read_text() == text
    undo_round(project, list_rounds(project)[0].info.id)
    remove_frame(project, "mouse", 50)
    assert (folder / "selected_frames.csv").read_text() == "resting.png\n"


def test_a_listed_image_that_was_lost_is_written_again_under_its_name(project):
    folder = project.path / "labeled-data" / "mouse"
    folder.mkdir(parents=True)
    (folder / "selected_frames.csv").write_text("img0010.png\n")
    done = export_frames(project, "mouse", [10], context=0)
    assert done.kept == (10,)
    assert np.array_equal(_rgb(folder / "img0010.png"), pixels(0, 10))


def test_a_listed_jpeg_that_was_lost_becomes_a_png(project):
    folder = project.path / "labeled-data" / "mouse"
    folder.mkdir(parents=True)
    (folder / "selected_frames.csv").write_text("img0010.jpg\n")
    export_frames(project, "mouse", [10], context=0)
    assert project.selected("mouse") == {10: "img00000010.png"}
    assert np.array_equal(_rgb(folder / "img00000010.png"), pixels(0, 10))


def test_images_found_without_a_list_stay_covered_but_unselected(project):
    folder = project.path / "labeled-data" / "mouse"
    folder.mkdir(parents=True)
    (folder / "img007.png").write_bytes(b"theirs")
    assert project.covered("mouse") == (7,)
    export_frames(project, "mouse", [20])
    assert project.covered("mouse") == (7, 20)
    assert list(project.selected("mouse")) == [20]


@pytest.mark.parametrize("indices", [[60], [-1], [3, 1000]])
def test_an_index_outside_writes_nothing(project, indices):
    with pytest.raises(FrameIndexError, match=r"outside mouse\.mp4, whose frames are 0 to 59"):
        export_frames(project, "mouse", indices)
    assert not (project.path / "labeled-data").exists()


def test_context_is_checked(project):
    with pytest.raises(ConfigError, match="0 to 100"):
        export_frames(project, "mouse", [5], context=-1)


def test_a_frame_that_cannot_be_decoded_fails_by_name_and_nothing_is_written(project):
    write_video(project.path / "videos" / "mouse.mp4", broken=[30])
    export_frames(project, "mouse", [10])
    before = tree(project.path)
    with pytest.raises(FrameDecodeError, match=r"Frame 30 of mouse\.mp4 cannot be decoded") as caught:
        export_frames(project, "mouse", [20, 30])
    assert caught.value.frame_index == 30
    assert tree(project.path) == before


def test_a_context_frame_that_cannot_be_decoded_is_left_out_and_named(project):
    write_video(project.path / "videos" / "mouse.mp4", broken=[31])
    done = export_frames(project, "mouse", [30])
    assert done.context_written == (28, 29, 32)
    assert len(done.warnings) == 1
    assert "frame 31 of mouse.mp4" in done.warnings[0]


class _Stops(Task):
    def __init__(self, error, at):
        self.error, self.at, self.calls = error, at, 0

    def progress(self, done, total, message=""):
        if self.at == done:
            raise self.error

    def publish(self, temporary, final):
        self.calls += 1
        if self.at == "publish":
            raise self.error
        super().publish(temporary, final)


@pytest.mark.parametrize("task", [_Stops(JobCancelled("stop"), 3), _Stops(LeaseLostError("lost"), "publish")])
def test_cancel_and_a_lost_lease_leave_nothing(project, task):
    export_frames(project, "mouse", [10])
    before = tree(project.path)
    with pytest.raises(type(task.error)):
        export_frames(project, "mouse", [40], task=task)
    assert tree(project.path) == before
    assert list((project.path / "labeled-data").iterdir()) == [project.path / "labeled-data" / "mouse"]


def test_publish_is_asked_once_for_the_whole_change(project):
    task = _Stops(None, None)
    export_frames(project, "mouse", [10, 20, 30], task=task)
    assert task.calls == 1


def test_somebody_elses_lock_is_named(project, monkeypatch):
    monkeypatch.setattr("castle_core.files.locked.__wrapped__.__kwdefaults__", {"timeout_s": 0.1})
    with frames_lock(project, "mouse"), pytest.raises(LockHeldError, match=r"is being written by .+ on .+process \d+"):
        export_frames(project, "mouse", [10])


def test_a_project_that_vanishes_is_not_made_anew(project, monkeypatch):
    moved = project.path.with_name("moved")
    project.path.rename(moved)
    with pytest.raises(ProjectError, match="is gone"):
        export_frames(project, "mouse", [10])
    assert not project.path.exists()


def test_a_project_that_vanishes_during_the_export(project):
    moved = project.path.with_name("moved")

    class Vanish(Task):
        def progress(self, done, total, message=""):
            if done == 2:
                project.path.rename(moved)

    with pytest.raises(ProjectError, match=r"gone|Was the project moved"):
        export_frames(project, "mouse", [10, 20], task=Vanish())
    assert not project.path.exists()
    assert not (moved / "labeled-data" / "mouse").exists()


@pytest.mark.parametrize(
    "stem", ["a b.c", 'quo\'te "x"', "Mäuse-日本語-🐭", ".leading", "x" * 200, "é" * 120, "-rf", "~"]
)
def test_odd_names(tmp_path, monkeypatch, stem):
    install(monkeypatch)
    project = make_project(tmp_path / "project", (stem,))
    assert export_frames(project, stem, [5]).written == (5,)
    assert (project.path / "labeled-data" / stem / "img00000005.png").is_file()
    assert project.counts().selected == 1
    assert read_selected(project.frames_folder(stem)) == {5: "img00000005.png"}


@pytest.mark.parametrize("stem", ["../x", "a/b", "..", ""])
def test_a_stem_cannot_leave_the_project(project, stem):
    with pytest.raises(ProjectError):
        project.frames_folder(stem)
    with pytest.raises(ProjectError):
        export_frames(project, stem, [1])


def test_a_linked_frames_folder_is_written_through_the_link(project, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (project.path / "labeled-data").mkdir()
    (project.path / "labeled-data" / "mouse").symlink_to(tmp_path / "elsewhere")
    export_frames(project, "mouse", [5], context=0)
    assert sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == [
        "img00000005.png",
        "selected_frames.csv",
        "selection.json",
    ]


def test_the_umask_and_the_folders_group_decide_about_rights(project):
    groups = [group for group in os.getgroups() if group != project.path.stat().st_gid]
    group = 12345 if os.getuid() == 0 else (groups or [None])[0]
    if group is not None:
        os.chown(project.path, -1, group)
        project.path.chmod(0o2770)
    before = os.umask(0o007)
    try:
        folder = export_frames(project, "mouse", [5]).directory
    finally:
        os.umask(before)
    for path in (folder, *folder.iterdir()):
        assert path.stat().st_mode & 0o777 == (0o770 if path.is_dir() else 0o660), path
        assert group is None or path.stat().st_gid == group, path
    locks = list((project.path / ".castle" / "frames").glob(".*.lock"))
    assert locks
    assert {lock.stat().st_mode & 0o777 for lock in locks} == {0o660}  # the group may take them as well
