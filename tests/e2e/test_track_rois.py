"""Draw, track, look, correct, track again, extract: the page Track ROIs in a real browser."""

import contextlib
import json
import re
import shutil

import numpy as np
import pytest
from steps import fresh, settle, until
from test_extract_latent import apply, choose, extract, press, set_rois
from test_quality import serious

playwright = pytest.importorskip("playwright.sync_api")
expect, Error = playwright.expect, playwright.Error


@pytest.fixture
def demo(app):
    """A demo project of 150 frames, new for each try, without its masks; they are kept apart to compare with."""
    from castle_core.demo import make_demo
    from castle_core.projects import Project

    path = fresh(app, "tracking")
    make_demo(path, seconds=5.0, size=(320, 240), n_videos=2)
    shutil.move(path / "track", path / "true_track")
    return Project.open(path)


def open_page(page, app, project):
    page.goto(f"{app.url}/track_rois?project={project.name}")
    expect(page.get_by_role("heading", name="Track ROIs")).to_be_visible()
    expect(page.locator("canvas.upper-canvas")).to_be_visible()
    settle(page)


def test_tools_are_in_sight_in_a_narrow_window(page, app, demo):
    page.set_viewport_size({"width": 400, "height": 900})
    open_page(page, app, demo)
    for each in page.get_by_role("radiogroup", name="Tool").get_by_role("radio").all():
        place = each.bounding_box()
        assert place["x"] >= 0
        assert place["x"] + place["width"] <= 400
    page.set_viewport_size({"width": 1280, "height": 900})
    on_canvas(page)
    page.locator("canvas.upper-canvas").hover()
    bar = page.locator(".dc-toolbar-card")
    expect(bar).to_be_visible()
    drawn_on = page.locator("canvas.upper-canvas").bounding_box()["y"]
    until(lambda: bar.bounding_box()["y"] + bar.bounding_box()["height"] <= drawn_on, "the bar has slid out")
    assert bar.bounding_box()["y"] >= page.locator(".st-key-canvas-scroll").bounding_box()["y"], "the bar is cut"


def tool(page, name):
    page.get_by_role("radio", name=name, exact=True).click()
    settle(page)


def on_canvas(page):
    """Return where the canvas lies on the screen, once it lies still; all of it is in sight."""
    canvas = page.locator("canvas.upper-canvas")

    def at_rest():
        with contextlib.suppress(Error):  # the page may just be putting another canvas in its place
            canvas.scroll_into_view_if_needed()
            place = canvas.bounding_box()
            page.wait_for_timeout(250)
            return place if place and place == canvas.bounding_box() else None
        return None

    return until(at_rest, "a canvas that lies still")


def drag(page, size, box, *, steps=4):
    """Draw from (x0, y0) to (x1, y1), given in pixels of a video of this size (width, height)."""
    place = on_canvas(page)
    x0, y0, x1, y1 = (v * (place["width"] / size[0], place["height"] / size[1])[i % 2] for i, v in enumerate(box))
    page.mouse.move(place["x"] + x0, place["y"] + y0)
    page.mouse.down()
    page.mouse.move(place["x"] + x1, place["y"] + y1, steps=steps)
    page.mouse.up()


def saved(project, frame, stem="mouse_day1"):
    path = project.path / "track" / f"{stem}.mp4" / "prompts.json"
    return json.loads(path.read_text())["frames"].get(str(frame), []) if path.exists() else []


def test_what_is_drawn_is_what_is_stored_at_every_zoom(page, app, demo):
    page.set_viewport_size({"width": 2300, "height": 1900})
    open_page(page, app, demo)
    worst = 0.0
    for number, zoom in enumerate(["fit", "1.5×", "2×", "3×"], 1):
        if number > 1:
            before = on_canvas(page)["width"]
            page.get_by_role("combobox", name="Zoom").click()
            page.get_by_role("option", name=zoom).click()
            until(lambda was=before: on_canvas(page)["width"] != was, f"the canvas at {zoom}")
        box = (20 + number, 30, 120, 90 + number)
        drag(page, (320, 240), box)
        found = until(lambda n=number: (d := saved(demo, 0)) and len(d) == n and d[-1], f"the box at {zoom}")
        worst = max(worst, np.abs(np.array(found["data"]) - box).max())
    assert worst <= 1.0, worst
    page.get_by_role("button", name="Clear this frame").click()
    until(lambda: not saved(demo, 0), "an empty frame")
    expect(page.get_by_text("not on this frame").first).to_be_visible()

    tool(page, "Polygon")
    place = on_canvas(page)
    scale = place["width"] / 320
    corners = [(40, 40), (100, 50), (80, 110)]
    for x, y in [*corners, corners[0]]:
        page.mouse.click(place["x"] + x * scale, place["y"] + y * scale, delay=20)
    (polygon,) = until(lambda: saved(demo, 0), "the polygon")
    assert np.abs(np.array(polygon["data"]) - corners).max() <= 1.0
    tool(page, "Adjust")
    drag(page, (320, 240), (75, 65, 135, 85))
    moved = until(lambda: (d := saved(demo, 0)) and d[0]["data"] != polygon["data"] and d[0], "the moved polygon")
    assert np.abs(np.array(moved["data"]) - np.array(corners) - (60, 20)).max() <= 1.0
    page.reload()
    expect(page.locator("canvas.upper-canvas")).to_be_visible()
    settle(page)
    tool(page, "Adjust")
    drag(page, (320, 240), (135, 85, 135, 95))  # it is there again, at its place
    again = until(lambda: (d := saved(demo, 0)) and d[0]["data"] != moved["data"] and d[0], "moved after a refresh")
    assert np.abs(np.array(again["data"]) - np.array(corners) - (60, 30)).max() <= 1.0
    page.get_by_role("button", name="Clear this frame").click()
    until(lambda: not saved(demo, 0), "an empty frame")


@pytest.mark.parametrize("width", [400, 800])
def test_where_there_is_little_room_the_whole_frame_is_in_sight_and_drawn_true(page, app, demo, width):
    page.set_viewport_size({"width": width, "height": 1200})
    open_page(page, app, demo)
    place, room = on_canvas(page), page.locator(".st-key-canvas-scroll").bounding_box()
    assert place["x"] >= room["x"]
    assert place["x"] + place["width"] <= room["x"] + room["width"] + 1
    box = (60, 40, 180, 150)
    drag(page, (320, 240), box)
    (found,) = until(lambda: saved(demo, 0), "the box")
    assert np.abs(np.array(found["data"]) - box).max() <= 1.0


def boxes_of(project, frame, stem="mouse_day1"):
    """Return the true masks' boxes (x0, y0, x1, y1) by ROI, a little wider."""
    from castle_core.rois import MaskFile

    with MaskFile(project.path / "true_track" / f"{stem}.mp4" / "mask_list.h5") as masks:
        mask = masks.mask_at(frame)
    boxes = {}
    for roi in (1, 2):
        ys, xs = np.nonzero(mask == roi)
        boxes[roi] = (int(xs.min()) - 2, int(ys.min()) - 2, int(xs.max()) + 3, int(ys.max()) + 3)
    return boxes


def tracked_masks(project, stem="mouse_day1"):
    from castle_core.rois import MaskFile

    return MaskFile(project.path / "track" / f"{stem}.mp4" / "mask_list.h5")


def test_draw_track_look_correct_track_again_extract(page, app, demo):
    page.set_viewport_size({"width": 1400, "height": 1900})
    open_page(page, app, demo)
    boxes = boxes_of(demo, 0)
    drag(page, (320, 240), boxes[1])
    until(lambda: len(saved(demo, 0)) == 1, "the body")
    page.get_by_role("button", name="Add a ROI").click()
    settle(page)
    drag(page, (320, 240), boxes[2])
    until(lambda: [each["roi"] for each in saved(demo, 0)] == [1, 2], "the tail")
    settle(page)
    page.get_by_role("button", name="Track", exact=True).click()
    strips = page.locator(".player .strip")
    expect(strips).to_have_count(2, timeout=60_000)
    with tracked_masks(demo) as masks:
        assert len(masks.frame_indices) == 150
        before = masks.mask_at(20)

    settle(page)
    width = strips.first.bounding_box()["width"]
    strips.first.click(position={"x": width * 60.5 / 150, "y": 10})
    expect(page.locator(".player .now")).to_contain_text("frame 60")
    page.get_by_role("button", name="Correct this frame").click()
    field = page.get_by_label("Frame index (0 to 149)")
    expect(field).to_have_value("60")
    settle(page)
    drag(page, (320, 240), boxes_of(demo, 60)[1])
    until(lambda: len(saved(demo, 60)) >= 1, "the correction")
    settle(page)
    page.get_by_role("radio", name="From here on").click()
    settle(page)
    version = (demo.path / "track" / "mouse_day1.mp4" / "mask_list.h5").stat().st_mtime_ns
    page.get_by_role("button", name="Track again from frame 60").click()
    until(
        lambda: (demo.path / "track" / "mouse_day1.mp4" / "mask_list.h5").stat().st_mtime_ns != version,
        "tracking again",
        60,
    )
    with tracked_masks(demo) as masks:
        assert len(masks.frame_indices) == 150
        assert np.array_equal(masks.mask_at(20), before)
    problems = serious(page)
    assert not problems, "\n".join(problems)
    page.goto(f"{app.url}/extract_latent?project={demo.name}")
    expect(page.get_by_role("heading", name="Extract latent")).to_be_visible()
    settle(page)
    choose(page, "Select Visual Model", re.compile("^hog$"))
    choose(page, "Select Target Video", "mouse_day1.mp4")
    set_rois(page, "1, 2")
    press(page, "No preprocessing")
    apply(page)
    extract(page, "2 files written")
    with tracked_masks(demo) as masks:
        lost = [i for i in range(150) if not (masks.mask_at(i) == 2).any()]
    latent = np.load(demo.path / "latent" / "hog" / "mouse_day1_ROI_2_hog.npz")["latent"]
    assert np.flatnonzero(np.isnan(latent).any(axis=1)).tolist() == lost
