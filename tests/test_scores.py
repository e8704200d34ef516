import numpy as np
import pytest
import yaml
from prediction_tables import metric_text, walk, write_csv

from castle_core.errors import ConfigError, PredictionError
from castle_core.hardness import Thresholds, measure
from castle_core.pose_pca import fit_subspace, multiview_error, singleview_error
from castle_core.predictions import load_predictions, read_label_csv, read_metric_csv
from castle_core.score_frames import Knowledge, pca_columns, score_frames
from castle_core.scores import PcaColumns, ensemble_disagreement, spread_of, temporal_norm


def test_temporal_norm_equals_the_given_file(shared_data):
    predictions = load_predictions(shared_data / "derived_lp_style/dance.csv")
    given = read_metric_csv(
        shared_data / "derived_lp_style/dance_temporal_norm.csv", predictions.keypoints, predictions.n_frames
    )
    own = temporal_norm(predictions.xy)
    assert np.array_equal(np.isnan(own), np.isnan(given))
    assert np.nanmax(np.abs(own - given)) < 2e-4
    assert np.isnan(own[0]).all()


def direct_error(train, rows, keep):
    """The reference formula, written out: float64, numpy's own masked covariance, every step in the open."""
    mean = np.nanmean(train, axis=0)
    covariance = np.ma.cov(np.ma.masked_invalid(train), rowvar=False).data
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = values[::-1], vectors[:, ::-1]
    if keep < 1:
        share = np.cumsum(values) / values.sum()
        count = next(i + 1 for i, value in enumerate(share) if value >= keep)
    else:
        count = int(keep)
    axes = vectors[:, :count]
    reprojected = (rows - mean) @ axes @ axes.T + mean
    difference = (rows - reprojected).reshape(len(rows), -1, 2)
    return np.sqrt((difference**2).sum(axis=2))


@pytest.fixture(scope="module")
def mouse(shared_data):
    """Labels of the mirrored mouse and the columns that its configuration names."""
    folder = shared_data / "lp_mirror_mouse"
    _, _, xy = read_label_csv(folder / "CollectedData.csv")
    data = yaml.safe_load((folder / "config_mirror-mouse-example.yaml").read_text())["data"]
    views = tuple(tuple(view) for view in data["mirrored_column_matches"])
    return xy, PcaColumns((tuple(data["columns_for_singleview_pca"]),), views)


def test_single_view_error_agrees_with_a_direct_computation(mouse):
    xy, columns = mouse
    group = list(columns.singleview[0])
    train = xy[:, group].reshape(len(xy), -1)
    whole = np.isfinite(train).all(axis=1)
    error, n_rows = singleview_error(xy, xy, columns)
    assert n_rows == len(xy) == 90
    assert whole.sum() > 10
    assert error[whole][:, group] == pytest.approx(direct_error(train, train[whole], 0.99), rel=1e-5, abs=1e-5)
    others = [column for column in range(17) if column not in group]
    assert np.isnan(error[:, others]).all()


def test_multi_view_error_agrees_with_a_direct_computation(mouse):
    xy, columns = mouse
    first, second = columns.mirrored
    rows = np.concatenate([xy[:, first], xy[:, second]], axis=2).reshape(-1, 4)
    whole = np.isfinite(rows).all(axis=1)
    train = rows[np.isfinite(rows).any(axis=1)]
    direct = np.full((len(rows), 2), np.nan)
    direct[whole] = direct_error(train, rows[whole], 3)
    error, _ = multiview_error(xy, xy, columns)
    for view, group in enumerate(columns.mirrored):
        mine, wanted = error[:, group].reshape(-1), direct[:, view]
        assert mine[whole] == pytest.approx(wanted[whole], rel=1e-5, abs=1e-5)
        assert np.isnan(mine[~whole]).all()
    assert np.nanmedian(error) < 10


def test_the_subspace_ignores_a_gap_and_finds_the_point_that_is_off():
    rng = np.random.default_rng(0)
    poses = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 12)) * 20 + 100
    subspace = fit_subspace(poses, 0.9999)
    assert subspace.components.shape[0] == 3
    odd = poses[:2].copy()
    odd[0, 4:6] += 60
    odd[1, 8:10] = np.nan
    distances = subspace.distances(odd)
    assert distances[0].argmax() == 2
    assert np.isnan(distances[1, 4])
    assert np.delete(distances[1], 4) == pytest.approx(0, abs=1e-6)
    assert fit_subspace(poses[:11], 0.99) is None


def test_disagreement_is_the_distance_of_two_models():
    first, second = walk(20), walk(20)
    second[3, 1] += (3, 4)
    second[5, 0] = np.nan
    result = ensemble_disagreement([first, second])
    assert result[3, 1] == pytest.approx(5)
    assert np.isnan(result[5, 0])
    assert np.nanmax(np.delete(result, 3, axis=0)) == 0
    three = ensemble_disagreement([first, first, second])
    assert three[3, 1] == pytest.approx(np.sqrt(50 / 3))  # distances 0, 5, 5


def test_robust_z_does_not_hide_small_outliers_behind_a_huge_one():
    values = np.random.default_rng(0).normal(10, 2, (1000, 1))
    values[3], values[7] = 1e6, 40
    spread = spread_of("temporal_norm", [values])
    assert spread.median[0] == pytest.approx(10, abs=0.3)
    assert spread.sigma[0] == pytest.approx(2, rel=0.15)
    assert spread.z(values)[7, 0] > 10
    # a perfect model: nothing moves, and rounding is no outlier
    still = spread_of("temporal_norm", [np.full((50, 1), 0.01)])
    assert abs(still.z(np.full((1, 1), 0.02))[0, 0]) < 0.1


def scored(path, **knowledge):
    predictions = load_predictions(path)
    scores, notes = score_frames(predictions, Knowledge(**knowledge))
    return predictions, scores, notes


def test_metric_files_are_read_where_they_are(tmp_path):
    xy = walk(60)
    path = write_csv(tmp_path / "m.csv", xy)
    metric = tmp_path / "m_temporal_norm.csv"
    metric.write_text(metric_text(np.full((60, 3), 7.0)))
    _, scores, _ = scored(path, metrics={"temporal_norm": metric})
    assert (scores["temporal_norm"].values == 7).all()
    assert scores["temporal_norm"].source == "read from m_temporal_norm.csv"
    assert "60 confidently predicted frames" in scores["pca_singleview"].source


def test_usual_poses_come_from_labels_if_there_are_enough(tmp_path):
    xy = walk(60)
    path = write_csv(tmp_path / "m.csv", xy)
    for n, source in ((20, "20 labelled frames of CollectedData.csv"), (4, "60 confidently predicted frames")):
        lines = ["scorer" + ",s" * 6, "bodyparts,nose,nose,left ear,left ear,tail,tail", "coords" + ",x,y" * 3]
        lines += [f"labeled-data/m/img{i:08d}.png," + ",".join(f"{v:.3f}" for v in xy[i].ravel()) for i in range(n)]
        (tmp_path / "CollectedData.csv").write_text("\n".join(lines) + "\n")
        _, scores, _ = scored(path, labels=tmp_path / "CollectedData.csv")
        assert source in scores["pca_singleview"].source


def test_what_is_missing_is_said(tmp_path):
    _, scores, notes = scored(write_csv(tmp_path / "m.csv", walk(4), np.zeros((4, 3))))
    assert set(scores) == {"temporal_norm"}
    assert any("no likelihood" in note for note in notes)
    assert any("PCA error (one view) was left out" in note for note in notes)


def test_columns_of_the_pca_come_from_the_configuration(tmp_path):
    predictions = load_predictions(write_csv(tmp_path / "m.csv", walk(5)))
    config = tmp_path / "config.yaml"
    config.write_text(
        "data:\n  keypoint_names: [tail, nose, left ear]\n  columns_for_singleview_pca: [0, 1]\n"
        "  mirrored_column_matches: [[0], [1]]\n"
    )
    columns = pca_columns(predictions, config)
    assert columns.singleview == ((2, 0),)
    assert columns.mirrored == ((2,), (0,))
    config.write_text("data:\n  columns_for_singleview_pca: [0, 9]\n")
    with pytest.raises(PredictionError, match="lists keypoint 9"):
        pca_columns(predictions, config)
    config.write_text("a: [")
    with pytest.raises(PredictionError, match="no readable YAML"):
        pca_columns(predictions, config)
    config.write_text("data:\n  mirrored_column_matches: [0, 1, 2]\n")  # several cameras: nothing to compare here
    assert pca_columns(predictions, config).mirrored == ()


def test_other_models_must_fit(tmp_path):
    first = write_csv(tmp_path / "a.csv", walk(9))
    shorter = load_predictions(write_csv(tmp_path / "b.csv", walk(8)))
    other = load_predictions(write_csv(tmp_path / "c.csv", walk(9), names=("x", "y", "z")))
    for model, message in ((shorter, "9 rows and b.csv 8"), (other, "other keypoints")):
        with pytest.raises(PredictionError, match=message):
            scored(first, others=(model,))


def hardness_of(xy, likelihood=None, fps=30.0):
    from castle_core.scores import Score

    scores = {"temporal_norm": Score("temporal_norm", temporal_norm(xy), "computed")}
    if likelihood is not None:
        scores["likelihood"] = Score("likelihood", (1 - likelihood).astype(np.float32), "read")
    spreads = {name: spread_of(name, [score.values]) for name, score in scores.items()}
    return measure(scores, spreads, xy, thresholds=Thresholds(), fps=fps)


@pytest.mark.parametrize("length", [1, 2, 6])
def test_a_jump_there_and_back_blames_the_wrong_frames_only(length):
    xy = walk(200, step=0.5)
    xy[100 : 100 + length, 1] += 84
    hard = np.flatnonzero(hardness_of(xy).hard())
    assert hard.tolist() == sorted({100, 100 + length - 1})


def test_a_wrong_first_frame_is_found_and_the_length_told():
    xy = walk(100, step=0.5)
    xy[0, 2] += (300, 400)
    worst = hardness_of(xy).worst["temporal_norm"]
    assert worst.z.argmax() == 0
    assert worst.keypoint[0] == 2
    assert worst.value[0] == pytest.approx(500, rel=0.02)


def test_likelihood_above_the_threshold_is_never_hard():
    likelihood = np.full((100, 3), 0.999)
    likelihood[10], likelihood[20] = 0.92, 0.5
    assert np.flatnonzero(hardness_of(walk(100, step=0.1), likelihood).hard()).tolist() == [20]


def test_settings_that_cannot_be():
    with pytest.raises(ConfigError, match="between 0 and 1"):
        Thresholds(likelihood=1.5)
    with pytest.raises(ConfigError, match="no score 'speed'"):
        Thresholds(z={"speed": 3})
    with pytest.raises(ConfigError, match="above 0"):
        Thresholds(z={"likelihood": 0})
