"""Reading, reducing, comparing, grouping and exporting latent files, against what numpy gives on the whole array."""

import datetime
import json
import os
import time
from dataclasses import replace

import h5py
import numpy as np
import pytest

from castle_core.errors import CastleError, ConfigError, EncoderError, SelectionError
from castle_core.inspection import (
    Bout,
    Gap,
    bouts_of,
    cache_folder,
    channel_order,
    cluster,
    count_by_status,
    every_words,
    example_bouts,
    export_csv,
    export_npy,
    export_nwb,
    find_gaps,
    find_latent_file,
    heat_map,
    inside_polygon,
    is_quick,
    list_latent_files,
    nearest_frames,
    open_rows,
    read_map_status,
    rows_of,
    sampling_words,
    scores_window,
    spread_over,
    stand_ins,
    status_words,
    summarise,
    summary_of,
    window_of,
)
from castle_core.latents.npz import write_latents
from castle_core.preprocess import NOT_REQUESTED
from castle_core.projects import Project

N, D = 2500, 12


@pytest.fixture(scope="module")
def table():
    """Three poses in turn, 50 frames each, in 12 channels, with two gaps."""
    rng = np.random.default_rng(0)
    poses = rng.normal(size=(3, D)) * 4
    latent = (poses[(np.arange(N) // 50) % 3] + rng.normal(size=(N, D)) * 0.2).astype(np.float32)
    status = np.zeros(N, np.uint8)
    status[100:130] = 2
    status[130:140] = 4
    latent[status != 0] = np.nan
    return latent, status


@pytest.fixture
def project(castle_folders, table):
    made = Project.create("mice")
    folder = made.path / "latent" / "tiny"
    folder.mkdir(parents=True)
    metadata = {
        "video_name": "walk.mp4",
        "model_name": "tiny",
        "roi_id": 2,
        "pooling": "roi-mean",
        "input_size": 56,
        "precision": "fp32",
        "preprocessing": {"center_roi": 1, "crop_width": 300, "crop_height": 200, "tail_roi": 3},
        "identity": {"every": 1},
    }
    latent, status = table
    write_latents(folder / "walk_ROI_2_tiny_ctr.npz", [latent], latent.shape, status=status, metadata=metadata)
    return made


@pytest.fixture
def path(project):
    return project.path / "latent" / "tiny" / "walk_ROI_2_tiny_ctr.npz"


def test_numbers_of_frames_without_a_value_are_in_no_outline(tmp_path):
    latent = np.ones((3000, 4), np.float32)
    status = np.zeros(3000, np.uint8)
    latent[30:36], status[30:36] = 99, 2  # a foreign file: a status, and numbers all the same
    np.savez(tmp_path / "odd.npz", latent=latent)
    found = summarise(open_rows(tmp_path / "odd.npz", tmp_path), status)
    assert found.bin_rows == 3
    assert np.isnan(found.mean[10:12]).all()
    assert np.nanmax(found.largest) == 1


def test_odd_files_get_a_line_and_odd_channels_a_place(tmp_path):
    latent = np.zeros((3000, 6), np.float32)
    latent[:, 0] = np.random.default_rng(0).normal(size=3000) * 1e-25
    latent[::7, 0] = 1  # the spread is next to nothing, and some frames lie far beyond it
    np.savez(tmp_path / "odd.npz", latent=latent)
    assert sorted(channel_order(summarise(open_rows(tmp_path / "odd.npz", tmp_path)))) == list(range(6))
    np.savez(tmp_path / "empty.npz", latent=np.zeros((0, 5), np.float32))
    with pytest.raises(EncoderError, match="holds no numbers"):
        open_rows(tmp_path / "empty.npz", tmp_path)
    with h5py.File(tmp_path / "x_map.h5", "w") as file:
        file.create_group("latent")
    with pytest.raises(EncoderError, match="not a readable feature map"):
        read_map_status(tmp_path / "x_map.h5")


def test_frames_at_rest_are_like_nothing(tmp_path):
    """Rest for most of the video makes the medians: what is left of such a row is rounding."""
    rng = np.random.default_rng(0)
    latent = np.tile(rng.normal(size=256) * 3, (1500, 1)) + rng.normal(size=(1500, 256)) * 1e-4
    moving = np.arange(1500) % 3 == 0
    latent[moving] += rng.normal(size=(500, 256)) * 0.5
    np.savez(tmp_path / "rest.npz", latent=latent.astype(np.float32))
    rows = open_rows(tmp_path / "rest.npz", tmp_path)
    found = nearest_frames(rows, summarise(rows), 300, n=8)
    assert all(moving[each.frame_index] for each in found)
    assert all(0.1 < each.similarity < 0.5 for each in found)


@pytest.mark.parametrize("kind", ["ours", "compressed", "float64", "float16", "fortran", "stack"])
def test_rows_of_every_kind_of_file(tmp_path, table, kind):
    latent, status = table
    path = tmp_path / "a.npz"
    expected = latent
    if kind == "ours":
        write_latents(path, [latent], latent.shape, status=status, metadata={})
    elif kind == "compressed":
        np.savez_compressed(path, latent=latent)
    elif kind == "float64":
        np.savez(path, latent=latent.astype(np.float64))
    elif kind == "float16":
        np.savez(path, latent=latent.astype(np.float16))
        expected = latent.astype(np.float16).astype(np.float32)
    elif kind == "fortran":
        np.savez(path, latent=np.asfortranarray(latent))
    else:
        np.savez(path, latent=latent.reshape(N, 3, D // 3))
    rows = open_rows(path, tmp_path)
    assert (rows.n, rows.dim) == (N, D)
    np.testing.assert_array_equal(np.concatenate([part for _, part in rows.pieces(333)]), expected)
    indices = np.array([2499, 0, 777, 777])
    np.testing.assert_array_equal(rows.take(indices), expected[indices])
    assert len(rows.read(2499, 9999)) == 1


def test_what_is_no_table_is_refused_in_one_line(tmp_path, table):
    path = tmp_path / "a.npz"
    np.savez(path, latent=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(EncoderError, match="Python objects"):
        open_rows(path, tmp_path)
    np.savez(path, latent=np.zeros(5, np.float32))
    with pytest.raises(EncoderError, match="one row a frame"):
        open_rows(path, tmp_path)
    np.savez(path, other=np.zeros((5, 2)))
    with pytest.raises(EncoderError, match="readable"):
        open_rows(path, tmp_path)
    whole = tmp_path / "b.npz"
    np.savez_compressed(whole, latent=table[0])
    path.write_bytes(whole.read_bytes()[:3000])
    with pytest.raises(EncoderError, match="half-written"):
        open_rows(path, tmp_path)
    with pytest.raises(EncoderError, match="no latent file"):
        open_rows(tmp_path / "none.npz", tmp_path)


def test_summary_equals_the_whole_table(project, path, table):
    latent, status = table
    summary = summary_of(project, path)
    good = latent[status == 0].astype(np.float64)
    np.testing.assert_array_equal(summary.status, status)
    np.testing.assert_allclose(summary.centre, np.median(good, axis=0), rtol=1e-5)
    values = np.linalg.eigvalsh(np.cov(good.T, bias=True))[::-1]
    np.testing.assert_allclose(np.nanvar(summary.scores[:, 0]), values[0], rtol=1e-3)
    np.testing.assert_allclose(summary.explained[:2], values[:2] / values.sum(), rtol=1e-3)
    assert summary.bin_rows == 3
    np.testing.assert_allclose(summary.mean[0], latent[:3].mean(axis=0), rtol=1e-5)
    np.testing.assert_array_equal(summary.largest[5], latent[15:18].max(axis=0))
    assert np.isnan(summary.least[34]).all()
    assert np.isnan(summary.scores[status != 0]).all()
    assert np.isfinite(summary.scores[status == 0]).all()
    again = summary_of(project, path)  # from the cache
    np.testing.assert_array_equal(again.scores, summary.scores)


def age(folder):
    """Make all below a folder two days old."""
    for each in (folder, *folder.rglob("*")):
        os.utime(each, (time.time() - 2 * 86_400,) * 2)


def test_axes_of_every_kth_frame_come_from_all_its_rows(tmp_path):
    n, k = 20_000, 100
    rng = np.random.default_rng(3)
    latent = np.full((n, 8), np.nan, np.float32)
    latent[::k] = rng.normal(size=(n // k, 8))
    status = np.full(n, NOT_REQUESTED, np.uint8)
    status[::k] = 0
    write_latents(tmp_path / "a.npz", [latent], latent.shape, status=status, metadata={})
    found = summarise(open_rows(tmp_path / "a.npz", tmp_path), status)
    np.testing.assert_allclose(found.centre, np.median(latent[::k], axis=0), atol=1e-6)


def test_what_was_computed_from_earlier_versions_and_files_that_are_gone_is_removed(project, path, table):
    latent, status = table
    other = path.with_name("run_ROI_2_tiny_ctr.npz")
    other.write_bytes(path.read_bytes())
    for file in (path, other):
        summary_of(project, file)
    first, kept = cache_folder(project, path), cache_folder(project, other)
    age(project.cache_dir / "inspector")
    write_latents(path, [latent + 1], latent.shape, status=status, metadata={})
    assert np.allclose(summary_of(project, path).centre, np.nanmedian(latent + 1, axis=0), atol=0.2)
    second = cache_folder(project, path)
    assert not first.exists()
    assert second != first
    assert (kept / "summary-2.npz").exists()
    other.unlink()
    time.sleep(0.01)
    write_latents(path, [latent], latent.shape, status=status, metadata={})
    summary_of(project, path)
    assert not kept.exists()
    assert second.exists()  # it is young: a job may be at work in it


def test_gaps_of_a_foreign_file_come_from_its_rows(tmp_path, table):
    latent = table[0].copy()
    latent[7, 3] = np.inf
    np.savez_compressed(tmp_path / "a.npz", latent=latent)
    summary = summarise(open_rows(tmp_path / "a.npz", tmp_path))
    assert {(g.start, g.stop) for g in find_gaps(summary.status)} == {(7, 8), (100, 140)}
    assert np.isfinite(summary.mean[2:30]).all()


def test_a_file_without_any_value(tmp_path):
    np.savez(tmp_path / "a.npz", latent=np.full((40, 5), np.nan, np.float32))
    rows = open_rows(tmp_path / "a.npz", tmp_path)
    summary = summarise(rows)
    assert not summary.valid.any()
    assert len(cluster(summary, 4).sizes) == 0
    assert heat_map(window_of(rows, summary, 0, 40), summary).shape == (5, 40, 3)
    with pytest.raises(SelectionError):
        nearest_frames(rows, summary, 3)


def test_gaps_and_counts(table):
    gaps = find_gaps(table[1])
    assert [(g.start, g.stop, status_words(g.code)) for g in gaps] == [
        (100, 130, "ROI absent"),
        (130, 140, "frame cannot be decoded"),
    ]
    assert count_by_status(table[1]) == {0: N - 40, 2: 30, 4: 10}
    assert find_gaps(np.zeros(0, np.uint8)) == []


def test_clusters_are_the_poses(project, path, table):
    summary = summary_of(project, path)
    found = cluster(summary, 3)
    pose = (np.arange(N) // 50) % 3
    good = table[1] == 0
    for label in range(3):
        assert len(set(pose[good & (found.labels == label)])) == 1
    assert (found.labels[~good] == 255).all()
    assert list(found.sizes) == sorted(found.sizes, reverse=True)
    assert found.sizes.sum() == good.sum()
    np.testing.assert_array_equal(found.labels[found.typical], np.arange(3))
    for bout in example_bouts(found, table[1], 0):
        assert bout.stop - bout.start == 50
    assert sum(b.stop - b.start for b in bouts_of(found, table[1], 1)) == found.sizes[1]
    np.testing.assert_array_equal(cluster(summary, 3).labels, found.labels)


def test_nearest_frames_equal_a_full_comparison(project, path, table):
    latent, status = table
    rows, summary = rows_of(project, path), summary_of(project, path)
    found = nearest_frames(rows, summary, 60, n=5)
    centred = latent.astype(np.float64) - summary.centre
    cosine = centred @ centred[60] / np.linalg.norm(centred, axis=1) / np.linalg.norm(centred[60])
    cosine[(status != 0) | (np.arange(N) == 60)] = -np.inf
    assert [f.frame_index for f in found] == list(np.argsort(-cosine)[:5])
    np.testing.assert_allclose([f.similarity for f in found], np.sort(cosine)[::-1][:5], atol=1e-4)
    apart = [f.frame_index for f in nearest_frames(rows, summary, 60, min_gap=40)]
    assert min(abs(a - b) for a in [60, *apart] for b in [60, *apart] if a != b) >= 40
    with pytest.raises(SelectionError, match="no latent"):
        nearest_frames(rows, summary, 105)


def test_windows_and_heat_map(project, path, table, monkeypatch):
    from castle_core.inspection import windows

    latent, _ = table
    rows, summary = rows_of(project, path), summary_of(project, path)
    window = window_of(rows, summary, 95, 145, np.array([3, 7]), n_bins=10)
    assert list(window.edges) == list(range(95, 146, 5))
    np.testing.assert_allclose(window.mean[0], latent[95:100, [3, 7]].mean(axis=0), rtol=1e-5)
    assert np.isnan(window.mean[1]).all()
    assert np.isnan(window.least[2]).all()
    monkeypatch.setattr(windows, "MAX_EXACT", 100)
    coarse = window_of(rows, summary, 100, 1000)
    assert coarse.edges[0] <= 100
    assert coarse.edges[-1] >= 1000
    np.testing.assert_array_equal(coarse.largest, summary.largest[33:334])
    picture = heat_map(coarse, summary, channel_order(summary))
    assert picture.shape == (D, len(coarse.edges) - 1, 3)
    assert (picture[:, 2] == 128).all()  # frames 105 to 107 have no value
    scaled = (summary.mean - summary.centre) / summary.spread
    _, _, axes = np.linalg.svd(np.nan_to_num(scaled) - np.nan_to_num(scaled).mean(axis=0), full_matrices=False)
    axes *= np.where(axes[np.arange(D), np.abs(axes).argmax(axis=1)] < 0, -1, 1)[:, None]
    order = list(np.argsort(np.arctan2(axes[1], axes[0])))
    assert list(channel_order(summary)) == order
    few = replace(summary, mean=np.ascontiguousarray(summary.mean[:8]))  # fewer stretches than channels
    assert sorted(channel_order(few)) == list(range(D))
    part = scores_window(summary, 0, 30, np.array([0]), n_bins=10)
    np.testing.assert_array_equal(part.largest[1], summary.scores[3:6, :1].max(axis=0))


def test_lasso_and_a_spread_over_it():
    rng = np.random.default_rng(1)
    points = rng.random((500, 2)).astype(np.float32)
    points[3] = np.nan
    polygon = [(0.1, 0.1), (0.9, 0.1), (0.9, 0.9), (0.5, 0.4), (0.1, 0.9)]
    inside = inside_polygon(points, polygon)
    import cv2

    contour = np.array(polygon, np.float32)
    expected = [
        i != 3 and cv2.pointPolygonTest(contour, (float(x), float(y)), False) > 0 for i, (x, y) in enumerate(points)
    ]
    np.testing.assert_array_equal(inside, expected)
    assert not inside_polygon(points, polygon[:2]).any()
    frames = np.flatnonzero(inside)
    chosen, others = spread_over(points, frames, 10, taken={int(frames[0])})
    assert len(chosen) == 10
    assert set(chosen) <= set(frames) - {frames[0]}
    assert all(set(more) <= set(frames) for more in others.values())
    assert len(spread_over(points, frames[:4], 10)[0]) == 4
    assert len(spread_over(np.zeros((50, 2), np.float32), np.arange(50), 7)[0]) == 7  # all alike


@pytest.mark.parametrize(("min_gap", "at_least"), [(1, 1), (15, 15), (40, 20)])
def test_frames_for_labelling_keep_their_distance_where_they_can(min_gap, at_least):
    walk = np.cumsum(np.random.default_rng(0).normal(size=(400, 3)), axis=0).astype(np.float32)
    chosen, others = spread_over(walk, np.arange(400), 12, min_gap=min_gap)
    assert len(chosen) == 12
    assert np.diff(chosen).min() >= at_least  # 40 apart there is no room for twelve: it is halved
    assert all(first in chosen and first not in more for first, more in others.items())


def test_csv_and_npy_come_back_as_they_were(project, path, table, tmp_path):
    latent, status = table
    rows, summary = rows_of(project, path), summary_of(project, path)
    assert export_csv(tmp_path / "a.csv", rows, summary) == N
    assert (tmp_path / "a.csv").read_text().startswith("row,col_0,col_1,")
    back = np.loadtxt(tmp_path / "a.csv", delimiter=",", skiprows=1)
    np.testing.assert_array_equal(back[:, 1:].astype(np.float32), latent)
    assert export_csv(tmp_path / "b.csv", rows, summary, with_gaps=False) == N - 40
    assert np.loadtxt(tmp_path / "b.csv", delimiter=",", skiprows=1)[100, 0] == 140
    assert export_npy(tmp_path / "a.npy", rows, summary, with_gaps=False) == N - 40
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), latent[status == 0])
    np.testing.assert_array_equal(np.load(tmp_path / "a_rows.npy"), np.flatnonzero(status == 0))


def test_nwb_comes_back_with_its_times(project, path, table, tmp_path):
    pynwb = pytest.importorskip("pynwb")
    rows, summary = rows_of(project, path), summary_of(project, path)
    when = datetime.datetime(2026, 11, 25, 10, tzinfo=datetime.UTC)
    told = {"times_s": np.arange(N) / 30, "video_name": "walk.mp4", "metadata": {"model_name": "tiny"}}
    export_nwb(tmp_path / "a.nwb", rows, summary, session_start=when, subject_id="m1", **told)
    with pynwb.NWBHDF5IO(str(tmp_path / "a.nwb"), "r") as io:
        nwb = io.read()
        module = nwb.processing["behavior"]
        np.testing.assert_array_equal(module["latent"].data[:], table[0])
        np.testing.assert_array_equal(module["status"].data[:], table[1])
        np.testing.assert_allclose(module["latent"].timestamps[:], np.arange(N) / 30)
        assert json.loads(module["latent"].comments) == {"model_name": "tiny"}
        assert nwb.session_start_time == when
    with pytest.raises(ConfigError, match="time zone"):
        export_nwb(tmp_path / "b.nwb", rows, summary, session_start=when.replace(tzinfo=None), **told)
    assert not (tmp_path / "b.nwb").exists()


def test_files_with_their_settings_in_words(project, path):
    np.savez_compressed(path.parent / "walk_ROI_10_tiny_rmbg.npz", latent=np.zeros((3, 2)))
    (path.parent / "walk_ROI_3_tiny.npz").write_bytes(b"broken")
    files = {file.roi_id: file for file in list_latent_files(project)}
    assert files[2].title == "tiny · ROI 2"
    assert files[2].words == (
        "ROI mean",
        "centred on ROI 1, crop 300 × 200 px",
        "rotated by tail ROI 3",
        "input 56 px, fp32",
    )
    assert files[10].words == ("ROI mean", "background removed", "other settings not recorded")
    assert {file.stem for file in files.values()} == {"walk"}
    assert find_latent_file(project, files[2].relative).path == path
    with pytest.raises(CastleError):
        find_latent_file(project, "../../etc/passwd")
    assert is_quick(project, path)


@pytest.mark.parametrize("relative", ["../secret.npz", "latent/../../secret.npz", "/etc/passwd", "latent/tiny/x.txt"])
def test_a_path_from_a_browser_stays_inside(project, path, relative):
    (project.path.parent / "secret.npz").write_bytes(path.read_bytes())
    (path.parent / "x.txt").write_text("no latents")
    with pytest.raises(CastleError, match="no latent file"):
        find_latent_file(project, relative)


def test_a_column_and_a_scan_equal_the_table(project, path, table, monkeypatch):
    from castle_core.inspection import rows as module

    monkeypatch.setattr(module, "_SCAN_BYTES", 7 * D * 4)
    rows = rows_of(project, path)
    np.testing.assert_array_equal(rows.column(3), table[0][:, 3])
    np.testing.assert_array_equal(np.concatenate([part.copy() for _, part in rows.scan()]), table[0])


def test_real_castle_file(shared_data, castle_folders):
    import shutil

    source = shared_data / "castle" / "test-c_elegans-1min"
    made = Project.create("worm")
    shutil.copytree(source, made.path, dirs_exist_ok=True)
    (file,) = list_latent_files(made)
    summary = summary_of(made, file.path)
    assert (summary.n, summary.dim) == (480, 768)
    assert summary.valid.all()


@pytest.fixture(scope="module")
def every_fifth(tmp_path_factory):
    """Frames 2, 7, … of 300: two poses, 20 rows each in turn; no ROI on the rows of frames 52 to 61."""
    folder = tmp_path_factory.mktemp("fifth")
    status = np.full(300, 7, np.uint8)
    status[2::5] = 0
    latent = np.full((300, 4), np.nan, np.float32)
    rng = np.random.default_rng(0)
    latent[2::5] = np.where(np.arange(60) // 20 % 2, 5, -5)[:, None] + rng.normal(size=(60, 4))
    status[[52, 57]], latent[[52, 57]] = 2, np.nan
    write_latents(folder / "a.npz", [latent], latent.shape, status=status, metadata={})
    rows = open_rows(folder / "a.npz", folder)
    return rows, summarise(rows, status)


def test_frames_that_nobody_asked_for_are_no_gaps(every_fifth):
    summary = every_fifth[1]
    assert (summary.gaps, int(summary.requested.sum())) == (2, 60)
    assert find_gaps(summary.status) == [Gap(52, 62, 2, 2)]
    assert sampling_words(summary.status) == "every 5th frame: 60 of 300"
    assert sampling_words(np.array([7, 0, 0, 7], np.uint8)) == "2 of 4 frames were asked for"
    assert sampling_words(np.zeros(4, np.uint8)) == ""
    assert [every_words(k) for k in (1, 2, 3, 11, 22)] == [
        "every frame",
        "every 2nd frame",
        "every 3rd frame",
        "every 11th frame",
        "every 22nd frame",
    ]
    held = stand_ins(summary.status)
    assert list(held[:9]) == [0, 1, 2, 2, 2, 2, 2, 7, 7]
    assert held[299] == 297
    assert list(stand_ins(np.array([7, 0, 7, 0, 7, 7], np.uint8))) == [0, 1, 1, 3, 3, 5]


def test_bouts_of_every_kth_frame_are_runs_of_rows(every_fifth):
    summary = every_fifth[1]
    found = cluster(summary, 2)
    label = int(found.labels[2])
    assert bouts_of(found, summary.status, label) == [Bout(2, 52, 10), Bout(62, 102, 8), Bout(202, 300, 20)]
    assert example_bouts(found, summary.status, 1 - label) == [Bout(102, 202, 20)]


def test_windows_of_every_kth_frame_have_no_empty_stretch(every_fifth, monkeypatch):
    from castle_core.inspection import windows

    rows, summary = every_fifth
    whole = window_of(rows, summary, 0, 300)
    assert list(whole.edges) == list(range(2, 303, 5))
    assert list(np.flatnonzero(np.isnan(whole.mean[:, 0]))) == [10, 11]  # the two gaps, and nothing else
    np.testing.assert_array_equal(whole.mean[3], rows.read(17, 18)[0])
    few = window_of(rows, summary, 0, 300, np.array([1]), n_bins=7)
    assert list(few.edges) == list(range(2, 318, 45))
    np.testing.assert_allclose(few.mean[0, 0], rows.read(0, 47)[2::5, 1].mean(), rtol=1e-6)
    part = scores_window(summary, 20, 40, np.array([0]))
    assert list(part.edges) == [17, 22, 27, 32, 37, 42]
    assert np.isfinite(part.least).all()
    monkeypatch.setattr(windows, "MAX_EXACT", 100)
    coarse = window_of(rows, summary, 0, 300)  # one frame a stretch
    assert list(np.flatnonzero(np.isnan(coarse.mean[:, 0]))) == list(range(52 - 2, 62 - 2))
    assert coarse.edges[0] == 2


def test_exports_leave_out_frames_that_nobody_asked_for(every_fifth, tmp_path):
    rows, summary = every_fifth
    assert export_csv(tmp_path / "a.csv", rows, summary) == 60
    back = np.loadtxt(tmp_path / "a.csv", delimiter=",", skiprows=1)
    np.testing.assert_array_equal(back[:, 0], np.arange(2, 300, 5))
    assert np.isnan(back[10, 1:]).all()
    assert export_npy(tmp_path / "a.npy", rows, summary, with_gaps=False) == 58
    assert {52, 57}.isdisjoint(np.load(tmp_path / "a_rows.npy"))
    assert len(np.load(tmp_path / "a.npy")) == 58
