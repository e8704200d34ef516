"""What the page Extract latent runs besides extractions: riskiest frames, one frame, centroids as points."""

import json
import shutil
from collections import namedtuple

import numpy as np
import pytest

from castle_core.errors import ConfigError
from castle_core.job_functions import JOB_KINDS
from castle_core.job_functions.latent_page import check_latents, find_risky_frames, roi_centroids, run_one_frame
from castle_core.job_functions.latents import latents as extract
from castle_core.latents import read_latents
from castle_core.latents.frame_files import similarity, token_rgb
from castle_core.latents.points import read_points
from castle_core.progress import QUIET

HOG = {"encoder": "hog", "preprocess": {"center_roi": 1, "crop_width": 60, "crop_height": 60, "tail_roi": 2}}


def test_the_riskiest_frames_name_every_loss_once(project, stem):
    found = find_risky_frames(QUIET, project=str(project.path), owner="a", video=stem, config=HOG)["frames"]
    reasons = {row["frame_index"]: row["reason"] for row in found}
    assert reasons[20] == "tail ROI absent, 3 frames"
    assert reasons[7] == "no mask, 2 frames"
    assert len(reasons) == len(found)
    assert any("turns by" in reason for reason in reasons.values())


def test_one_frame_is_one_row_equal_to_the_extractions(project, stem):
    said = run_one_frame(QUIET, project=str(project.path), owner="a", video=stem, frame_index=5, config=HOG)
    (path,) = said["paths"]
    one = np.load(path)
    whole = extract(QUIET, project=str(project.path), owner="a", config=HOG)
    row = read_latents(project.path / whole["outputs"][0]["path"]).latent[5]
    np.testing.assert_allclose(one["latent"][0], row, atol=1e-5)
    assert one["latent"].shape[0] == 1
    with np.load(said["tokens"]) as kept:
        assert token_rgb(kept["tokens"]).shape == (*kept["tokens"].shape[:2], 3)
        alike = similarity(kept["tokens"], 4, 4)
    assert alike[4, 4] == pytest.approx(1, abs=1e-3) or not alike.any()


def test_a_frame_without_the_roi_gives_no_row(project, stem):
    said = run_one_frame(QUIET, project=str(project.path), owner="a", video=stem, frame_index=7, config=HOG)
    assert (said["words"], said["paths"]) == ("no mask", [])


def test_a_centroid_is_a_point_of_every_frame_with_the_roi(project, stem):
    said = roi_centroids(QUIET, project=str(project.path), owner="a", roi=2)
    track = read_points(project.path / "points" / said["key"] / f"{stem}.csv")
    missing = np.flatnonzero(np.isnan(track.xy[:, 0]))
    assert set(missing) == {7, 8, 20, 21, 22}


def check(project, **config):
    rows = check_latents(QUIET, project=str(project.path), owner="a", config={**HOG, **config})["rows"]
    return {row["video"]: row for row in rows}


def test_what_runs_a_model_runs_on_the_gpu():
    assert {name for name, kind in JOB_KINDS.items() if kind.needs_gpu} == {
        *("latents", "check_latents", "run_frame", "track_by_model")
    }


def test_the_check_names_the_cause_of_each_problem(project, monkeypatch):
    entry = project.videos()[0]
    shutil.copyfile(entry.path, entry.path.with_name("untracked.mp4"))
    entry.path.with_name("broken.mp4").write_bytes(b"no video at all")
    rows = check(project)
    assert [rows[name]["cause"] for name in ("untracked.mp4", "broken.mp4")] == ["masks", "video"]
    assert rows[entry.name]["verdict"] == "warning"  # some frames are lost
    assert check(project, poolings=["point"], points=["nowhere"])[entry.name]["cause"] == "points"
    assert check(project, start="0.9", stop="0.1")[entry.name]["cause"] == "settings"
    full = namedtuple("usage", "total used free")(1, 1, 10)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    assert check(project)[entry.name]["cause"] == "disk"


def test_a_run_from_the_page_starts_nothing_where_a_video_cannot_run(project, stem):
    entry = project.videos()[0]
    shutil.copyfile(entry.path, entry.path.with_name("untracked.mp4"))
    with pytest.raises(
        ConfigError, match=r"Nothing was started: 1 of 2 videos cannot run. untracked.mp4: .*no tracked ROIs"
    ):
        extract(QUIET, project=str(project.path), owner="a", config=HOG, all_or_nothing=True)
    assert not list((project.path / "latent").rglob("*.npz"))
    said = extract(QUIET, project=str(project.path), owner="a", config=HOG)
    assert [len(said["outputs"]), len(said["failed"])] == [1, 1]


def test_points_without_a_crop_need_no_roi(project, stem):
    folder = project.path / "points" / "nose"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}.csv").write_text("frame,x,y\n0,5,5\n")
    (row,) = check(project, preprocess={}, poolings=["point"], points=["nose"]).values()
    assert (row["verdict"], row["roi_share"]) == ("ready", {})


def test_a_wrong_roi_id_is_told_with_those_that_there_are(project, stem):
    (row,) = check(project, roi_ids=[9]).values()
    assert row["verdict"] == "problem"
    assert "ROI 9 is on no frame" in row["message"]
    assert "tracked there: 1, 2, 3" in row["message"]


def test_the_preview_shows_the_models_own_input_and_points_as_they_are_now(project, stem, tmp_path):
    from castle_core.encoders import load_encoder, natural_input
    from ui.latents.form import DEFAULTS, config_settings
    from ui.latents.pictures import preview

    folder = project.path / "encoders" / "tiny-dinov2"
    loaded = load_encoder(str(folder))
    assert natural_input(str(folder)) == (loaded.input_size, loaded.interpolation)
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "image_size": 224, "model_type": "dinov3_vit"}))
    assert natural_input(str(tmp_path)) == (224, "bicubic")
    form = {**DEFAULTS, "encoder": "other", "encoder_other": str(tmp_path), "module": "point", "points": ["q"]}
    file = project.path / "points" / "q" / f"{stem}.csv"
    file.parent.mkdir(parents=True)
    for x in (5, 50):
        file.write_text(f"frame,x,y\n0,{x},5\n")
        shown = preview(project, stem, 0, config_settings(form))
        assert (shown["side"], shown["points"]) == (224, {"q": f"x {x}.0, y 5.0 px"})
