"""Stopping, killing and going on; and what lies there already: left, compared, kept, never lost."""

import os
import signal
import subprocess
import sys
import time
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from extractions import CONFIG, N_FRAMES, latent_of, write_points

from castle_core.encoders import load_encoder
from castle_core.errors import JobCancelled, ProjectError
from castle_core.latents import read_latents
from castle_core.latents.extraction import extract_part, extract_video
from castle_core.latents.preflight import preflight
from castle_core.preprocess import NO_MASK, Preprocess
from castle_core.progress import Task


class StopAfter(Task):
    """Cancel once so many frames are done."""

    def __init__(self, frames):
        self.frames = frames

    def progress(self, done, total, message=""):
        if message == "frames" and done >= self.frames:
            raise JobCancelled("stop")


def test_a_cancelled_run_resumes_to_the_same_bits(project, stem, tiny):
    config = replace(CONFIG, preprocess=Preprocess(center_roi=1, crop_width=80, crop_height=80, tail_roi=2))
    with pytest.raises(JobCancelled):
        extract_video(project, stem, config, tiny, task=StopAfter(30))
    assert len(list(project.cache_dir.glob("shards/*/0*"))) == 1
    assert not list((project.path / "latent").rglob("*.npz"))
    resumed = np.array(latent_of(extract_video(project, stem, config, tiny), roi=1).latent)
    whole = extract_video(project, stem, config, tiny, skip_existing=False)
    np.testing.assert_array_equal(resumed, latent_of(whole, roi=1).latent)


KILLED = """
import sys
from castle_core.encoders import load_encoder
from castle_core.latents import ExtractConfig
from castle_core.latents.extraction import extract_video
from castle_core.progress import Task
from castle_core.rendering import render_input
from castle_core.projects import Project

class Loud(Task):
    def progress(self, done, total, message=""):
        print(message, done, flush=True)

encoder = load_encoder("hog")
config = ExtractConfig(encoder="hog", roi_ids=(1, 2), batch_size=4, shard_frames=10)
extract_video(Project.open(sys.argv[1]), sys.argv[2], config, encoder, task=Loud())
"""


def kill_and_resume(project, stem, moments):
    encoder = load_encoder("hog")
    config = replace(CONFIG, batch_size=4, shard_frames=10)
    whole = extract_video(project, stem, config, encoder)
    expected = {w.path: np.array(read_latents(Path(w.path)).latent) for w in whole.written}
    for path in expected:
        os.remove(path)
    for frames in moments:
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(project.path), stem], stdout=subprocess.PIPE, text=True
        )
        try:
            for line in process.stdout:
                if line.startswith("frames") and int(line.split()[1]) >= frames:
                    break
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
            process.stdout.close()
    done = extract_video(project, stem, config, encoder)
    assert {w.path for w in done.written} | {s.path for s in done.skipped} == set(expected)
    for path, latent in expected.items():
        np.testing.assert_array_equal(read_latents(Path(path)).latent, latent)


def test_kill_9_costs_at_most_one_shard(project, stem):
    kill_and_resume(project, stem, [9, 33, 58])


@pytest.mark.heavy
@pytest.mark.timeout(900)
def test_kill_9_twenty_times(project, stem):
    kill_and_resume(project, stem, np.random.default_rng(0).integers(1, 60, 20).tolist())


def test_what_exists_is_compared_not_only_named(project, stem, tiny):
    first = replace(CONFIG, roi_ids=(1,), preprocess=Preprocess(center_roi=1, crop_width=80, crop_height=80))
    extract_video(project, stem, first, tiny)
    again = extract_video(project, stem, first, tiny)
    assert again.written == ()
    assert again.skipped[0].reason == "exists with the same settings"
    smaller = replace(first, preprocess=replace(first.preprocess, crop_width=60, crop_height=60))
    left = extract_video(project, stem, smaller, tiny, when_different="skip")
    assert "the crop was 80 x 80, you ask 60 x 60" in left.skipped[0].reason
    both = extract_video(project, stem, smaller, tiny, when_different="keep-both")
    assert "_pre-" in both.written[0].path
    assert extract_video(project, stem, smaller, tiny, when_different="keep-both").written == ()
    extract_video(project, stem, smaller, tiny)
    trashed = list(project.cache_dir.glob("trash/*/*.npz"))
    assert len(trashed) == 1
    assert read_latents(trashed[0]).metadata["identity"]["preprocess"]["crop_width"] == 80


def test_what_else_was_asked_beside_it_does_not_make_a_file_different(project, stem):
    hog = load_encoder("hog")
    write_points(project, "p", stem, [(f, 40.3, 50.7) for f in range(N_FRAMES)])
    extract_video(project, stem, replace(CONFIG, roi_ids=(1,), poolings=("roi-mean", "point"), points=("p",)), hog)
    again = extract_video(project, stem, replace(CONFIG, roi_ids=(1,)), hog)
    assert not again.written
    assert len(again.skipped) == 1


def test_masks_tracked_again_are_noticed(project, stem, tiny):
    config = replace(CONFIG, roi_ids=(1,))
    extract_video(project, stem, config, tiny)
    with h5py.File(project.path / "track" / project.videos()[0].name / "mask_list.h5", "r+") as file:
        del file["3"]
    row = preflight(project, [stem], config, tiny)[0]
    assert "tracked again" in row.existing[0]
    latents = latent_of(extract_video(project, stem, config, tiny), roi=1)
    assert latents.status[3] == NO_MASK


def test_going_on_needs_no_room_for_what_is_stored_already(project, stem, monkeypatch):
    hog, config = load_encoder("hog"), replace(CONFIG, roi_ids=(0,), poolings=("none",))
    n_bytes = 2 * N_FRAMES * 9 * 8 * 8
    usage = namedtuple("usage", "total used free")(1, 1, int(1.5 * n_bytes))
    monkeypatch.setattr("castle_core.latents.extraction.shutil.disk_usage", lambda path: usage)
    with pytest.raises(ProjectError, match="are free"):
        extract_video(project, stem, config, hog)
    (row,) = preflight(project, [stem], config, hog)
    assert (row.cause, row.bytes_needed, row.n_left) == ("disk", 2 * n_bytes, N_FRAMES)
    extract_part(project, stem, config, hog, 0, 1)
    (row,) = preflight(project, [stem], config, hog)
    assert (row.verdict, row.bytes_needed, row.n_left, row.seconds) == ("ready", n_bytes, 0, 0)
    assert len(extract_video(project, stem, config, hog).written) == 1


def test_a_foreign_file_of_the_same_name_is_never_lost(project, stem, tiny):
    path = project.path / "latent" / tiny.name / f"{stem}_ROI_1_tiny-dinov2.npz"
    path.parent.mkdir(parents=True)
    np.savez_compressed(path, latent=np.zeros((5, 2)))
    path.with_name(path.name + ".json").write_text("{}")

    class CancelledAtTheEnd(Task):
        def publish(self, temporary, final):
            if final == path:
                raise JobCancelled("cancelled")
            super().publish(temporary, final)

    with pytest.raises(JobCancelled):
        extract_video(project, stem, replace(CONFIG, roi_ids=(1,)), tiny, task=CancelledAtTheEnd())
    assert read_latents(path).latent.shape == (5, 2)
    assert path.with_name(path.name + ".json").read_text() == "{}"
    extract_video(project, stem, replace(CONFIG, roi_ids=(1,)), tiny)
    assert read_latents(path).latent.shape != (5, 2)
    (kept,) = project.cache_dir.glob("trash/*/*.npz")
    assert read_latents(kept).latent.shape == (5, 2)
    assert kept.with_name(kept.name + ".json").read_text() == "{}"


def test_two_extractions_of_the_same_files_do_not_mix(project, stem, tiny):
    from castle_core.errors import LockHeldError

    class Nested(Task):
        tried = False

        def progress(self, done, total, message=""):
            if not self.tried:
                self.tried = True
                started = time.monotonic()
                with pytest.raises(LockHeldError):
                    extract_video(project, stem, CONFIG, tiny)
                assert time.monotonic() - started < 5

    task = Nested()
    assert len(extract_video(project, stem, CONFIG, tiny, task=task).written) == 2
    assert task.tried
