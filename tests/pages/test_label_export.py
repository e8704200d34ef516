"""The page Label export: keypoints, checks and files, without a browser."""

import json

import numpy as np
import pytest
from conftest_pages import own_state

from castle_core.labels import Labels, read_collected_data, update_project_labels
from castle_core.video.images import encode_png
from ui.labels.keypoints_panel import moved_to, split_names

PAGE = "pages/label_export.py"


@pytest.fixture
def labelled(project):
    """The project ``mice`` with two keypoints and three labelled frames."""
    frames = tuple(f"labeled-data/walk/img{index:08d}.png" for index in (3, 9, 30))
    xy = np.random.default_rng(0).uniform(5, 40, (3, 1, 2, 2))
    (project.path / "labeled-data" / "walk").mkdir(parents=True)
    for frame in frames:
        (project.path / frame).write_bytes(encode_png(np.full((48, 64, 3), 90, np.uint8)))
    update_project_labels(project, Labels(("nose", "tail"), ("",), frames, xy, scorer="anna"))
    return project


def section(at, name):
    at.segmented_control(key="label-section").set_value(name).run()
    assert not at.exception, [error.value for error in at.exception]
    return at


def button(at, label):
    return next(each for each in at.button if each.label == label)


def test_keypoints_are_renamed_added_and_removed(run, labelled):
    at = section(run("mice", PAGE), "keypoints")
    at.text_input(key="keypoint-0-nose").set_value("snout")
    at.text_area(key="keypoints-new-2").set_value("left ear,\nright ear")
    button(at, "Save keypoints").click().run()
    assert not at.exception
    assert labelled.keypoints == ("snout", "tail", "left ear", "right ear")
    assert read_collected_data(labelled.path / "CollectedData.csv").keypoints == ("snout", "tail")
    assert any("nose → snout" in note.value.replace("\\", "") for note in at.success)
    at.text_input(key="keypoint-0-snout").set_value("tail")
    at.text_input(key="keypoint-1-tail").set_value("snout")
    button(at, "Save keypoints").click().run()
    assert read_collected_data(labelled.path / "CollectedData.csv").keypoints == ("tail", "snout")
    at.multiselect(key="keypoints-gone-4").set_value(["left ear"])
    button(at, "Save keypoints").click().run()
    assert labelled.keypoints == ("tail", "snout", "right ear")
    at.text_input(key="keypoint-0-tail").set_value("snout")
    button(at, "Save keypoints").click().run()
    assert "each needs a name of its own" in at.error[0].value.replace("\\", "")
    assert labelled.keypoints == ("tail", "snout", "right ear")
    assert own_state(at)


def test_a_skeleton_is_drawn(run, labelled):
    at = section(run("mice", PAGE), "keypoints")
    at.selectbox(key="line-from").set_value("nose").run()
    at.selectbox(key="line-to").set_value("tail").run()
    button(at, "Add line").click().run()
    assert labelled.skeleton == (("nose", "tail"),)
    pills = next(each for each in at.button_group if str(each.key).startswith("lines-"))
    pills.set_value([]).run()
    assert labelled.skeleton == ()
    assert not at.exception


def test_keypoints_are_put_into_another_order(run, labelled):
    labelled.save_keypoints(("nose", "tail", "ear"), [("nose", "tail")])
    before = (labelled.path / "CollectedData.csv").read_bytes()
    at = section(run("mice", PAGE), "keypoints")
    assert at.button(key="order-move").disabled
    at.selectbox(key="order-what").set_value("nose").run()
    assert at.selectbox(key="order-where").options == ["first", "after tail", "after ear"]
    at.selectbox(key="order-where").set_value("after ear").run()
    at.button(key="order-move").click().run()
    assert not at.exception
    assert (labelled.keypoints, labelled.skeleton) == (("tail", "ear", "nose"), (("nose", "tail"),))
    assert (labelled.path / "CollectedData.csv").read_bytes() == before
    assert moved_to(("a", "b", "c"), "c", "first") == ("c", "a", "b")
    assert moved_to(("a", "after a"), "a", "after after a") == ("after a", "a")


def test_keypoints_are_taken_over_from_a_file(run, labelled):
    (labelled.path / "config.yaml").write_text("bodyparts: [nose, tail, ear]\nskeleton: [[nose, ear]]\n")
    at = section(run("mice", PAGE), "keypoints")
    at.selectbox(key="keypoints-source").set_value("config.yaml").run()
    button(at, "Take over").click().run()
    assert labelled.keypoints == ("nose", "tail", "ear")
    assert labelled.skeleton == (("nose", "ear"),)


def test_without_labels_only_frames_to_label_can_go_out(run, project):
    at = section(run("mice", PAGE), "files")
    assert any("Nothing is labelled yet" in each.value for each in at.info)
    assert [each.key for each in at.button if (each.key or "").startswith("export-")] == ["export-label-studio"]
    assert any("`labeled-data/`" in each.value for each in at.caption)


def test_without_labels_the_check_leads_to_where_they_come_from(run, project):
    at = section(run("mice", PAGE), "check")
    button(at, "Bring a file").click().run()
    assert not at.exception
    assert any(each.key == "export-label-studio" for each in at.button)


def test_labelled_frames_that_nobody_chose_here_are_counted(run, labelled):
    assert any(each.value.startswith("3 frames are labelled.") for each in run("mice", PAGE).info)


def test_check_and_exports_are_jobs(run, labelled):
    from castle_core.job_functions import job_function
    from castle_core.progress import QUIET
    from ui.server import jobs

    at = section(run("mice", PAGE), "check")
    button(at, "Check labels").click().run()
    (job,) = jobs().list(project=str(labelled.path))
    assert (job.kind, job.settings) == ("check_labels", {"view": None})
    jobs().cancel(job.id, by=job.owner)
    job_function("check_labels")(QUIET, project=str(labelled.path), owner="me", view=None)
    at.run()
    assert not at.exception
    assert any("3 labelled frames" in each.value for each in [*at.success, *at.markdown])
    at = section(at, "files")
    at.button(key="export-dlc").click().run()
    newest = max(jobs().list(project=str(labelled.path)), key=lambda each: each.id)
    assert (newest.kind, newest.settings) == ("export_labels", {"format": "dlc", "view": None})
    assert newest.state == "queued"


def test_pre_labels_go_into_the_zip_for_label_studio(run, labelled):
    from pathlib import Path

    from castle_core.job_functions import job_function
    from castle_core.progress import QUIET
    from ui.server import jobs

    (labelled.path / "labeled-data/walk/selected_frames.csv").write_text("img00000003.png\nimg00000004.png\n")
    (labelled.path / "labeled-data/walk/img00000004.png").write_bytes(encode_png(np.full((48, 64, 3), 90, np.uint8)))
    (labelled.path / "models" / "m1").mkdir(parents=True)
    rows = ["scorer,m,m,m", "bodyparts,nose,nose,nose", "coords,x,y,likelihood", *(f"{i},9,8,0.9" for i in range(40))]
    (labelled.path / "models" / "m1" / "walk.csv").write_text("\n".join(rows) + "\n")
    at = section(run("mice", PAGE), "files")
    at.selectbox(key="export-model").set_value("m1").run()
    at.button(key="export-label-studio").click().run()
    (job,) = jobs().list(project=str(labelled.path))
    assert job.settings == {"format": "label-studio", "view": None, "model": "m1", "threshold": 0.5}
    jobs().cancel(job.id, by=job.owner)
    done = job_function("export_labels")(QUIET, project=str(labelled.path), owner="me", **job.settings)
    assert done["notes"] == ["Pre-labels: 1 frame, of m1."]
    others = {**job.settings, "threshold": 0.25}  # of somebody else: each keeps what was made for them
    again = job_function("export_labels")(QUIET, project=str(labelled.path), owner="you", **others)
    assert again["path"] != done["path"]
    assert Path(done["path"]).is_file()


def test_an_export_job_gives_a_file_and_the_old_one_goes(labelled):
    from pathlib import Path

    from castle_core.job_functions import job_function
    from castle_core.progress import QUIET

    run = job_function("export_labels")
    first = run(QUIET, project=str(labelled.path), owner="me", format="dlc")
    assert (first["name"], first["frames"]) == ("mice_dlc.zip", 3)
    assert Path(first["path"]).stat().st_size == first["bytes"]
    again = run(QUIET, project=str(labelled.path), owner="me", format="dlc")
    assert Path(again["path"]).is_file()
    labelled.save_keypoints(("nose", "tail"), [("nose", "tail")])
    other = run(QUIET, project=str(labelled.path), owner="me", format="dlc")
    assert other["path"] != first["path"]
    assert not Path(first["path"]).exists()


def test_exports_of_two_views_are_two_files(labelled):
    import zipfile

    from castle_core.job_functions import job_function
    from castle_core.progress import QUIET

    whole = labelled.path / "CollectedData.csv"
    lines = whole.read_text().splitlines(keepends=True)
    (labelled.path / "CollectedData_top.csv").write_text("".join(lines))
    (labelled.path / "CollectedData_side.csv").write_text("".join(lines[:-1]))
    whole.unlink()
    run = job_function("export_labels")
    made = {
        view: run(QUIET, project=str(labelled.path), owner="me", format="coco", view=view) for view in ("top", "side")
    }
    assert [made[view]["name"] for view in made] == ["mice_top_coco.zip", "mice_side_coco.zip"]
    for view, n_frames in (("top", 3), ("side", 2)):
        with zipfile.ZipFile(made[view]["path"]) as archive:
            document = json.loads(archive.read("annotations.json"))
        assert len(document["annotations"]) == n_frames


def test_sleap_files_have_short_names(labelled):
    pytest.importorskip("sleap_io")
    from castle_core.job_functions import job_function
    from castle_core.progress import QUIET

    run = job_function("export_labels")
    for name, expected in (("slp", "mice.slp"), ("pkg-slp", "mice.pkg.slp")):
        assert run(QUIET, project=str(labelled.path), owner="me", format=name)["name"] == expected


def test_an_import_job_says_the_users_name_of_the_file(labelled, tmp_path):
    from castle_core.errors import LabelError
    from castle_core.job_functions import job_function
    from castle_core.progress import QUIET

    waiting = tmp_path / "abc.part"
    waiting.write_text("no labels")
    run = job_function("import_labels")
    with pytest.raises(LabelError, match=r"^my labels\.csv has no label header"):
        run(QUIET, project=str(labelled.path), owner="me", path=str(waiting), name="my labels.csv")
    waiting.write_bytes((labelled.path / "CollectedData.csv").read_bytes())
    done = run(QUIET, project=str(labelled.path), owner="me", path=str(waiting), name="my labels.csv")
    assert (done["unchanged"], done["added"]) == (3, [])


def test_several_views_are_chosen(run, labelled):
    (labelled.path / "CollectedData.csv").rename(labelled.path / "CollectedData_top.csv")
    (labelled.path / "CollectedData_side.csv").write_bytes((labelled.path / "CollectedData_top.csv").read_bytes())
    for name in ("check", "files", "keypoints", "frames"):
        at = section(run("mice", PAGE), name)
        assert not at.exception


def test_a_damaged_label_file_is_said(run, labelled):
    (labelled.path / "CollectedData.csv").write_text("nonsense\n")
    for name in ("check", "files", "keypoints", "frames"):
        section(run("mice", PAGE), name)


def test_names_are_split():
    assert split_names("a, b\n c d ,\n\n,e") == ["a", "b", "c d", "e"]
