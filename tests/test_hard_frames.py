import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from prediction_tables import walk, write_csv

from castle_core.demo import ERRING_MODEL, GROSS_ERROR_PX, KEYPOINTS, make_demo
from castle_core.demo.body import shapes
from castle_core.demo.models import MadeUpModel
from castle_core.demo.motion import poses
from castle_core.errors import ConfigError, PredictionError, SelectionError
from castle_core.hard_frames import FILLER, Source, SuggestConfig, suggest_frames, suggest_from_videos
from castle_core.hardness import Thresholds
from castle_core.predictions import load_predictions
from castle_core.score_frames import Knowledge

CASTLE = str(Path(sys.executable).parent / "castle")


@pytest.fixture(scope="module")
def erring(tmp_path_factory):
    """A minute of the demo's erring model, without its pictures: predictions, and the true error a frame in pixels."""
    motion, seed = np.random.SeedSequence([0, 0]).spawn(2)
    model = MadeUpModel(seed, 0.9, 1.0, 30.0, errs=True)
    rows, errors = [], []
    for pose in itertools.islice(poses(motion, 640, 480, 30.0), 1800):
        truth = shapes(pose, 1.0).keypoints
        prediction, _ = model.predict(truth, pose.behaviour)
        rows.append(prediction)
        errors.append(np.linalg.norm(prediction[:, :2] - truth, axis=1).max())
    table = np.array(rows)
    path = tmp_path_factory.mktemp("erring") / "mouse.csv"
    write_csv(path, table[..., :2], table[..., 2], names=KEYPOINTS)
    return path, np.array(errors)


def source(path, **options):
    return Source(path.name, load_predictions(path), **options)


def check(selection, n, usable):
    frames = [pick.frame_index for pick in selection.picks]
    assert len(frames) == len(set(frames)) == n
    assert frames == sorted(frames)
    assert set(frames) <= set(usable)
    assert np.diff(frames).min(initial=selection.min_gap_used) >= selection.min_gap_used
    return frames


def test_most_picks_are_frames_where_the_model_errs(erring):
    path, errors = erring
    selection = suggest_frames(source(path, fps=30.0), SuggestConfig(n=20))
    frames = check(selection, 20, range(1800))
    assert selection.min_gap_used == 15
    assert np.mean(errors[frames] > GROSS_ERROR_PX) >= 0.9
    assert all(pick.reason != FILLER for pick in selection.picks)
    told = {word for pick in selection.picks for word in ("jumped", "likelihood", "usual poses") if word in pick.reason}
    assert len(told) >= 2
    worst = {next(iter(pick.scores.values()))["keypoint"] for pick in selection.picks}
    assert len(worst) >= 6  # errors of every kind, not twenty times the same


def test_a_reason_names_the_keypoint_and_the_length(tmp_path):
    xy = walk(300, step=0.3)
    xy[150, 0] += (84, 0)
    selection = suggest_frames(source(write_csv(tmp_path / "m.csv", xy)), SuggestConfig(n=1))
    assert selection.picks[0].frame_index == 150
    assert "nose jumped 84 px" in selection.picks[0].reason
    assert selection.picks[0].scores["temporal_norm"]["value"] == pytest.approx(84, abs=2)
    assert selection.n_hard == 1


def test_likelihood_alone_decides_where_all_else_is_clean(tmp_path):
    rng = np.random.default_rng(0)
    likelihood = np.full((2000, 3), 0.98)
    low = np.sort(rng.choice(2000, 200, replace=False))
    likelihood[low] = 0.1
    selection = suggest_frames(source(write_csv(tmp_path / "m.csv", walk(2000), likelihood)), SuggestConfig(n=20))
    frames = check(selection, 20, low)
    assert all("likelihood of" in pick.reason and "0.10" in pick.reason for pick in selection.picks)
    assert len(frames) == 20


@pytest.mark.parametrize("n", [1, 20, 50])
def test_real_predictions_with_gaps_give_exactly_n(shared_data, n):
    path = shared_data / "derived_lp_style/dance.csv"
    check(suggest_frames(source(path, fps=30.0), SuggestConfig(n=n)), n, range(450))


def test_range_excluded_intervals_and_covered_frames_are_kept_to(erring):
    path, _ = erring
    covered = tuple(range(600, 700, 2))
    config = SuggestConfig(n=30, start="300f", stop=0.8, exclude=(("800f", "900f"),))
    usable = set(range(300, 1440)) - set(range(800, 900)) - set(covered)
    check(suggest_frames(source(path, fps=30.0, covered=covered), config), 30, usable)
    with pytest.raises(ConfigError, match="needs the video"):
        suggest_frames(source(path), SuggestConfig(start="10s"))


def test_a_perfect_model_gives_diverse_frames(tmp_path):
    xy = np.repeat(walk(1, 5), 400, axis=0)
    names = ("a", "b", "c", "d", "e")
    still = suggest_frames(source(write_csv(tmp_path / "m.csv", xy, names=names)), SuggestConfig(n=20))
    check(still, 20, range(400))
    assert still.n_hard == 0
    assert {pick.reason for pick in still.picks} == {FILLER}
    # four poses, each held for a while: fillers show them all
    xy[100:200, 0] += (60, 0)
    xy[200:300, 1] += (0, 60)
    xy[300:, 2] -= (60, 0)
    held = suggest_frames(
        source(write_csv(tmp_path / "m.csv", xy, names=names)),
        SuggestConfig(n=6, exclude=(("99f", "101f"), ("199f", "201f"), ("299f", "301f"))),
    )
    assert {pick.frame_index // 100 for pick in held.picks} == {0, 1, 2, 3}


def test_a_typed_gap_is_binding_and_may_be_too_much(erring):
    path, _ = erring
    tight = suggest_frames(source(path), SuggestConfig(n=18, min_gap=100))
    check(tight, 18, range(1800))
    assert tight.min_gap_used == 100
    with pytest.raises(SelectionError, match="of 19 frames fit with a gap of 100 frames"):
        suggest_frames(source(path), SuggestConfig(n=19, min_gap=100))


@pytest.mark.parametrize("n", [2, 3])
def test_too_few_frames_say_so(tmp_path, n):
    path = write_csv(tmp_path / "one.csv", walk(1, 1))
    assert suggest_frames(source(path), SuggestConfig(n=1)).picks[0].frame_index == 0
    with pytest.raises(SelectionError, match=f"asked for {n} frames, but one.csv has only 1 usable"):
        suggest_frames(source(path), SuggestConfig(n=n))
    every = suggest_frames(source(write_csv(tmp_path / "m.csv", walk(n))), SuggestConfig(n=n))
    check(every, n, range(n))


def test_rows_and_keypoints_that_are_never_there_do_no_harm(tmp_path):
    xy = walk(200)
    xy[:, 1] = np.nan
    xy[50:90] = np.nan
    xy[120, 0] += 70
    selection = suggest_frames(source(write_csv(tmp_path / "m.csv", xy)), SuggestConfig(n=10))
    check(selection, 10, range(200))
    assert 120 in [pick.frame_index for pick in selection.picks]


def test_one_keypoint_is_enough(tmp_path):
    xy = walk(400, 1, step=0.2)
    xy[[90, 250], 0] += 60
    selection = suggest_frames(source(write_csv(tmp_path / "m.csv", xy)), SuggestConfig(n=5))
    assert {90, 250} <= set(check(selection, 5, range(400)))


def test_the_same_seed_gives_the_same_picks(erring):
    path, _ = erring
    first, second = (suggest_frames(source(path), SuggestConfig(n=25, seed=4)).picks for _ in range(2))
    assert first == second


def test_alternatives_may_take_the_place_of_any_pick(erring):
    path, _ = erring
    selection = suggest_frames(source(path), SuggestConfig(n=12))
    spare = [other for pick in selection.picks for other in pick.alternatives]
    assert spare
    assert not set(spare) & {pick.frame_index for pick in selection.picks}
    for pick in selection.picks:
        others = [p.frame_index for p in selection.picks if p is not pick]
        for other in pick.alternatives:
            assert min(abs(other - i) for i in others) >= selection.min_gap_used


def test_where_models_disagree(tmp_path):
    xy = walk(500, step=0.2)
    path = write_csv(tmp_path / "a.csv", xy)
    other = xy.copy()
    # wrong for long, so that nothing jumps in the middle of it
    other[200:260, 2] += np.sin(np.linspace(0, np.pi, 60))[:, None] * 50
    knowledge = Knowledge(others=(load_predictions(write_csv(tmp_path / "b.csv", other)),))
    selection = suggest_frames(source(path, knowledge=knowledge), SuggestConfig(n=2))
    assert all(200 <= pick.frame_index < 260 for pick in selection.picks)
    assert "models disagree by" in selection.picks[0].reason


def test_one_budget_over_many_videos(tmp_path, erring):
    bad, _ = erring
    clean = np.full((900, len(KEYPOINTS), 1), 0.99)
    quiet = [
        write_csv(tmp_path / f"{i}.csv", walk(900, len(KEYPOINTS), seed=i, step=0.2), clean[..., 0], names=KEYPOINTS)
        for i in range(2)
    ]
    sources = [source(path, fps=30.0) for path in (quiet[0], bad, quiet[1])]
    free = suggest_from_videos(sources, SuggestConfig(n=24))
    counts = [len(selection.picks) for selection in free]
    assert sum(counts) == 24
    assert counts[1] > 20  # the video on which the model fails gets most
    held = suggest_from_videos(sources, SuggestConfig(n=24), minimum=5, maximum=10)
    assert [len(selection.picks) for selection in held] == [7, 10, 7]
    for selection, rows in zip(held, (900, 1800, 900), strict=True):
        check(selection, len(selection.picks), range(rows))
    for options in ({"minimum": 9}, {"maximum": 7}, {"minimum": 3, "maximum": 2}):
        with pytest.raises(ConfigError, match="do not go"):
            suggest_from_videos(sources, SuggestConfig(n=24), **options)
    with pytest.raises(PredictionError, match="different keypoints"):
        suggest_from_videos([sources[0], source(write_csv(tmp_path / "x.csv", walk(90)))], SuggestConfig(n=4))


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A small demo project with its videos."""
    folder = tmp_path_factory.mktemp("home") / "demo"
    make_demo(folder, seconds=8, size=(320, 240), encoder=False)
    return folder


def castle(*arguments, **environment):
    return subprocess.run(
        [CASTLE, *map(str, arguments)], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


def test_the_command_on_a_project(project):
    run = castle("suggest", "--project", project, "--model", ERRING_MODEL, "-n", 8, "--minimum", 2, "--json")
    assert run.returncode == 0, run.stderr
    answer = json.loads(run.stdout)
    assert len(answer["picks"]) == 8
    assert {pick["video"] for pick in answer["picks"]} == {"mouse_day1.mp4", "mouse_day2.mp4"}
    for pick in answer["picks"]:
        assert set(pick) == {"video", "frame_index", "time_s", "reason", "score", "scores"}
        assert pick["time_s"] == pytest.approx(pick["frame_index"] / 30, abs=1e-3)
    assert "disagreement" in answer["score_sources"]["mouse_day1.mp4"]


def test_the_command_checks_that_video_and_table_belong_together(project, tmp_path):
    table = write_csv(tmp_path / "other.csv", walk(90))
    run = castle("suggest", "--predictions", table, "--video", project / "videos/mouse_day1.mp4")
    assert run.returncode == 1
    assert run.stderr.strip().splitlines() == [
        "castle: other.csv has 90 rows, but mouse_day1.mp4 has 240 frames. "
        "Choose the predictions of this video, or run the model on it again."
    ]


def test_suggesting_needs_no_torch(project):
    table = project / "models" / ERRING_MODEL / "video_preds/mouse_day1.csv"
    code = (
        "import sys; from castle_core.cli.app import app; from castle_core.cli.output import run_app; "
        f"done = run_app(app, ['suggest', '--predictions', {str(table)!r}, '--video', "
        f"{str(project / 'videos/mouse_day1.mp4')!r}, '-n', '30', '--json']); "
        "assert done == 0; assert 'torch' not in sys.modules"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert len(json.loads(run.stdout)["picks"]) == 30


def test_the_job_makes_a_board(project):
    from castle_core.boards import discard_board, load_board
    from castle_core.job_functions.suggest import suggest
    from castle_core.progress import QUIET
    from castle_core.projects import Project

    done = suggest(
        QUIET,
        project=str(project),
        owner="anna",
        model=ERRING_MODEL,
        videos=[{"name": "mouse_day1", "start": "60f"}, {"name": "mouse_day2"}],
        settings={"n": 8, "minimum": 2, "likelihood_threshold": 0.9, "thresholds": {"likelihood": 3.0}, "seed": 1},
    )
    opened = Project.open(project)
    board = load_board(opened, done["board"])
    assert done["frames"] == len(board.kept) == 8
    assert (board.owner, board.method, board.seed) == ("anna", "hard", 1)
    assert all(entry.frame_index >= 60 for entry in board.entries if entry.video == "mouse_day1")
    assert board.video("mouse_day1").ranges == ((60, 240),)
    assert all(entry.reason for entry in board.entries)
    predictions = load_predictions(project / f"models/{ERRING_MODEL}/video_preds/mouse_day2.csv")
    shown = {(entry.video, entry.frame_index) for entry in board.entries}
    shown |= {(entry.video, other.frame_index) for entry in board.entries for other in entry.alternatives}
    assert {(stem, int(frame)) for stem, frames in board.points.items() for frame in frames} == shown
    assert board.keypoints == predictions.keypoints
    entry = next(entry for entry in board.entries if entry.video == "mouse_day2")
    expected = {
        name: pytest.approx(tuple(point), abs=0.051)
        for name, point in zip(predictions.keypoints, predictions.xy[entry.frame_index], strict=True)
        if np.isfinite(point).all()
    }
    assert board.points_of(entry.video, entry.frame_index) == expected
    discard_board(opened, done["board"])
    with pytest.raises(ConfigError, match="has no setting 'speed'"):
        suggest(QUIET, project=str(project), owner="", model=ERRING_MODEL, videos=[], settings={"speed": 1})
    with pytest.raises(PredictionError, match=r"has no model 'x'\. It has: "):
        suggest(QUIET, project=str(project), owner="", model="x", videos=[], settings={})


def test_the_page_counts_as_hard_what_the_job_counts(project):
    from castle_core.job_functions.measure_model import measure_model
    from castle_core.progress import QUIET
    from castle_core.projects import Project
    from castle_core.score_sheet import load_sheet
    from castle_core.suggestions import project_sources
    from castle_core.trims import Part

    opened = Project.open(project)
    stems = ["mouse_day1", "mouse_day2"]
    made = measure_model(QUIET, project=str(project), owner="", model=ERRING_MODEL, videos=stems)
    sheet = load_sheet(Path(made["sheet"]))
    covered = {stem: opened.covered(stem) for stem in stems}
    parts = {"mouse_day1": Part(31, 200, ((60, 90), (150, 151))), "mouse_day2": Part(0, 240)}
    videos = [
        {
            "name": stem,
            "start": f"{p.start}f",
            "stop": f"{p.stop}f",
            "exclude": [[f"{a}f", f"{b}f"] for a, b in p.exclude],
        }
        for stem, p in parts.items()
    ]
    usable = sheet.usable(parts, covered)
    everything = sheet.count_hard({}, 0.9)
    counts = []
    with project_sources(opened, ERRING_MODEL, videos) as sources:
        for z, likelihood in ((1.0, 0.9), (3.0, 0.5), (6.0, 0.95), (20.0, 0.2)):
            z_of = dict.fromkeys(sheet.names, z)
            found = suggest_from_videos(
                sources, SuggestConfig(n=4, thresholds=Thresholds(likelihood, z_of)), minimum=0, maximum=None
            )
            counts.append(sheet.count_hard(z_of, likelihood, usable))
            assert counts[-1] == sum(selection.n_hard for selection in found), (z, likelihood)
            histogram = sheet.histogram("temporal_norm", likelihood, usable)
            assert sum(histogram) <= usable.sum()
    assert counts[0] > counts[1] > 0
    assert sheet.count_hard({}, 0.9, usable) < everything
    shorter = sheet.usable({}, {"mouse_day1": [0, 1, 5000]})
    assert int(shorter.sum()) == sum(sheet.lengths.values()) - 2


def test_scores_are_made_anew_when_their_files_change(project):
    from castle_core.projects import Project
    from castle_core.suggestions import state_of_inputs

    opened = Project.open(project)
    before = state_of_inputs(opened, ["mouse_day1"])
    assert state_of_inputs(opened, ["mouse_day1"]) == before
    table = project / "models" / ERRING_MODEL / "video_preds/mouse_day1.csv"
    kept = table.read_bytes()
    try:
        table.write_bytes(kept + b"\n")
        assert state_of_inputs(opened, ["mouse_day1"]) != before
    finally:
        table.write_bytes(kept)


def test_suggesting_again_keeps_what_was_pinned_and_never_brings_back_what_was_dropped(project):
    from castle_core.boards import discard_board, list_boards, load_board, set_state
    from castle_core.job_functions.suggest import suggest
    from castle_core.progress import Task
    from castle_core.projects import Project

    class Job(Task):
        def __init__(self, key):
            self.key = key

    opened = Project.open(project)
    given = {"project": str(project), "owner": "anna", "model": ERRING_MODEL, "videos": [], "settings": {"n": 6}}
    first = load_board(opened, suggest(Job("job-1"), **given)["board"])
    pinned, dropped = first.entries[1], first.entries[4]
    set_state(opened, first.id, [pinned.id], "pin")
    set_state(opened, first.id, [dropped.id], "drop")
    again = {**given, "again": first.id}
    made = suggest(Job("job-2"), **again)
    second = load_board(opened, "job-2")
    places = {(entry.video, entry.frame_index) for entry in second.entries}
    assert made == {"board": "job-2", "frames": 6}
    assert [board.id for board in list_boards(opened)] == ["job-2"]
    assert (pinned.video, pinned.frame_index) in places
    assert (dropped.video, dropped.frame_index) not in places
    assert len(places) == 6
    assert suggest(Job("job-2"), **again) == made  # the same job, once more after a crash: the same board
    assert load_board(opened, "job-2") == second
    set_state(opened, "job-2", [entry.id for entry in second.entries[:3]], "pin")
    least = {**given, "settings": {"n": 6, "minimum": 3}, "again": "job-2"}
    assert suggest(Job("job-4"), **least) == {"board": "job-4", "frames": 6}  # three are left for two videos
    discard_board(opened, "job-4")
    second = load_board(opened, suggest(Job("job-2"), **given)["board"])
    set_state(opened, "job-2", [entry.id for entry in second.entries], "pin")
    with pytest.raises(ConfigError, match="All 6 frames are pinned"):
        suggest(Job("job-3"), **{**given, "again": "job-2"})
    assert [board.id for board in list_boards(opened)] == ["job-2"]
    discard_board(opened, "job-2")


def test_a_suggestion_without_review_that_crashes_while_it_writes_is_completed(project, tmp_path):
    """Cancelled at every step in turn; the next attempt of the same job leaves what one quiet attempt leaves."""
    import shutil

    from castle_core.boards import list_boards
    from castle_core.frames import list_rounds
    from castle_core.job_functions.suggest import suggest
    from castle_core.progress import Task
    from castle_core.projects import Project

    class Crash(RuntimeError):
        pass

    class Job(Task):
        key = "job-7"

        def __init__(self, crash_at=10**9):
            self.left = crash_at

        def progress(self, done, total, message=""):
            self.left -= 1
            if self.left < 0:
                raise Crash

    def frames(folder):
        return {p.name: p.read_bytes() for p in (folder / "labeled-data").rglob("*") if p.suffix in (".png", ".csv")}

    outcomes, crashes = [], 0
    for crash_at in (10**9, 0, 2, 4, 6, 8):
        copy = tmp_path / str(crash_at)
        shutil.copytree(project, copy, ignore=shutil.ignore_patterns(".castle", "encoders", "track"))
        given = {
            "project": str(copy), "owner": "anna", "model": ERRING_MODEL, "videos": [{"name": "mouse_day1"}],
            "settings": {"n": 3}, "review": False, "context": 1,
        }  # fmt: skip
        try:
            suggest(Job(crash_at), **given)
        except Crash:
            crashes += 1
        done = suggest(Job(), **given)
        opened = Project.open(copy)
        assert not list_boards(opened)
        assert len([each for each in list_rounds(opened) if each.info.id == done["round_id"]]) == 1
        outcomes.append(frames(copy))
    assert crashes == 5
    assert all(outcome == outcomes[0] for outcome in outcomes)
