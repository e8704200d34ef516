"""The main job in a real browser, from the empty app to the PNGs on disk."""

import json

import pytest
from steps import (
    EXTRACT,
    extract_button,
    fresh,
    open_project,
    selected,
    set_number,
    settle,
    tile_frames,
    until,
    wait_for_board,
    write,
)

from castle_core.boards import list_boards
from castle_core.predictions import load_predictions
from castle_core.projects import Project

expect = pytest.importorskip("playwright.sync_api").expect


def same_as_export(app, project, stem, video, frames, tmp_path):
    """Compare what the page wrote with what ``castle export-frames`` writes for the same frames."""
    other = tmp_path / "other"
    app.castle("export-frames", str(video), "--project", str(other), "--indices", ",".join(map(str, frames)))
    ours, theirs = project / "labeled-data" / stem, other / "labeled-data" / stem
    names = sorted(path.name for path in ours.iterdir() if path.suffix in (".png", ".csv"))
    assert names == sorted(path.name for path in theirs.iterdir() if path.suffix in (".png", ".csv"))
    assert len(names) > len(frames)
    for name in names:
        assert (ours / name).read_bytes() == (theirs / name).read_bytes(), name


def test_demo_from_the_empty_app(page, app, tmp_path):
    (app.state / "recent.json").unlink(missing_ok=True)
    project = fresh(app, "demo")
    page.goto(app.url)
    page.get_by_role("button", name="Make the demo project").click()
    expect(page.get_by_text(f"Make the project {project.name}", exact=True).first).to_be_visible()
    expect(extract_button(page)).to_be_visible(timeout=150_000)
    set_number(page, "Frames per video", 6)
    extract_button(page).click()
    expect(page.get_by_text("You can leave or reload this page")).to_be_visible()
    page.reload()  # in the middle of the job
    tiles = wait_for_board(page)
    expect(tiles).to_have_count(12)
    frames = tile_frames(tiles)
    expect(page.get_by_text("These 6 frames cover")).to_be_visible()
    until(lambda: tiles.first.locator("img").evaluate("image => image.naturalWidth") > 0, "the first picture")
    assert not selected(project, "mouse_day1")
    write(page, 12)
    assert selected(project, "mouse_day1") == sorted(frames[:6])
    assert selected(project, "mouse_day2") == sorted(frames[6:])
    video = project / "videos" / "mouse_day1.mp4"
    same_as_export(app, project, "mouse_day1", video, frames[:6], tmp_path)
    page.get_by_role("link", name="Label export").last.click()
    expect(page.get_by_role("heading", name="Label export")).to_be_visible()
    expect(page.locator(".board li")).to_have_count(6)
    page.get_by_role("link", name=EXTRACT).first.click()
    expect(extract_button(page)).to_be_visible()
    expect(page.get_by_text("frames written.")).to_be_hidden()


def test_real_video_from_a_server_folder(page, app, share, tmp_path):
    video = share / "2026-01" / "m3v1mp4.mp4"
    if not video.exists():
        pytest.skip("the real openfield video is not here")
    project = fresh(app, "openfield")
    page.goto(app.url)
    another = page.get_by_role("button", name="Another project")
    expect(another.or_(page.get_by_role("button", name="New project …"))).to_be_visible()
    if another.is_visible():
        another.click()
        page.get_by_text("New project").click()
    else:
        page.get_by_role("button", name="New project …").click()
    page.get_by_label("Name", exact=True).fill(project.name)
    page.get_by_role("button", name="Make the project").click()
    page.get_by_role("button", name="2026-01").click()
    page.get_by_text("m3v1mp4.mp4").click()
    page.get_by_role("button", name="Add 1 video").click()
    expect(extract_button(page)).to_be_enabled()
    assert (project / "videos" / "m3v1mp4.mp4").resolve() == video
    set_number(page, "Frames per video", 10)
    extract_button(page).click()
    tiles = wait_for_board(page)
    expect(tiles).to_have_count(10)
    frames = tile_frames(tiles)
    write(page, 10)
    same_as_export(app, project, "m3v1mp4", video, frames, tmp_path)
    picked = json.loads((project / "labeled-data" / "m3v1mp4" / "selection.json").read_text())
    assert "kmeans" in json.dumps(picked)


def test_upload_trim_review_by_keyboard_undo_and_straight_to_disk(page, app, short_film):
    from castle_core.projects import Project

    project = Project.create(fresh(app, "keyboard")).path
    open_project(page, app, project.name)
    page.get_by_text("this computer").click()
    page.locator("input[type=file]").set_input_files(str(short_film))
    until(lambda: (project / "videos" / "walk.mp4").exists(), "the upload")
    expect(extract_button(page)).to_be_enabled()
    assert (project / "videos" / "walk.mp4").read_bytes() == short_film.read_bytes()

    start = page.get_by_role("slider", name="First frame to use")
    start.focus()
    for _ in range(6):
        page.keyboard.press("Shift+ArrowRight")
    expect(start).to_have_attribute("aria-valuenow", "60")
    page.get_by_role("button", name="Leave out").focus()
    page.keyboard.press("x")
    for _ in range(9):
        page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("x")
    expect(page.get_by_text("left out 00:00:02.000")).to_be_visible()
    settle(page)
    set_number(page, "Frames per video", 6)
    extract_button(page).click()
    tiles = wait_for_board(page)
    expect(tiles).to_have_count(6)
    frames = tile_frames(tiles)
    assert min(frames) >= 60
    assert not set(frames) & set(range(60, 151))

    tiles.first.locator("button.tile").focus()
    for key in ("ArrowRight", " ", "ArrowRight", "p", "ArrowRight", "s"):  # drop the 2nd, pin the 3rd, swap the 4th
        page.keyboard.press(key)
    expect(page.get_by_role("button", name="Write 5 frames").last).to_be_visible()
    expect(tiles.nth(1)).to_have_class("drop")
    expect(tiles.nth(2)).to_have_class("pin")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Write 5 frames").last.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("5 frames written.")).to_be_visible()
    written = selected(project, "walk")
    assert len(written) == 5
    assert frames[1] not in written  # dropped
    assert frames[2] in written  # pinned
    assert frames[3] not in written  # swapped for another one
    assert len(set(written) - set(frames)) == 1
    assert min(written) >= 60
    assert not set(written) & set(range(60, 151))
    assert len(list((project / "labeled-data" / "walk").glob("*.png"))) > 5
    page.get_by_role("button", name="Undo this round").click()
    expect(page.get_by_text("5 frames taken back. The board waits again, as it was.")).to_be_visible()
    expect(wait_for_board(page)).to_have_count(6)
    assert not list((project / "labeled-data").glob("walk/*.png"))

    page.get_by_text("Review before writing").click()
    settle(page)
    extract_button(page).click()
    expect(page.get_by_text("6 frames written.")).to_be_visible()
    straight = selected(project, "walk")
    assert len(straight) == 6
    assert min(straight) > 150  # the range holds here too
    page.get_by_role("button", name="Undo this round").click()
    expect(page.get_by_text("6 frames taken back.")).to_be_visible()
    assert not selected(project, "walk")
    assert not list((project / "labeled-data").glob("walk/*.png"))


@pytest.fixture
def small_demo(app):
    """A demo project of 10 seconds, new for each try: a board left by a failed one would be met by the next."""
    from castle_core.demo import make_demo

    folder = fresh(app, "small-demo")
    make_demo(folder, seconds=10, size=(320, 240), seed=3, encoder=False)
    return folder


def test_zip_with_three_problems(page, app, tmp_path):
    import zipfile

    import cv2
    import numpy as np

    from castle_core.projects import Project

    project = Project.create(fresh(app, "zips")).path
    path = tmp_path / "session_7.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(10, 15):
            png = cv2.imencode(".png", np.full((32, 48, 3), 10 * index, np.uint8))[1].tobytes()
            archive.writestr(f"frames/img{index:05d}.png", png)  # a folder, and five digits
        archive.writestr("__MACOSX/frames/._img00010.png", b"\0")
    open_project(page, app, project.name)
    page.get_by_text("Upload zipped files of frames").first.click()
    page.locator("input[type=file]").set_input_files(str(path))
    expect(page.get_by_text("ready with fixes")).to_be_visible()
    for title in ("Files that macOS and Windows leave", "Frames inside a folder", "Other names than img"):
        expect(page.get_by_text(title).first).to_be_visible()
    assert not (project / "labeled-data").exists() or not list((project / "labeled-data").rglob("*.png"))
    page.get_by_role("button", name="and import").click()
    expect(page.get_by_text("1 frame written.")).to_be_visible()
    assert selected(project, "session_7") == [12]
    names = sorted(p.name for p in (project / "labeled-data" / "session_7").glob("*.png"))
    assert names == [f"img{index:08d}.png" for index in range(10, 15)]


PICTURE_AND_DOTS = """(holder, selector) => {
    const image = holder.querySelector(selector);
    if (!image?.complete || !image.naturalWidth) return null;
    const box = image.getBoundingClientRect();
    const dots = [...holder.querySelectorAll(".points circle")].map(dot => {
        const at = dot.getBoundingClientRect();
        const middle = [at.x + at.width / 2 - box.x, at.y + at.height / 2 - box.y];
        return [dot.querySelector("title").textContent, middle];
    });
    return {natural: [image.naturalWidth, image.naturalHeight], box: [box.width, box.height], dots};
}"""


def assert_points_on_the_animal(page, tiles, project):
    """The model's points lie where its table says, on a tile and in the large picture, and can be switched off."""
    opened = Project.open(project)
    (board,) = list_boards(opened)
    entry = board.entries[0]
    table = project / "models" / board.settings["model"] / "video_preds" / f"{entry.video}.csv"
    predictions = load_predictions(table)
    xy = dict(zip(predictions.keypoints, predictions.xy[entry.frame_index].tolist(), strict=True))
    with opened.open_video(entry.video) as video:
        size = video.info.width, video.info.height
    inside = {name: at for name, at in xy.items() if 0 <= at[0] <= size[0] and 0 <= at[1] <= size[1]}
    expect(tiles.first.locator("b")).to_have_text(f"frame {entry.frame_index}")

    def compare(holder, selector):
        # One look for picture and dots, after the picture has come: the page may still move while we ask.
        def looked():
            seen = holder.evaluate(PICTURE_AND_DOTS, selector)
            return seen if seen and len(seen["dots"]) == len(inside) else None

        seen = until(looked, f"a picture with {len(inside)} points")
        (width, height), box, shown = seen["natural"], seen["box"], dict(seen["dots"])
        scale = min(box[0] / width, box[1] / height)  # the picture keeps its shape in the box
        left, top = (box[0] - scale * width) / 2, (box[1] - scale * height) / 2
        assert set(shown) == set(inside)
        for name, (x, y) in inside.items():
            expected = left + x * scale * width / size[0], top + y * scale * width / size[0]
            assert shown[name] == pytest.approx(expected, abs=1.5), name

    tiles.first.scroll_into_view_if_needed()
    compare(tiles.first, "img")
    tiles.first.hover()
    tiles.first.get_by_title("Look closer").click()
    compare(page.locator("dialog[open]"), "img.large")
    held = []
    page.route(lambda url: "1280" in url, lambda route: held.append(route))
    page.keyboard.press("ArrowRight")
    expect(page.locator("dialog .say b")).not_to_contain_text(f"Frame {entry.frame_index} ")
    expect(page.locator("dialog .points circle")).to_have_count(0)  # the picture before is still there
    until(lambda: page.wait_for_timeout(50) or held, "the request for the next picture")
    held[0].continue_()
    expect(page.locator("dialog .points circle").first).to_be_attached()
    page.unroute_all(behavior="ignoreErrors")
    page.get_by_role("button", name="Close", exact=True).click()
    page.get_by_text("Show the model's points").click()
    expect(page.locator(".board li .points")).to_have_count(0)
    expect(tiles).to_have_count(len(board.entries))


def test_hard_frames_of_two_videos_and_undo(page, app, small_demo):
    open_project(page, app, small_demo.name)
    before = {stem: selected(small_demo, stem) for stem in ("mouse_day1", "mouse_day2")}
    page.get_by_text("Automatically extract frames using a given model").first.click()
    expect(page.get_by_text("frames are hard")).to_be_visible()
    set_number(page, "Frames in all", 8)
    expect(page.get_by_role("button", name="Extract frames").last).to_be_enabled()
    extract_button(page).click()
    tiles = wait_for_board(page)
    expect(tiles).to_have_count(8)
    expect(page.locator(".board section")).to_have_count(2)
    assert_points_on_the_animal(page, tiles, small_demo)
    write(page, 8)
    after = {stem: selected(small_demo, stem) for stem in before}
    assert sum(map(len, after.values())) == sum(map(len, before.values())) + 8
    page.get_by_role("button", name="Undo this round").click()
    expect(page.get_by_text("8 frames taken back.")).to_be_visible()
    assert {stem: selected(small_demo, stem) for stem in before} == before
