"""Parts of the page that the long flows leave out: a frame from the player, one budget, uploads of predictions, copies
that play, and accessibility where there is no project."""

import json

import pytest
from steps import (
    extract_button,
    fresh,
    in_theme,
    open_project,
    selected,
    set_number,
    settle,
    tile_frames,
    until,
    wait_for_board,
)
from test_quality import serious

from castle_core.projects import Project

expect = pytest.importorskip("playwright.sync_api").expect


def test_one_budget_over_two_videos_and_a_frame_from_the_player(page, app, short_film):
    project = Project.create(fresh(app, "budget")).path
    for name in ("calm.mp4", "walk.mp4"):
        (project / "videos" / name).write_bytes(short_film.read_bytes())
    open_project(page, app, project.name)
    page.get_by_text("over all videos", exact=True).click()
    set_number(page, "Frames in all", 7)
    set_number(page, "At least per video", 2)
    set_number(page, "At most per video", 5)
    extract_button(page).click()
    tiles = wait_for_board(page)
    expect(tiles).to_have_count(7)
    expect(page.locator(".board section")).to_have_count(2)
    (board,) = (project / ".castle" / "boards").glob("*.json")
    entries = json.loads(board.read_text())["entries"]
    counts = [sum(entry["video"] == stem for entry in entries) for stem in ("calm", "walk")]
    assert sum(counts) == 7
    assert 2 <= min(counts) <= max(counts) <= 5

    before = set(tile_frames(page.locator(".board section").first.locator("li")))
    player = page.get_by_role("slider", name="First frame to use")
    player.focus()
    step = page.get_by_role("button", name="One frame forward")
    frame = next(frame for frame in range(1, 40) if frame not in before)
    for _ in range(frame):
        step.click()
    expect(page.locator(".trim .now")).to_contain_text(f"frame {frame} ·")
    page.get_by_role("button", name="Add this frame").first.click()
    expect(tiles).to_have_count(8)
    added = set(tile_frames(page.locator(".board section").first.locator("li"))) - before
    assert added == {frame}
    expect(tiles.filter(has_text=f"frame {frame}").first).to_contain_text("added")
    page.get_by_role("button", name="Write 8 frames").last.click()
    expect(page.get_by_text("8 frames written.")).to_be_visible()
    assert frame in selected(project, "calm")
    assert len(selected(project, "calm")) + len(selected(project, "walk")) == 8
    page.get_by_role("link", name="Label export").last.click()
    expect(page.get_by_role("heading", name="Label export")).to_be_visible()
    expect(page.locator(".board li").first).to_be_visible()
    for scheme in ("light", "dark"):
        in_theme(page, scheme)
        assert not serious(page)


def test_times_typed_into_the_trimmer(page, app, short_film):
    project = Project.create(fresh(app, "typed")).path
    (project / "videos" / "walk.mp4").write_bytes(short_film.read_bytes())
    open_project(page, app, project.name)
    first, end = page.get_by_label("From", exact=True), page.get_by_label("to", exact=True)
    wrong = page.locator(".trim .wrong")

    def types(field, text, shown, says=""):
        field.fill(text)
        field.press("Enter")
        expect(field).to_have_value(shown)
        expect(wrong).to_have_text(says) if not says else expect(wrong).to_contain_text(says)

    expect(end).to_have_value("00:00:10.000")
    types(end, "5", "00:00:05.000")
    types(first, "35f", "00:00:01.167")
    types(first, "7", "00:00:01.167", "The end (00:00:05.000) lies before the beginning (00:00:07.000). From stays")
    types(end, "1", "00:00:05.000", "The end (00:00:01.000) lies before the beginning (00:00:01.167). to stays")
    for text in ("banana", "-5"):
        types(first, text, "00:00:01.167", f"“{text}” is no time")
    types(end, "1:00", "00:00:10.000", "The video ends at 00:00:10.000")
    types(end, "9", "00:00:09.000")
    expect(page.locator(".trim .sum")).to_have_text("frames 35 to 269 · 235 of 300 frames in use · 00:00:07.833")


def test_predictions_are_uploaded_and_their_hard_frames_found(page, app, short_film, tmp_path):
    import numpy as np
    from prediction_tables import write_csv

    project = Project.create(fresh(app, "uploaded")).path
    (project / "videos" / "walk.mp4").write_bytes(short_film.read_bytes())
    random = np.random.default_rng(0)
    xy = np.cumsum(random.normal(0, 0.5, (300, 3, 2)), axis=0) + 60
    likelihood = np.full((300, 3), 0.99)
    wrong = [40, 120, 200, 280]
    likelihood[wrong] = 0.1
    write_csv(tmp_path / "walkDLC_resnet50.csv", xy, likelihood)
    (tmp_path / "walk_notes.csv").write_text("nothing,here\n1,2\n")
    open_project(page, app, project.name)
    page.get_by_text("Automatically extract frames using a given model").first.click()
    expect(page.get_by_role("heading", name="No predictions yet")).to_be_visible()
    for scheme in ("light", "dark"):
        in_theme(page, scheme)
        assert not serious(page)
    page.locator("input[type=file]").set_input_files(str(tmp_path / "walk_notes.csv"))
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("alert").filter(has_text="walk_notes.csv")).to_be_visible()
    assert not (project / "models").exists() or not list((project / "models").rglob("*.csv"))
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_label("Model", exact=True)).to_have_count(0)
    settle(page)
    page.locator("input[type=file]").set_input_files(str(tmp_path / "walkDLC_resnet50.csv"))
    expect(page.get_by_label("Model", exact=True)).to_have_count(1)
    settle(page)
    page.get_by_label("Model", exact=True).fill("resnet")
    page.get_by_label("Model", exact=True).press("Enter")
    settle(page)
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_text("usable frames are hard")).to_be_visible()
    expect(page.get_by_text("4 of 300 usable frames are hard")).to_be_visible()
    assert list((project / "models" / "resnet").glob("*.csv"))
    for scheme in ("light", "dark"):
        in_theme(page, scheme)
        assert not serious(page)

    start = page.get_by_role("slider", name="First frame to use")  # the count follows the part to use
    start.focus()
    for _ in range(5):
        page.keyboard.press("Shift+ArrowRight")
    expect(page.get_by_text("3 of 250 usable frames are hard")).to_be_visible()
    settle(page)
    set_number(page, "Frames in all", 3)
    extract_button(page).click()
    tiles = wait_for_board(page)
    expect(tiles).to_have_count(3)
    assert sorted(tile_frames(tiles)) == wrong[1:]


def test_a_video_that_browsers_cannot_play_gets_a_copy(page, app, short_film):
    from castle_core.video import VideoWriter, open_video

    project = Project.create(fresh(app, "proxy"))
    with (
        open_video(short_film) as film,
        VideoWriter(project.path / "videos" / "old.avi", fps=30, width=160, height=120, codec="mpeg4") as writer,
    ):
        for batch in film.batches(50):
            for picture in batch.data:
                writer.write(picture)
    before = (project.path / "videos" / "old.avi").read_bytes()
    open_project(page, app, project.name)
    button = page.get_by_role("button", name="Make it playable")
    expect(button.or_(page.get_by_role("button", name="Read it now"))).to_be_visible()
    if page.get_by_role("button", name="Read it now").is_visible():
        page.get_by_role("button", name="Read it now").click()
    expect(page.locator(".trim .still")).to_be_visible()
    button.click()
    expect(page.locator(".trim video")).to_be_visible(timeout=60_000)
    until(lambda: page.locator(".trim video").evaluate("video => video.readyState") >= 2, "a picture of the copy")
    assert project.has_proxy("old")
    assert (project.path / "videos" / "old.avi").read_bytes() == before
    expect(button).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_doors_are_accessible(page, app, scheme):
    (app.state / "recent.json").unlink(missing_ok=True)
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{app.url}/extract_frames")
    expect(page.get_by_role("heading", name="Frames worth labelling")).to_be_visible()
    assert not serious(page)
    page.get_by_role("button", name="New project …").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert not serious(page)
