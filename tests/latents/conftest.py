"""A small demo project with exact masks, whose ROI 2 is absent in some frames, and a tiny encoder."""

import shutil

import h5py
import numpy as np
import pytest

from castle_core.demo import make_demo
from castle_core.encoders import load_encoder
from castle_core.projects import Project

NO_MASK_FRAMES = (7, 8)
NO_ROI_2_FRAMES = (20, 21, 22)


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("latents") / "demo"
    make_demo(folder, seconds=2, size=(160, 120), n_videos=1)
    for path in (folder / "track").glob("*/mask_list.h5"):
        with h5py.File(path, "r+") as file:
            for frame_index in NO_MASK_FRAMES:
                del file[str(frame_index)]
            for frame_index in NO_ROI_2_FRAMES:
                mask = file[str(frame_index)][()]
                del file[str(frame_index)]
                file[str(frame_index)] = np.where(mask == 2, 0, mask).astype(np.uint8)
    return folder


@pytest.fixture
def project(demo_folder, tmp_path):
    """Copy the demo, so that every test writes into its own."""
    shutil.copytree(demo_folder, tmp_path / "demo", symlinks=True)
    return Project.open(tmp_path / "demo")


@pytest.fixture(scope="session")
def tiny(demo_folder):
    return load_encoder(str(demo_folder / "encoders" / "tiny-dinov2"), input_size=56)


@pytest.fixture
def stem(project):
    return project.videos()[0].stem
