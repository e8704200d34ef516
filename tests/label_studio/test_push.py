"""Frames to a real Label Studio."""

import json

import numpy as np
import pytest
from lab import NAMES, make_project, predicted, region, sha, submit, tasks, write_frames, write_model

from castle_core.errors import ConfigError, LabelStudioError, PredictionError
from castle_core.label_studio import PushConfig, pull, push
from castle_core.label_studio.labels_config import config_keypoints
from castle_core.labels import Labels, project_labels, update_project_labels, write_collected_data
from castle_core.projects import Project


def points(task):
    """keypoint → pixels of a task's first prediction."""
    return {
        each["value"]["keypointlabels"][0]: (
            each["value"]["x"] / 100 * each["original_width"],
            each["value"]["y"] / 100 * each["original_height"],
        )
        for each in task["predictions"][0]["result"]
    }


def test_pictures_arrive_as_they_are_in_order_and_once(server):
    project = make_project(stems=("day2", "day1"), indices=(11, 3, 7))
    report = push(project, server, PushConfig())
    assert (report.created, report.skipped, report.labelled) == (6, 0, 0)
    there = server.task_overview(report.ls_project)
    assert [task["data"]["frame"] for task in there] == [3, 7, 11, 3, 7, 11]
    assert [task["data"]["video"] for task in there] == ["day1"] * 3 + ["day2"] * 3
    for task in there:
        served = server.request("GET", task["data"]["image"]).content
        path = project.path / task["data"]["lp_path"]
        assert served == path.read_bytes()
        assert task["data"]["sha256"] == sha(path)
    assert report.link == f"{server.url}/projects/{report.ls_project}/data?task={there[0]['id']}"
    again = push(project, server, PushConfig())
    assert (again.created, again.skipped, again.ls_project) == (0, 6, report.ls_project)
    assert len(server.task_overview(report.ls_project)) == 6
    new = write_frames(project, "day1", [40])
    third = push(project, server, PushConfig())
    assert (third.created, third.skipped) == (1, 6)
    assert new[0] in tasks(server, report.ls_project)


def test_pre_labels_with_threshold_and_without_what_cannot_be_shown(server):
    project = make_project(indices=(3, 7, 11))
    path = write_model(project, "m1")
    lines = path.read_text().splitlines()
    cells = lines[3 + 7].split(",")  # frame 7: nose is unlikely, ear outside of the picture, tail base not a number
    cells[1:10] = ["5", "6", "0.1", "900", "6", "0.9", "", "", "0.9"]
    lines[3 + 7] = ",".join(cells)
    path.write_text("\n".join(lines) + "\n")
    report = push(project, server, PushConfig(model="m1", threshold=0.5))
    assert (report.created, report.predictions) == (3, 2)
    there = tasks(server, report.ls_project)
    task = there["labeled-data/day1/img00000003.png"]
    assert points(task) == {name: pytest.approx(predicted(3, k), abs=1e-9) for k, name in enumerate(NAMES)}
    assert all(each["value"]["width"] > 0 for each in task["predictions"][0]["result"])
    assert task["predictions"][0]["model_version"] == "m1"
    assert task["predictions"][0]["score"] == pytest.approx(0.9)
    assert not there["labeled-data/day1/img00000007.png"]["predictions"]
    assert server.project(report.ls_project)["model_version"] == "m1"
    assert push(project, server, PushConfig(model="m1", threshold=0.5)).predictions == 0


def test_frames_are_chosen_by_video_round_and_hand(server):
    from castle_core.frames import Round, RoundFrame, SelectionRecord, new_round
    from castle_core.frames.record import RECORD

    project = make_project(stems=("day1", "day2"))
    info = new_round("kmeans", id="r1")
    record = SelectionRecord("day1.mp4", (Round(info, (RoundFrame(7, "img00000007.png"),)),))
    (project.frames_folder("day1") / RECORD).write_text(json.dumps(record.to_json()))
    one = "labeled-data/day2/img00000011.png"
    assert push(project, server, PushConfig(rounds=("r1",))).created == 1
    assert push(project, server, PushConfig(frames=(one,))).created == 1
    report = push(project, server, PushConfig(videos=("day1",)))
    assert (report.created, report.skipped) == (2, 1)
    with pytest.raises(LabelStudioError, match="No frame is chosen"):
        push(project, server, PushConfig(videos=("nope",)))


def test_more_files_than_one_request_takes(server):
    project = make_project(indices=range(120))
    seen = []

    class Watch:
        key = ""

        def progress(self, done, total, message=""):
            seen.append((done, total))

    assert push(project, server, PushConfig(), Watch()).created == 120
    assert seen == [(0, 120), (50, 120), (100, 120), (120, 120)]


def test_large_pictures_make_small_requests(server, monkeypatch):
    project = make_project(indices=range(6))
    size = (project.path / "labeled-data/day1/img00000000.png").stat().st_size
    monkeypatch.setattr("castle_core.label_studio.pushing.CHUNK_BYTES", int(2.5 * size))
    seen = []

    class Watch:
        key = ""

        def progress(self, done, total, message=""):
            seen.append(done)

    push(project, server, PushConfig(), Watch())
    assert seen == [0, 2, 4, 6]


def test_odd_names_of_videos(server):
    stems = ["a b (1) #&%+;=~", "Mäuse-鼠 😀", "s" * 137, 'quote\'s "x"', "100%25", "dots..and.mp4"]
    project = make_project(stems=stems, indices=(3,))
    report = push(project, server, PushConfig())
    there = tasks(server, report.ls_project)
    assert set(there) == {f"labeled-data/{stem}/img00000003.png" for stem in stems}
    for stem in stems:
        served = server.request("GET", there[f"labeled-data/{stem}/img00000003.png"]["data"]["image"]).content
        assert served == (project.frames_folder(stem) / "img00000003.png").read_bytes()
    assert push(project, server, PushConfig()).created == 0


@pytest.mark.parametrize("names", [("<b>&\"'", "a,b;c", "$image", "鼻 😀", *(f"p{k}" for k in range(56))), ("one",)])
def test_odd_and_many_keypoints(server, names):
    project = make_project(keypoints=names, indices=(3,))
    write_model(project, "m", keypoints=names)
    report = push(project, server, PushConfig(model="m"))
    assert config_keypoints(server.project(report.ls_project)["label_config"]) == names
    (task,) = tasks(server, report.ls_project).values()
    found = points(task)
    assert set(found) == {name for k, name in enumerate(names) if 6 + 2 * k <= 48}
    submit(server, task["id"], [region(name, 10.123456789, 20.5) for name in names])
    pull(project, server)
    labels = project_labels(project)
    assert labels.keypoints == names
    np.testing.assert_allclose(labels.xy[0, 0], [[10.123456789, 20.5]] * len(names), atol=1e-6)


def test_labels_of_the_project_go_as_annotations_that_later_ones_outrank(server):
    project = make_project()
    path = "labeled-data/day1/img00000007.png"
    xy = np.array([[[[1.25, 2.5], [np.nan, np.nan], [30.0, 40.0]]]])
    update_project_labels(project, Labels(NAMES, ("",), (path,), xy))
    write_model(project, "m1")
    report = push(project, server, PushConfig(model="m1"))
    assert (report.created, report.labelled, report.predictions) == (3, 1, 2)
    task = tasks(server, report.ls_project)[path]
    assert [each["ground_truth"] for each in task["annotations"]] == [False]
    before = (project.path / "CollectedData.csv").read_bytes()
    first = pull(project, server)
    assert (first.labelled, first.created) == (1, 0)
    assert (project.path / "CollectedData.csv").read_bytes() == before
    assert all(row["new"] == row["accepted"] == row["corrected"] == 0 for row in first.statistics)
    submit(server, task["id"], [region("nose", 3, 4)])
    second = pull(project, server)
    assert second.changed == [path]
    assert "2 annotations" in second.details[0]["note"]
    np.testing.assert_allclose(project_labels(project).xy[0, 0, 0], [3, 4], atol=1e-6)


def test_update_touches_open_tasks_only_and_once(server):
    project = make_project()
    write_model(project, "m1")
    write_model(project, "m2", shift=2.0)
    report = push(project, server, PushConfig(model="m1"))
    there = tasks(server, report.ls_project)
    done, skipped, opened = sorted(there)
    submit(server, there[done]["id"], [region("nose", 3, 4)])
    submit(server, there[skipped]["id"], [], was_cancelled=True)
    write_frames(project, "day1", [15])
    mixed = push(project, server, PushConfig(model="m2"))
    assert any("1 open tasks keep pre-labels of m1" in line for line in mixed.warnings)
    updated = push(project, server, PushConfig(model="m2", update_predictions=True))
    assert (updated.created, updated.updated) == (0, 1)
    after = tasks(server, report.ls_project)
    assert [each["model_version"] for each in after[opened]["predictions"]] == ["m2"]
    assert points(after[opened])["nose"] == pytest.approx(predicted(11, 0, 2.0))
    for path in (done, skipped):
        assert [each["model_version"] for each in after[path]["predictions"]] == ["m1"]
    assert push(project, server, PushConfig(model="m2", update_predictions=True)).updated == 0
    assert server.project(report.ls_project)["model_version"] == "m2"


def test_predictions_that_an_import_lost_are_added(server):
    project = make_project()
    write_model(project, "m1")
    report = push(project, server, PushConfig(model="m1"))
    there = tasks(server, report.ls_project)
    for path in sorted(there)[:2]:
        server.delete_prediction(there[path]["predictions"][0]["id"])
    again = push(project, server, PushConfig(model="m1"))
    assert (again.created, again.predictions) == (0, 2)
    assert all(len(task["predictions"]) == 1 for task in tasks(server, report.ls_project).values())


def test_what_an_import_loses_is_noticed_and_added(server, monkeypatch):
    """As two importers at a time lose it on SQLite: tasks are there, their predictions and labels are not."""
    project = make_project()
    write_model(project, "m1")
    path = "labeled-data/day1/img00000007.png"
    update_project_labels(project, Labels(NAMES, ("",), (path,), np.full((1, 1, 3, 2), 5.0)))
    whole = server.import_tasks

    def lossy(ls_project, sent):
        return whole(ls_project, [{"data": task["data"]} for task in sent])

    monkeypatch.setattr(server, "import_tasks", lossy)
    report = push(project, server, PushConfig(model="m1"))
    assert (report.created, report.labelled, report.predictions) == (3, 1, 2)
    there = tasks(server, report.ls_project)
    assert {each: (len(task["predictions"]), len(task["annotations"])) for each, task in there.items()} == {
        "labeled-data/day1/img00000003.png": (1, 0),
        path: (0, 1),
        "labeled-data/day1/img00000011.png": (1, 0),
    }


def test_who_labels_a_frame_in_the_middle_of_a_push_keeps_the_only_annotation(server, monkeypatch):
    project = make_project()
    path = "labeled-data/day1/img00000007.png"
    report = push(project, server, PushConfig())
    number = tasks(server, report.ls_project)[path]["id"]
    update_project_labels(project, Labels(NAMES, ("",), (path,), np.full((1, 1, 3, 2), 5.0)))
    whole = server.tasks_in_full

    def late(ls_project, ids, **more):
        if list(ids) == [number]:
            submit(server, number, [region("nose", 3, 4)])
        return whole(ls_project, ids, **more)

    monkeypatch.setattr(server, "tasks_in_full", late)
    again = push(project, server, PushConfig())
    monkeypatch.undo()
    assert again.labelled == 0
    (annotation,) = tasks(server, report.ls_project)[path]["annotations"]
    assert [each["value"]["keypointlabels"] for each in annotation["result"]] == [["nose"]]
    assert push(project, server, PushConfig()).labelled == 0


def test_pictures_that_did_not_arrive_are_noticed(server, monkeypatch):
    project = make_project()
    ask = server._json

    def lossy(method, path, **options):
        answer = ask(method, path, **options)
        return answer | {"file_upload_ids": answer["file_upload_ids"][:1]} if "files" in options else answer

    with monkeypatch.context() as patch:
        patch.setattr(server, "_json", lossy)
        with pytest.raises(LabelStudioError, match="kept 1 of 3 pictures"):
            push(project, server, PushConfig())
    assert push(project, server, PushConfig()).created == 3


def test_new_keypoints_and_renamed_ones(server):
    project = make_project()
    report = push(project, server, PushConfig())
    task = next(iter(tasks(server, report.ls_project).values()))
    submit(server, task["id"], [region("nose", 3, 4)])
    project.save_keypoints((*NAMES, "paw"))
    assert push(project, server, PushConfig()).warnings == []
    assert config_keypoints(server.project(report.ls_project)["label_config"]) == (*NAMES, "paw")
    project.save_keypoints(("snout", *NAMES[1:], "paw"))
    renamed = push(project, server, PushConfig())
    assert "nose" in renamed.warnings[0]
    assert config_keypoints(server.project(report.ls_project)["label_config"]) == ("snout", *NAMES[1:], "paw", "nose")
    found = pull(project, server)
    assert found.labelled == 0
    assert "nose (3.00, 4.00 px) is no keypoint" in found.details[0]["note"]
    project.save_keypoints(NAMES)
    assert push(project, server, PushConfig()).warnings == []
    assert pull(project, server).labelled == 1


def test_which_label_studio_project(server):
    project = make_project()
    other = server.create_project({"title": "words", "label_config": "<View><Text name='t' value='$t'/></View>"})
    with pytest.raises(LabelStudioError, match="is for something else"):
        push(project, server, PushConfig(ls_project=other["id"]))
    with pytest.raises(LabelStudioError, match="There is no project 999"):
        push(project, server, PushConfig(ls_project=999))
    empty = server.create_project({"title": "empty"})
    named = push(project, server, PushConfig(ls_project=empty["id"]))
    assert (named.created, named.ls_project) == (3, empty["id"])
    assert push(project, server, PushConfig()).skipped == 3  # remembered


def test_a_push_that_died_before_it_could_remember_finds_its_project(server):
    project = make_project()
    report = push(project, server, PushConfig())
    settings = project.settings("label_studio")
    settings.pop("projects")
    project.save_settings("label_studio", settings)
    again = push(project, server, PushConfig())
    assert (again.ls_project, again.created, again.skipped) == (report.ls_project, 0, 3)


def test_a_project_whose_number_was_given_again_is_not_taken_for_the_old_one(server):
    project = make_project()
    push(project, server, PushConfig())
    settings = project.settings("label_studio")
    settings["projects"][server.url]["created_at"] = "2020-01-01T00:00:00Z"
    project.save_settings("label_studio", settings)
    with pytest.raises(LabelStudioError, match="was deleted there"):
        push(project, server, PushConfig())
    assert not project.settings("label_studio")["projects"]


def test_a_deleted_project_is_said_once_and_made_anew(server):
    project = make_project()
    report = push(project, server, PushConfig())
    server.request("DELETE", f"/api/projects/{report.ls_project}")
    with pytest.raises(LabelStudioError, match="was deleted there"):
        pull(project, server)
    again = push(project, server, PushConfig())
    assert again.created == 3
    assert again.ls_project != report.ls_project


def test_short_and_long_titles(server):
    for name in ("m", "n" * 80):
        project = make_project(name)
        assert 3 <= len(push(project, server, PushConfig()).title) <= 50


def test_what_cannot_be_pushed_is_named(server):
    project = make_project(indices=(3,))
    with pytest.raises(PredictionError, match="no model 'm9'"):
        push(project, server, PushConfig(model="m9"))
    with pytest.raises(ConfigError, match="Choose the model"):
        PushConfig(update_predictions=True)
    nameless = make_project("nameless", keypoints=())
    with pytest.raises(LabelStudioError, match="no keypoints yet"):
        push(nameless, server, PushConfig())
    (project.path / "labeled-data/day1/img00000003.png").write_bytes(b"")
    write_frames(project, "day1", [5])
    (project.path / "labeled-data/day1/selected_frames.csv").open("a").write("img00000099.png\n")
    (project.path / "labeled-data/day1/img00000100.tif").write_bytes(b"II*")
    update_project_labels(
        project, Labels(NAMES, ("",), ("labeled-data/day1/img00000100.tif",), np.full((1, 1, 3, 2), 5.0))
    )
    report = push(project, server, PushConfig())
    assert report.created == 1
    assert "img00000100.tif is a .tif file" in report.warnings[0]
    assert "img00000003.png is no picture" in report.warnings[0]
    assert "img00000099.png cannot be read" in report.warnings[0]


def test_several_animals_are_refused_by_name(server):
    project = make_project()
    two = Labels(NAMES, ("anna", "bert"), ("labeled-data/day1/img00000003.png",), np.full((1, 2, 3, 2), 5.0))
    write_collected_data(project.path / "CollectedData.csv", two)
    with pytest.raises(Exception, match="anna, bert"):
        push(project, server, PushConfig())


def test_flat_pictures_without_a_video(server):
    project = Project.create("flat", keypoints=NAMES)
    write_frames(project, "", [1, 2])
    (project.path / "labeled-data" / "selected_frames.csv").unlink()
    paths = ("labeled-data/img00000001.png", "labeled-data/img00000002.png")
    update_project_labels(project, Labels(NAMES, ("",), paths, np.full((2, 1, 3, 2), 7.5)))
    report = push(project, server, PushConfig())
    assert (report.created, report.labelled) == (2, 2)
    assert sorted(tasks(server, report.ls_project)) == list(paths)


def test_under_a_subpath_pictures_have_its_prefix():
    from castle_core.label_studio.address import normalise_url, path_prefix
    from castle_core.label_studio.sending import Outgoing

    url = normalise_url("https://lab.example/ls/projects/3/data?tab=2")
    assert url == "https://lab.example/ls"
    frame = Outgoing(None, b"", {"sha256": "0"}, path_prefix(url))
    assert frame.as_task("upload/1/x.png")["data"]["image"] == "/ls/data/upload/1/x.png"
