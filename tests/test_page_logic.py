"""What the pages stand on: parts of videos, timelines, score sheets, zips to download, the machine, recent projects."""

import io
import zipfile

import numpy as np
import pytest

from castle_core import machine as machine_module
from castle_core.boards import Board, BoardVideo, Entry
from castle_core.errors import ProjectError
from castle_core.frame_zip import frame_files, stream_zip
from castle_core.label_studio.labels_config import colours
from castle_core.machine import clock, look_at_machine, parse_gpus, readable_size, readable_time
from castle_core.recent import recent_projects, remember_project
from castle_core.score_sheet import LIKELIHOOD_STEPS, N_BINS, Scored, load_sheet, make_sheet, save_sheet
from castle_core.scores import Score, spread_of
from castle_core.timeline import Timeline, outline, time_knots
from castle_core.trims import Part, Skip, Trims, merged
from ui.board_view import sections
from ui.words import prose


def test_one_setting_for_all_and_an_override():
    trims = Trims().with_part("a", Part(30, 270, ((60, 90),)), n_frames=300, fps=30.0, for_all=True)
    assert trims.part("b", n_frames=600, fps=60.0) == Part(60, 540, ((120, 180),))
    trims = trims.with_part("b", Part(5, 10), n_frames=600, fps=60.0, for_all=False)
    assert trims.part("b", n_frames=600, fps=60.0) == Part(5, 10)
    assert trims.part("a", n_frames=300, fps=30.0).start == 30
    assert Trims.from_json(trims.to_json()) == trims
    assert trims.without("b").part("b", n_frames=600, fps=60.0).start == 60


def test_a_short_video_is_used_whole_and_nonsense_is_the_empty_setting():
    assert Trims(Skip(5.0, 5.0)).part("a", n_frames=60, fps=30.0) == Part(0, 60)
    assert Trims.from_json({"shared": "x"}) == Trims()
    assert merged([(5, 9), (1, 3), (3, 4), (7, 7)]) == ((1, 4), (5, 9))
    assert Part(0, 10, ((2, 4), (3, 5), (8, 30))).n_usable == 5


def test_outline_keeps_peaks_and_knots_keep_times():
    values = np.zeros(10_000, np.float32)
    values[7_777] = 5
    short = outline(values + np.linspace(0, 1, 10_000, dtype=np.float32), 400)
    assert short.shape == (400,)
    assert short.max() == short[np.searchsorted(np.linspace(0, 10_000, 400, endpoint=False), 7_777, "right") - 1] == 1
    regular = np.arange(100_000) / 29.97 + 3.0
    assert len(time_knots(regular)) == 2
    random = np.random.default_rng(0)
    times = np.cumsum(random.choice([0.02, 0.04, 0.5], 3000, p=[0.5, 0.4, 0.1]))
    knots = np.array(time_knots(times))
    back = np.interp(np.arange(3000), knots[:, 0], knots[:, 1])
    durations = np.append(np.diff(times), np.median(np.diff(times)))
    assert np.all(np.abs(back - (times - times[0])) <= 0.25 * durations + 1e-5)


def test_a_board_shows_the_models_points_inside_the_picture():
    video = BoardVideo("walk", "walk.mp4", 60, 6.0, 10.0)
    points = {"walk": {"5": [[64.0, 12.0], [None, None], [-3.0, 7.0]]}}
    entries = (Entry(0, "walk", 5, 0.5), Entry(1, "walk", 9, 0.9, "added by hand"))
    board = Board("b", "", "", {}, (video,), entries, keypoints=("nose", "paw", "tail"), points=points)
    timeline = Timeline(60, 10.0, 128, 48, (), ((0, 0.0), (59, 5.9)), True)

    def shown(timeline):
        (section,) = sections(
            board, timeline=lambda _: timeline, labelled=lambda _: (), picture=lambda stem, frame, width: ""
        )
        return [entry["points"] for entry in section["entries"]]

    assert shown(timeline) == [[[0.5, 0.25, colours(3)[0], "nose"]], []]
    assert shown(None) == [[], []]  # until the size of the picture is known


def test_score_sheet_counts_as_the_selection_does(tmp_path):
    from castle_core.hardness import Thresholds, measure

    random = np.random.default_rng(1)
    unsure = np.abs(random.normal(0, 0.05, (500, 3))).astype(np.float32)
    unsure[random.choice(500, 40, replace=False), 1] = 0.8
    jumps = np.abs(random.normal(2, 1, (500, 3))).astype(np.float32)
    scores = {
        "likelihood": Score("likelihood", unsure, "made up"),
        "pca_singleview": Score("pca_singleview", jumps, "x"),
    }
    spreads = {name: spread_of(name, [score.values]) for name, score in scores.items()}
    save_sheet(tmp_path / "sheet.npz", make_sheet([Scored("a", scores, np.zeros((500, 3, 2)), 30.0)], spreads))
    sheet = load_sheet(tmp_path / "sheet.npz")
    for likelihood in (0.3, 0.9, LIKELIHOOD_STEPS[-1]):
        thresholds = Thresholds(likelihood, {"likelihood": 3.0, "pca_singleview": 2.5})
        hard = measure(scores, spreads, np.zeros((500, 3, 2)), thresholds=thresholds, fps=30.0).hard()
        assert sheet.count_hard({"likelihood": 3.0, "pca_singleview": 2.5}, likelihood) == hard.sum()
    assert len(sheet.histogram("likelihood", 0.9)) == N_BINS
    assert sum(sheet.histogram("pca_singleview", 0.9)) == 500


def test_zip_of_written_frames_is_made_while_it_is_sent(tmp_path):
    with pytest.raises(ProjectError, match="no frames"):
        frame_files(tmp_path)
    for index in (3, 4):
        (tmp_path / f"img{index:08d}.png").write_bytes(bytes([index]) * 3_000_000)
    (tmp_path / "selected_frames.csv").write_text("img00000003.png\n")
    pieces = list(stream_zip(frame_files(tmp_path)))
    assert max(map(len, pieces)) <= 1 << 20
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as archive:
        assert archive.namelist() == ["img00000003.png", "img00000004.png", "selected_frames.csv"]
        assert archive.testzip() is None
        assert archive.read("img00000004.png") == b"\4" * 3_000_000


def test_machine_and_words(tmp_path):
    machine = look_at_machine(tmp_path / "not" / "there")
    assert 0 < machine.disk_free <= machine.disk_total
    (gpu,) = parse_gpus("NVIDIA H100, SXM, 37, 1024, 81920\nnonsense\n")
    assert (gpu.name, gpu.load_percent, gpu.memory_used) == ("NVIDIA H100, SXM", 37.0, 1 << 30)
    assert [readable_size(n) for n in (12, 3.2e6, 15e9)] == ["0 kB", "3.2 MB", "15 GB"]
    assert [readable_time(s) for s in (5, 200, 7500)] == ["5 s", "3 min", "2 h 05 min"]
    assert clock(3723.9996) == "01:02:04.000"
    assert [clock(frame / 30) for frame in (35, 602)] == ["00:00:01.167", "00:00:20.067"]
    assert clock(300 / 30.0003) == "00:00:10.000"
    assert clock(-1) == "00:00:00.000"


def test_load_is_measured_from_any_thread(monkeypatch):
    from collections import namedtuple
    from concurrent.futures import ThreadPoolExecutor

    times = namedtuple("times", "user system idle iowait")
    looks = iter([times(10, 0, 10, 0), times(16, 0, 13, 1), times(16, 0, 13, 1), times(17, 0, 13, 1)])
    monkeypatch.setattr(machine_module.psutil, "cpu_times", lambda: next(looks))
    seconds = iter([0.0, 5.0, 100.0, 100.1])
    monkeypatch.setattr(machine_module.time, "monotonic", lambda: next(seconds))
    monkeypatch.setattr(machine_module.time, "sleep", lambda s: None)
    meter = machine_module.CpuMeter()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(meter.percent).result() == pytest.approx(60.0)
    with ThreadPoolExecutor(1) as pool:  # long ago: measured for a moment
        assert pool.submit(meter.percent).result() == pytest.approx(100.0)


def test_recent_projects_are_each_users_own(tmp_path, castle_folders):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        remember_project("ana", tmp_path / name)
    assert [path.name for path in recent_projects("ana")] == ["two", "one"]
    assert recent_projects("ben") == []
    (tmp_path / "two").rmdir()
    assert [path.name for path in recent_projects("ana")] == ["one"]


def test_an_uploaded_prediction_is_refused_under_the_name_that_its_user_knows(tmp_path, castle_folders):
    from castle_core.errors import PredictionError
    from castle_core.predictions.uploaded import place_prediction
    from castle_core.projects import Project
    from castle_core.video import VideoWriter

    project = Project.create(tmp_path / "p")
    with VideoWriter(project.path / "videos" / "a.mp4", fps=10, width=32, height=32) as writer:
        writer.write(np.zeros((32, 32, 3), np.uint8))
    part = tmp_path / "43b2c6e4.csv"
    part.write_text("nothing,here\n1,2\n")
    with pytest.raises(PredictionError, match=r"^mine\.csv is no keypoint table"):
        place_prediction(project, part, "mine.csv", "a", "model")
    assert not (project.path / "models").exists() or not list((project.path / "models").rglob("*"))


def test_advice_shows_commands_as_code_and_addresses_as_links():
    said = prose("accept it at huggingface.co/facebook/dino-v3, then run `castle models get x`; or *copy* it")
    assert "[huggingface.co/facebook/dino\\-v3](https://huggingface.co/facebook/dino-v3)," in said
    assert "`castle models get x`" in said
    assert "\\*copy\\*" in said
    assert prose("a ` alone") == "a \\` alone"
