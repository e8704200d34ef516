"""The page Extract latent without a browser: what every widget does to the job's settings, and what is refused.

One app with one project serves all tests; each begins with the default settings, nothing applied, and no jobs.
"""

import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from castle_core.job_functions.latents import config_from_json
from castle_core.jobs import JobTable
from castle_core.jobs.ledger import Ledger
from castle_core.mask_writer import MaskListWriter
from castle_core.projects import Project
from castle_core.state import castle_state
from ui.latents.form import DEFAULTS, SECTION, job_settings

PAGE = "pages/extract_latent.py"


@pytest.fixture(scope="module", autouse=True)
def castle_folders(tmp_path_factory):
    """Keep one home and one state for the module."""
    folder = tmp_path_factory.mktemp("castle")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CASTLE_HOME", str(folder / "home"))
        patch.setenv("CASTLE_STATE", str(folder / "state"))
        yield folder


@pytest.fixture(scope="module")
def tracked(castle_folders, film):
    """The project ``mice``: ``walk`` with ROI 1 and 2 and points, ROI 2 lost on some frames; ``yard`` without."""
    project = Project.create("mice")
    for stem in ("walk", "yard"):
        shutil.copyfile(film, project.path / "videos" / f"{stem}.mp4")
    path = project.path / "track" / "walk.mp4" / "mask_list.h5"
    path.parent.mkdir(parents=True)
    with MaskListWriter(path, width=64, height=48, n_rois=2) as writer:
        for index in range(60):
            mask = np.zeros((48, 64), np.uint8)
            mask[10:20, 10:20] = 1
            if index < 50:
                mask[30:33, 30:33] = 2
            writer.write(mask, (0, 0, 64, 48))
    points = project.path / "points" / "nose" / "walk.csv"
    points.parent.mkdir(parents=True)
    points.write_text("frame x y\n0 12 14\n1 13 14\n")
    return project


@pytest.fixture(scope="module")
def opened(tracked):
    """The page in a session of its own."""
    from streamlit.testing.v1 import AppTest

    at = AppTest.from_file(str(Path(__file__).resolve().parents[2] / "app.py"), default_timeout=60)
    at.query_params["project"] = "mice"
    at.run()
    return at.switch_page(PAGE).run()


@pytest.fixture
def page(opened, tracked):
    """The page with the default settings, but a model that needs no download."""
    found = table()
    with found.database.transaction() as connection:
        connection.execute("DELETE FROM jobs")
    found.close()
    tracked.save_settings(SECTION, {})
    for name, value in {**DEFAULTS, "encoder": "hog"}.items():
        opened.session_state[f"latent-{name}"] = value
    opened.run()
    assert not opened.exception, [error.value for error in opened.exception]
    return opened


def table():
    return JobTable(castle_state() / "jobs.sqlite")


def jobs_of(kind):
    found = table()
    try:
        return [job for job in found.list() if job.kind == kind]
    finally:
        found.close()


def checked(rows):
    """Let the check that waits find these rows."""
    found = table()
    try:
        ledger = Ledger(found)
        job = ledger.begin_next("gpu", "a worker")
        assert job.kind == "check_latents"
        whole = [
            {"n_frames": 60, "roi_share": {}, "existing": [], "bytes_needed": 0, "seconds": 0.0, **row} for row in rows
        ]
        ledger.end(job.id, job.attempt, "finished", result={"rows": whole, "device": "cpu"})
    finally:
        found.close()


READY = {"video": "walk.mp4", "verdict": "ready", "message": "ready", "cause": ""}
NO_MASKS = {"video": "yard.mp4", "verdict": "problem", "message": "yard.mp4 has no tracked ROIs.", "cause": "masks"}


def click(at, key):
    at.button(key=key).click().run()
    assert not at.exception, [error.value for error in at.exception]
    return at


def extracted(at, key="latent-latent"):
    """Apply, start, and return the settings of the job that was asked for."""
    click(at, "latent-apply")
    click(at, key)
    (job,) = jobs_of("latents")
    return job.settings


def test_the_defaults_are_the_products(page):
    settings = extracted(page)
    assert settings == {
        "videos": [],
        "latent": True,
        "rotation": 0,
        "stack": False,
        "crop_video": False,
        "skip_existing": True,
        "keep_both": False,
        "all_or_nothing": True,
        "config": {
            "encoder": "hog",
            "roi_ids": [1],
            "preprocess": {
                "center_roi": None,
                "crop_width": 300,
                "crop_height": 300,
                "tail_roi": None,
                "tail_point": "nearest",
                "remove_background": None,
                "smooth_s": 0.0,
                "fill_gaps": 0,
                "letterbox": False,
            },
            "poolings": ["roi-mean"],
            "points": [],
            "interpolation": "bilinear",
            "likelihood_threshold": 0.6,
            "input_size": None,
            "precision": "auto",
            "batch_size": 32,
            "start": "0",
            "stop": "1",
            "every": 1,
        },
    }
    assert config_from_json(settings["config"]).roi_ids == (1,)


def test_extraction_before_apply_and_after_a_change_is_refused(page):
    click(page, "latent-latent")
    assert any("Please click Apply on the preprocessing settings first" in error.value for error in page.error)
    click(page, "latent-apply")
    page.toggle(key="latent-center").set_value(True).run()
    assert any("Changed since Apply" in each.value for each in page.warning)
    click(page, "latent-latent")
    assert any("Click Apply again" in error.value for error in page.error)
    assert not jobs_of("latents")


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("General behavior", (1, None, None)),
        ("Posture analysis", (1, 2, "all")),
        ("Locomotion patterns", (1, 2, None)),
        ("No preprocessing", (None, None, None)),
    ],
)
def test_presets(page, preset, expected):
    click(page, f"latent-preset-{preset}")
    made = extracted(page)["config"]["preprocess"]
    assert (made["center_roi"], made["tail_roi"], made["remove_background"]) == expected


def test_every_preprocessing_widget_reaches_the_job(page):
    for name in ("center", "rotate", "remove_background"):
        page.toggle(key=f"latent-{name}").set_value(True).run()
    for name, value in {"center_roi": 2, "width": 41, "height": 32, "tail_roi": 1, "fill_gaps": 3}.items():
        page.number_input(key=f"latent-{name}").set_value(value)
    page.selectbox(key="latent-tail_point").set_value("centroid")
    page.selectbox(key="latent-keep").set_value("roi")
    page.checkbox(key="latent-smooth").set_value(True)
    page.checkbox(key="latent-letterbox").set_value(True).run()
    assert extracted(page)["config"]["preprocess"] == {
        "center_roi": 2,
        "crop_width": 41,
        "crop_height": 32,
        "tail_roi": 1,
        "tail_point": "centroid",
        "remove_background": "roi",
        "smooth_s": 0.1,
        "fill_gaps": 3,
        "letterbox": True,
    }


def test_size_and_rotation_are_greyed_out_without_center_roi(page):
    for name in ("center_roi", "width", "height", "tail_roi"):
        field = page.number_input(key=f"latent-{name}")
        assert field.disabled
        assert "Center ROI" in field.help
    assert page.toggle(key="latent-rotate").disabled


def test_every_model_and_target_widget_reaches_the_job(page):
    page.text_input(key="latent-roi_ids").set_value("2, 1")
    page.number_input(key="latent-batch_size").set_value(8)
    page.multiselect(key="latent-videos").set_value(["walk"])
    page.checkbox(key="latent-skip_existing").set_value(False)
    page.selectbox(key="latent-when_different").set_value("keep-both")
    page.text_input(key="latent-start").set_value("10f")
    page.text_input(key="latent-stop").set_value("4s")
    page.number_input(key="latent-every").set_value(5)
    page.number_input(key="latent-input_size").set_value(128)
    page.selectbox(key="latent-precision").set_value("fp32").run()
    settings = extracted(page)
    config = settings["config"]
    assert (settings["videos"], settings["skip_existing"], settings["keep_both"]) == (["walk"], False, True)
    assert (config["roi_ids"], config["batch_size"], config["every"]) == ([2, 1], 8, 5)
    assert (config["start"], config["stop"], config["input_size"], config["precision"]) == ("10f", "4s", 128, "fp32")


def test_automatic_batch_size_another_model_and_wrong_roi_ids(page, tmp_path):
    page.checkbox(key="latent-batch_auto").set_value(True)
    page.selectbox(key="latent-encoder").set_value("other").run()
    click(page, "latent-apply")
    assert any("Name a visual model" in error.value for error in page.error)
    (tmp_path / "config.json").write_text("{}")
    page.text_input(key="latent-encoder_other").set_value(str(tmp_path))
    click(page, "latent-apply")
    assert any("Applied and saved" in caption.value for caption in page.caption)
    page.text_input(key="latent-roi_ids").set_value("one").run()
    assert [error.value for error in page.error if "not a list of numbers" in error.value]  # by the field, at once
    click(page, "latent-apply")
    (told,) = page.error
    assert "not a list of numbers" in told.value
    assert not any("Applied and saved" in caption.value for caption in page.caption)
    assert any("Not applied" in caption.value for caption in page.caption)
    page.text_input(key="latent-roi_ids").set_value("300").run()
    assert "1 to 255" in page.error[0].value
    page.text_input(key="latent-roi_ids").set_value("1").run()
    config = extracted(page)["config"]
    assert (config["encoder"], config["batch_size"]) == (str(tmp_path), None)


def test_a_wrong_range_is_told_by_its_field(page):
    page.text_input(key="latent-stop").set_value("late").run()
    click(page, "latent-apply")
    assert [error.value for error in page.error if "late" in error.value]
    assert any("Not applied" in caption.value for caption in page.caption)


def test_cancel_is_told_at_once(page):
    click(page, "latent-apply")
    click(page, "latent-latent")
    found = table()
    ledger = Ledger(found)
    while (job := ledger.begin_next("gpu", "a worker")).kind != "latents":
        ledger.end(job.id, job.attempt, "cancelled")
    try:
        page.run()
        click(page, f"cancel-latents-{job.id}")
        assert found.get(job.id).cancel_requested
        assert page.button(key=f"cancel-latents-{job.id}").disabled
        words = [bar.proto.text for bar in page.get("progress") if "Extract" in bar.proto.text]
        assert words
        assert all("cancelling" in each for each in words)
        ledger.end(job.id, job.attempt, "cancelled")
    finally:
        found.close()
    page.run()


def test_a_model_that_is_not_here_starts_nothing_but_its_download(page):
    page.selectbox(key="latent-encoder").set_value("other").run()
    page.text_input(key="latent-encoder_other").set_value("owner/never-made").run()
    click(page, "latent-apply")
    click(page, "latent-latent")
    assert any("not on this disk yet" in error.value for error in page.error)
    assert not jobs_of("latents") + jobs_of("check_latents")
    click(page, "latent-download")
    assert [job.settings for job in jobs_of("download_model")] == [{"name": "owner/never-made"}]


def test_outputs_and_the_size_of_feature_maps(page):
    page.multiselect(key="latent-outputs").set_value(["roi-mean", "none"]).run()
    assert any("Feature maps of 120 frames: 9 x 8 x 8" in each.value for each in page.warning)
    assert extracted(page)["config"]["poolings"] == ["roi-mean", "none"]


def test_global_average_pooling(page):
    page.selectbox(key="latent-module").set_value("global").run()
    assert extracted(page)["config"]["poolings"] == ["global"]


def test_a_point_and_how_it_is_read(page):
    page.selectbox(key="latent-module").set_value("point").run()
    click(page, "latent-apply")
    assert any("Point Key" in error.value for error in page.error)
    page.multiselect(key="latent-points").set_value(["nose"])
    page.selectbox(key="latent-interpolation").set_value("nearest")
    page.number_input(key="latent-likelihood_threshold").set_value(0.9).run()
    config = extracted(page)["config"]
    assert (config["poolings"], config["points"]) == (["point"], ["nose"])
    assert (config["interpolation"], config["likelihood_threshold"]) == ("nearest", 0.9)


def test_crop_video_rotation_latent_and_a_second_click(page):
    click(page, "latent-apply")
    click(page, "latent-crop")
    assert any("needs Center ROI on" in error.value for error in page.error)
    click(page, "latent-preset-General behavior")
    crop = extracted(page, "latent-crop")
    assert (crop["latent"], crop["crop_video"], crop["rotation"]) == (False, True, 0)
    click(page, "latent-crop")
    assert len(jobs_of("latents")) == 1
    assert any("running already" in error.value for error in page.error)
    page.number_input(key="latent-angles").set_value(5)
    page.checkbox(key="latent-stack").set_value(True).run()
    click(page, "latent-rotation")
    turned = jobs_of("latents")[0].settings
    assert (turned["latent"], turned["rotation"], turned["stack"]) == (False, 5, True)


def test_run_frame_and_the_check_after_apply(page):
    click(page, "latent-apply")
    (check,) = jobs_of("check_latents")
    assert check.settings["config"]["encoder"] == "hog"
    page.number_input(key="latent-number-walk").set_value(7).run()
    click(page, "latent-frame")
    (job,) = jobs_of("run_frame")
    assert (job.settings["video"], job.settings["frame_index"]) == ("walk", 7)


def test_settings_are_saved_and_those_of_another_run_are_taken_again(page, tracked):
    click(page, "latent-preset-Posture analysis")
    page.number_input(key="latent-width").set_value(44).run()
    first = extracted(page)
    saved = Project.open(tracked.path).settings(SECTION)
    assert saved["preprocess"]["crop_width"] == saved["form"]["width"] == 44
    page.number_input(key="latent-width").set_value(30).run()
    click(page, "latent-preset-No preprocessing")
    click(page, "latent-take")
    click(page, "latent-apply")
    assert job_settings(Project.open(tracked.path).settings(SECTION)["form"], "latent") == first


def test_every_setting_has_a_widget(page):
    for module in DEFAULTS["module"], "point":
        page.selectbox(key="latent-module").set_value(module)
        page.selectbox(key="latent-encoder").set_value("other").run()
        shown = {widget.key for kind in WIDGETS for widget in page.get(kind)}
        missing = {name for name in DEFAULTS if f"latent-{name}" not in shown}
        only_with_points = {"points", "interpolation", "likelihood_threshold"}
        assert missing == (only_with_points if module == "none" else {"outputs"})


WIDGETS = ("selectbox", "text_input", "number_input", "checkbox", "toggle", "multiselect")


def test_a_video_that_cannot_run_blocks_until_it_is_left_out_or_mended(page, tracked):
    click(page, "latent-apply")
    checked([READY, NO_MASKS])
    page.run()
    assert any("1 of 2 videos cannot run" in error.value for error in page.error)
    for action in ("latent", "rotation", "crop"):
        assert page.button(key=f"latent-{action}").disabled
    assert not page.button(key="latent-frame").disabled
    click(page, "latent-others")
    (job,) = jobs_of("latents")
    assert job.settings["videos"] == ["walk"]
    click(page, "latent-leave-yard.mp4")
    assert page.multiselect(key="latent-videos").value == ["walk"]
    assert not page.button(key="latent-latent").disabled
    assert [job.settings["videos"] for job in jobs_of("check_latents")] == [["walk"], []]


def test_a_full_disk_blocks_and_the_feature_map_can_be_left_out(page):
    page.multiselect(key="latent-outputs").set_value(["roi-mean", "none"]).run()
    click(page, "latent-apply")
    full = {"verdict": "problem", "message": "need 9 GB", "cause": "disk"}
    checked([{**READY, **full}, {**NO_MASKS, **full}])
    page.run()
    assert page.button(key="latent-latent").disabled
    click(page, "latent-no-map")
    assert page.multiselect(key="latent-outputs").value == ["roi-mean"]
    assert not page.button(key="latent-latent").disabled


def test_masks_that_came_since_the_check_start_another(page, tracked):
    click(page, "latent-apply")
    checked([{**READY, **NO_MASKS, "video": "walk.mp4"}])
    time.sleep(0.02)  # the clock of files ticks more slowly
    (tracked.path / "track" / "walk.mp4" / "mask_list.h5").touch()
    page.run()
    assert [job.state for job in jobs_of("check_latents")] == ["queued", "finished"]


def test_a_video_that_went_after_the_check_stops_nothing(page, tracked):
    link = tracked.path / "videos" / "gone.mp4"
    link.symlink_to(tracked.path / "videos" / "walk.mp4")
    try:
        click(page, "latent-apply")
        checked([READY, {**READY, "video": "gone.mp4"}, NO_MASKS])
        page.run()
        assert "Extract only the other 2 videos" in page.button(key="latent-others").label
        link.unlink()
        page.run()
        assert not page.exception
        assert not [text.value for text in page.error if "has no video" in text.value]
        assert page.button(key="latent-others").label == "Extract only the other one"
        link.symlink_to(tracked.path / "nowhere.mp4")  # its drive is not connected
        page.session_state["latent-videos"] = ["gone"]
        page.run()
        assert not page.exception
        assert page.session_state["latent-videos"] == []
    finally:
        link.unlink(missing_ok=True)


def test_points_of_ones_own_and_of_a_roi(page, tracked):
    page.selectbox(key="latent-module").set_value("point").run()
    page.text_input(key="latent-points-name").set_value("ear")
    page.file_uploader(key="latent-points-file").set_value(("ear.csv", b"frame;x;y\n", "text/csv")).run()
    click(page, "latent-points-add")
    assert page.error
    assert not list(tracked.path.glob("points/ear/*"))
    page.file_uploader(key="latent-points-file").set_value(("ear.csv", b"frame,x,y\n3,1,2\n", "text/csv")).run()
    click(page, "latent-points-add")
    assert (tracked.path / "points" / "ear" / "walk.csv").read_bytes() == b"frame,x,y\n3,1,2\n"
    page.file_uploader(key="latent-points-file").set_value(("other.csv", b"frame,x,y\n3,9,9\n", "text/csv")).run()
    click(page, "latent-points-add")
    assert (tracked.path / "points" / "ear" / "walk.csv").read_bytes() == b"frame,x,y\n3,9,9\n"
    (kept,) = tracked.cache_dir.glob("trash/*/walk.csv")
    assert kept.read_bytes() == b"frame,x,y\n3,1,2\n"
    assert "ear" in [option.split(" ")[0] for option in page.multiselect(key="latent-points").options]
    page.number_input(key="latent-centroid-roi").set_value(2)
    click(page, "latent-centroid-add")
    (job,) = jobs_of("roi_centroids")
    assert job.settings == {"videos": ["walk", "yard"], "roi": 2}


def test_any_frame_and_the_riskiest_ones(page):
    click(page, "latent-preset-General behavior")
    click(page, "latent-apply")
    page.slider(key="latent-slider-walk").set_value(9).run()
    assert page.number_input(key="latent-number-walk").value == 9
    click(page, "latent-risky")
    (job,) = jobs_of("risky_frames")
    assert (job.settings["video"], job.settings["config"]["preprocess"]["center_roi"]) == ("walk", 1)


def test_how_a_run_ended_and_continue(page):
    settings = extracted(page)
    found = table()
    ledger = Ledger(found)
    for kind in ("check_latents", "latents"):
        job = ledger.begin_next("gpu", "a worker")
        assert job.kind == kind
        ledger.end(job.id, job.attempt, "failed", error="The disk is <b>full</b>.")
    found.close()
    page.run()
    assert any("The disk is" in error.value for error in page.error)
    click(page, "latent-continue")
    (job,) = jobs_of("latents")
    assert (job.state, job.settings) == ("queued", settings)
