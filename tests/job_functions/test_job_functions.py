import inspect
import json
import os
from pathlib import Path

import numpy as np
import pytest
from fake_videos import install, killed_at, make_project, tree, write_video

from castle_core import boards
from castle_core.errors import (
    ConfigError,
    JobCancelled,
    JobError,
    LeaseLostError,
    NameRefusedError,
    ProjectError,
    SelectionError,
    VideoError,
)
from castle_core.frames import export_frames, list_rounds
from castle_core.job_functions import JOB_KINDS, job_function
from castle_core.job_functions.check_upload import check_upload
from castle_core.job_functions.choose_frames import choose_frames
from castle_core.job_functions.proxy import proxy
from castle_core.job_functions.write_board import write_board
from castle_core.progress import QUIET, Task
from castle_core.selection import Coverage, Pick, Selection


class FakeSelection:
    """Chooses the first free frames of a range, and notes what it was asked."""

    def __init__(self):
        self.asked = []

    def select_frames(self, video, config, *, covered=(), task=QUIET):
        self.asked.append((video.path.name, config, tuple(covered)))
        task.progress(1, 2)
        start = config.start.to_frame(video.times_s, video.n_frames)
        stop = config.stop.to_frame(video.times_s, video.n_frames)
        free = [index for index in range(start, stop) if index not in covered]
        if len(free) < config.n:
            raise SelectionError(f"{video.path.name} has only {len(free)} frames to choose from.")
        picks = tuple(
            Pick(video.path.name, index, float(video.times_s[index]), "first free", 0.5) for index in free[: config.n]
        )
        coverage = Coverage(1.0, float("nan"), 2.0, 3.0, 46)
        others = {picks[0].frame_index: (free[-1],)}
        return Selection(picks, coverage, 3, 60, others, ("a frame was skipped",))

    def select_from_videos(self, videos, configs, *, budget, minimum=0, maximum=None, covered=None, task=QUIET):
        self.asked.append((budget, minimum, maximum, {Path(path).name: frames for path, frames in covered.items()}))
        from dataclasses import replace

        return [
            self.select_frames(
                video, replace(config, n=budget // len(videos)), covered=covered[str(video.path)], task=task
            )
            for video, config in zip(videos, configs, strict=True)
        ]


@pytest.fixture
def project(tmp_path, monkeypatch):
    install(monkeypatch)
    return make_project(tmp_path / "project", ("mouse", "rat"))


@pytest.fixture
def selection(monkeypatch):
    fake = FakeSelection()
    monkeypatch.setattr("castle_core.selection.select_frames", fake.select_frames)
    monkeypatch.setattr("castle_core.selection.select_from_videos", fake.select_from_videos)
    return fake


class _Job(Task):
    def __init__(self, key="job-1-2"):
        self.key, self.seen = key, []

    def progress(self, done, total, message=""):
        self.seen.append((done, total, message))


def _choose(project, task=None, **settings):
    said = {"videos": [{"name": "mouse"}], "settings": {"n": 3}} | settings
    json.dumps(said)
    result = choose_frames(task or _Job(), project=str(project.path), owner="ada", **said)
    json.dumps(result, allow_nan=False)
    return result


@pytest.mark.parametrize("kind", sorted(JOB_KINDS))
def test_every_kind_can_be_loaded_and_called_as_a_job(kind):
    parameters = inspect.signature(job_function(kind)).parameters
    assert list(parameters)[:3] == ["task", "project", "owner"]
    assert JOB_KINDS[kind].title


def test_an_unknown_kind_is_said_so():
    with pytest.raises(JobError, match="There are: "):
        job_function("nothing")


# ---------------------------------------------------------------------- choose_frames


def test_a_board_is_made_and_nothing_else_is_written(project, selection):
    export_frames(project, "mouse", [0], context=0)
    before = tree(project.path)
    task = _Job()
    result = _choose(project, task, settings={"n": 3, "seed": 4, "start": 0.1, "exclude": None})
    assert result == {"board": "job-1-2", "frames": 3}
    assert tree(project.path) == before
    board = boards.load_board(project, "job-1-2")
    assert [(entry.id, entry.frame_index, entry.reason) for entry in board.entries] == [
        (0, 6, "first free"),
        (1, 7, "first free"),
        (2, 8, "first free"),
    ]
    assert board.entries[0].alternatives[0].frame_index == 59
    assert board.entries[0].alternatives[0].time_s == pytest.approx(59 / 30)
    assert (board.owner, board.method, board.seed, board.context) == ("ada", "kmeans", 4, 2)
    assert board.warnings == ("a frame was skipped",)
    (video,) = board.videos
    assert (video.n_frames, video.min_gap, video.covered, video.ranges) == (60, 3, (0,), ((6, 60),))
    assert video.coverage["p95"] is None
    assert selection.asked[0][2] == (0,)
    assert task.seen[0][:2] == (0, 1000)
    assert task.seen[-1][:2] == (1000, 1000)
    assert (500, 1000) in {seen[:2] for seen in task.seen}


def test_settings_of_one_video_override_those_of_all(project, selection):
    videos = [{"name": "mouse.mp4", "start": "10f", "exclude": [["20f", "30f"]]}, {"name": "rat", "n": 1}]
    _choose(project, videos=videos, settings={"n": 2, "stop": "50f"})
    (mouse, rat) = boards.load_board(project, "job-1-2").videos
    assert mouse.ranges == ((10, 20), (30, 50))
    assert rat.ranges == ((0, 50),)
    assert [config.n for _, config, _ in selection.asked] == [2, 1]


def test_wrong_settings_are_named(project, selection):
    for wrong in (
        {"settings": {"frames": 3}},
        {"settings": {"n": "many"}},
        {"settings": {"n": 0}},
        {"settings": {"method": "magic"}},
        {"settings": {"budget": 2.5}},
        {"videos": []},
        {"videos": [{}]},
        {"videos": [{"name": "mouse", "stat": 1}]},
    ):
        with pytest.raises(ConfigError):
            _choose(project, **wrong)
    with pytest.raises(ProjectError, match="no video 'cat'"):
        _choose(project, videos=[{"name": "cat"}])
    assert boards.list_boards(project) == ()


def test_of_several_videos_one_may_fail(project, selection):
    (project.path / "videos" / "rat.mp4").write_text("no video")
    _choose(project, videos=[{"name": "mouse"}, {"name": "rat"}])
    board = boards.load_board(project, "job-1-2")
    assert {entry.video for entry in board.entries} == {"mouse"}
    assert board.warnings == ("mouse: a frame was skipped", "rat.mp4 is not a video.")
    with pytest.raises(VideoError, match="is not a video"):
        _choose(project, _Job("other"), videos=[{"name": "rat"}])
    with pytest.raises(SelectionError, match="only 60 frames"):
        _choose(project, _Job("other"), settings={"n": 100})


def test_one_budget(project, selection):
    export_frames(project, "rat", [2], context=0)
    videos = [{"name": "mouse"}, {"name": "rat"}]
    _choose(project, videos=videos, settings={"budget": 6, "minimum": 1, "maximum": 4})
    assert selection.asked[0] == (6, 1, 4, {"mouse.mp4": (), "rat.mp4": (2,)})
    board = boards.load_board(project, "job-1-2")
    assert [(entry.video, entry.frame_index) for entry in board.entries] == [
        *(("mouse", index) for index in (0, 1, 2)),
        *(("rat", index) for index in (0, 1, 3)),
    ]
    assert [entry.id for entry in board.entries] == list(range(6))


def test_one_budget_with_pinned_frames_and_an_unreadable_video(project, selection):
    videos = [{"name": "mouse"}, {"name": "rat"}]
    (project.path / "videos" / "rat.mp4").write_text("no video")
    _choose(project, videos=videos, settings={"budget": 4})
    boards.set_state(project, "job-1-2", [1, 3], "pin")
    _choose(project, _Job("job-2-3"), videos=videos, settings={"budget": 4, "minimum": 3}, again="job-1-2")
    assert selection.asked[-2][:2] == (2, 2)  # two are left, so three cannot be the least
    board = boards.load_board(project, "job-2-3")
    assert [(entry.frame_index, entry.state) for entry in board.entries] == [
        (0, "keep"),
        (1, "pin"),
        (2, "keep"),
        (3, "pin"),
    ]
    assert board.warnings[0] == "rat.mp4 is not a video."
    with pytest.raises(SelectionError, match="pinned"):
        _choose(project, _Job("job-3-4"), videos=videos, settings={"budget": 2}, again="job-2-3")
    (project.path / "videos" / "mouse.mp4").write_text("no video")
    with pytest.raises(VideoError, match="is not a video"):
        _choose(project, _Job("job-4-5"), videos=videos, settings={"budget": 2})


def test_straight_to_disk(project, selection):
    result = _choose(project, review=False, context=1)
    assert (result["round_id"], result["written"]) == ("job-1-2", 3)
    assert list(project.selected("mouse")) == [0, 1, 2]
    assert boards.list_boards(project) == ()
    (each,) = list_rounds(project)
    assert (each.info.settings["n"], each.info.who) == (3, "ada")


def test_another_attempt_gives_the_same(project, selection):
    first = _choose(project)
    assert _choose(project) == first
    assert len(selection.asked) == 1
    assert len(boards.list_boards(project)) == 1


def test_another_attempt_after_everything_was_written(project, selection):
    first = _choose(project, review=False)
    before = tree(project.path)
    again = _choose(project, review=False)
    assert again["written"] == first["written"]
    assert tree(project.path) == before
    assert len(selection.asked) == 1


def test_killed_anywhere_and_run_again(tmp_path, monkeypatch, selection):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    install(monkeypatch)
    count, killed = 0, True
    while killed:
        project = make_project(tmp_path / f"{count}", ("mouse", "rat"))
        said = {"videos": [{"name": "mouse"}, {"name": "rat"}], "review": False}
        killed = killed_at(count, lambda project=project, said=said: _choose(project, **said))
        _choose(project, **said)
        (each,) = list_rounds(project)
        assert each.frames == {"mouse": (0, 1, 2), "rat": (0, 1, 2)}
        assert boards.list_boards(project) == ()
        count += 7
    assert count > 20


def test_choosing_again_keeps_pinned_frames_and_avoids_dropped_ones(project, selection):
    _choose(project)
    boards.set_state(project, "job-1-2", [0], "drop")
    boards.set_state(project, "job-1-2", [1], "pin")
    result = _choose(project, _Job("job-2-3"), again="job-1-2")
    assert result == {"board": "job-2-3", "frames": 3}
    assert [board.id for board in boards.list_boards(project)] == ["job-2-3"]
    board = boards.load_board(project, "job-2-3")
    assert [(entry.frame_index, entry.state) for entry in board.entries] == [(1, "pin"), (2, "keep"), (3, "keep")]
    boards.add_frame(project, "job-2-3", "mouse", 9)
    boards.add_frame(project, "job-2-3", "mouse", 8)
    dropped = boards.load_board(project, "job-2-3").find("mouse", 8)
    boards.set_state(project, "job-2-3", [dropped.id], "drop")
    _choose(project, _Job("job-2-4"), again="job-2-3")
    board = boards.load_board(project, "job-2-4")
    assert [entry.frame_index for entry in board.entries] == [0, 1, 2, 9]  # on top of the three that were asked for
    boards.set_state(project, "job-2-4", [0, 1, 2], "pin")
    with pytest.raises(SelectionError, match="pinned"):
        _choose(project, _Job("job-3-4"), again="job-2-4")
    assert [board.id for board in boards.list_boards(project)] == ["job-2-4"]


@pytest.mark.parametrize("error", [JobCancelled("stop"), LeaseLostError("lost")])
def test_a_stopped_job_leaves_no_board(project, selection, error):
    class Stopped(_Job):
        def progress(self, done, total, message=""):
            if done == 500:
                raise error

    with pytest.raises(type(error)):
        _choose(project, Stopped())
    assert boards.list_boards(project) == ()


# ---------------------------------------------------------------------- write_board, check_upload, proxy


def test_write_board_twice_tells_the_same(project, selection):
    _choose(project)
    said = {"project": str(project.path), "owner": "bob", "board": "job-1-2"}
    first = write_board(QUIET, **said)
    assert (first["written"], first["kept"]) == (3, 0)
    assert write_board(QUIET, **said)["written"] == 3
    with pytest.raises(ProjectError, match="not waiting"):
        write_board(QUIET, **(said | {"board": "other"}))
    assert list_rounds(project)[0].info.who == "bob"


def _upload(project, name="new one.mp4", **video):
    path = write_video(project.cache_dir / "upload.part", **video)
    return {"project": str(project.path), "owner": "ada", "path": str(path), "name": name}


def test_a_checked_upload_is_in_the_project(project):
    said = _upload(project, n_frames=9)
    result = check_upload(QUIET, **said)
    assert (result["video"], result["name"], result["n_frames"]) == ("new one", "new one.mp4", 9)
    json.dumps(result)
    assert [entry.stem for entry in project.videos()] == ["mouse", "new one", "rat"]
    assert check_upload(QUIET, **said) == result  # another attempt


def test_an_upload_that_is_no_video_is_refused_under_its_own_name(project):
    said = _upload(project)
    project.cache_dir.joinpath("upload.part").write_text("hello")
    with pytest.raises(VideoError, match=r"^new one\.mp4 was not added to the project: new one\.mp4 is not a video"):
        check_upload(QUIET, **said)
    with pytest.raises(VideoError, match="no frame"):
        check_upload(QUIET, **_upload(project, n_frames=0))
    with pytest.raises(VideoError, match="damaged"):
        check_upload(QUIET, **_upload(project, broken=[0]))
    with pytest.raises(NameRefusedError):
        check_upload(QUIET, **_upload(project, "MOUSE.avi"))
    assert project.cache_dir.joinpath("upload.part").exists()
    project.cache_dir.joinpath("upload.part").unlink()
    with pytest.raises(ProjectError, match="is gone"):
        check_upload(QUIET, **(said | {"name": "other.mp4"}))
    assert len(project.videos()) == 2


def test_a_lost_lease_adds_no_video(project):
    class Lost(Task):
        def publish(self, temporary, final):
            raise LeaseLostError("lost")

    with pytest.raises(LeaseLostError):
        check_upload(Lost(), **_upload(project))
    assert len(project.videos()) == 2


def test_a_proxy_is_made_once(project, monkeypatch):
    made = []

    def make_proxy(source, target, task):
        made.append(source.name)
        target.write_bytes(b"proxy")

    monkeypatch.setattr("castle_core.video.make_proxy", make_proxy)
    said = {"project": str(project.path), "owner": "ada", "video": "mouse"}
    assert not project.has_proxy("mouse")
    result = proxy(QUIET, **said)
    assert result == {"path": str(project.proxy_path("mouse"))}
    assert project.has_proxy("mouse")
    proxy(QUIET, **said)
    assert made == ["mouse.mp4"]
    video = project.path / "videos" / "mouse.mp4"
    for clock in (-9000, 9000):  # another file, whatever its clock says
        os.utime(video, (video.stat().st_mtime + clock,) * 2)
        assert not project.has_proxy("mouse")
        proxy(QUIET, **said)
        assert project.has_proxy("mouse")
    assert len(made) == 3


def test_a_lost_lease_makes_no_proxy(project, monkeypatch):
    monkeypatch.setattr("castle_core.video.make_proxy", lambda source, target, task: target.write_bytes(b"x"))

    class Lost(Task):
        def publish(self, temporary, final):
            raise LeaseLostError("lost")

    with pytest.raises(LeaseLostError):
        proxy(Lost(), project=str(project.path), owner="ada", video="mouse")
    assert list(project.proxy_path("mouse").parent.iterdir()) == []


def test_a_proxy_of_a_long_name_fits_the_file_system(project):
    stem = "é" * 126  # 252 bytes: with .mp4 one byte too long
    write_video(project.path / "videos" / f"{stem}.ts")
    assert len(os.fsencode(project.proxy_path(stem).name)) <= 255


def test_a_real_proxy_plays_the_same_frames(tmp_path):
    from castle_core.projects import Project
    from castle_core.video import VideoWriter, open_video

    real = Project.create(tmp_path / "real")
    with VideoWriter(real.path / "videos" / "bar.mp4", fps=25, width=64, height=48) as writer:
        for index in range(20):
            writer.write(np.full((48, 64, 3), 10 * index, dtype=np.uint8))
    path = proxy(QUIET, project=str(real.path), owner="ada", video="bar.mp4")["path"]
    with open_video(path) as copy:
        assert copy.n_frames == 20
        assert [int(copy.frame_at(index).mean().round(-1)) for index in (0, 7, 19)] == [0, 70, 190]
