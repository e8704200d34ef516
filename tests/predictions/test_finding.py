from pathlib import Path

import pytest
from prediction_tables import walk, write_csv

from castle_core.errors import PredictionError
from castle_core.predictions import find_models, find_predictions, metrics_by_name

STEMS = ["mouse", "mouse_top", "a.b"]


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")


def found(project: Path) -> dict[tuple[str, str], str]:
    return {(f.model, f.stem): f.path.relative_to(project).as_posix() for f in find_predictions(project, STEMS)}


@pytest.mark.parametrize(
    ("name", "model", "stem"),
    [
        ("models/2026-01-02/10-11-12/video_preds/mouse.csv", "2026-01-02/10-11-12", "mouse"),
        ("models/2026-01-02/10-11-12/video_preds_infer/mouse_top.csv", "2026-01-02/10-11-12", "mouse_top"),
        ("models/2026-01-02/10-11-12/video_preds/mouse.mp4/predictions.csv", "2026-01-02/10-11-12", "mouse"),
        ("models/2026-01-02/10-11-12/videos_infer/a.b.csv", "2026-01-02/10-11-12", "a.b"),
        ("models/mine/mouse.csv", "mine", "mouse"),
        ("models/mine/mouse.h5", "mine", "mouse"),
        ("models/mine/mouse.slp", "mine", "mouse"),
        ("models/mine/mouse.predictions.slp", "mine", "mouse"),
        ("models/dlc/mouseDLC_resnet50_xJan1shuffle1_100.h5", "dlc", "mouse"),
        ("models/dlc/unknown video.csv", "dlc", "unknown video"),
    ],
)
def test_layouts(tmp_path, name, model, stem):
    touch(tmp_path, name)
    assert found(tmp_path) == {(model, stem): name}


def test_predictions_on_labelled_frames_and_metrics_are_none(tmp_path):
    model = "models/2026-01-02/10-11-12/"
    touch(
        tmp_path,
        model + "predictions.csv",
        model + "predictions_pixel_error.csv",
        model + "predictions_top.csv",
        model + "CollectedData.csv",
        model + "config.yaml",
        model + "video_preds/mouse_temporal_norm.csv",
        model + "video_preds/mouse_pca_singleview_error.csv",
        model + "video_preds/mouse_short.csv",
        model + ".hidden/mouse.csv",
    )
    assert found(tmp_path) == {}
    (models,) = find_models(tmp_path, STEMS)
    assert models.files == ()
    assert "litpose predict" in models.hint(tmp_path)


def test_metrics_belong_to_their_video(tmp_path):
    folder = tmp_path / "models/m/video_preds"
    write_csv(folder / "mouse.csv", walk(3))
    touch(folder, "mouse_temporal_norm.csv", "mouse_top_pca_singleview_error.csv")
    (file,) = find_predictions(tmp_path, STEMS)
    assert file.metrics == {"temporal_norm": folder / "mouse_temporal_norm.csv"}


def test_csv_comes_before_h5_and_no_project_has_none(tmp_path):
    touch(tmp_path, "models/m/mouse.h5", "models/m/mouse.csv")
    assert found(tmp_path) == {("m", "mouse"): "models/m/mouse.csv"}
    assert find_models(tmp_path / "nowhere") == []


def test_a_link_to_a_folder_above_ends(tmp_path):
    touch(tmp_path, "models/m/mouse.csv")
    (tmp_path / "models/m/again").symlink_to(tmp_path / "models")
    assert ("m", "mouse") in found(tmp_path)


def test_metric_files_by_name(tmp_path):
    touch(tmp_path, "m_temporal_norm.csv", "n_temporal_norm.csv", "m.csv")
    assert metrics_by_name([tmp_path / "m_temporal_norm.csv"]) == {"temporal_norm": tmp_path / "m_temporal_norm.csv"}
    with pytest.raises(PredictionError, match="no metric file"):
        metrics_by_name([tmp_path / "m.csv"])
    with pytest.raises(PredictionError, match="the same metric"):
        metrics_by_name([tmp_path / "m_temporal_norm.csv", tmp_path / "n_temporal_norm.csv"])
    with pytest.raises(PredictionError, match="There is no metric file"):
        metrics_by_name([tmp_path / "gone_temporal_norm.csv"])
