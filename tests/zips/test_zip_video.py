"""Zips of a video that is in the project: its length, its size and its pictures."""

from types import SimpleNamespace

import numpy as np
import pytest
from zip_builders import csv, encode, kinds, name, write_zip

from castle_core.errors import VideoError
from castle_core.projects import Project
from castle_core.zips import import_zip, inspect_zip

N_FRAMES, SIZE = 100, (48, 32)


def shown(frame_index: int) -> np.ndarray:
    """Frame (height, width, 3) of the made-up video: a bar that moves."""
    frame = np.full((SIZE[1], SIZE[0], 3), 20, np.uint8)
    frame[:, frame_index * 3 % 40 : frame_index * 3 % 40 + 6] = 220
    return frame


class FakeVideo:
    """What the checks use of a video, so that they can be tested without a decoder."""

    n_frames, (width, height) = N_FRAMES, SIZE
    times_s = np.arange(N_FRAMES) / 50

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def frames_at(self, frame_indices):
        return SimpleNamespace(data=np.stack([shown(index) for index in frame_indices]))


@pytest.fixture
def project(tmp_path, monkeypatch):
    made = Project.create(tmp_path / "project")
    (made.path / "videos" / "session0.mp4").write_bytes(b"not read here")
    monkeypatch.setattr(Project, "open_video", lambda self, stem: FakeVideo())
    return made


def make(tmp_path, indices, selected, *, offset=0, picture=shown):
    files = {name(i): encode(".png", picture(i + offset)) for i in indices}
    if selected is not None:
        files["selected_frames.csv"] = csv(selected)
    return write_zip(tmp_path / "session0.zip", files)


def test_frames_of_the_video_are_taken(project, tmp_path):
    path = make(tmp_path, range(10, 15), [12])
    assert inspect_zip(path, project).problems == ()
    done = import_zip(project, path)
    assert '"time_s": 0.24' in (done.directory / "selection.json").read_text()
    assert '"video": "session0.mp4"' in (done.directory / "selection.json").read_text()


def test_upper_end_is_clipped_only_where_the_video_ends(project, tmp_path):
    assert inspect_zip(make(tmp_path, [97, 98, 99], [99]), project).problems == ()
    assert kinds(inspect_zip(make(tmp_path, [95, 96, 97], [97]), project)) == {"context"}
    derived = inspect_zip(make(tmp_path, [97, 98, 99], None), project)
    assert derived.frame_indices == (99,)
    assert not inspect_zip(make(tmp_path, [97, 98, 99], None)).fixable


def test_past_the_end(project, tmp_path):
    report = inspect_zip(make(tmp_path, range(98, 103), [100]), project)
    assert kinds(report, "error") == {"past-the-end"}
    assert [p.file for p in report.problems if p.severity == "error"] == [name(100), name(101), name(102)]


def test_another_size_is_mentioned(project, tmp_path):
    path = make(tmp_path, range(10, 15), [12], picture=lambda i: shown(i)[::2, ::2])
    report = inspect_zip(path, project)
    assert report.ok
    assert kinds(report) == {"video-size"}


@pytest.mark.parametrize(("offset", "says"), [(-1, "one lower"), (1, "one higher")])
def test_counting_from_one_is_noticed(project, tmp_path, offset, says):
    report = inspect_zip(make(tmp_path, range(10, 15), [12], offset=offset), project)
    assert report.ok
    [problem] = report.problems
    assert problem.kind == "video-offset"
    assert says in problem.problem


def test_another_video_is_noticed(project, tmp_path):
    report = inspect_zip(make(tmp_path, range(10, 15), [12], picture=lambda i: 255 - shown(i)), project)
    assert kinds(report) == {"video-offset"}


def test_a_video_at_rest_raises_no_doubt(project, tmp_path, monkeypatch):
    still = shown(5)
    monkeypatch.setattr(FakeVideo, "frames_at", lambda self, i: SimpleNamespace(data=np.stack([still] * len(i))))
    noisy = still + np.random.default_rng(0).integers(0, 8, still.shape, dtype=np.uint8)
    assert inspect_zip(make(tmp_path, range(10, 15), [12], picture=lambda i: noisy), project).problems == ()


def test_unreadable_video_is_mentioned(project, tmp_path, monkeypatch):
    def fail(self, stem):
        raise VideoError("session0.mp4 is not a video.")

    monkeypatch.setattr(Project, "open_video", fail)
    report = inspect_zip(make(tmp_path, range(10, 15), [12]), project)
    assert report.ok
    assert kinds(report) == {"video-missing"}


def test_frames_that_we_exported_come_back_as_they_were(tmp_path):
    """A real video: its exported frames, zipped, fit the video; numbered from 1 they do not."""
    from castle_core.frames import export_frames
    from castle_core.video import VideoWriter

    path = tmp_path / "session0.mp4"
    with VideoWriter(path, fps=25, width=SIZE[0], height=SIZE[1]) as writer:
        for index in range(40):
            writer.write(shown(index))
    source = Project.create(tmp_path / "source")
    source.link_video(path)
    folder = export_frames(source, "session0", [0, 20, 39]).directory
    files = {each.name: each.read_bytes() for each in folder.iterdir() if each.name != "selection.json"}
    target = Project.create(tmp_path / "target")
    target.link_video(path)
    assert inspect_zip(write_zip(tmp_path / "session0.zip", files), target).problems == ()
    done = import_zip(target, tmp_path / "session0.zip")
    assert done.written == (0, 20, 39)
    for image in folder.glob("*.png"):
        assert (done.directory / image.name).read_bytes() == image.read_bytes()
    fresh = Project.create(tmp_path / "fresh")
    fresh.link_video(path)
    later = {
        name(int(key[3:11]) + 1): value for key, value in files.items() if key.endswith("png") and int(key[3:11]) < 39
    }
    report = inspect_zip(write_zip(tmp_path / "session0.zip", {**later, "selected_frames.csv": csv([1, 21])}), fresh)
    assert "video-offset" in kinds(report)
