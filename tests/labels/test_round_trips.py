"""What is written in a format is read from it again, whatever the labels are."""

import csv
import io
import json
import os
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from label_builders import frame, labels, with_images

from castle_core.errors import LabelError, ProjectError
from castle_core.label_studio.annotations import read_task
from castle_core.label_studio.labels_config import config_keypoints
from castle_core.labels import Labels, read_collected_data, write_collected_data
from castle_core.labels.coco import coco_contents, coco_document, read_coco
from castle_core.labels.contents import write_contents
from castle_core.labels.deeplabcut import dlc_contents, read_dlc_labels_h5
from castle_core.labels.label_studio_zip import label_studio_contents
from castle_core.labels.lightning_pose import lightning_pose_contents
from castle_core.labels.sleap import read_slp_labels, write_slp

few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@few
@given(labels())
def test_collected_data(tmp_path, given):
    for name, n_index in (("CollectedData.csv", 1), ("CollectedData_top.csv", 3)):
        path = tmp_path / name
        path.unlink(missing_ok=True)
        write_collected_data(path, given, n_index=n_index)
        read = read_collected_data(path)
        order = [(i, k) for i in range(len(given.individuals)) for k in range(len(given.keypoints)) if given.has[i, k]]
        assert read.frames == given.ordered().frames
        assert set(read.keypoints) == set(given.keypoints)
        by_name = in_order_of(read, given)
        assert by_name.same_as(given.ordered()), order
        again = path.read_bytes()
        write_collected_data(path, read)
        assert path.read_bytes() == again


@few
@given(labels(visible=False))
def test_deeplabcut_csv_and_h5(tmp_path, given):
    from castle_core.projects import Project

    project = Project(tmp_path)
    contents = dlc_contents(project, given)
    scorer = "Dr. Müller"
    stems = {path.split("/")[1] if path.count("/") == 2 else project.name for path in given.frames}
    assert {name for name in contents.files if not name.endswith(".png")} == {
        f"labeled-data/{stem}/CollectedData_{scorer}.{kind}" for stem in stems for kind in ("csv", "h5")
    }
    for stem in stems:
        base = tmp_path / "labeled-data" / stem / f"CollectedData_{scorer}"
        base.parent.mkdir(parents=True, exist_ok=True)
        for kind in ("csv", "h5"):
            (base.parent / f"{base.name}.{kind}").write_bytes(contents.files[f"labeled-data/{stem}/{base.name}.{kind}"])
        from_csv = read_collected_data(base.parent / f"{base.name}.csv")
        from_h5 = read_dlc_labels_h5(base.parent / f"{base.name}.h5")
        assert from_h5.same_as(from_csv)
        rows = [r for r, path in enumerate(given.frames) if (path.split("/")[1:-1] or [project.name])[0] == stem]
        part = in_order_of(from_csv, given)
        assert np.array_equal(part.xy, given.take(rows).ordered().xy, equal_nan=True)


@few
@given(labels())
def test_coco(tmp_path, given):
    given = given.ordered()
    sizes = {path: (640 + row, 480) for row, path in enumerate(given.frames)}
    path = tmp_path / "annotations.json"
    document = coco_document(given, sizes, ((given.keypoints[0], given.keypoints[-1]),))
    path.write_text(json.dumps(document, allow_nan=False), encoding="utf-8")
    read = read_coco(path)
    if given.visible is not None:
        given = replace(given, visible=np.where(np.isnan(given.visible), 0, given.visible))
    assert read.same_as(given)
    assert [image["width"] for image in document["images"]] == [640 + row for row in range(given.n_frames)]
    for entry in document["annotations"]:
        assert len(entry["keypoints"]) == 3 * len(document["categories"][entry["category_id"] - 1]["keypoints"])
        assert entry["num_keypoints"] == sum(v > 0 for v in entry["keypoints"][2::3])


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(labels(visible=False))
def test_sleap(tmp_path_factory, given):
    pytest.importorskip("sleap_io")
    folder = tmp_path_factory.mktemp("slp")
    project = with_images(folder / "p", given)
    for embed, name in ((False, "a.slp"), (True, "a.pkg.slp")):
        write_slp(project, given, folder / name, embed=embed)
        read = read_slp_labels(folder / name)
        assert in_order_of(read, given, has=False).same_as(replace(given.ordered(), has=given.has | True))
    assert sorted(os.listdir(folder)) == ["a.pkg.slp", "a.slp", "p"]


@few
@given(labels(animals=False, visible=False))
def test_label_studio(tmp_path_factory, given):
    """As annotations of the tasks in the zip, and as pre-labels would come back."""
    sizes = ((64, 48), (40, 30))
    given = given.ordered()
    inside = np.array([sizes[row % 2] for row in range(given.n_frames)])[:, None, None, :]
    given = replace(given, xy=(given.xy + 5) / 2005 * inside, scorer="")
    project = with_images(tmp_path_factory.mktemp("ls") / "p", given, sizes)
    contents = label_studio_contents(project, given)
    config = contents.files["labels_config.xml"].decode()
    assert config_keypoints(config) == given.keypoints
    tasks = {task["data"]["lp_path"]: task for task in json.loads(contents.files["tasks.json"]())}
    assert set(tasks) == set(given.frames)
    for row, path in enumerate(given.frames):
        size = sizes[row % 2]
        assert (tasks[path]["data"]["width"], tasks[path]["data"]["height"]) == size
        said = read_task(tasks[path], given.keypoints, size)
        assert said.state == ("empty" if path in given.no_animal else "labelled")
        back = np.array([said.xy.get(name, (np.nan, np.nan)) for name in given.keypoints])
        np.testing.assert_allclose(back, given.xy[row, 0], rtol=0, atol=1e-9)
        assert not said.notes
        assert not said.unsure


def in_order_of(read: Labels, other: Labels, *, has: bool = True) -> Labels:
    """Return `read` with keypoints and animals in the order of `other`, and its frames sorted."""
    keypoints = [read.keypoints.index(name) for name in other.keypoints]
    animals = [read.individuals.index(name) for name in other.individuals]
    at = np.ix_(animals, keypoints)
    return Labels(
        other.keypoints,
        other.individuals,
        read.frames,
        read.xy[:, *at],
        None if read.visible is None else read.visible[:, *at],
        read.scorer,
        read.no_animal,
        read.has[at] if has else np.ones_like(read.has),
    ).ordered()


@pytest.fixture
def given():
    xy = np.array([[[1.5, 2], [3, 4]], [[5, 6], [np.nan, np.nan]], [[7, 8], [9, 10]]]).reshape(3, 1, 2, 2)
    frames = (frame(3), frame(10, "w"), "labeled-data/img01.png")
    return Labels(("nose", "tail"), ("",), frames, xy, scorer="anna").ordered()


def test_sleap_io_reads_our_deeplabcut_files(tmp_path):
    sio = pytest.importorskip("sleap_io")
    xy = np.random.default_rng(0).uniform(0, 60, (4, 1, 3, 2))
    xy[1, 0, 2] = np.nan
    frames = (frame(3), frame(4), frame(10, "w"), frame(12, "w"))
    given = Labels(("tail", "nose", "ear"), ("",), frames, xy, scorer="anna")
    project = with_images(tmp_path / "p", given)
    write_contents(tmp_path / "dlc", dlc_contents(project, given))
    write_collected_data(project.path / "CollectedData.csv", given)
    root = tmp_path / "dlc" / "labeled-data"
    for paths in ([root / "v" / "CollectedData_anna.csv", root / "w" / "CollectedData_anna.csv"], [project.path]):
        read = []
        for path in paths:
            loaded = sio.load_dlc(str(path / "CollectedData.csv" if path.is_dir() else path))
            order = [loaded.skeletons[0].index(name) for name in given.keypoints]
            read += [each[0].numpy()[order] for each in loaded.labeled_frames]
        assert np.array_equal(np.array(read), xy[:, 0], equal_nan=True)


def test_sleap_io_reads_our_coco(tmp_path, given):
    sio = pytest.importorskip("sleap_io")
    project = with_images(tmp_path / "p", given)
    write_contents(tmp_path / "coco", coco_contents(project, given, (("nose", "tail"),)))
    loaded = sio.load_coco(str(tmp_path / "coco" / "annotations.json"), dataset_root=str(tmp_path / "coco"))
    points = sorted(tuple(each[0].numpy()[0]) for each in loaded.labeled_frames)
    assert points == [(1.5, 2), (5, 6), (7, 8)]
    assert [(e.source.name, e.destination.name) for e in loaded.skeletons[0].edges] == [("nose", "tail")]


def test_lightning_pose_folder(tmp_path, given):
    project = with_images(tmp_path / "p", given)
    for index in (1, 2, 5, 9, 77, 78):
        (project.path / frame(index)).write_bytes((project.path / frame(3)).read_bytes())
    (project.path / "labeled-data" / "v" / "selected_frames.csv").write_text("img00000003.png\nimg00000077.png\n")
    write_contents(tmp_path / "lp", lightning_pose_contents(project, given))
    lp = tmp_path / "lp"
    assert read_collected_data(lp / "CollectedData.csv").same_as(given)
    rows = list(csv.reader(io.StringIO((lp / "CollectedData.csv").read_text())))
    assert [row[0] for row in rows[:3]] == ["scorer", "bodyparts", "coords"]
    queue = (lp / "CollectedData.unlabeled.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in queue] == [{"frame_path": frame(77), "predictions": None}]
    images = sorted(path.relative_to(lp).as_posix() for path in lp.rglob("*.png"))
    assert images == sorted([*given.frames, frame(1), frame(2), frame(5), frame(77), frame(78)])


def test_several_animals_are_refused_by_name(tmp_path):
    several = Labels(("a",), ("Anna", "Otto"), (frame(1),), np.zeros((1, 2, 1, 2)))
    project = with_images(tmp_path / "p", several)
    with pytest.raises(LabelError, match=r"Lightning Pose takes one animal.*2 \(Anna, Otto\)"):
        lightning_pose_contents(project, several)


def test_an_export_is_whole_or_not_there(tmp_path, given):
    project = with_images(tmp_path / "p", given)
    out = tmp_path / "out.zip"
    write_contents(out, dlc_contents(project, given))
    assert zipfile.ZipFile(out).testzip() is None
    with pytest.raises(ProjectError, match="exists already"):
        write_contents(out, dlc_contents(project, given))
    (project.path / given.frames[0]).unlink()
    for target in (tmp_path / "two.zip", tmp_path / "two"):
        with pytest.raises(LabelError, match="is gone"):
            write_contents(target, dlc_contents(project, given))
        assert not target.exists()
    with pytest.raises(LabelError, match="cannot be read"):
        coco_contents(project, given)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.zip", "p"]


def test_files_of_sleap_itself(shared_data):
    pytest.importorskip("sleap_io")
    read = read_slp_labels(shared_data / "sleap" / "predictions" / "minimal_instance.slp")
    assert read.n_frames == 1
    read = read_slp_labels(shared_data / "poseapp" / "test_file.pkg.slp")
    assert {path.split("/")[1] for path in read.frames} == {"test_vid_50", "test_vid_60"}
    dance = read_slp_labels(shared_data / "sleap" / "predictions" / "dance.mp4.labels.slp")
    assert len(dance.keypoints) == 17
