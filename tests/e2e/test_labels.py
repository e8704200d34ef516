"""Label export in a browser: keypoints, checks, files out and in."""

import json
import zipfile

import numpy as np
import pytest
from steps import fresh, open_project, settle, until

from castle_core.uploads import UploadStore

expect = pytest.importorskip("playwright.sync_api").expect


@pytest.fixture
def walking(app, short_film):
    """A project, new for each try, with 40 labelled frames of an animal that walks; in one its ears are exchanged."""
    from castle_core.labels import Labels, update_project_labels
    from castle_core.projects import Project
    from castle_core.video.images import encode_png

    random = np.random.default_rng(1)
    body = np.array([[14, 0], [7, 5], [7, -5], [-14, 0]], float)
    angle = random.uniform(0, 2 * np.pi, 40)
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=1).reshape(-1, 2, 2)
    xy = np.einsum("nij,kj->nki", turn, body) + random.uniform(30, 90, (40, 1, 2)) + random.normal(0, 0.3, (40, 4, 2))
    xy[7, [1, 2]] = xy[7, [2, 1]]
    project = Project.create(fresh(app, "walking"), keypoints=("nose", "left_ear", "right_ear", "tail"))
    (project.path / "videos" / "walk.mp4").write_bytes(short_film.read_bytes())
    folder = project.path / "labeled-data" / "walk"
    folder.mkdir(parents=True)
    frames = tuple(f"labeled-data/walk/img{index:08d}.png" for index in range(40))
    picture = encode_png(random.integers(30, 90, (120, 160, 3), dtype=np.uint8))
    for frame in frames:
        (project.path / frame).write_bytes(picture)
    update_project_labels(project, Labels(project.keypoints, ("",), frames, xy[:, None], scorer="anna"))
    return project


def part(page, name):
    page.get_by_test_id("stMain").get_by_text(name).first.click()
    settle(page)


def test_keypoints_checks_and_files(page, app, walking, tmp_path):
    from castle_core.labels import project_labels

    open_project(page, app, walking.name)
    page.get_by_role("link", name="Label export").first.click()
    expect(page.get_by_role("heading", name="Label export")).to_be_visible()
    part(page, "Keypoints")
    name = page.get_by_role("textbox", name="1 · 40 labels")
    name.fill("snout")
    page.get_by_role("button", name="Save keypoints").click()
    expect(page.get_by_text("Renamed: nose → snout")).to_be_visible()
    assert project_labels(walking).keypoints == ("snout", "left_ear", "right_ear", "tail")
    drawn = page.locator("img.castle-drawn")
    until(lambda: drawn.evaluate("image => image.naturalWidth") >= 640, "the labelled frame")

    part(page, "Check labels")
    page.get_by_test_id("stMain").get_by_role("button", name="Check labels", exact=True).last.click()
    cards = page.locator(".castle-checks > li")
    expect(cards.first).to_contain_text("left_ear and right_ear seem to be exchanged", timeout=30_000)
    expect(cards.first).to_contain_text("img00000007.png")
    until(lambda: cards.first.locator("img").evaluate("image => image.naturalWidth") == 640, "its picture")
    picture = page.request.get(page.evaluate("document.querySelector('.castle-checks a').href"))
    assert picture.headers["content-type"] == "image/jpeg"

    part(page, "Files in and out")
    card = page.locator(".st-key-format-coco")
    card.get_by_role("button", name="Prepare").click()
    link = card.get_by_role("link", name=f"{walking.name}_coco.zip")
    expect(link).to_be_visible(timeout=30_000)
    with page.expect_download() as loading:
        link.click()
    loading.value.save_as(tmp_path / "coco.zip")
    with zipfile.ZipFile(tmp_path / "coco.zip") as archive:
        document = json.loads(archive.read("annotations.json"))
    assert len(document["annotations"]) == 40

    document["annotations"][3]["keypoints"][0] += 5
    (tmp_path / "changed.json").write_text(json.dumps(document))
    page.locator("input[type=file]").set_input_files(tmp_path / "changed.json")
    ready = page.get_by_role("button", name="Import labels")
    expect(ready).to_be_visible(timeout=30_000)
    assert [upload.purpose for upload in UploadStore(walking).all()] == ["labels"]
    ready.click()
    expect(page.get_by_text("0 frames added, 1 changed, 39 as before")).to_be_visible(timeout=30_000)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_accessibility_problem(page, app, walking, scheme):
    from test_quality import serious

    from castle_core.job_functions import job_function
    from castle_core.progress import QUIET

    job_function("check_labels")(QUIET, project=str(walking.path), owner="me")
    page.emulate_media(color_scheme=scheme)
    open_project(page, app, walking.name)
    page.get_by_role("link", name="Label export").first.click()
    expect(page.get_by_role("heading", name="Label export")).to_be_visible()
    problems = []
    for name in ("Keypoints", "Check labels", "Files in and out"):
        part(page, name)
        problems += serious(page)
    assert not problems, "\n".join(dict.fromkeys(problems))
