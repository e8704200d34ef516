"""Choosing frames of real small videos: exactly n, apart, in range, never covered ones, and the same every time."""

import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from castle_core.errors import ConfigError, JobCancelled, SelectionError
from castle_core.progress import Task
from castle_core.selection import SelectionConfig, select_frames, select_from_videos
from castle_core.video import VideoWriter, open_video

N_FRAMES = 400
METHODS = ["kmeans", "kcenter", "uniform", "random"]


def draw(path, *, n_frames=N_FRAMES, seed=0, n_poses=8, gop=50):
    """Write a video of a bar that takes a few poses, each for a while, and rests in the first one for most of it."""
    rng = np.random.default_rng(seed)
    poses = np.zeros(n_frames, int)
    for pose in range(1, n_poses):
        start = int(rng.integers(0, n_frames - 12))
        poses[start : start + 12] = pose
    with VideoWriter(path, fps=30, width=96, height=64, gop=gop, preset="ultrafast", crf=20) as writer:
        for pose in poses:
            picture = np.full((64, 96, 3), 90, np.uint8)
            turn = np.radians(180 * pose / n_poses)
            middle = np.array([48, 32])
            ends = [middle + s * 26 * np.array([np.cos(turn), np.sin(turn)]) for s in (-1, 1)]
            cv2.line(picture, *[tuple(np.round(end).astype(int).tolist()) for end in ends], (230, 230, 230), 5)
            writer.write(picture)
    return poses


@pytest.fixture(scope="module")
def bar(tmp_path_factory):
    path = tmp_path_factory.mktemp("selection") / "bar.mp4"
    poses = draw(path)
    with open_video(path) as video:
        yield video, poses


def indices(selection):
    return [pick.frame_index for pick in selection.picks]


def check(selection, config, n_frames, covered=()):
    frames = indices(selection)
    assert len(frames) == config.n
    assert frames == sorted(set(frames))
    assert not set(frames) & set(covered)
    if len(frames) > 1:
        assert min(np.diff(frames)) >= selection.min_gap_used >= 1
    assert all(0 <= frame < n_frames for frame in frames)
    assert all(pick.reason and np.isfinite(pick.score) for pick in selection.picks)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("exhaustive", [False, True])
def test_exactly_n_apart_and_the_same_every_time(bar, method, exhaustive):
    video, _ = bar
    config = SelectionConfig(n=12, method=method, exhaustive=exhaustive)
    first = select_frames(video, config)
    check(first, config, N_FRAMES)
    assert indices(select_frames(video, config)) == indices(first)
    if method == "random":
        assert indices(select_frames(video, replace(config, seed=1))) != indices(first)


def test_uniform_takes_the_midpoints_of_equal_intervals(bar):
    video, _ = bar
    frames = indices(select_frames(video, SelectionConfig(n=8, method="uniform")))
    np.testing.assert_allclose(frames, (np.arange(8) + 0.5) * 50, atol=1)


def test_rare_poses_are_found_and_rest_is_not_thrown_away(bar):
    video, poses = bar
    selection = select_frames(video, SelectionConfig(n=16, exhaustive=True))
    found = set(poses[indices(selection)])
    assert len(found) >= len(set(poses)) - 1
    assert 0 in found
    assert selection.coverage.mean < selection.coverage.random_mean


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_asked_holds(bar, data):
    video, _ = bar
    n = data.draw(st.integers(1, 15))
    start = data.draw(st.integers(0, 150))
    stop = data.draw(st.integers(start + 120, N_FRAMES))
    first = data.draw(st.integers(start, stop))
    last = data.draw(st.integers(first, min(stop, first + 60)))
    covered = data.draw(st.lists(st.integers(0, N_FRAMES - 1), max_size=20))
    config = SelectionConfig(
        n=n,
        method=data.draw(st.sampled_from(METHODS)),
        start=f"{start}f",
        stop=f"{stop}f",
        exclude=(f"{first}f-{last}f",),
        seed=data.draw(st.integers(0, 5)),
        features=data.draw(st.sampled_from(["gradients", "pixels"])),
    )
    selection = select_frames(video, config, covered=covered)
    check(selection, config, N_FRAMES, covered)
    assert all(start <= frame < stop and not first <= frame < last for frame in indices(selection))


def test_the_gap_follows_the_rule_and_a_typed_one_binds(bar):
    video, _ = bar
    # min(max(5 frames, 0.5 s), usable / 2n): 15 frames at 30 fps, less where n are many.
    assert select_frames(video, SelectionConfig(n=5)).min_gap_used == 15
    assert select_frames(video, SelectionConfig(n=40)).min_gap_used == 5
    assert select_frames(video, SelectionConfig(n=N_FRAMES, method="uniform")).min_gap_used == 1
    typed = select_frames(video, SelectionConfig(n=5, min_gap=70))
    assert typed.min_gap_used == 70
    check(typed, SelectionConfig(n=5), N_FRAMES)
    with pytest.raises(SelectionError):
        select_frames(video, SelectionConfig(n=10, min_gap=70))


@pytest.mark.parametrize("config", [{"n": N_FRAMES + 1}, {"n": 30, "start": "0f", "stop": "20f"}, {"n": 1, "stop": 0}])
def test_too_few_frames_say_why(bar, config):
    video, _ = bar
    with pytest.raises((SelectionError, ConfigError), match=r"bar\.mp4|frames"):
        select_frames(video, SelectionConfig(**config))


def test_what_is_covered_already_is_not_chosen_again(bar):
    video, poses = bar
    first = indices(select_frames(video, SelectionConfig(n=10)))
    second = select_frames(video, SelectionConfig(n=10), covered=first)
    check(second, SelectionConfig(n=10), N_FRAMES, first)
    all_covered = [frame for frame in range(N_FRAMES) if frame not in range(100, 110)]
    left = indices(select_frames(video, SelectionConfig(n=2, min_gap=1), covered=all_covered))
    assert set(left) <= set(range(100, 110))
    del poses


def test_the_board_is_offered_others_of_the_same_kind(bar):
    video, _ = bar
    selection = select_frames(video, SelectionConfig(n=6))
    picks = set(indices(selection))
    assert set(selection.alternatives) <= picks
    others = [frame for frames in selection.alternatives.values() for frame in frames]
    assert others
    assert not picks & set(others)


def test_a_cancelled_selection_stops(bar):
    class Stop(Task):
        def progress(self, done, total, message=""):
            raise JobCancelled("stop")

    with pytest.raises(JobCancelled):
        select_frames(bar[0], SelectionConfig(n=3, exhaustive=True), task=Stop())


def test_one_frame_and_short_videos(tmp_path):
    draw(tmp_path / "short.mp4", n_frames=20, n_poses=2)
    with open_video(tmp_path / "short.mp4") as video:
        check(select_frames(video, SelectionConfig(n=1)), SelectionConfig(n=1), 20)
        check(select_frames(video, SelectionConfig(n=20)), SelectionConfig(n=20), 20)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("exhaustive", [False, True])
def test_a_corrupt_group_is_done_without_and_that_is_said(bar, tmp_path, method, exhaustive):
    whole, _ = bar
    data, first, stop = bytearray(whole.path.read_bytes()), *whole.index.keys[2:4].tolist()
    for packet in range(first, stop):
        start, size = int(whole.index.pos[packet]), int(whole.index.size[packet])
        data[start : start + size] = np.random.default_rng(packet).bytes(size)
    (tmp_path / "bad.mp4").write_bytes(data)
    config = SelectionConfig(n=16, method=method, exhaustive=exhaustive)
    with open_video(tmp_path / "bad.mp4") as video:
        selection = select_frames(video, config)
        check(selection, config, N_FRAMES, covered=range(first, stop))
        video.frames_at(indices(selection))  # each of them can be decoded
    assert any("decoded" in warning for warning in selection.warnings), selection.warnings


def test_one_budget_over_many_videos(tmp_path):
    videos = []
    for number, n_poses in enumerate((2, 9, 5)):
        draw(tmp_path / f"v{number}.mp4", n_frames=200, seed=number, n_poses=n_poses)
        videos.append(open_video(tmp_path / f"v{number}.mp4"))
    try:
        config = SelectionConfig()
        covered = {"v1.mp4": [100, 101]}
        chosen = select_from_videos(videos, config, budget=18, minimum=2, maximum=10, covered=covered)
        counts = [len(selection.picks) for selection in chosen]
        assert sum(counts) == 18
        assert all(2 <= count <= 10 for count in counts)
        assert not set(indices(chosen[1])) & {100, 101}
        again = select_from_videos(videos, config, budget=18, minimum=2, maximum=10, covered=covered)
        assert [indices(selection) for selection in again] == [indices(selection) for selection in chosen]
    finally:
        for video in videos:
            video.close()


def test_latents_choose_too(bar, tmp_path):
    video, poses = bar
    rows = np.eye(9, dtype=np.float32)[poses] + np.random.default_rng(0).normal(0, 0.01, (N_FRAMES, 9))
    rows[5] = np.nan
    np.savez(tmp_path / "bar.npz", latent=rows.astype(np.float32))
    config = SelectionConfig(n=16, method="latents", latents=tmp_path / "bar.npz")
    selection = select_frames(video, config)
    check(selection, config, N_FRAMES)
    assert len(set(poses[indices(selection)])) >= len(set(poses)) - 1
    assert selection.frames_decoded == 0


def test_selecting_never_imports_torch(tmp_path):
    draw(tmp_path / "v.mp4", n_frames=60)
    code = (
        "import sys; from castle_core.cli.app import app; from castle_core.cli.output import run_app\n"
        f"assert run_app(app, ['select', {str(tmp_path / 'v.mp4')!r}, '-n', '3', '--json']) == 0\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert '"picks"' in done.stdout


@pytest.mark.parametrize("wrong", [{"n": 0}, {"method": "best"}, {"seed": -1}, {"min_gap": 0}, {"method": "latents"}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ConfigError):
        SelectionConfig(**wrong)


def test_settings_survive_json():
    config = SelectionConfig(n=7, start="10s", exclude=("0.2-0.3",), method="kcenter")
    assert SelectionConfig.from_json(config.to_json()) == config
    with pytest.raises(ConfigError, match="nn"):
        SelectionConfig.from_json({"nn": 3})
