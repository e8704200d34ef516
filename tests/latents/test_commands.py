"""``castle latents``, ``castle models`` and ``castle rois`` as they are typed, with their JSON and exit codes."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from castle_core.cli.app import app
from castle_core.cli.output import run_app
from castle_core.demo import make_demo
from castle_core.preprocess import NO_MASK, OK, ROI_ABSENT
from castle_core.projects import Project
from castle_core.video import open_video

N_FRAMES, LOST, UNTRACKED = 24, (4, 5), 9


@pytest.fixture(scope="module")
def two_videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("commands") / "demo"
    make_demo(folder, seconds=N_FRAMES / 30, size=(160, 120), n_videos=2)
    for path in (folder / "track").glob("*/mask_list.h5"):
        with h5py.File(path, "r+") as file:
            del file[str(UNTRACKED)]
            for frame_index in LOST:
                mask = file[str(frame_index)][()]
                mask[mask == 3] = 0
                file[str(frame_index)][...] = mask
    return folder


def run(capsys, *arguments, code=0):
    assert run_app(app, [str(a) for a in arguments]) == code
    out, err = capsys.readouterr()
    return (json.loads(out) if out else {}), err


def check_output(output):
    path = Path(output["path"])
    if output["pooling"] == "none":
        with h5py.File(path) as file:
            latent, status = file["latent"][()], file["status"][()]
        assert latent.dtype == np.float16
    else:
        with np.load(path, allow_pickle=False) as file:
            latent, status = file["latent"], file["status"]
            assert latent.dtype == np.float32
            assert file["frame_index"].tolist() == list(range(N_FRAMES))
            assert len(json.loads(str(file["metadata"][0]))["identity"]) > 10
    assert len(latent) == N_FRAMES == output["n_frames"]
    assert latent.shape[1] == output["dim"]
    rows = np.isnan(latent.reshape(N_FRAMES, -1))
    np.testing.assert_array_equal(rows.any(axis=1), status != OK)
    np.testing.assert_array_equal(rows.all(axis=1), status != OK)
    assert output["nan_rows"] == int((status != OK).sum())
    if output["pooling"] != "point":
        expected = np.zeros(N_FRAMES, np.uint8)
        expected[UNTRACKED] = NO_MASK
        if output["roi"] == 3:
            expected[list(LOST)] = ROI_ABSENT
        np.testing.assert_array_equal(status, expected)
    assert path.with_name(path.name + ".json").is_file()


@pytest.mark.parametrize("encoder", ["tiny", "hog"])
def test_latents_of_two_videos_three_rois_and_every_pooling(two_videos, capsys, encoder):
    poolings = ["roi-mean", "global", "point", "none"] + (["cls"] if encoder == "tiny" else [])
    arguments = ["latents", "--project", two_videos, "--points", "nose", "--rotation", "--angles", "3", "--crop-video"]
    arguments += ["--encoder", "tiny-dinov2" if encoder == "tiny" else "hog"]  # the project's own goes by its name
    arguments += ["--input-size", "56", "--center-roi", "1", "--tail-roi", "2", "--crop", "100x80", "--json"]
    arguments += [word for roi in "123" for word in ("--roi", roi)]
    arguments += [word for pooling in poolings for word in ("--pooling", pooling)]
    report, said = run(capsys, *arguments)
    assert report["failed"] == report["skipped"] == []
    assert len(report["outputs"]) == 2 * 3 * (len(poolings) + 1)
    for output in report["outputs"]:
        assert set(output) == {"video", "roi", "pooling", "path", "n_frames", "dim", "nan_rows", "seconds"}
        check_output(output)
    for crop in report["crop_videos"]:
        with open_video(crop["path"]) as video:
            assert (video.n_frames, video.width, video.height) == (N_FRAMES, 100, 80)
    assert "🎉 Extraction Complete!" in said
    registry = json.loads((two_videos / "config.json").read_text())
    slug = "tiny-dinov2" if encoder == "tiny" else "hog"
    for stem in ("mouse_day1", "mouse_day2"):
        for roi in (1, 2, 3):
            assert registry["latent"][f"{stem}_ROI_{roi}_{slug}_ctr.npz"] == f"{stem}.mp4"
    again, said = run(capsys, *[a for a in arguments if a != "--crop-video"])
    assert again["outputs"] == []
    assert len(again["skipped"]) == len(report["outputs"])
    assert "⏩ Skipping existing" in said


def test_a_video_that_fails_does_not_stop_the_others(two_videos, capsys):
    report, said = run(
        capsys, "latents", "--project", two_videos, "--encoder", "hog", "--pooling", "point", "--points", "beak",
        "--json", code=1,
    )  # fmt: skip
    assert [failure["video"] for failure in report["failed"]] == ["mouse_day1.mp4", "mouse_day2.mp4"]
    assert "There is no point 'beak'" in said
    masks = two_videos / "track" / "mouse_day2.mp4" / "mask_list.h5"
    masks.rename(masks.with_suffix(".away"))
    try:
        report, _ = run(
            capsys, "latents", "--project", two_videos, "--encoder", "hog", "--every", "5", "--json", code=1
        )
    finally:
        masks.with_suffix(".away").rename(masks)
    assert [output["video"] for output in report["outputs"]] == ["mouse_day1.mp4"]
    assert "no tracked ROIs" in report["failed"][0]["reason"]


def test_a_roi_that_was_never_tracked_fails_and_writes_nothing(two_videos, capsys):
    report, _ = run(capsys, "latents", "--project", two_videos, "--encoder", "hog", "--roi", "77", "--json", code=1)
    assert len(report["failed"]) == 2
    assert "ROI 77 is on no frame of mouse_day1.mp4; tracked there: 1, 2, 3" in report["failed"][0]["reason"]
    assert not list((two_videos / "latent").rglob("*ROI_77*"))


def test_a_file_without_any_value_is_a_failure_each_time(two_videos, capsys):
    """ROI 3 is lost on the frames of `LOST`: an extraction of these alone has nothing to show."""
    lost = f"{min(LOST)}f"
    words = ["latents", "--project", two_videos, "--encoder", "hog", "--roi", "3", "--video", "mouse_day1", "--json"]
    words += ["--start", lost, "--stop", f"{min(LOST) + 1}f"]
    for _ in range(2):  # the second time the file is there and skipped
        report, _ = run(capsys, *words, code=1)
        assert "has no value on any frame (ROI absent)" in report["failed"][0]["reason"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--roi", "256"], "1 to 255"),
        (["--batch-size", "0"], "batch size"),
        (["--crop", "300x0", "--center-roi", "1"], "2 to 8192"),
        (["--tail-roi", "2"], "Center ROI on"),
        (["--center-roi", "2", "--tail-roi", "2"], "two different"),
        (["--start", "0.5", "--stop", "0.5"], "holds no frame"),
        (["--pooling", "cls"], "no CLS token"),
        (["--video", "nobody"], "nobody"),
    ],
)
def test_impossible_requests_are_one_line(two_videos, capsys, words, message):
    _, said = run(capsys, "latents", "--project", two_videos, "--encoder", "hog", *words, code=1)
    assert message in said
    assert "Traceback" not in said


def test_a_model_that_is_missing_is_one_line(two_videos, capsys):
    _, said = run(capsys, "latents", "--project", two_videos, "--encoder", "dinov3_vitb16", code=1)
    assert "castle models get dinov3_vitb16" in said
    assert len(said.strip().splitlines()) == 1


def test_a_model_that_nobody_knows_is_told_apart_from_a_network_that_is_down(capsys):
    _, said = run(capsys, "models", "get", "foo", code=1)
    assert "There is no model 'foo'" in said


def test_models_are_listed_and_added(two_videos, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("CASTLE_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    listed, _ = run(capsys, "models", "list", "--json")
    states = {model["name"]: model["state"] for model in listed["models"]}
    assert states["hog"] == "ready"
    assert states["dinov3_vitb16"] == "gated"
    assert [model["name"] for model in listed["models"] if model["default"]] == ["dinov2_vitb14_reg4_pretrain"]
    _, said = run(capsys, "models", "add", two_videos / "encoders" / "tiny-dinov2")
    assert str(tmp_path / "models" / "tiny-dinov2") in said
    _, said = run(capsys, "models", "add", tmp_path / "nowhere", code=1)
    assert "Traceback" not in said


def test_rois_from_points_and_from_a_file(two_videos, capsys, tmp_path):
    project = Project.open(two_videos)
    predictions = next(two_videos.glob("models/*/*/video_preds/mouse_day1.csv"))
    masks = two_videos / "track" / "mouse_day1.mp4" / "mask_list.h5"
    kept = tmp_path / "kept.h5"
    kept.write_bytes(masks.read_bytes())
    common = ["--project", two_videos, "--video", "mouse_day1", "--json"]
    report, _ = run(
        capsys, "rois", "from-points", *common, "--predictions", predictions, "--keypoints", "nose,neck", "--shape",
        "capsule", "--radius", "5", "--roi", "7", "--likelihood-threshold", "0",
    )  # fmt: skip
    assert report["frames"] == N_FRAMES
    assert report["rois"] == [1, 2, 3, 7]
    assert report["lost"]["7"] == 0
    report, _ = run(capsys, "rois", "import", kept, *common)
    assert (report["frames"], report["rois"]) == (N_FRAMES - 1, [1, 2, 3])
    assert report["lost"]["3"] == len(LOST)
    assert masks.read_bytes() == kept.read_bytes()
    assert len(list(project.cache_dir.glob("trash/*/*mask_list.h5"))) == 2
    _, said = run(capsys, "rois", "import", predictions, *common, code=1)
    assert "cannot be read as HDF5" in said
