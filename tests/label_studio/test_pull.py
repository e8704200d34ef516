"""Finished labels from a real Label Studio: what people do there, and what arrives here."""

import os
import shutil

import numpy as np
import pytest
from lab import NAMES, another_person, make_project, predicted, region, submit, tasks, write_frames, write_model

from castle_core.errors import LabelStudioError, ProjectError
from castle_core.label_studio import PushConfig, pull, push
from castle_core.label_studio.statistics import summarise
from castle_core.labels import Labels, project_labels, update_project_labels, write_collected_data

ONE, TWO, THREE = (f"labeled-data/day1/img{index:08d}.png" for index in (3, 7, 11))


@pytest.fixture
def sent(server):
    """A project whose three frames are in Label Studio, and their tasks by path."""
    project = make_project()
    report = push(project, server, PushConfig())
    return project, report.ls_project, tasks(server, report.ls_project)


def xy_of(project, path):
    labels = project_labels(project)
    return dict(zip(labels.keypoints, labels.xy[labels.frames.index(path), 0].tolist(), strict=True))


def notes(report, path):
    return " | ".join(each["note"] for each in report.details if each["frame"] == path)


def test_points_come_back_to_a_millionth_of_a_pixel_and_only_once(server, sent):
    project, _, there = sent
    random = np.random.default_rng(0)
    want = {path: random.uniform((0, 0), (64, 48), (3, 2)) for path in there}
    for path, task in there.items():
        submit(server, task["id"], [region(name, *want[path][k]) for k, name in enumerate(NAMES)])
    first = pull(project, server)
    assert (first.labelled, first.open, first.created, first.tasks) == (3, 0, 3, 3)
    for path, points in want.items():
        np.testing.assert_allclose(list(xy_of(project, path).values()), points, rtol=0, atol=1e-6)
    read = []

    class Watch:
        key = ""
        publish = staticmethod(os.replace)

        def progress(self, done, total, message=""):
            read.append(total)

    before = (project.path / "CollectedData.csv").stat().st_mtime_ns
    second = pull(project, server, task=Watch())
    assert read == [0]  # nothing changed, nothing was read in full
    assert (second.labelled, second.created) == (3, 0)
    assert (project.path / "CollectedData.csv").stat().st_mtime_ns == before
    (project.path / "CollectedData.csv").unlink()
    assert pull(project, server).labelled == 3  # labels that got lost here are read again
    assert project_labels(project).n_frames == 3


def test_skipped_drafts_and_no_animal_are_told_apart(server, sent):
    project, _, there = sent
    submit(server, there[ONE]["id"], [], was_cancelled=True)
    server.request("POST", f"/api/tasks/{there[TWO]['id']}/drafts", json={"result": [region("nose", 1, 2)]})
    submit(server, there[THREE]["id"], [])
    report = pull(project, server)
    assert (report.skipped, report.drafts, report.empty, report.open) == (1, 1, 1, 1)
    assert any("drafts that were not submitted" in line for line in report.warnings)
    labels = project_labels(project)
    assert labels.frames == (THREE,)
    assert labels.no_animal == {THREE}
    assert report.by_video == {"day1": {"labelled": 0, "empty": 1, "skipped": 1, "open": 1}}
    # the skip is taken back by labelling
    submit(server, there[ONE]["id"], [region("nose", 1, 2)])
    assert pull(project, server).added == [ONE]


def test_several_annotators(server, sent):
    project, _, there = sent
    submit(server, there[ONE]["id"], [region("nose", 10, 10)])
    submit(server, there[ONE]["id"], [region("nose", 13, 14)])
    submit(server, there[TWO]["id"], [region("nose", 20, 20)], ground_truth=True)
    submit(server, there[TWO]["id"], [region("nose", 30, 30)])
    report = pull(project, server)
    assert xy_of(project, ONE)["nose"] == pytest.approx([13, 14])
    assert "up to 5.0 px apart (nose); the newest counts" in notes(report, ONE)
    assert xy_of(project, TWO)["nose"] == pytest.approx([20, 20])
    assert "ground truth counts" in notes(report, TWO)
    again = pull(project, server)  # said each time, as long as it is so
    assert notes(again, ONE) == notes(report, ONE)


def test_what_other_people_do_is_seen(label_studio, server, sent):
    """Drafts are listed for their author alone; those of others count all the same, and keep their pre-labels."""
    project, ls_project, there = sent
    write_model(project, "m1")
    with another_person(label_studio) as second:
        draft = {"result": [region("nose", 1, 2)]}
        second.post(f"{label_studio.url}/api/tasks/{there[TWO]['id']}/drafts", json=draft).raise_for_status()
        done = {"result": [region("nose", 30, 30)]}
        second.post(f"{label_studio.url}/api/tasks/{there[ONE]['id']}/annotations/", json=done).raise_for_status()
        submit(server, there[ONE]["id"], [region("nose", 10, 10), region("ear", 1, 1)])
        report = pull(project, server)
        assert (report.labelled, report.drafts, report.open) == (1, 1, 2)
        assert "2 annotations" in notes(report, ONE)
        assert "of tests@example.com" in notes(report, ONE)
        assert "second@example.com" in notes(report, ONE)
        updated = push(project, server, PushConfig(model="m1", update_predictions=True))
        assert (updated.predictions, updated.updated) == (1, 0)  # THREE alone is open
        assert not tasks(server, ls_project)[TWO]["predictions"]


def test_a_changed_annotation_comes_again(server, sent):
    project, _, there = sent
    made = submit(server, there[ONE]["id"], [region("nose", 10, 10)])
    assert pull(project, server).added == [ONE]
    server.request("PATCH", f"/api/annotations/{made['id']}", json={"result": [region("nose", 11, 12)]})
    assert pull(project, server).changed == [ONE]
    assert xy_of(project, ONE)["nose"] == pytest.approx([11, 12])


def test_paddings_are_never_mixed(server):
    """img0012 and img00000012 of one video are two frames, as long as both are on disk."""
    project = make_project(indices=(12,))
    long, short = "labeled-data/day1/img00000012.png", "labeled-data/day1/img0012.png"
    shutil.copyfile(project.path / write_frames(project, "day2", [1])[0], project.path / short)
    update_project_labels(project, Labels(NAMES, ("",), (short,), np.full((1, 1, 3, 2), 5.0)))
    report = push(project, server, PushConfig(videos=("day1",)))
    assert (report.created, report.labelled) == (2, 1)
    there = tasks(server, report.ls_project)
    assert not there[long]["annotations"]
    submit(server, there[long]["id"], [region("nose", 20, 20)])
    assert pull(project, server).added == [long]
    assert xy_of(project, short)["nose"] == [5, 5]
    assert xy_of(project, long)["nose"] == pytest.approx([20, 20])
    assert push(project, server, PushConfig(videos=("day1",))).created == 0


def test_what_cannot_be_used_is_told_and_keeps_what_was_there(server, sent):
    project, _, there = sent
    xy = np.arange(18, dtype=float).reshape(3, 1, 3, 2)
    update_project_labels(project, Labels(NAMES, ("",), (ONE, TWO, THREE), xy))
    submit(
        server,
        there[ONE]["id"],
        [
            region("whisker", 5, 5),
            region("nose", 12, 12, image_rotation=90),
            region("ear", 9.5, 8.5),
            region("tail base", 70, 10),
        ],
    )
    submit(server, there[TWO]["id"], [region("whisker", 5, 5)])
    lost = region("nose", 1, 1)
    lost["value"]["x"] = None
    double = [region("ear", 1, 1, origin="prediction"), region("ear", 2, 2), region("ear", 3, 3, origin="prediction")]
    submit(server, there[THREE]["id"], [lost, *double])
    report = pull(project, server)
    assert xy_of(project, ONE) == {"nose": [0, 1], "ear": [9.5, 8.5], "tail base": [4, 5]}
    assert xy_of(project, TWO) == {"nose": [6, 7], "ear": [8, 9], "tail base": [10, 11]}
    assert xy_of(project, THREE)["nose"] == [12, 13]
    assert xy_of(project, THREE)["ear"] == pytest.approx([2, 2])
    assert np.isnan(xy_of(project, THREE)["tail base"]).all()  # taken away by the person
    assert "whisker (5.00, 5.00 px) is no keypoint" in notes(report, ONE)
    assert "the picture was turned" in notes(report, ONE)
    assert "outside of the picture" in notes(report, ONE)
    assert "whisker" in notes(report, TWO)
    assert "without a place" in notes(report, THREE)
    assert "set twice" in notes(report, THREE)


def test_a_wrong_picture_size_does_not_move_points(server, sent):
    project, _, there = sent
    submit(server, there[ONE]["id"], [region("nose", 10, 10) | {"original_width": 640, "original_height": 480}])
    report = pull(project, server)
    assert xy_of(project, ONE)["nose"] == pytest.approx([10, 10])
    assert "640x480; the project's is 64x48" in notes(report, ONE)


def test_rows_columns_and_visibility_that_label_studio_does_not_know_stay(server, sent):
    project, _, there = sent
    other = write_frames(project, "day9", [1])[0]
    (project.path / "labeled-data/day9/selected_frames.csv").unlink()
    names = (*NAMES, "whisker")
    labels = Labels(
        names,
        ("",),
        (ONE, other),
        np.full((2, 1, 4, 2), 5.0),
        np.array([[[1.0, 2.0, 1.0, 1.0]], [[2.0, 1.0, 2.0, 1.0]]]),
    )
    write_collected_data(project.path / "CollectedData.csv", labels)
    submit(server, there[ONE]["id"], [region("nose", 10, 10), region("ear", 5, 5)])
    report = pull(project, server)
    assert (report.changed, report.kept) == ([ONE], 1)
    after = project_labels(project)
    assert after.frames == (ONE, other)
    one, two = after.xy[:, 0]
    np.testing.assert_allclose(one, [[10, 10], [5, 5], [np.nan, np.nan], [5, 5]])
    np.testing.assert_allclose(two, 5.0)
    np.testing.assert_array_equal(after.visible[:, 0], [[1, 2, 0, 1], [2, 1, 2, 1]])
    assert (project.path / ".castle/last-good/CollectedData.csv").exists()


def test_deleted_annotations_and_vanished_tasks_lose_nothing(server, sent):
    project, _, there = sent
    made = submit(server, there[ONE]["id"], [region("nose", 10, 10)])
    submit(server, there[TWO]["id"], [region("nose", 11, 11)])
    pull(project, server)
    server.request("DELETE", f"/api/annotations/{made['id']}")
    server.request("DELETE", f"/api/tasks/{there[TWO]['id']}")
    report = pull(project, server)
    assert (report.tasks, report.labelled) == (2, 0)
    assert "its annotation was deleted" in notes(report, ONE)
    assert "gone from Label Studio" in notes(report, TWO)
    assert project_labels(project).frames == (ONE, TWO)
    assert push(project, server, PushConfig()).created == 1  # and it can be sent again, with its labels
    assert pull(project, server).labelled == 2


def test_numbers_that_are_given_again_are_no_identity(server, sent):
    project, ls_project, there = sent
    submit(server, there[THREE]["id"], [region("nose", 10, 10)])
    pull(project, server)
    server.request("DELETE", f"/api/tasks/{there[THREE]['id']}")
    (new,) = write_frames(project, "day2", [5])
    push(project, server, PushConfig(frames=(new,)))
    again = tasks(server, ls_project)
    assert again[new]["id"] == there[THREE]["id"]
    submit(server, again[new]["id"], [region("nose", 20, 20)])
    report = pull(project, server)
    assert report.added == [new]
    assert xy_of(project, THREE)["nose"] == pytest.approx([10, 10])
    assert xy_of(project, new)["nose"] == pytest.approx([20, 20])


def test_labels_of_another_picture_are_not_written(server, sent):
    project, _, there = sent
    submit(server, there[ONE]["id"], [region("nose", 10, 10)])
    shutil.copyfile(project.path / TWO, project.path / ONE)
    report = pull(project, server)
    assert "another one than the one that was labelled" in notes(report, ONE)
    assert project_labels(project).n_frames == 0
    (project.path / TWO).unlink()
    submit(server, there[TWO]["id"], [region("nose", 10, 10)])
    report = pull(project, server)
    assert "its picture is not in the project" in notes(report, TWO)
    assert xy_of(project, TWO)["nose"] == pytest.approx([10, 10])


def test_tasks_of_others_and_doubled_ones_are_passed_over(server, sent):
    project, ls_project, there = sent
    server.import_tasks(ls_project, [{"data": {"image": "/x.png", "video": "", "frame": 0}}])
    server.import_tasks(ls_project, [{"data": there[ONE]["data"]}])
    again = push(project, server, PushConfig())
    assert (again.created, again.skipped) == (0, 3)
    double = next(t["id"] for t in server.task_overview(ls_project)[3:] if t["data"].get("lp_path") == ONE)
    submit(server, double, [region("nose", 10, 10)])
    report = pull(project, server)
    assert report.added == [ONE]  # the one with the labels counts
    assert any("1 tasks there are no frames" in line for line in report.warnings)
    assert any("more than once" in line for line in report.warnings)


def test_the_models_error_for_free(server):
    project = make_project()
    write_model(project, "m1")
    report = push(project, server, PushConfig(model="m1"))
    there = tasks(server, report.ls_project)
    for index, path in ((3, ONE), (7, TWO)):
        x, y = predicted(index, 1)
        made = [
            region("nose", *predicted(index, 0), origin="prediction"),
            region("ear", x + 3, y + 4, origin="prediction-changed"),
        ]
        submit(server, there[path]["id"], made, parent_prediction=there[path]["predictions"][0]["id"])
    submit(server, there[THREE]["id"], [region(name, 1, 1) for name in NAMES])
    rows = {row["keypoint"]: row for row in pull(project, server).statistics}
    assert [rows["nose"][key] for key in ("accepted", "corrected", "new", "removed")] == [2, 0, 1, 0]
    assert [rows["ear"][key] for key in ("accepted", "corrected", "new", "removed")] == [0, 2, 1, 0]
    assert rows["ear"]["median_correction_px"] == pytest.approx(5.0)
    assert rows["nose"]["median_error_px"] == 0
    assert rows["tail base"]["removed"] == 2
    again = pull(project, server)  # from what was kept, not from the server
    assert {row["keypoint"]: row for row in again.statistics} == rows


def test_pages_and_both_ways_to_predictions_say_the_same(server, monkeypatch):
    project = make_project(indices=range(7))
    write_model(project, "m1")
    ls_project = push(project, server, PushConfig(model="m1")).ls_project
    there = tasks(server, ls_project)
    for frame in (0, 1, 5):
        path = f"labeled-data/day1/img{frame:08d}.png"
        x, y = predicted(frame, 0)
        moved = [region("nose", x + 3, y + 4, origin="prediction-changed")]
        submit(server, there[path]["id"], moved, parent_prediction=there[path]["predictions"][0]["id"])
    whole = pull(project, server)
    assert (whole.tasks, whole.labelled, whole.statistics[0]["median_correction_px"]) == (7, 3, pytest.approx(5))
    monkeypatch.setattr("castle_core.label_studio.client._PAGE", 3)
    monkeypatch.setattr("castle_core.label_studio.client._IDS_AT_ONCE", 2)
    monkeypatch.setattr("castle_core.label_studio.pulling._AT_ONCE", 2)
    for many in (0, 2000):
        monkeypatch.setattr("castle_core.label_studio.pulling._MANY", many)
        paged = pull(project, server, everything=True)
        assert (paged.tasks, paged.labelled, paged.statistics) == (7, 3, whole.statistics)
    ids = sorted(task["id"] for task in there.values())
    for wanted in (ids, ids[:6], ids[:2]):
        for of in (None, len(ids)):
            assert [task["id"] for task in server.tasks_in_full(ls_project, wanted, of=of)] == wanted


def test_a_full_disk_while_writing(server, sent, monkeypatch):
    project, _, there = sent
    xy = np.full((1, 1, 3, 2), 5.0)
    update_project_labels(project, Labels(NAMES, ("",), (TWO,), xy))
    before = (project.path / "CollectedData.csv").read_bytes()
    submit(server, there[ONE]["id"], [region("nose", 10, 10)])

    def full(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("castle_core.files.os.fsync", full)
        with pytest.raises(ProjectError, match="the disk is full"):
            pull(project, server)
    assert (project.path / "CollectedData.csv").read_bytes() == before
    assert pull(project, server).added == [ONE]
    assert project_labels(project).frames == (ONE, TWO)


def test_nothing_was_pushed_yet(server):
    with pytest.raises(LabelStudioError, match="Push some first"):
        pull(make_project(), server)


def test_statistics_of_nothing():
    (row,) = summarise([{"origins": {"other": "manual"}, "moved": {"nose": "x"}, "removed": ["other"]}], ["nose"])
    assert (row.accepted, row.corrected, row.new, row.median_correction_px) == (0, 0, 0, None)
