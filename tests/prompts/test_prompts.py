"""Drawings: what may be drawn, which pixels it covers, and how it is kept."""

import json
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from castle_core.errors import CastleError, RoiError
from castle_core.projects import Project
from castle_core.prompts import (
    Prompt,
    check_prompts,
    labelled_frames,
    prompt_frames,
    prompt_mask,
    prompts_path,
    read_label_file,
    read_prompts,
    save_prompts,
    write_label_file,
)

H, W = 48, 64


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    from castle_core.video import VideoWriter

    path = tmp_path_factory.mktemp("film") / "walk.mp4"
    with VideoWriter(path, fps=10, width=W, height=H, gop=10) as writer:
        for index in range(20):
            writer.write(np.full((H, W, 3), 20 + 3 * index, np.uint8))
    return path


@pytest.fixture
def project(castle_folders, film):
    made = Project.create("mice")
    (made.path / "videos" / "walk.mp4").write_bytes(film.read_bytes())
    return made


def test_a_box_covers_the_pixels_whose_centres_it_holds():
    mask = prompt_mask([Prompt(0, 3, "box", [10, 5, 20, 9])], H, W)
    assert mask.dtype == np.uint8
    assert (mask > 0).sum() == 40
    assert mask[5, 10] == mask[8, 19] == 3
    assert mask[4, 10] == mask[9, 10] == mask[5, 9] == mask[5, 20] == 0


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_polygon_is_what_a_point_in_polygon_test_says(data):
    import cv2

    n = data.draw(st.integers(3, 7))
    corners = np.array(
        [[data.draw(st.integers(-40, 400)) / 5 + 0.013, data.draw(st.integers(-40, 300)) / 5 + 0.017] for _ in range(n)]
    )
    # Only simple shapes: elsewhere winding and even-odd differ.
    corners = cv2.convexHull(corners.astype(np.float32))[:, 0].astype(np.float64)
    if len(corners) < 3:
        return
    mask = prompt_mask([Prompt(0, 1, "polygon", corners)], H, W)
    for y in range(0, H, 3):
        for x in range(0, W, 3):
            inside = cv2.pointPolygonTest(corners.astype(np.float32), (x + 0.5, y + 0.5), True)
            if abs(inside) > 0.01:
                assert bool(mask[y, x]) == (inside > 0)


def test_a_brush_covers_its_width_and_an_eraser_takes_away():
    stroke = Prompt(0, 1, "brush", [[10, 10], [30, 10]], radius=3)
    mask = prompt_mask([stroke], H, W)
    ys, xs = np.nonzero(mask)
    assert (ys.min(), ys.max(), xs.min(), xs.max()) == (7, 12, 7, 32)
    erased = prompt_mask([stroke, Prompt(0, 1, "brush", [[20.5, 10]], False, radius=4)], H, W)
    assert 0 < (erased > 0).sum() < (mask > 0).sum()
    assert not erased[10, 20]


def test_the_later_roi_wins_and_points_have_no_area():
    body, tail = Prompt(0, 1, "box", [0, 0, 30, 30]), Prompt(0, 2, "box", [20, 20, 40, 40])
    mask = prompt_mask([body, tail, Prompt(0, 3, "point", [[1, 1]])], H, W)
    assert mask[25, 25] == 2
    assert set(np.unique(mask)) == {0, 1, 2}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((0, 256, "box", [0, 0, 1, 1]), "1 to 255"),
        ((0, 0, "box", [0, 0, 1, 1]), "1 to 255"),
        ((0, 1, "star", [0, 0, 1, 1]), "not 'star'"),
        ((0, 1, "box", [5, 5, 5, 9]), "empty"),
        ((0, 1, "box", [5, 5, float("nan"), 9]), "no number"),
        ((0, 1, "polygon", [[0, 0], [1, 1]]), "at least 3"),
        ((0, 1, "mask", np.zeros((4, 4))), "empty"),
        ((-1, 1, "box", [0, 0, 1, 1]), "counted from 0"),
        ((0, 1, "brush", [[0, 0]]), "radius"),
    ],
)
def test_what_cannot_be_drawn_says_why(arguments, says):
    with pytest.raises(RoiError, match=says):
        Prompt(*arguments)


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        (Prompt(20, 1, "box", [0, 0, 5, 5]), "frames 0 to 19"),
        (Prompt(0, 1, "box", [64, 0, 70, 5]), "outside the 64 x 48"),
        (Prompt(0, 1, "polygon", [[-9, -9], [-1, -9], [-5, -1]]), "outside"),
        (Prompt(0, 1, "point", [[3, 3], [70, 3]]), "point 70, 3"),
        (Prompt(0, 1, "mask", np.ones((5, 5))), "5 x 5"),
    ],
)
def test_a_drawing_that_does_not_fit_is_refused_and_the_old_one_stays(project, prompt, says):
    save_prompts(project, "walk", 0, [Prompt(0, 1, "box", [1, 1, 9, 9])])
    with pytest.raises(RoiError, match=says):
        save_prompts(project, "walk", prompt.frame_index, [prompt])
    assert read_prompts(project, "walk") == (Prompt(0, 1, "box", [1, 1, 9, 9]),)
    with pytest.raises(RoiError):
        check_prompts([prompt], height=H, width=W, n_frames=20)


def drawings(frame: int) -> list[Prompt]:
    mask = np.zeros((H, W), bool)
    mask[3:9, 4:20] = True
    return [
        Prompt(frame, 1, "box", [1.25, 2, 30, 40]),
        Prompt(frame, 2, "polygon", [[3, 4], [20.5, 6], [9, 30]]),
        Prompt(frame, 2, "brush", [[3, 4], [20.5, 6]], radius=2.5),
        Prompt(frame, 2, "brush", [[3, 4]], False, radius=1),
        Prompt(frame, 7, "point", [[3, 4], [20.5, 6]], [True, False]),
        Prompt(frame, 9, "mask", mask),
    ]


def test_drawings_come_back_as_they_were(project):
    save_prompts(project, "walk", 12, drawings(12))
    save_prompts(project, "walk", 3, drawings(3)[:1])
    assert read_prompts(project, "walk") == (*drawings(3)[:1], *drawings(12))
    assert read_prompts(project, "walk", 12) == tuple(drawings(12))
    assert prompt_frames(project, "walk") == (3, 12)
    save_prompts(project, "walk", 12, [])
    assert prompt_frames(project, "walk") == (3,)
    document = json.loads(prompts_path(project, "walk").read_text())
    assert document["video"] == "walk.mp4"
    assert document["size"] == [W, H]


def test_a_damaged_file_is_named(project):
    save_prompts(project, "walk", 0, drawings(0))
    for picture in (project.path / "track" / "walk.mp4" / "prompts").iterdir():
        picture.write_bytes(b"nothing")
    with pytest.raises(RoiError, match=r"prompts/00000000_ROI_9.*Draw it again"):
        read_prompts(project, "walk")
    prompts_path(project, "walk").write_text("{")
    with pytest.raises(CastleError, match=r"prompts\.json is damaged"):
        read_prompts(project, "walk")


def test_label_files_are_written_and_read_as_drawings(project):
    frame = np.random.default_rng(0).integers(0, 255, (H, W, 3), dtype=np.uint8)
    mask = prompt_mask(drawings(5), H, W)
    path = write_label_file(project, "walk", 5, frame, mask)
    assert path == project.path / "label" / "walk.mp4" / "5.npz"
    with np.load(path) as archive:
        assert np.array_equal(archive["frame"], frame)
        assert np.array_equal(archive["mask"], mask)
    assert np.array_equal(prompt_mask(read_prompts(project, "walk"), H, W), mask)
    assert prompt_frames(project, "walk") == (5,)
    save_prompts(project, "walk", 5, [Prompt(5, 1, "box", [0, 0, 3, 3])])
    assert [prompt.kind for prompt in read_prompts(project, "walk")] == ["box"]
    save_prompts(project, "walk", 5, [])
    assert prompt_frames(project, "walk") == ()
    with pytest.raises(RoiError, match="Nothing with an area"):
        write_label_file(project, "walk", 5, frame, np.zeros((H, W), np.uint8))


def test_a_damaged_label_file_is_named(tmp_path):
    path = tmp_path / "7.npz"
    path.write_bytes(b"PK")
    with pytest.raises(RoiError, match=r"7\.npz cannot be read"):
        read_label_file(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other.npy", b"")
    with pytest.raises(RoiError, match=r"7\.npz cannot be read"):
        read_label_file(path)
    np.savez(path, mask=np.ones((3, 3), np.int64))
    with pytest.raises(RoiError, match="int64"):
        read_label_file(path)


def test_castles_own_label_files(shared_data, castle_folders):
    folder = shared_data / "castle" / "test-c_elegans-1min" / "label" / "test-c_elegans-1min.mp4"
    for name in ("0.npz", "102.npz"):
        prompts = read_label_file(folder / name)
        assert [prompt.roi for prompt in prompts] == [1]
        with np.load(folder / name) as archive:
            assert np.array_equal(prompt_mask(prompts, *archive["mask"].shape), archive["mask"])


def test_an_unused_name_is_no_label(project):
    folder = project.path / "label" / "walk.mp4"
    folder.mkdir(parents=True)
    (folder / "notes.npz").write_bytes(b"")
    assert labelled_frames(project, "walk") == {}
