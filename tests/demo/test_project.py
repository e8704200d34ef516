import csv
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from castle_core.demo import ERRING_MODEL, GOOD_MODEL, KEYPOINTS, SKELETON, make_demo
from castle_core.errors import ConfigError, JobCancelled, ProjectError
from castle_core.predictions import find_models, load_predictions
from castle_core.progress import Task
from castle_core.projects import Project
from castle_core.video import open_video

N_FRAMES = 180


def masks_of(project: Path) -> np.ndarray:
    with h5py.File(project / "track/mouse_day1.mp4/mask_list.h5") as file:
        return np.stack([file[str(i)][()] for i in range(N_FRAMES)])


def frames_table(project: Path) -> list[dict[str, str]]:
    with open(project / "ground_truth/mouse_day1_frames.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_part_has_one_entry_a_frame(made):
    project = Path(made["project"])
    with open_video(project / "videos/mouse_day1.mp4") as video:
        assert (video.n_frames, video.width, video.height) == (N_FRAMES, 320, 240)
    with h5py.File(project / "track/mouse_day1.mp4/mask_list.h5") as file:
        assert int(file["total_frames"][()]) == N_FRAMES
        assert (int(file["height"][()]), int(file["width"][()])) == (240, 320)
        assert int(file["roi_count"][()]) == int(file["n_rois"][()]) == 3
        assert sum(key.isdigit() for key in file) == N_FRAMES
        first = file["0"]
        assert (first.shape, first.dtype, first.compression) == ((240, 320), np.uint8, "gzip")
    for path in ("ground_truth", f"models/{GOOD_MODEL}/video_preds", f"models/{ERRING_MODEL}/video_preds"):
        predictions = load_predictions(project / path / "mouse_day1.csv")
        assert predictions.keypoints == KEYPOINTS
        assert predictions.n_frames == N_FRAMES
    assert len((project / "points/nose/mouse_day1.csv").read_text().splitlines()) == N_FRAMES + 1


def test_it_opens_as_a_project(made):
    project = Project.open(made["project"])
    assert project.keypoints == KEYPOINTS
    assert project.skeleton == SKELETON
    assert [video.stem for video in project.videos()] == ["mouse_day1"]
    assert [model.name for model in find_models(project.path, ["mouse_day1"])] == [GOOD_MODEL, ERRING_MODEL]


def test_keypoints_lie_in_their_masks(made):
    project = Path(made["project"])
    masks = masks_of(project)
    truth = load_predictions(project / "ground_truth/mouse_day1.csv")
    column = np.rint(truth.xy).astype(int)
    for name, roi in (("left_ear", 3), ("right_ear", 3), ("left_hindpaw", 1), ("tail_mid", 2)):
        x, y = column[:, KEYPOINTS.index(name)].T
        assert np.mean(masks[np.arange(N_FRAMES), y, x] == roi) > 0.9, name


def test_the_masks_are_where_the_animal_is_painted(made):
    project = Path(made["project"])
    masks = masks_of(project)
    assert set(np.unique(masks)) == {0, 1, 2, 3}
    with open_video(project / "videos/mouse_day1.mp4") as video:
        frame = video.frame_at(100).astype(int).sum(axis=2)
    inside, outside = frame[masks[100] == 1], frame[masks[100] == 0]
    assert inside.mean() < 0.6 * outside.mean()


def test_ground_truth_names_the_frames_where_the_model_errs(made):
    project = Path(made["project"])
    truth = load_predictions(project / "ground_truth/mouse_day1.csv").xy
    table = frames_table(project)
    told = np.array([float(row["error_px"]) for row in table])
    erring = load_predictions(project / f"models/{ERRING_MODEL}/video_preds/mouse_day1.csv").xy
    good = load_predictions(project / f"models/{GOOD_MODEL}/video_preds/mouse_day1.csv").xy
    assert np.linalg.norm(erring - truth, axis=2).max(axis=1) == pytest.approx(told, abs=0.02)
    assert np.linalg.norm(good - truth, axis=2).max() < 8
    assert (told > 10).sum() >= 3
    assert all(row["error"] for row, error in zip(table, told, strict=True) if error > 10)


def test_the_zip_is_in_the_strict_form(made):
    with zipfile.ZipFile(made["zips"][0]) as archive:
        names = set(archive.namelist())
        chosen = archive.read("selected_frames.csv").decode().split()
        pictures = names - {"selected_frames.csv"}
        around = {f"img{int(name[3:11]) + step:08d}.png" for name in chosen for step in range(-2, 3)}
        assert pictures == around
        assert archive.read(chosen[0]).startswith(b"\x89PNG")


def test_the_same_seed_gives_the_same_project(made, tmp_path):
    again = make_demo(tmp_path / "again", seconds=1, size=(320, 240), n_videos=1)
    for name in (f"models/{ERRING_MODEL}/video_preds/mouse_day1.csv", "ground_truth/mouse_day1.csv"):
        short = (Path(again["project"]) / name).read_text().splitlines()
        assert short == (Path(made["project"]) / name).read_text().splitlines()[: len(short)]
    first, second = (Path(m["project"]) / "encoders/tiny-dinov2/model.safetensors" for m in (made, again))
    assert first.read_bytes() == second.read_bytes()
    assert Path(made["zips"][0]).read_bytes() == Path(again["zips"][0]).read_bytes()
    other = make_demo(tmp_path / "other", seconds=1, size=(320, 240), n_videos=1, seed=1, encoder=False)
    assert (Path(other["project"]) / "ground_truth/mouse_day1.csv").read_text().splitlines() != short
    assert other["encoders"] == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": (321, 240)}, "even numbers"),
        ({"size": (32, 32)}, "96 or more"),
        ({"seconds": 0}, "no frame"),
        ({"n_videos": 0}, "1 to 1000"),
    ],
)
def test_settings_that_cannot_be(tmp_path, settings, message):
    with pytest.raises(ConfigError, match=message):
        make_demo(tmp_path / "x", **settings)
    assert not any(tmp_path.iterdir())


def test_a_folder_in_use_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note.txt").write_text("keep")
    with pytest.raises(ProjectError, match="not empty"):
        make_demo(tmp_path / "mine", seconds=1)
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "note.txt"]


def test_cancelling_leaves_nothing(tmp_path):
    class Cancelled(Task):
        def progress(self, done, total, message=""):
            if done >= 50:
                raise JobCancelled("stop")

    with pytest.raises(JobCancelled):
        make_demo(tmp_path / "x", seconds=5, size=(160, 120), task=Cancelled())
    assert not any(tmp_path.iterdir())


def test_the_command_prints_its_json(tmp_path):
    run = subprocess.run(
        [Path(sys.executable).parent / "castle", "demo", "small", "--seconds", "1", "--size", "160x120", "--json"],
        capture_output=True,
        text=True,
        env={**os.environ, "CASTLE_HOME": str(tmp_path)},
        check=False,
    )
    assert run.returncode == 0, run.stderr
    answer = json.loads(run.stdout)
    assert [Path(path).name for path in answer["videos"]] == ["mouse_day1.mp4", "mouse_day2.mp4"]
    assert all(Path(path).exists() for key in ("videos", "encoders", "zips") for path in answer[key])
    assert Path(answer["project"]) == tmp_path / "small"


def test_the_encoder_loads_like_any_other(made):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    model, info = transformers.AutoModel.from_pretrained(made["encoders"][0], output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert type(model).__name__ == "Dinov2WithRegistersModel"
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        tokens = model(torch.randn(2, 3, 518, 518, generator=generator)).last_hidden_state
    assert tokens.shape == (2, 1 + 4 + 37 * 37, 64)
    assert torch.isfinite(tokens).all()
    assert (tokens[0] - tokens[1]).abs().mean() > 0.01


@pytest.mark.heavy
@pytest.mark.timeout(3600)
def test_memory_stays_flat_for_an_hour(tmp_path):
    code = (
        "import resource, sys; from pathlib import Path; from castle_core.demo import make_demo; "
        "make_demo(Path(sys.argv[1]), seconds=float(sys.argv[2]), n_videos=1, encoder=False); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    )
    peaks = []
    for seconds in (60, 3600):
        folder = tmp_path / str(seconds)
        run = subprocess.run(
            [sys.executable, "-c", code, folder, str(seconds)], capture_output=True, text=True, check=True, timeout=1800
        )
        peaks.append(float(run.stdout))
    assert peaks[1] < 1.3 * peaks[0] + 50
