"""Labels of other tools come into a project with their images; the commands say what they did."""

import json
import shutil
import zipfile

import numpy as np
import pytest
from label_builders import frame, with_images

from castle_core.cli.app import app
from castle_core.cli.output import run_app
from castle_core.errors import ConfigError, LabelError
from castle_core.labels import Labels, project_labels, read_collected_data, update_project_labels
from castle_core.labels.exporting import FORMATS, export_labels, export_state
from castle_core.labels.images import read_image
from castle_core.labels.importing import import_labels, read_labels
from castle_core.labels.label_studio_zip import label_studio_contents
from castle_core.projects import Project
from castle_core.video import VideoWriter


@pytest.fixture
def labels():
    xy = np.array([[[1.5, 2], [3, 4]], [[5, 6], [np.nan, np.nan]], [[np.nan, np.nan]] * 2]).reshape(3, 1, 2, 2)
    frames = (frame(3), frame(10, "w"), frame(11, "w"))
    return Labels(("nose", "tail"), ("",), frames, xy, scorer="anna", no_animal=frozenset({frames[2]}))


@pytest.fixture
def project(tmp_path, labels):
    made = with_images(tmp_path / "p", labels)
    update_project_labels(made, labels)
    made.save_keypoints(labels.keypoints, [("nose", "tail")])
    return made


@pytest.mark.parametrize("name", ["lightning-pose", "dlc", "coco", "slp", "pkg-slp"])
def test_out_of_one_project_and_into_another(tmp_path, project, labels, name):
    if "slp" in name:
        pytest.importorskip("sleap_io")
    out = tmp_path / f"out{FORMATS[name].ending}"
    assert export_labels(project, name, out).frames == 3
    other = Project.create(tmp_path / "q")
    source = out / "annotations.json" if name == "coco" else out
    report = import_labels(other, source)
    assert len(report.merge.added) == 3
    assert project_labels(other).same_as(labels)
    assert (report.images_copied, report.without_image) == (3, ())
    for path in labels.frames:
        assert np.array_equal(read_image(other.path / path), read_image(project.path / path))
    assert other.keypoints == labels.keypoints
    if name in {"coco", "slp", "pkg-slp"}:
        assert other.skeleton == (("nose", "tail"),)
    again = import_labels(other, source)
    assert not again.merge.any_change
    assert again.images_copied == 0


def test_the_files_labels_win_unless_ours_are_kept(tmp_path, project, labels):
    path = tmp_path / "CollectedData.csv"
    text = (project.path / "CollectedData.csv").read_text()
    path.write_text(text.replace("1.5", "9.5") + "labeled-data/v/img00000099.png,1,2,3,4\n")
    kept = import_labels(project, path, keep_ours=True)
    assert (kept.kept_ours, kept.merge.added) == (3, (frame(99),))
    assert project_labels(project).xy[0, 0, 0, 0] == 1.5
    assert kept.without_image == (frame(99),)
    assert import_labels(project, path).merge.changed == (frame(3),)
    assert project_labels(project).xy[0, 0, 0, 0] == 9.5


def test_images_come_from_the_projects_video(tmp_path, labels):
    project = Project.create(tmp_path / "p")
    with VideoWriter(project.path / "videos" / "v.mp4", fps=10, width=64, height=48) as writer:
        for index in range(5):
            writer.write(np.full((48, 64, 3), 40 * index, np.uint8))
    path = tmp_path / "elsewhere" / "CollectedData.csv"
    path.parent.mkdir()
    from castle_core.labels import write_collected_data

    write_collected_data(path, labels)
    report = import_labels(project, path)
    assert (report.images_decoded, report.without_image) == (1, labels.frames[1:])
    assert (project.path / frame(3)).is_file()


def test_another_padding_of_the_image_is_the_same_frame(tmp_path, project):
    path = tmp_path / "CollectedData.csv"
    path.write_text(
        "scorer,x,x,x,x\nbodyparts,nose,nose,tail,tail\ncoords,x,y,x,y\nlabeled-data/v/img003.png,7,7,7,7\n"
    )
    assert import_labels(project, path).merge.changed == (frame(3),)
    assert project_labels(project).n_frames == 3


def test_a_deeplabcut_project_with_several_animals(tmp_path, shared_data):
    source = tmp_path / "dlc" / "labeled-data" / "video"
    source.mkdir(parents=True)
    variants = shared_data / "sleap" / "dlc_csv_variants"
    for name in ("img000.png", "img001.png", "img002.png", "img003.png"):
        shutil.copy(variants / name, source)
    shutil.copy(variants / "maudlc_testdata_v2.csv", source / "CollectedData_LM.csv")
    project = Project.create(tmp_path / "p")
    report = import_labels(project, tmp_path / "dlc")
    assert (len(report.merge.added), report.images_copied) == (4, 4)
    read = read_collected_data(project.path / "CollectedData.csv")
    assert read.same_as(read_collected_data(variants / "maudlc_testdata_v2.csv"))
    export_labels(project, "dlc", tmp_path / "again")
    again = read_labels(tmp_path / "again" / "labeled-data" / "video" / "CollectedData_Scorer.h5")
    assert np.array_equal(again.xy, read.xy, equal_nan=True)
    for name in ("lightning-pose", "label-studio"):
        with pytest.raises(LabelError, match=r"takes one animal.*Animal1, Animal2, single"):
            export_labels(project, name, tmp_path / name)


def test_what_cannot_be_imported_or_exported_is_named(tmp_path, project):
    empty = Project.create(tmp_path / "empty")
    with pytest.raises(LabelError, match="Nothing is labelled"):
        export_labels(empty, "dlc", tmp_path / "out")
    with pytest.raises(ConfigError, match="There are: lightning-pose, dlc"):
        export_labels(project, "yolo", tmp_path / "out")
    with pytest.raises(ConfigError, match="ends with"):
        export_labels(project, "slp", tmp_path / "out.zip")
    for path, what in ((tmp_path / "no.csv", "no file"), (tmp_path / "empty", "no CollectedData")):
        with pytest.raises(LabelError, match=what):
            import_labels(project, path)
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(LabelError, match="labels are read from"):
        import_labels(project, tmp_path / "a.txt")
    before = (project.path / "CollectedData.csv").read_bytes()
    several = tmp_path / "CollectedData.csv"
    several.write_text(
        "scorer,x,x,x,x\nindividuals,m,m,n,n\nbodyparts,a,a,a,a\ncoords,x,y,x,y\nlabeled-data/v/img1.png,1,2,3,4\n"
    )
    with pytest.raises(LabelError, match="Name the animals alike"):
        import_labels(project, several)
    assert (project.path / "CollectedData.csv").read_bytes() == before


def test_label_studio_zip(tmp_path, project):
    pytest.importorskip("castle_core.label_studio.regions")
    (project.path / frame(4)).write_bytes((project.path / frame(3)).read_bytes())
    (project.path / "labeled-data" / "v" / "selected_frames.csv").write_text("img00000003.png\nimg00000004.png\n")
    out = tmp_path / "ls.zip"
    export_labels(project, "label-studio", out)
    with zipfile.ZipFile(out) as archive:
        tasks = json.loads(archive.read("tasks.json"))
        local = json.loads(archive.read("tasks_local_files.json"))
        names = archive.namelist()
        assert b'value="nose"' in archive.read("labels_config.xml")
    assert [task["data"]["lp_path"] for task in tasks] == [frame(3), frame(4), frame(10, "w"), frame(11, "w")]
    assert {frame(3), "README.txt"} <= set(names)
    assert tasks[0]["data"]["image"].startswith("data:image/png;base64,")
    assert local[0]["data"]["image"] == f"/data/local-files/?d={frame(3)}"
    points = {r["value"]["keypointlabels"][0]: r["value"] for r in tasks[0]["annotations"][0]["result"]}
    assert points["nose"]["x"] == pytest.approx(100 * 1.5 / 64)
    assert "annotations" not in tasks[1]
    assert tasks[3]["annotations"][0]["result"] == [], "no animal is said, not left open"
    assert set(label_studio_contents(project, project_labels(project)).files) == set(names)


def test_label_studio_zip_with_pre_labels(tmp_path, project, capsys):
    (project.path / frame(4)).write_bytes((project.path / frame(3)).read_bytes())
    (project.path / "labeled-data" / "v" / "selected_frames.csv").write_text("img00000003.png\nimg00000004.png\n")
    (project.path / "models" / "m1").mkdir(parents=True)
    rows = ["scorer,m,m,m,m,m,m", "bodyparts,nose,nose,nose,tail,tail,tail", "coords,x,y,likelihood,x,y,likelihood"]
    rows += [f"{index},{index},7.25,0.9,{index + 2},3,0.2" for index in range(8)]
    (project.path / "models" / "m1" / "v.csv").write_text("\n".join(rows) + "\n")
    plain, cautious = (export_state(project, "label-studio", model="m1", threshold=t) for t in (0.0, 0.5))
    assert len({plain, cautious, export_state(project, "label-studio")}) == 3
    where = ["--project", str(project.path), "--out", str(tmp_path / "ls.zip"), "--predictions", "m1"]
    assert run_app(app, ["labels", "export", "--format", "coco", *where]) == 1
    assert "Pre-labels go into the format label-studio only" in capsys.readouterr().err
    where += ["--likelihood-threshold", "0.5"]
    assert run_app(app, ["labels", "export", "--format", "label-studio", *where]) == 0
    assert "Pre-labels: 1 frame, of m1." in capsys.readouterr().err
    with zipfile.ZipFile(tmp_path / "ls.zip") as archive:
        documents = [json.loads(archive.read(name)) for name in ("tasks.json", "tasks_local_files.json")]
    for tasks in documents:
        with_some = [task["data"]["lp_path"] for task in tasks if "predictions" in task]
        assert with_some == [frame(4)]  # the others have labels
        (prediction,) = tasks[1]["predictions"]
        assert (prediction["model_version"], prediction["score"]) == ("m1", pytest.approx(0.9))
        (region,) = prediction["result"]
        assert region["value"]["keypointlabels"] == ["nose"]
        assert region["value"]["width"] > 0
        size = region["original_width"], region["original_height"]
        assert region["value"]["x"] / 100 * size[0] == pytest.approx(4)
        assert region["value"]["y"] / 100 * size[1] == pytest.approx(7.25)


def test_an_export_is_made_anew_after_more_frames_were_chosen(project):
    before = {name: export_state(project, name) for name in ("lightning-pose", "label-studio", "coco")}
    (project.path / frame(4)).write_bytes((project.path / frame(3)).read_bytes())
    (project.path / "labeled-data" / "v" / "selected_frames.csv").write_text("img00000004.png\n")
    changed = {name for name, state in before.items() if export_state(project, name) != state}
    assert changed == {"lightning-pose", "label-studio"}


def test_commands(tmp_path, project, capsys):
    def castle(*arguments):
        code = run_app(app, ["labels", *map(str, arguments)])
        out = capsys.readouterr()
        return code, out.out, out.err

    code, out, _ = castle(
        "export", "--project", project.path, "--format", "coco", "--out", tmp_path / "c.zip", "--json"
    )
    assert (code, json.loads(out)["frames"]) == (0, 3)
    code, _, err = castle("export", "--project", project.path, "--format", "coco", "--out", tmp_path / "c.zip")
    assert (code, err.count("\n")) == (1, 1)
    assert "exists already" in err
    other = Project.create(tmp_path / "q")
    code, out, _ = castle("import", project.path, "--project", other.path, "--json")
    assert (code, len(json.loads(out)["added"]), json.loads(out)["images_copied"]) == (0, 3, 3)
    code, out, _ = castle("check", "--project", project.path, "--out", tmp_path / "pictures", "--json")
    found = json.loads(out)
    assert (code, found["frames"], found["per_keypoint"]) == (0, 3, {"nose": 2, "tail": 1})
    assert found["per_video"]["w"] == {"frames": 2, "points": 1, "no_animal": 1}
    assert len(list((tmp_path / "pictures").rglob("*.jpg"))) == 3
    code, _, err = castle("check", "--project", project.path)
    assert code == 0
    assert "0 of 3 labelled frames look suspicious" in err
