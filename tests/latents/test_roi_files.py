"""Masks into a project: checked, never lost, other ROIs kept."""

import h5py
import numpy as np
import pytest

from castle_core.errors import JobCancelled, RoiError
from castle_core.progress import Task
from castle_core.roi_files import import_masks, masks_from_points
from castle_core.rois import MaskFile


def predictions(project, stem):
    return sorted(project.path.glob(f"models/*/*/video_preds/{stem}.csv"))[0]


def test_a_shape_around_keypoints_joins_the_other_rois(project, stem):
    path = project.path / "track" / project.videos()[0].name / "mask_list.h5"
    with MaskFile(path) as before:
        body = before.mask_at(0) == 1
    report = masks_from_points(
        project, stem, predictions(project, stem), keypoints=("nose",), radius=4, roi_id=9, likelihood_threshold=0
    )
    assert report.frames == 60
    assert report.rois == (1, 2, 3, 9)
    with MaskFile(path) as after:
        mask = after.mask_at(0)
        assert (mask == 9).any()
        np.testing.assert_array_equal((mask == 1) | ((mask == 9) & body), body)
    assert len(list(project.cache_dir.glob("trash/*/mask_list.h5"))) == 1


def test_unknown_keypoints_are_named(project, stem):
    with pytest.raises(RoiError, match="no keypoint beak"):
        masks_from_points(project, stem, predictions(project, stem), keypoints=("nose", "beak"))


def test_an_imported_file_is_the_same_file(project, stem, tmp_path):
    target = project.path / "track" / project.videos()[0].name / "mask_list.h5"
    source = tmp_path / "from elsewhere.h5"
    source.write_bytes(target.read_bytes())
    target.unlink()
    report = import_masks(project, stem, source)
    assert target.read_bytes() == source.read_bytes()
    assert report.frames == 58
    assert report.lost[2] == 3


def test_masks_that_do_not_fit_are_refused_and_the_old_stay(project, stem, tmp_path):
    target = project.path / "track" / project.videos()[0].name / "mask_list.h5"
    before = target.read_bytes()
    for name, frame, shape in (("size", 0, (9, 9)), ("length", 60, (120, 160))):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file[str(frame)] = np.zeros(shape, np.uint8)
        with pytest.raises(RoiError, match="another video"):
            import_masks(project, stem, tmp_path / f"{name}.h5")
    assert target.read_bytes() == before


class CancelledAtTheEnd(Task):
    """A job that is cancelled just before its file gets its name."""

    def publish(self, temporary, final):
        raise JobCancelled("cancelled")


def test_a_cancel_at_the_very_end_leaves_the_earlier_masks(project, stem, tmp_path):
    target = project.path / "track" / project.videos()[0].name / "mask_list.h5"
    before = target.read_bytes()
    (tmp_path / "new.h5").write_bytes(before)
    with pytest.raises(JobCancelled):
        import_masks(project, stem, tmp_path / "new.h5", task=CancelledAtTheEnd())
    with pytest.raises(JobCancelled):
        masks_from_points(project, stem, predictions(project, stem), keypoints=("nose",), task=CancelledAtTheEnd())
    assert target.read_bytes() == before
    assert not list(project.cache_dir.glob("trash/*/*"))


@pytest.mark.parametrize("there", [True, False])
def test_what_was_tracked_while_shapes_were_drawn_is_not_overwritten(project, stem, there):
    target = project.path / "track" / project.videos()[0].name / "mask_list.h5"
    tracked = target.read_bytes()
    if not there:
        target.unlink()

    class Tracker(Task):
        def progress(self, done, total, message=""):
            if done == 30 and message == "frames":
                target.with_name("new.h5").write_bytes(tracked)
                target.with_name("new.h5").replace(target)

    with pytest.raises(RoiError, match="once tracking is over"):
        masks_from_points(project, stem, predictions(project, stem), keypoints=("nose",), roi_id=9, task=Tracker())
    assert target.read_bytes() == tracked
