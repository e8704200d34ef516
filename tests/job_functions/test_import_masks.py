"""The job that takes a mask file in."""

import numpy as np
import pytest

from castle_core.errors import RoiError
from castle_core.job_functions import job_function
from castle_core.mask_writer import MaskListWriter
from castle_core.progress import QUIET
from castle_core.projects import Project
from castle_core.rois import MaskFile
from castle_core.video import VideoWriter


def test_a_mask_file_is_checked_and_copied(castle_folders, tmp_path):
    project = Project.create("mice")
    with VideoWriter(project.path / "videos" / "walk.mp4", fps=10, width=64, height=48) as film:
        for _ in range(4):
            film.write(np.full((48, 64, 3), 90, np.uint8))
    source = tmp_path / "masks.h5"
    with MaskListWriter(source, width=64, height=48, n_rois=2) as writer:
        for index in range(4):
            mask = np.zeros((48, 64), np.uint8)
            mask[:10, :10] = 1
            mask[20:30, :10] = 2 if index else 0
            writer.write(mask, (0, 0, 64, 48))
    run = job_function("import_masks")
    settings = {"project": str(project.path), "owner": "ana", "file": str(source), "video": "walk"}
    report = run(QUIET, **settings)
    assert report["frames"] == 4
    assert report["rois"] == [1, 2]
    assert report["lost"] == {"1": 0, "2": 1}
    target = project.path / "track" / "walk.mp4" / "mask_list.h5"
    assert report["path"] == str(target)
    with MaskFile(target) as masks:
        assert masks.mask_at(0).any()
    before = target.read_bytes()
    with MaskListWriter(tmp_path / "other.h5", width=32, height=48, n_rois=1) as writer:
        writer.write(np.ones((48, 32), np.uint8), (0, 0, 32, 48))
    with pytest.raises(RoiError, match="another video"):
        run(QUIET, **{**settings, "file": str(tmp_path / "other.h5")})
    assert target.read_bytes() == before
