"""The Inspector in a real browser: a lasso goes to labelling, one frame in all views, accessibility."""

import numpy as np
import pytest
from steps import fresh, settle, until, wait_for_board
from test_quality import serious

expect = pytest.importorskip("playwright.sync_api").expect


@pytest.fixture(scope="session")
def looked_at(app, short_film):
    """A project whose latents have two far groups: frames 0 to 149 on the left, the rest on the right."""
    from castle_core.latents.npz import write_latents
    from castle_core.projects import Project

    project = Project.create(fresh(app, "latents"))
    (project.path / "videos" / "walk.mp4").write_bytes(short_film.read_bytes())
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(300, 16)).astype(np.float32)
    latent[150:] += 12
    status = np.zeros(300, np.uint8)
    status[40:50] = 2
    latent[40:50] = np.nan
    folder = project.path / "latent" / "tiny"
    folder.mkdir(parents=True)
    metadata = {"video_name": "walk.mp4", "model_name": "tiny", "roi_id": 1}
    write_latents(folder / "walk_ROI_1_tiny.npz", [latent], latent.shape, status=status, metadata=metadata)
    return project


@pytest.fixture(scope="session")
def with_tokens(app, short_film):
    """A project whose latents were extracted here, so that the file tells its settings."""
    from castle_core.job_functions import job_function
    from castle_core.progress import QUIET
    from castle_core.projects import Project

    project = Project.create(fresh(app, "tokens"))
    (project.path / "videos" / "walk.mp4").write_bytes(short_film.read_bytes())
    config = {"encoder": "hog", "roi_ids": [0], "input_size": 64, "every": 10}
    job_function("latents")(QUIET, project=str(project.path), owner="local", videos=["walk"], config=config)


def open_inspector(page, app, project="latents"):
    page.goto(f"{app.url}/inspector?project={project}")
    field = page.locator(".scatter .dots")
    expect(field).to_be_visible()
    painted = "c => { const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; return d.some(v => v) }"
    until(lambda: field.evaluate(painted), "the map")
    settle(page)
    return field


def view(page, name):
    page.get_by_role("radio", name=name, exact=True).first.click()
    settle(page)


def test_lasso_to_labelling(page, app, looked_at):
    field = open_inspector(page, app)
    box = field.bounding_box()
    corners = [(0.02, 0.02), (0.45, 0.02), (0.45, 0.98), (0.02, 0.98), (0.02, 0.02)]
    page.mouse.move(box["x"] + corners[0][0] * box["width"], box["y"] + corners[0][1] * box["height"])
    page.mouse.down()
    for x, y in corners[1:]:
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=6)
    page.mouse.up()
    inside = page.get_by_text("inside the lasso", exact=False).first
    expect(inside).to_be_visible()
    assert inside.inner_text().split()[0] in ("140", "150")
    page.get_by_label("Frames to label", exact=True).fill("5")
    page.get_by_label("Frames to label", exact=True).press("Enter")
    settle(page)
    page.get_by_role("button", name="Send to labelling").click()
    expect(page.get_by_text("The frames wait on a board")).to_be_visible(timeout=60_000)
    page.get_by_role("link", name="Look at the frames").click()
    tiles = wait_for_board(page)
    expect(tiles).to_have_count(5)
    frames = [int(text.removeprefix("frame ")) for text in tiles.locator("b").all_text_contents()]
    assert all(f < 150 for f in frames) or all(f >= 150 for f in frames)
    assert not set(frames) & set(range(40, 50))


def test_a_finger_scrolls_over_the_map_and_draws_only_when_asked(chromium, app, looked_at):
    def swipe(corners):
        for place, (x, y) in enumerate(corners):
            kind = "touchMove" if place else "touchStart"
            devices.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
        devices.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    def in_the_middle():
        field.evaluate("e => e.scrollIntoView({block: 'center'})")
        box = field.bounding_box()
        return box["x"], box["y"], box["width"], box["height"]

    context = chromium.new_context(viewport={"width": 400, "height": 800}, has_touch=True, is_mobile=True)
    page = context.new_page()
    devices = context.new_cdp_session(page)
    field = open_inspector(page, app)
    left, top, width, height = in_the_middle()
    swipe([(left + width / 2, top + height * 0.9 - 12 * step) for step in range(14)])
    until(lambda: field.bounding_box()["y"] < top - 20, "scrolling")
    expect(page.get_by_role("button", name="Clear lasso")).to_be_hidden()
    page.get_by_role("button", name="Lasso", exact=True).click()
    left, top, width, height = in_the_middle()
    corners = [(0.02, 0.02), (0.45, 0.02), (0.45, 0.98), (0.02, 0.98), (0.02, 0.02)]
    swipe([(left + x * width, top + y * height) for x, y in corners])
    expect(page.get_by_text("inside the lasso", exact=False).first).to_be_visible()
    expect(page.get_by_role("button", name="Clear lasso")).to_be_visible()
    assert abs(field.bounding_box()["y"] - top) < 2
    context.close()


def test_one_frame_in_all_views_by_keyboard(page, app, looked_at):
    field = open_inspector(page, app)
    field.focus()
    for _ in range(4):
        page.keyboard.press("Shift+ArrowRight")
    expect(page.get_by_role("spinbutton", name="Frame shown")).to_have_value("40")
    expect(page.get_by_text("no value: ROI absent")).to_be_visible()
    view(page, "Gaps")
    track = page.get_by_role("slider", name="Frame shown")
    expect(track).to_have_attribute("aria-valuenow", "40")
    track.focus()
    page.keyboard.press("End")
    expect(page.get_by_role("spinbutton", name="Frame shown")).to_have_value("299")
    view(page, "Traces")
    expect(track).to_have_attribute("aria-valuenow", "299")
    video = page.locator(".lanes video")
    until(
        lambda: video.evaluate("v => v.readyState >= 2 && Math.floor(v.currentTime * 30)") == 299, "the video's frame"
    )


def test_the_token_map_of_a_frame_and_what_is_like_a_patch(page, app, with_tokens):
    open_inspector(page, app, "tokens")
    page.get_by_role("button", name="Show its token map").click()
    patches = page.get_by_label("Choose a patch", exact=False)
    expect(patches).to_be_visible(timeout=60_000)
    alike = page.get_by_alt_text("Similarity of every patch", exact=False)
    before = alike.get_attribute("alt")
    settle(page)
    patches.focus()
    page.keyboard.press("ArrowUp")
    expect(alike).not_to_have_attribute("alt", before)
    until(lambda: alike.evaluate("i => i.complete && i.naturalWidth > 100"), "the picture of what is alike")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_accessibility_problem_in_the_inspector(page, app, looked_at, scheme):
    page.emulate_media(color_scheme=scheme)
    open_inspector(page, app)
    problems = serious(page)
    for name in ("Heat map", "Traces", "Table", "Clusters", "Gaps", "Export"):
        view(page, name)
        problems += [f"{name}: {each}" for each in serious(page)]
    assert not problems, "\n".join(dict.fromkeys(problems))
