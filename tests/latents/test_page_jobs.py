"""What the page Extract latent runs besides extractions: riskiest frames, one frame, centroids as points."""

import numpy as np
import pytest

from castle_core.job_functions.latent_page import find_risky_frames, roi_centroids, run_one_frame
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
    from castle_core.job_functions.latents import latents

    said = run_one_frame(QUIET, project=str(project.path), owner="a", video=stem, frame_index=5, config=HOG)
    (path,) = said["paths"]
    one = np.load(path)
    whole = latents(QUIET, project=str(project.path), owner="a", config=HOG)
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
