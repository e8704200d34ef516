"""Mask files of CASTLE and of ours, masks around keypoints, and what does not fit."""

import h5py
import numpy as np
import pytest

from castle_core.errors import RoiError
from castle_core.rois import KeypointMasks, MaskFile, WholeFrame, check_roi_id, component_centroid, largest_component


def write(path, masks, **scalars):
    with h5py.File(path, "w") as file:
        for name, mask in masks.items():
            file.create_dataset(str(name), data=mask, compression="gzip")
        for name, value in scalars.items():
            file[name] = value


def test_castles_real_file(shared_data):
    path = shared_data / "castle" / "test-c_elegans-1min" / "track" / "test-c_elegans-1min.mp4" / "mask_list.h5"
    with MaskFile(path) as masks:
        assert (masks.height, masks.width, masks.n_frames, masks.n_rois) == (450, 680, 480, 1)
        assert masks.frame_indices.tolist() == list(range(480))
        assert set(np.unique(masks.mask_at(479))) == {0, 1}
        assert masks.mask_at(480) is None


def test_names_sort_by_number_and_gaps_are_none(tmp_path):
    path = tmp_path / "m.h5"
    write(path, {10: np.full((4, 5), 2, np.uint8), 9: np.zeros((4, 5), np.uint8)}, n_rois=2)
    with MaskFile(path) as masks:
        assert masks.frame_indices.tolist() == [9, 10]
        assert masks.mask_at(3) is None
        assert masks.n_rois == 2
        assert masks.mask_at(10)[0, 0] == 2


def test_the_hash_follows_the_content(tmp_path):
    for name, value in (("a", 1), ("b", 2)):
        write(tmp_path / f"{name}.h5", {0: np.full((4, 5), value, np.uint8)})
    with MaskFile(tmp_path / "a.h5") as a, MaskFile(tmp_path / "b.h5") as b:
        assert a.content_hash() != b.content_hash()


def test_damaged_and_foreign_files_say_so(tmp_path):
    (tmp_path / "text.h5").write_text("no")
    write(tmp_path / "empty.h5", {})
    write(tmp_path / "mixed.h5", {0: np.zeros((4, 5), np.uint8), 1: np.zeros((4, 5), np.float32)})
    for name, message in (("absent", "no tracked ROIs"), ("text", "cannot be read"), ("empty", "no masks")):
        with pytest.raises(RoiError, match=message):
            MaskFile(tmp_path / f"{name}.h5")
    write(tmp_path / "links.h5", {index: np.zeros((4, 5), np.uint8) for index in range(20)})
    whole, torn = (tmp_path / "links.h5").read_bytes(), 0
    for place in range(0, len(whole), 64):
        (tmp_path / "links.h5").write_bytes(whole[:place] + b"\xff" * 64 + whole[place + 64 :])
        try:
            MaskFile(tmp_path / "links.h5").close()
        except RoiError:
            torn += 1
    assert torn > 3
    with MaskFile(tmp_path / "mixed.h5") as masks, pytest.raises(RoiError, match="frame 1"):
        masks.mask_at(1)


POINTS = np.array([[[20.0, 20.0], [60.0, 20.0], [40.0, 50.0]]])


def test_discs_capsules_and_hulls_have_their_areas():
    areas = {}
    for shape in ("disc", "capsule", "hull"):
        mask = KeypointMasks(POINTS, height=80, width=90, shape=shape, radius=6, roi_id=3).mask_at(0)
        assert set(np.unique(mask)) == {0, 3}
        areas[shape] = int((mask == 3).sum())
    disc = np.pi * 36
    assert areas["disc"] == pytest.approx(3 * disc, rel=0.1)
    lengths = [40, np.hypot(20, 30)]
    assert areas["capsule"] == pytest.approx(sum(lengths) * 12 + disc, rel=0.12)
    perimeter = 40 + 2 * np.hypot(20, 30)
    assert areas["hull"] == pytest.approx(600 + 6 * perimeter + disc, rel=0.06)


def test_unlikely_and_missing_keypoints_draw_nothing():
    points = np.repeat(POINTS, 3, axis=0)
    points[1, 0] = np.nan
    likelihood = np.ones((3, 3))
    likelihood[2] = 0.1
    masks = KeypointMasks(points, likelihood, height=80, width=90, radius=5)
    assert masks.mask_at(1)[20, 20] == 0
    assert masks.mask_at(1)[20, 60] == 1
    assert not masks.mask_at(2).any()
    assert masks.mask_at(3) is None


def test_keypoints_far_outside_colour_nothing():
    masks = KeypointMasks(np.array([[[1e12, -1e12], [-3.0, 40.0]]]), height=80, width=90, radius=6)
    mask = masks.mask_at(0)
    assert 0 < mask.sum() < 60
    assert mask[:, 6:].sum() == 0


@pytest.mark.parametrize("wrong", [{"radius": 0}, {"radius": 1000}, {"roi_id": 0}, {"roi_id": 256}])
def test_impossible_shapes_are_refused(wrong):
    with pytest.raises(RoiError):
        KeypointMasks(POINTS, height=80, width=90, **wrong)


def test_ids_and_the_whole_frame():
    assert check_roi_id(255) == 255
    with pytest.raises(RoiError):
        check_roi_id(-1)
    assert WholeFrame(4, 5).mask_at(99).shape == (4, 5)


def test_the_largest_piece_counts_with_diagonal_neighbours():
    mask = np.zeros((20, 20), np.uint8)
    mask[2, 2] = mask[3, 3] = mask[4, 4] = 1
    mask[10:12, 10] = 1
    piece = largest_component(mask, 1)
    assert piece.sum() == 3
    assert component_centroid(piece) == (3.0, 3.0)
    assert largest_component(mask, 9) is None


@pytest.mark.parametrize(
    "storage",
    [
        {"chunks": (20, 32), "compression": "gzip"},  # chunks that reach beyond the picture
        {"chunks": (20, 32), "compression": "gzip", "shuffle": True},
        {"chunks": (20, 32), "compression": "gzip", "fillvalue": 3},
        {"chunks": (20, 32)},
        {},
    ],
)
def test_masks_read_the_same_however_they_are_stored(tmp_path, storage):
    expected = np.zeros((48, 70), np.uint8)
    expected[15:30, 40:70] = 2
    expected[47, 69] = 255
    path = tmp_path / "mask_list.h5"
    with h5py.File(path, "w") as file:
        for name in ("0", "1"):
            file.create_dataset(name, data=expected, **storage)
    with MaskFile(path) as masks:
        for frame_index in (0, 1):
            np.testing.assert_array_equal(masks.mask_at(frame_index), expected)
