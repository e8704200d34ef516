"""Points by name, by file, and from predicted keypoints."""

from dataclasses import replace

import numpy as np
import pytest

from castle_core.encoders import load_encoder
from castle_core.errors import ConfigError, PredictionError
from castle_core.latents import ExtractConfig
from castle_core.latents.point_keys import list_point_keys, read_point_track
from castle_core.latents.run import run_extractions
from castle_core.predictions import find_predictions, load_predictions


def test_every_point_of_the_project_is_listed_and_reads(project, stem):
    keys = list_point_keys(project, stem)
    assert "nose" in keys
    file = find_predictions(project.path, [stem])[0]
    key = f"{file.model}:tail_tip"
    assert key in keys
    table = load_predictions(file.path)
    column = table.keypoints.index("tail_tip")
    track = read_point_track(project, stem, key, likelihood_threshold=0.6)
    low = table.likelihood[:, column] < 0.6
    np.testing.assert_array_equal(np.isnan(track.xy).any(axis=1), low)
    np.testing.assert_array_equal(track.xy[~low], table.xy[~low, column])
    by_file = read_point_track(project, stem, f"{file.path}:tail_tip", likelihood_threshold=0.6)
    assert by_file.content_hash() == track.content_hash()
    assert by_file.name == "tail_tip"


def test_what_is_not_there_names_what_is(project, stem):
    with pytest.raises(PredictionError, match="Choose one of: nose"):
        read_point_track(project, stem, "beak", likelihood_threshold=0.6)
    file = find_predictions(project.path, [stem])[0]
    with pytest.raises(PredictionError, match="no keypoint 'beak'"):
        read_point_track(project, stem, f"{file.path}:beak", likelihood_threshold=0.6)


def test_one_videos_file_is_not_used_for_another(project, stem):
    (project.path / "videos" / "other.mp4").symlink_to(project.videos()[0].path.resolve())
    file = find_predictions(project.path, [stem])[0]
    config = ExtractConfig(encoder="hog", roi_ids=(0,), poolings=("point",), points=(f"{file.path}:nose",))
    hog = load_encoder("hog")
    with pytest.raises(ConfigError, match="points of one video"):
        run_extractions(project, None, config, encoder=hog)
    report = run_extractions(project, [stem], config, encoder=hog)
    assert report["outputs"][0]["path"].endswith("_ROI_0_hog_pt-nose.npz")
    # A name belongs to every video; the one without that track fails alone.
    report = run_extractions(project, None, replace(config, points=("nose",)), encoder=hog)
    assert [failure["video"] for failure in report["failed"]] == ["other.mp4"]
