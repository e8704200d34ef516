"""Apply, look, extract, refresh, cancel, go on: the page Extract latent in a real browser, on the demo project."""

import re
import shutil

import h5py
import numpy as np
import pytest
from steps import set_number, settle, until
from test_quality import serious

from castle_core.projects import Project

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
NAME = "extract_demo"
TINY = "tiny-dinov2"


@pytest.fixture(scope="module")
def demo(app):
    """A demo project of two videos of 60 frames with masks, keypoints and a tiny model."""
    from castle_core.demo import make_demo

    path = app.home / NAME
    if not path.is_dir():
        make_demo(path, seconds=2.0, size=(160, 120), n_videos=2)
    return Project.open(path)


@pytest.fixture(scope="module")
def long_film(app):
    """A project with a small video that takes longer than a shard."""
    from castle_core.video import VideoWriter

    path = app.home / "extract_long"
    if not path.is_dir():
        made = Project.create(path)
        frames = np.random.default_rng(0).integers(0, 255, (16, 48, 64, 3), dtype=np.uint8)
        with VideoWriter(made.path / "videos" / "long.mp4", fps=30, width=64, height=48, preset="ultrafast") as writer:
            for index in range(4200):
                writer.write(frames[index % 16])
    return Project.open(path)


def open_page(page, app, project):
    """Open the page with default settings and no latents, whatever a test before has left."""
    project.save_settings("extract_latent", {})
    for folder in ("latent", "crop", ".castle/trash", ".castle/shards"):
        shutil.rmtree(project.path / folder, ignore_errors=True)
    page.goto(f"{app.url}/extract_latent?project={project.name}")
    expect(page.get_by_role("heading", name="Extract latent")).to_be_visible()
    settle(page)


def choose(page, label, option):
    """Choose an option of a list; when the page runs again meanwhile, its list closes and is opened anew."""
    entry = page.get_by_role("option", name=option).first
    lists = page.locator("[data-testid=stMultiSelect], [data-testid=stSelectbox]").filter(has_text=label)
    tried = []

    def chosen():
        if tried and lists.get_by_text(option).count():  # the click before came too late for us, but it came
            return True
        tried.append(label)
        page.get_by_role("combobox", name=label).first.click()
        try:
            entry.click(timeout=2000)
        except sync_api.TimeoutError:
            page.keyboard.press("Escape")
            return False
        return True

    until(chosen, f"{option} in {label}")
    settle(page)
    page.keyboard.press("Escape")


def press(page, name):
    page.get_by_test_id("stMain").get_by_role("button", name=name, exact=True).first.click()
    settle(page)


def apply(page):
    press(page, "Apply")
    expect(page.get_by_text("Applied and saved in the project.")).to_be_visible()


def extract(page, summary, *, button="Extract"):
    press(page, button)
    expect(page.get_by_text(f"Extraction Complete! {summary}").first).to_be_visible(timeout=60_000)


def set_rois(page, text):
    field = page.get_by_label("Enter ROI ID", exact=True)
    field.fill(text)
    field.press("Enter")
    settle(page)


def small_input(page, size):
    page.get_by_text("Range, precision").click()
    set_number(page, "Input size (pixels)", size)


def latents_of(project, encoder, pattern="*.npz"):
    return {path.name: np.load(path)["latent"] for path in (project.path / "latent" / encoder).glob(pattern)}


def forget(project, encoder):
    """Put the files aside, so that the command line computes its own."""
    for path in (project.path / "latent" / encoder).glob("*.npz*"):
        path.unlink()


def command(project, *options):
    """Run ``castle latents`` here, where torch is loaded once for all of them."""
    from typer.testing import CliRunner

    from castle_core.cli.app import app as castle

    tiny = str(project.path / "encoders" / TINY)
    done = CliRunner().invoke(castle, ["latents", "--project", str(project.path), "--encoder", tiny, *options])
    assert done.exit_code == 0, done.output


def test_posture_preset_two_rois_refresh_and_the_command_lines_numbers(page, app, demo):
    open_page(page, app, demo)
    problems = serious(page)
    choose(page, "Select Visual Model", TINY)
    expect(page.get_by_text("on this disk").first).to_be_visible()
    press(page, "Extract")
    expect(page.get_by_text("Please click Apply on the preprocessing settings first").first).to_be_visible()
    small_input(page, 56)
    set_rois(page, "1, 2")
    press(page, "Posture analysis")
    apply(page)
    expect(page.get_by_alt_text("What the model sees of frame 0")).to_be_visible()
    expect(page.get_by_text("measured on a few pictures")).to_be_visible(timeout=60_000)
    press(page, "Look for the riskiest frames")
    expect(page.get_by_text("Riskiest frames of").first).to_be_visible(timeout=30_000)
    page.get_by_test_id("stMain").get_by_role("button", name="Extract", exact=True).click()
    expect(page.get_by_text("You can leave or reload this page")).to_be_visible()
    page.reload()
    expect(page.get_by_text("Extraction Complete! 4 files written.")).to_be_visible(timeout=60_000)
    made = latents_of(demo, TINY)
    assert sorted(made) == [f"mouse_day{day}_ROI_{roi}_{TINY}_ctr_rmbg.npz" for day in (1, 2) for roi in (1, 2)]
    forget(demo, TINY)
    crop = ("--center-roi", "1", "--tail-roi", "2", "--remove-background", "all")
    command(demo, "--roi", "1", "--roi", "2", *crop, "--input-size", "56")
    for name, latent in latents_of(demo, TINY).items():
        assert np.isfinite(latent).any()
        np.testing.assert_array_equal(made[name], latent)
    page.emulate_media(color_scheme="dark")
    page.wait_for_timeout(500)
    problems += serious(page)
    assert not problems, "\n".join(dict.fromkeys(problems))


def test_spatial_point_of_a_keypoint_nearest_and_bilinear_and_run_frame(page, app, demo):
    open_page(page, app, demo)
    choose(page, "Select Visual Model", TINY)
    small_input(page, 112)
    choose(page, "Post-Encoder Module", "Spatial Point Extraction")
    choose(page, "Point Key", "nose")
    apply(page)
    expect(page.get_by_text(re.compile(r"nose: x [\d.]+, y [\d.]+ px"))).to_be_visible()
    set_number(page, "Frame index (0 to 59)", 7)
    press(page, "Run Frame")
    expect(page.get_by_alt_text("Token map of frame 7 in colours")).to_be_visible(timeout=60_000)
    page.get_by_role("application").click(position={"x": 5, "y": 5})
    expect(page.get_by_text("Patch: row 0, column 0 of 8 x 8")).to_be_visible()
    folder = demo.path / "latent" / TINY
    one = np.load(folder / "one-frame" / f"mouse_day1_pt-nose_{TINY}_frame7.npz")["latent"]
    assert one.shape == (1, 64)

    made = {}
    for words, name in (("Bilinear", "bilinear"), ("Nearest", "nearest")):
        choose(page, "Interpolation", words)
        extract(page, "2 files written.")
        made[name] = latents_of(demo, TINY)
        assert sorted(made[name]) == [f"mouse_day{day}_ROI_1_{TINY}_pt-nose.npz" for day in (1, 2)]
    log = page.get_by_test_id("stMain").locator("code", has_text="interpolation was bilinear, you ask nearest")
    expect(log).to_be_attached()
    np.testing.assert_allclose(one[0], made["bilinear"][f"mouse_day1_ROI_1_{TINY}_pt-nose.npz"][7], atol=1e-4)
    for name, latents in made.items():
        forget(demo, TINY)
        command(demo, "--points", "nose", "--roi", "1", "--interpolation", name, "--input-size", "112")
        for file, latent in latents_of(demo, TINY).items():
            np.testing.assert_array_equal(latents[file], latent)
    for file, latent in made["bilinear"].items():
        seen = np.isfinite(latent).all(axis=1)
        assert seen.sum() > 50
        assert np.abs(latent - made["nearest"][file])[seen].max() > 0.01


def test_feature_map_crop_video_rotation_latent_and_a_changed_crop(page, app, demo):
    open_page(page, app, demo)
    choose(page, "Select Visual Model", re.compile("^hog$"))
    press(page, "General behavior")
    choose(page, "Output", "feature map")
    expect(page.get_by_text("Feature maps of 120 frames: 9 x 8 x 8 each, float16, up to 138 kB")).to_be_visible()
    apply(page)
    extract(page, "4 files written.")
    folder = demo.path / "latent" / "hog"
    with h5py.File(folder / "mouse_day1_ROI_1_hog_ctr_map.h5", "r") as file:
        assert (file["latent"].shape, file["latent"].dtype) == ((60, 9, 8, 8), np.float16)
        assert np.isfinite(file["latent"][0]).all()

    set_number(page, "Angles", 3)
    extract(page, "2 files written.", button="Extract Rotation Latent")
    turned = np.load(folder / "mouse_day1_ROI_1_rotation_latent.npz")["latent"]
    upright = np.load(folder / "mouse_day1_ROI_1_hog_ctr.npz")["latent"]
    assert turned.shape == upright.shape == (60, 9)
    assert np.isfinite(turned).any()
    assert not np.allclose(turned, upright, equal_nan=True)

    extract(page, "2 crop videos written.", button="Extract Crop Video")
    film = page.locator("video[aria-label='Crop video']")
    until(lambda: film.evaluate("v => v.readyState >= 2 && v.videoWidth") == 300, "the crop video is there")
    film.evaluate("v => v.play()")
    until(lambda: film.evaluate("v => v.currentTime") > 0.2, "the crop video plays")

    set_number(page, "Width", 224)
    expect(page.get_by_text("Changed since Apply")).to_be_visible()
    apply(page)
    differs = "exists, but the crop was 300 x 300, you ask 224 x 300"
    expect(page.get_by_role("table").get_by_text(differs).first).to_be_visible(timeout=30_000)
    extract(page, "4 files written.")
    page.get_by_text("Log of the last run").click()
    expect(
        page.locator("code", has_text=f"mouse_day1_ROI_1_hog_ctr.npz {differs}: it is computed again")
    ).to_be_visible()
    assert len(list(demo.cache_dir.glob("trash/*/mouse_day1_ROI_1_hog_ctr.npz"))) == 1
    extract(page, "4 files skipped.")


def test_cancel_keeps_finished_work_and_continue_goes_on(page, app, long_film):
    open_page(page, app, long_film)
    choose(page, "Select Visual Model", re.compile("^hog$"))
    set_rois(page, "0")
    apply(page)
    set_number(page, "Angles", 4)
    press(page, "Extract Rotation Latent")
    shards = long_film.cache_dir / "shards"
    (first,) = until(lambda: list(shards.glob("*/000000000")), "the first shard is saved", 60)
    press(page, "Cancel")
    expect(page.get_by_text("Cancelled. What was finished is kept")).to_be_visible(timeout=60_000)
    assert not list((long_film.path / "latent").rglob("*.npz"))
    (rows,) = (path for path in first.glob("*.npy") if ".status" not in path.name)
    changed = np.load(rows, mmap_mode="r+")
    changed[5] = 7.0  # a mark, to see that the shard is used and not made again
    changed.flush()
    press(page, "Continue")
    expect(page.get_by_text("Extraction Complete! 1 file written.")).to_be_visible(timeout=60_000)
    (made,) = (long_film.path / "latent").rglob("*.npz")
    latent = np.load(made)["latent"]
    assert latent.shape == (4200, 9)
    assert (latent[5] == 7).all()
    assert np.isfinite(latent).all()


def test_a_video_that_cannot_run_stops_extract_until_it_is_left_out(page, app, demo):
    masks = demo.path / "track" / "mouse_day2.mp4" / "mask_list.h5"
    aside = masks.with_suffix(".aside")
    masks.rename(aside)
    try:
        open_page(page, app, demo)
        choose(page, "Select Visual Model", re.compile("^hog$"))
        press(page, "Locomotion patterns")
        apply(page)
        expect(page.get_by_text("1 of 2 videos cannot run")).to_be_visible(timeout=30_000)
        expect(page.get_by_role("button", name="Extract", exact=True)).to_be_disabled()
        expect(page.get_by_role("link", name="Track its ROIs")).to_be_visible()
        press(page, "Extract only the other one")
        expect(page.get_by_text("Extraction Complete! 1 file written.")).to_be_visible(timeout=60_000)
        assert (demo.path / "latent" / "hog" / "mouse_day1_ROI_1_hog_ctr.npz").is_file()
        press(page, "Leave it out")
        expect(page.get_by_role("button", name="Extract", exact=True)).to_be_enabled(timeout=30_000)
        expect(page.get_by_role("table").get_by_text("mouse_day1.mp4")).to_be_visible(timeout=30_000)
    finally:
        aside.rename(masks)
