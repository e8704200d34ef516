"""What goes wrong in real labs: damaged videos, full disks, killed processes, masks that change meanwhile."""

import errno
import os
import resource
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from castle_core.encoders import load_encoder
from castle_core.errors import ProjectError, RoiError
from castle_core.latents import ExtractConfig, read_latents
from castle_core.latents.extraction import extract_part, extract_video
from castle_core.latents.leftovers import clear_leftovers
from castle_core.latents.maps import write_map
from castle_core.latents.run import run_extractions
from castle_core.preprocess import DECODE_ERROR, Preprocess
from castle_core.progress import Task
from castle_core.projects import Project
from castle_core.rois import MaskFile
from castle_core.video import VideoWriter

CONFIG = ExtractConfig(encoder="hog", roi_ids=(0,), batch_size=8, shard_frames=25)


class Log(Task):
    def __init__(self):
        self.lines = []

    def log(self, line):
        self.lines.append(line)


@pytest.fixture
def hog():
    return load_encoder("hog")


def rows_of(extraction, number=0):
    return read_latents(Path(extraction.written[number].path))


@pytest.fixture
def torn(tmp_path):
    """A video whose bytes are overwritten in the middle of its second group of pictures."""
    folder = tmp_path / "torn"
    (folder / "videos").mkdir(parents=True)
    path = folder / "videos" / "a.mp4"
    rng = np.random.default_rng(0)
    with VideoWriter(path, fps=30, width=96, height=64, gop=15, crf=20, preset="ultrafast") as writer:
        for _ in range(60):
            writer.write(rng.integers(0, 256, (64, 96, 3), dtype=np.uint8))
    project = Project.open(folder)
    with project.open_video("a") as video:  # the index is kept, as for a video that was damaged later
        packets = video.packet_sizes
        assert video.key_frame_indices.tolist() == [0, 15, 30, 45]
        n_before = int(packets[:20].sum())
    data = bytearray(path.read_bytes())
    first = data.index(b"mdat") + 4 + n_before
    data[first : first + 4000] = bytes(4000)
    times = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    return project


def test_a_video_that_breaks_in_the_middle_gives_nan_rows_and_says_so(torn, hog):
    task = Log()
    latents = rows_of(extract_video(torn, "a", CONFIG, hog, task=task))
    broken = np.flatnonzero(latents.status)
    assert set(latents.status[broken].tolist()) == {DECODE_ERROR}
    assert 15 <= broken.min() <= 21
    assert broken.max() == 29
    np.testing.assert_array_equal(np.isnan(latents.latent).all(axis=1), latents.status != 0)
    said = [line for line in task.lines if "cannot be decoded, the first is frame" in line]
    assert len(said) == 1
    assert f"{len(broken)} frames of a.mp4" in said[0]


@pytest.fixture
def small_files():
    """Let no file grow beyond 40 kB, as a full disk would; the system itself then refuses to write on."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, before)
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_fills_in_a_shard_is_one_line_and_leaves_nothing_half(project, stem, tiny, small_files):
    config = replace(CONFIG, encoder="tiny", roi_ids=(1,), poolings=("none",))
    with pytest.raises(ProjectError, match="Cannot write"):
        extract_video(project, stem, config, tiny)
    assert not list((project.cache_dir / "shards").glob("*/*.part"))
    assert not list((project.cache_dir / "shards").glob("*/.*.part"))
    assert not list((project.path / "latent").rglob("*map*"))
    small_files()
    assert len(extract_video(project, stem, config, tiny).written) == 1


def test_a_disk_that_fills_in_a_map_is_an_error(tmp_path, small_files):
    maps = np.random.default_rng(0).normal(size=(40, 8, 8, 8)).astype(np.float16)
    with pytest.raises(ProjectError, match="Cannot write"):
        write_map(
            tmp_path / "a_map.h5", iter([(np.arange(40), maps)]), maps.shape, status=np.zeros(40, np.uint8), metadata={}
        )
    assert list(tmp_path.iterdir()) == []


def test_a_row_that_the_disk_has_lost_is_noticed(tmp_path, monkeypatch):
    maps = np.ones((4, 2, 2, 2), np.float16)
    real = h5py.File.flush

    def lossy(file):
        real(file)
        file["latent"][2] = 0

    monkeypatch.setattr(h5py.File, "flush", lossy)
    with pytest.raises(ProjectError, match="the disk is full"):
        write_map(tmp_path / "a_map.h5", iter([(np.arange(4), maps)]), maps.shape, status=np.zeros(4), metadata={})


def test_too_little_space_is_refused_before_the_work(project, stem, hog, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10})())
    with pytest.raises(ProjectError, match="Free some space"):
        extract_video(project, stem, CONFIG, hog)


def test_no_space_at_all_names_the_reason(project, stem, hog, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("castle_core.latents.shards._RowFile.write", full)
    report = run_extractions(project, [stem], CONFIG, encoder=hog)
    assert "the disk is full" in report["failed"][0]["reason"]


def test_a_crash_between_a_file_and_its_sidecar_is_made_good(project, stem, hog):
    config = replace(CONFIG, roi_ids=(1,))
    path = Path(extract_video(project, stem, config, hog).written[0].path)
    sidecar = path.with_name(path.name + ".json")
    before = sidecar.read_bytes()
    sidecar.unlink()
    (project.path / "config.json").unlink()
    assert extract_video(project, stem, config, hog).written == ()
    assert sidecar.read_bytes() == before
    assert path.name in (project.path / "config.json").read_text()


def test_other_settings_never_use_the_shards_of_a_stopped_run(project, stem, hog):
    class Stop(Task):
        def progress(self, done, total, message=""):
            if message == "frames" and done >= 30:
                raise KeyboardInterrupt

    config = replace(CONFIG, roi_ids=(1, 2))
    with pytest.raises(KeyboardInterrupt):
        extract_video(project, stem, config, hog, task=Stop())
    for other in (replace(config, shard_frames=10), replace(config, batch_size=5), config):
        done = extract_video(project, stem, other, hog, skip_existing=False)
        assert rows_of(done).latent.shape == (60, 9)
    assert not list((project.cache_dir / "shards").glob("*/0*/*.npy"))


def test_a_file_that_is_there_already_does_not_hide_the_stored_shards(project, stem, hog):
    config = replace(CONFIG, roi_ids=(1, 2))
    done = extract_video(project, stem, config, hog)
    paths = [Path(w.path) for w in done.written]
    expected = np.array(read_latents(paths[1]).latent)
    paths[1].unlink()
    again = extract_video(project, stem, config, hog)
    assert [w.path for w in again.written] == [str(paths[1])]
    np.testing.assert_array_equal(rows_of(again).latent, expected)


def test_masks_that_change_during_the_work_are_noticed(project, stem, hog):
    masks = project.path / "track" / project.videos()[0].name / "mask_list.h5"

    class Retrack(Task):
        def progress(self, done, total, message=""):
            if message == "frames" and done >= 30:
                os.utime(masks)

    config = replace(CONFIG, roi_ids=(1,))
    with pytest.raises(RoiError, match="changed while"):
        extract_video(project, stem, config, hog, task=Retrack())
    assert not list((project.path / "latent").rglob("*.npz"))


def test_several_workers_share_a_video_with_the_same_result(project, stem, tiny):
    preprocess = Preprocess(center_roi=1, crop_width=80, crop_height=80, tail_roi=2, smooth_s=0.1)
    config = replace(CONFIG, encoder="tiny", roi_ids=(1,), preprocess=preprocess, shard_frames=10)
    whole = np.array(rows_of(extract_video(project, stem, config, tiny)).latent)
    assert extract_part(project, stem, config, tiny, 1, 2) == 3
    assert extract_part(project, stem, config, tiny, 0, 2) == 3
    stored = sorted((project.cache_dir / "shards").glob("*/0*"))
    assert len(stored) == 6
    stamps = [path.stat().st_mtime_ns for path in stored]

    class Watch(Task):
        def progress(self, done, total, message=""):
            assert [path.stat().st_mtime_ns for path in stored] == stamps

    shared = extract_video(project, stem, config, tiny, skip_existing=False, task=Watch())
    np.testing.assert_array_equal(rows_of(shared).latent, whole)


def test_old_leftovers_go_and_fresh_ones_stay(tmp_path):
    for name in (".000000000.x.part", ".000000000.y.part"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.npy").write_bytes(b"x")
    (tmp_path / ".a.npz.z.part").write_bytes(b"x")
    old = time.time() - 7200
    for path in (tmp_path / ".000000000.x.part" / "1.npy", tmp_path / ".000000000.x.part", tmp_path / ".a.npz.z.part"):
        os.utime(path, (old, old))
    assert clear_leftovers(tmp_path) == 2
    assert [path.name for path in tmp_path.iterdir()] == [".000000000.y.part"]


def test_metadata_says_all_that_the_numbers_depend_on(project, stem, tiny):
    config = replace(
        CONFIG,
        encoder="tiny",
        roi_ids=(1,),
        preprocess=Preprocess(center_roi=1, crop_width=80, crop_height=80, tail_roi=2),
    )
    path = Path(extract_video(project, stem, config, tiny).written[0].path)
    metadata = read_latents(path).metadata
    assert metadata["schema_version"] == 1
    assert metadata["weight_hash"] == tiny.weight_hash
    assert metadata["precision"] == "fp32"
    assert metadata["preprocessing"]["crop_width"] == 80
    assert all(metadata[key] for key in ("video_fingerprint", "masks_hash", "castle_studio_version", "batch_size"))
    assert {"torch", "numpy", "transformers", "av"} <= set(metadata["versions"])
    with np.load(path, allow_pickle=False) as file:
        seen = file["status"] == 0
        assert np.isfinite(file["angle_deg"][seen]).all()


def test_the_whole_frame_beside_a_roi_is_the_whole_frame_alone(project, stem, hog):
    both = extract_video(project, stem, replace(CONFIG, roi_ids=(0, 1)), hog)
    whole = rows_of(both, 0)
    assert not whole.status.any()
    assert rows_of(both, 1).status[7] == 1
    assert extract_video(project, stem, CONFIG, hog).skipped[0].reason == "exists with the same settings"


def test_masks_are_the_same_when_their_file_is_opened_again_and_again(project, monkeypatch):
    path = project.path / "track" / project.videos()[0].name / "mask_list.h5"
    with MaskFile(path) as masks:
        expected = [masks.mask_at(i) for i in range(60)]
    monkeypatch.setattr("castle_core.rois._READS_BEFORE_REOPENING", 3)
    with MaskFile(path) as masks:
        for i, mask in enumerate(expected):
            np.testing.assert_array_equal(masks.mask_at(i), mask)
        os.utime(path)
        with pytest.raises(RoiError, match="changed while"):
            [masks.mask_at(i) for i in range(10, 15)]
