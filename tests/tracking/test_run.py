"""From drawings to ``mask_list.h5``: shards, merging, what stays, what is refused, and going on after a crash."""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest

from castle_core.errors import CastleError, ConfigError, JobCancelled, RoiError
from castle_core.files import locked
from castle_core.job_functions import job_function
from castle_core.latents.opening import mask_warnings
from castle_core.mask_writer import MaskListWriter
from castle_core.progress import QUIET, Task
from castle_core.projects import Project
from castle_core.prompts import Prompt, save_prompts
from castle_core.rois import MaskFile, find_masks
from castle_core.tracking import run
from castle_core.tracking.mending import drop_specks, fill_gaps, mend_masks
from castle_core.tracking.record import known_rois, made_of_another_file, record_path, track_summary
from castle_core.tracking.run import track_video
from castle_core.tracking.settings import TrackSettings
from castle_core.video import VideoWriter

HEIGHT, WIDTH, N = 64, 96, 60
BOX = Prompt(0, 1, "box", [6, 18, 26, 42])


def paint(i):
    """An animal of 12 x 16 pixels that crosses a grainy floor."""
    floor = np.random.default_rng(1).integers(170, 186, (HEIGHT, WIDTH, 1)).repeat(3, axis=2).astype(np.uint8)
    floor[22:38, 10 + i : 22 + i] = 30
    return floor


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "_SHARD_FRAMES", {"background": 16, "sam2": 16})
    made = Project.create(tmp_path / "p")
    for name in ("a", "b"):
        (made.path / "videos").mkdir(exist_ok=True)
        with VideoWriter(made.path / "videos" / f"{name}.mp4", fps=30, width=WIDTH, height=HEIGHT) as writer:
            for i in range(N):
                writer.write(paint(i))
    return made


def masks_of(project, name="a"):
    with MaskFile(project.path / "track" / f"{name}.mp4" / "mask_list.h5") as masks:
        return {int(i): masks.mask_at(int(i)) for i in masks.frame_indices}


def test_the_animal_is_followed_and_the_file_is_castles(project):
    report = track_video(project, "a", [BOX], TrackSettings())
    assert (report.frames, report.rois, report.lost) == (N, (1,), {1: 0})
    found = masks_of(project)
    for i in range(N):
        truth = np.zeros((HEIGHT, WIDTH), bool)
        truth[22:38, 10 + i : 22 + i] = True
        assert (found[i][truth] == 1).mean() > 0.8
        assert set(np.unique(found[i])) <= {0, 1}
    with h5py.File(project.path / "track" / "a.mp4" / "mask_list.h5") as file:
        assert file["0"].dtype == np.uint8
        assert file["0"].compression == "gzip"
        scalars = {name: (int(file[name][()]), str(file[name].dtype)) for name in file if not name.isdigit()}
    assert scalars == {
        "total_frames": (N, "int64"),
        "height": (HEIGHT, "int64"),
        "width": (WIDTH, "int64"),
        "roi_count": (1, "uint8"),
        "n_rois": (1, "uint8"),
    }
    record = json.loads((project.path / "track" / "a.mp4" / "tracking.json").read_text())
    assert record["runs"][0]["tracker"] == "background"
    assert not list((project.cache_dir / "tracking" / "a.mp4").glob("*"))


def test_only_the_asked_frames_change_and_other_rois_stay(project):
    target = project.path / "track" / "a.mp4" / "mask_list.h5"
    target.parent.mkdir(parents=True)
    foreign = np.zeros((HEIGHT, WIDTH), np.uint8)
    foreign[50:60, 50:60] = 7
    foreign[0:5, 0:5] = 1
    with MaskListWriter(target, width=WIDTH, height=HEIGHT, n_rois=7, n_frames=N) as writer:
        for i in range(0, N, 2):
            writer.write(foreign, (0, 0, WIDTH, HEIGHT), i)
    before = target.read_bytes()
    drawn = Prompt(20, 1, "box", [26, 18, 46, 42])
    track_video(project, "a", [drawn], TrackSettings(start=20, stop=30, direction="forward"))
    found = masks_of(project)
    assert sorted(found) == sorted({*range(0, N, 2), *range(20, 30)})
    np.testing.assert_array_equal(found[0], foreign)
    assert (found[22][50:60, 50:60] == 7).all()
    assert not (found[22][0:5, 0:5]).any()
    assert (found[22] == 1).sum() > 100
    kept = list((project.cache_dir / "trash").rglob("*.h5"))
    assert [path.read_bytes() for path in kept] == [before]
    track_video(project, "a", [drawn], TrackSettings(start=20, stop=30, direction="forward"))
    kept = sorted(path.parent.name for path in (project.cache_dir / "trash").rglob("*.h5"))
    assert kept[1:] == ["a.mp4"], "of our own file one version before is kept"
    summary = track_summary(project, "a")
    assert set(summary.rois) == {1, 7}
    assert summary.tracked.sum() == len(found)


class StopAt(Task):
    def __init__(self, at):
        self.at = at
        self.seen = []

    def progress(self, done, total, message=""):
        if message == "frames":
            self.seen.append(done)
            if done >= self.at:
                raise JobCancelled("stopped")


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_a_cut_off_run_goes_on_and_gives_the_same(project, direction):
    frame = 0 if direction == "forward" else N - 1
    prompts = [Prompt(frame, 1, "box", [6 + frame, 18, 26 + frame, 42])]
    settings = TrackSettings(direction=direction)
    with pytest.raises(JobCancelled):
        track_video(project, "a", prompts, settings, task=StopAt(40))
    assert not (project.path / "track" / "a.mp4" / "mask_list.h5").exists()
    rest = StopAt(10_000)
    track_video(project, "a", prompts, settings, task=rest)
    assert min(rest.seen) == 32, "two whole shards of 16 frames are there already"
    track_video(project, "b", prompts, settings)
    resumed, whole = masks_of(project, "a"), masks_of(project, "b")
    assert sorted(resumed) == sorted(whole) == list(range(N))
    for i in range(N):
        np.testing.assert_array_equal(resumed[i], whole[i])


def test_drawings_on_one_video_serve_another_by_the_job(project):
    save_prompts(project, "a", 0, [BOX])
    report = job_function("track")(
        QUIET, project=str(project.path), owner="x", videos=["a", "b"], prompts_from="a", settings={}
    )
    assert [one["video"] for one in report["tracked"]] == ["a.mp4", "b.mp4"]
    assert not report["failed"]
    assert (masks_of(project, "b")[30] == 1).sum() > 100


def test_wrong_use_says_what_to_do(project):
    with pytest.raises(RoiError, match="Nothing is drawn"):
        track_video(project, "a", [], TrackSettings())
    with pytest.raises(RoiError, match="outside"):
        track_video(project, "a", [Prompt(0, 1, "box", [500, 500, 600, 600])], TrackSettings())
    with pytest.raises(CastleError, match="frames 0 to"):
        track_video(project, "a", [Prompt(9999, 1, "box", [1, 1, 9, 9])], TrackSettings())
    with pytest.raises(RoiError, match="1 to 255"):
        Prompt(0, 256, "box", [1, 1, 9, 9])
    with pytest.raises(ConfigError, match="model"):
        TrackSettings(tracker="sam2")
    with pytest.raises(ConfigError, match="no setting"):
        job_function("track")(QUIET, project=str(project.path), owner="x", videos=["a"], settings={"colour": 1})
    assert not (project.path / "track" / "a.mp4" / "mask_list.h5").exists()


def test_short_losses_are_filled_and_specks_dropped(project):
    target = project.path / "track" / "a.mp4" / "mask_list.h5"
    target.parent.mkdir(parents=True)
    with MaskListWriter(target, width=WIDTH, height=HEIGHT, n_rois=2, n_frames=N) as writer:
        for i in range(10):
            mask = np.zeros((HEIGHT, WIDTH), np.uint8)
            if i not in (3, 4, 7, 8, 9):
                mask[20:30, 10 + 2 * i : 20 + 2 * i] = 1
            mask[0, 0] = mask[60:64, 60:70] = 2
            writer.write(mask, (0, 0, WIDTH, HEIGHT), i)
    summary, changed = mend_masks(project, "a", longest_gap=2, smallest_piece=3)
    assert changed == 10
    found = masks_of(project)
    assert summary.rois[1].lost.nonzero()[0].tolist() == [7, 8, 9]
    assert (found[3][20:30, 16:26] == 1).mean() > 0.9
    assert found[3][0, 0] == 0
    assert (found[5][60:64, 60:70] == 2).all()
    assert len(list((project.cache_dir / "trash").rglob("*.h5"))) == 1
    with pytest.raises(ConfigError):
        mend_masks(project, "a")


def test_mending_waits_for_a_tracker_and_mends_what_it_wrote(project):
    target = project.path / "track" / "a.mp4" / "mask_list.h5"
    target.parent.mkdir(parents=True)

    def write(top):
        with MaskListWriter(target.with_name("new.h5"), width=WIDTH, height=HEIGHT, n_rois=1, n_frames=N) as writer:
            for i in range(3):
                mask = np.zeros((HEIGHT, WIDTH), np.uint8)
                mask[top : top + 10, 20:30] = mask[60, 90] = 1
                writer.write(mask, (0, 0, WIDTH, HEIGHT), i)
        target.with_name("new.h5").replace(target)

    write(5)
    with ThreadPoolExecutor() as pool:
        with locked(target):
            mending = pool.submit(mend_masks, project, "a", smallest_piece=3)
            time.sleep(0.5)
            write(30)
        assert mending.result(timeout=30)[1] == 3
    for mask in masks_of(project).values():
        assert np.argwhere(mask)[0].tolist() == [30, 20]
        assert not mask[60, 90]


def test_a_video_that_became_longer_is_tracked_further(project):
    track_video(project, "a", [BOX], TrackSettings(stop=20))
    with VideoWriter(project.path / "videos" / "a.mp4", fps=30, width=WIDTH, height=HEIGHT) as writer:
        for i in range(N + 10):
            writer.write(paint(min(i, N)))
    report = track_video(project, "a", [Prompt(50, 1, "box", [56, 18, 76, 42])], TrackSettings(start=50))
    assert report.frames == 20
    assert sorted(masks_of(project)) == [*range(20), *range(50, N + 10)]


def test_shapes_between_and_specks():
    square = np.zeros((40, 60), bool)
    square[10:20, 10:20] = True
    middle = fill_gaps(square, np.roll(square, 20, axis=1), 0.5)
    assert middle[10:20, 20:30].mean() > 0.9
    assert middle.sum() < 130
    lonely = np.zeros((9, 9), np.uint8)
    lonely[4, 4] = 3
    np.testing.assert_array_equal(drop_specks(lonely, 50), lonely)


@pytest.mark.parametrize("as_stored", [True, False])
def test_castles_real_file_comes_through_unchanged(shared_data, tmp_path, as_stored):
    source = shared_data / "castle" / "test-c_elegans-1min" / "track" / "test-c_elegans-1min.mp4" / "mask_list.h5"
    path = tmp_path / "copy.h5"
    with MaskFile(source) as masks, h5py.File(source, "r", locking=False) as raw:
        whole = (0, 0, masks.width, masks.height)
        options = {"width": masks.width, "height": masks.height, "n_rois": masks.n_rois, "n_frames": masks.n_frames}
        with MaskListWriter(path, **options) as writer:
            for i in masks.frame_indices.tolist():
                if as_stored:
                    writer.copy(raw, i)
                else:
                    writer.write(masks.mask_at(i), whole, i)
    # Read with h5py alone, as CASTLE does: names, scalars, every pixel.
    with h5py.File(source, "r", locking=False) as old, h5py.File(path, "r") as new:
        assert set(old) <= set(new)
        for name in old:
            assert new[name].dtype == old[name].dtype or old[name].shape == ()
            np.testing.assert_array_equal(new[name][()], old[name][()])
        extra = set(new) - set(old)
        assert extra <= {"n_rois", "roi_count", "total_frames", "height", "width"}, extra


@pytest.mark.heavy
def test_a_killed_process_loses_one_shard_at_most(project):
    script = (
        "import sys; from castle_core.projects import Project; from castle_core.prompts import Prompt\n"
        "from castle_core.tracking import run; from castle_core.tracking.settings import TrackSettings\n"
        "run._SHARD_FRAMES['background'] = 16\n"
        "run.track_video(Project.open(sys.argv[1]), 'a', [Prompt(0, 1, 'box', [6, 18, 26, 42])], TrackSettings())\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(project.path)])
    try:
        deadline = time.monotonic() + 120
        shards = project.cache_dir / "tracking" / "a.mp4"
        while len(list(shards.glob("*/run-0/0*/rows.npz"))) < 2 and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.kill()
        process.wait()
    finally:
        process.kill()
    done = len(list(shards.glob("*/run-0/0*/rows.npz")))
    rest = StopAt(10_000)
    track_video(project, "a", [BOX], TrackSettings(), task=rest)
    assert done == 0 or min(rest.seen, default=N) >= 16 * min(done, 3)
    track_video(project, "b", [BOX], TrackSettings())
    first, second = masks_of(project, "a"), masks_of(project, "b")
    assert all((first[i] == second[i]).all() for i in range(N))


def test_a_break_in_the_middle_costs_those_frames_only(tmp_path):
    project = Project.create(tmp_path / "torn")
    (project.path / "videos").mkdir(exist_ok=True)
    path = project.path / "videos" / "a.mp4"
    with VideoWriter(path, fps=30, width=WIDTH, height=HEIGHT, gop=15, preset="ultrafast") as writer:
        for i in range(N):
            writer.write(paint(i))
    with project.open_video("a") as video:  # the index is kept, as for a video that was damaged later
        packets = video.packet_sizes
    data = bytearray(path.read_bytes())
    begin = data.find(b"mdat") + 4 + int(packets[:15].sum())
    data[begin + 8 : begin + int(packets[15:30].sum())] = b"\xff" * (int(packets[15:30].sum()) - 8)
    path.write_bytes(data)
    report = track_video(project, "a", [BOX], TrackSettings())
    assert report.undecodable
    assert set(report.undecodable) <= set(range(15, 30))
    found = masks_of(project)
    assert set(found) == set(range(N)) - set(report.undecodable)
    assert (found[45][22:38, 55:67] == 1).mean() > 0.8
    with pytest.raises(RoiError, match=rf"[Ff]rame {report.undecodable[0]} of a.mp4"):
        track_video(project, "a", [Prompt(report.undecodable[0], 1, "box", [6, 18, 26, 42])], TrackSettings())
    assert set(masks_of(project)) == set(found)


def test_the_command_tracks_and_says_where(project, capsys):
    from castle_core.cli.app import app

    answer = app(
        [
            *("rois", "track", "--project", str(project.path), "--video", "a", "--video", "b.mp4"),
            *("--box", "0:1:6,18,26,42", "--stop", "30f", "--json"),
        ],
        standalone_mode=False,
    )
    assert not answer
    said = json.loads(capsys.readouterr().out)
    assert [(one["video"], one["frames"], one["rois"], one["lost"]) for one in said["tracked"]] == [
        ("a.mp4", 30, [1], {"1": 0}),
        ("b.mp4", 30, [1], {"1": 0}),
    ]
    assert sorted(masks_of(project, "b")) == list(range(30))


def test_drawings_that_cannot_be_followed_take_the_place_of_none(project):
    from castle_core.cli.app import app
    from castle_core.cli.output import Failed
    from castle_core.errors import CastleError
    from castle_core.prompts import prompts_path, read_prompts, save_prompts

    command = ["rois", "track", "--project", str(project.path), "--video", "a", "--stop", "20f"]
    with pytest.raises(CastleError, match="needs a box"):
        app([*command, "--point", "0:1:12,30"], standalone_mode=False)
    assert read_prompts(project, "a") == ()
    outline = np.zeros((HEIGHT, WIDTH), bool)
    outline[22:38, 10:22] = True
    save_prompts(project, "a", 0, [Prompt(0, 1, "mask", outline)])
    before = prompts_path(project, "a").read_bytes()
    with pytest.raises(CastleError, match="needs a box"):
        app([*command, "--point", "0:1:12,30"], standalone_mode=False)
    assert prompts_path(project, "a").read_bytes() == before
    assert np.array_equal(read_prompts(project, "a")[0].data, outline)
    with pytest.raises(Failed):
        app([*command, "--video", "b", "--point", "0:1:12,30"], standalone_mode=False)
    assert prompts_path(project, "a").read_bytes() == before


def test_the_masks_before_the_last_tracking_are_kept(project):
    track_video(project, "a", [BOX], TrackSettings())
    first = masks_of(project)
    kept = project.cache_dir / "trash" / "masks-before" / "a.mp4" / "mask_list.h5"
    assert not kept.exists()
    for start in (10, 20):
        before = (project.path / "track" / "a.mp4" / "mask_list.h5").read_bytes()
        track_video(project, "a", [Prompt(30, 2, "box", [36, 18, 56, 42])], TrackSettings(start=start))
        assert kept.read_bytes() == before
    assert {2} <= set(np.unique(masks_of(project)[30]))
    assert masks_of(project)[0].tolist() == first[0].tolist()


def test_a_video_that_was_replaced_keeps_its_masks_and_says_so_until_all_is_tracked_again(project):
    track_video(project, "a", [BOX], TrackSettings())
    video = project.video("a").path
    masks = find_masks(project, video.name)
    assert not made_of_another_file(masks, video, N)
    with VideoWriter(video, fps=30, width=WIDTH, height=HEIGHT) as writer:
        for i in range(N):
            writer.write(np.flip(paint(i), 0).copy())
    with project.open_video("a") as opened, MaskFile(masks) as source:
        (line,) = mask_warnings(source, opened)
    assert "a.mp4" in line
    assert "replaced" in line

    said = []

    class Listener(Task):
        def log(self, line):
            said.append(line)

    forward = TrackSettings(direction="forward")
    track_video(project, "a", [Prompt(40, 1, "box", [46, 24, 66, 48])], forward, task=Listener())
    assert any("another file" in line for line in said)
    assert sorted(masks_of(project)) == list(range(N))
    assert made_of_another_file(masks, video, N)  # frames 0 … 39 are still those of the other film

    track_video(project, "a", [Prompt(0, 1, "box", [6, 24, 26, 48])], TrackSettings())
    assert not made_of_another_file(masks, video, N)


def test_runs_over_parts_of_a_replaced_video_add_up(project):
    track_video(project, "a", [BOX], TrackSettings())
    video = project.video("a").path
    masks = find_masks(project, video.name)
    record = record_path(masks)
    document = json.loads(record.read_text())
    (old,) = document["runs"]
    now = {**old, "rois": [1], "runs": [[0, 29]]}
    for later, expected in (([now], True), ([now, {**now, "runs": [[59, 30]]}], False)):
        other = {**old, "video_fingerprint": "another"}
        record.write_text(json.dumps({**document, "runs": [other, *later]}))
        assert made_of_another_file(masks, video, N) is expected


def test_ids_beyond_the_number_of_rois_are_known(project, tmp_path):
    path = tmp_path / "mask_list.h5"
    with MaskListWriter(path, width=WIDTH, height=HEIGHT, n_rois=1) as writer:
        writer.write(np.full((HEIGHT, WIDTH), 3, np.uint8), (0, 0, WIDTH, HEIGHT))
    with MaskFile(path) as masks:
        assert known_rois(masks) == [1, 3]
