"""The page Extract latent without a browser: what every widget does to the job's settings, and what is refused."""

import numpy as np
import pytest

from castle_core.job_functions.latents import config_from_json
from castle_core.jobs import JobTable
from castle_core.mask_writer import MaskListWriter
from castle_core.projects import Project
from castle_core.state import castle_state

PAGE = "pages/extract_latent.py"


@pytest.fixture
def tracked(project):
    """The project ``mice`` with ROI 1 and 2, ROI 2 lost on some frames."""
    path = project.path / "track" / "walk.mp4" / "mask_list.h5"
    path.parent.mkdir(parents=True)
    with MaskListWriter(path, width=64, height=48, n_rois=2) as writer:
        for index in range(60):
            mask = np.zeros((48, 64), np.uint8)
            mask[10:20, 10:20] = 1
            if index < 50:
                mask[30:33, 30:33] = 2
            writer.write(mask, (0, 0, 64, 48))
    return project


@pytest.fixture
def page(run, tracked):
    at = run("mice", PAGE)
    at.selectbox(key="latent-encoder").set_value("hog").run()
    assert not at.exception, [error.value for error in at.exception]
    return at


def table():
    return JobTable(castle_state() / "jobs.sqlite")


def jobs_of(kind):
    found = table()
    try:
        return [job for job in found.list() if job.kind == kind]
    finally:
        found.close()


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


def test_automatic_batch_size_another_model_and_wrong_roi_ids(page):
    page.checkbox(key="latent-batch_auto").set_value(True).run()
    page.selectbox(key="latent-encoder").set_value("other").run()
    click(page, "latent-apply")
    assert any("Name a visual model" in error.value for error in page.error)
    page.text_input(key="latent-encoder_other").set_value("owner/model").run()
    page.text_input(key="latent-roi_ids").set_value("one").run()
    click(page, "latent-apply")
    assert any("not a list of numbers" in error.value for error in page.error)
    page.text_input(key="latent-roi_ids").set_value("1").run()
    config = extracted(page)["config"]
    assert (config["encoder"], config["batch_size"]) == ("owner/model", None)


def test_outputs_and_the_size_of_feature_maps(page):
    page.multiselect(key="latent-outputs").set_value(["roi-mean", "none"]).run()
    assert any("Feature maps of 60 frames: 9 x 8 x 8" in each.value for each in page.warning)
    assert extracted(page)["config"]["poolings"] == ["roi-mean", "none"]


def test_global_average_pooling(page):
    page.selectbox(key="latent-module").set_value("global").run()
    assert extracted(page)["config"]["poolings"] == ["global"]


def test_a_point_and_how_it_is_read(page, tracked):
    folder = tracked.path / "points" / "nose"
    folder.mkdir(parents=True)
    (folder / "walk.csv").write_text("frame x y\n0 12 14\n1 13 14\n")
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


def test_settings_are_saved_and_those_of_another_run_are_taken_again(page, run, tracked):
    click(page, "latent-preset-Posture analysis")
    page.number_input(key="latent-width").set_value(44).run()
    first = extracted(page)
    again = run("mice", PAGE)
    assert again.number_input(key="latent-width").value == 44
    assert Project.open(tracked.path).settings("extract_latent")["preprocess"]["crop_width"] == 44
    again.number_input(key="latent-width").set_value(30).run()
    click(again, "latent-preset-No preprocessing")
    click(again, "latent-take")
    click(again, "latent-apply")
    from ui.latents.form import job_settings

    form = Project.open(tracked.path).settings("extract_latent")["form"]
    assert job_settings(form, "latent") == first
