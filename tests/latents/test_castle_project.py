"""A real CASTLE project opens as it is, and a latent of ours in it follows CASTLE's listing rules."""

import json
import shutil

import numpy as np
import pytest

from castle_core.encoders import load_encoder
from castle_core.latents import ExtractConfig, read_latents
from castle_core.latents.extraction import extract_video
from castle_core.projects import Project
from castle_core.video import VideoWriter

NAME = "test-c_elegans-1min"


@pytest.fixture
def castle_project(shared_data, tmp_path):
    folder = tmp_path / NAME
    shutil.copytree(shared_data / "castle" / NAME, folder)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    (folder / "sources").mkdir()
    rng = np.random.default_rng(0)
    with VideoWriter(
        folder / "sources" / f"{NAME}.mp4", fps=8, width=680, height=450, preset="ultrafast", crf=40
    ) as video:
        picture = np.full((450, 680, 3), 120, np.uint8)
        for _ in range(480):
            picture[200:230, 300:330] = rng.integers(0, 255, 3)
            video.write(picture)
    return Project.open(folder)


def test_masks_are_read_and_the_latent_is_registered(castle_project):
    done = extract_video(castle_project, NAME, ExtractConfig(encoder="hog"), load_encoder("hog"))
    latents = read_latents(castle_project.path / "latent" / "hog" / f"{NAME}_ROI_1_hog.npz")
    assert latents.latent.shape == (480, 9)
    assert not latents.status.any()
    assert done.written[0].nan_rows == 0
    registry = json.loads((castle_project.path / "config.json").read_text())
    # CASTLE lists a file that is registered for the video, lies in latent/<model>/ and names ROI and model.
    assert registry["latent"][f"{NAME}_ROI_1_hog.npz"] == f"{NAME}.mp4"
    assert registry["latent"][f"{NAME}_ROI_1_latent.npz"] == f"{NAME}.mp4"
    assert registry["source"] == [f"{NAME}.mp4"]
    assert registry["observer_dim"] == 768
