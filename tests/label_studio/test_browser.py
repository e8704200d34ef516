"""From our page to the real Label Studio in a real browser, and back."""

import csv
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import migrate_label_studio as starting
import pytest
from lab import tasks

from castle_core.labels import project_labels
from castle_core.projects import Project

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]  # two servers, their start, and a browser
ROOT = Path(__file__).resolve().parents[2]


def _wait(process, url, output) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            pass
        assert process.poll() is None, output.read_text()
        assert time.monotonic() < deadline, output.read_text()
        time.sleep(0.2)


@pytest.fixture
def app(tmp_path_factory):
    """Our app with its workers, and the demo project in its home."""
    from castle_core.demo import make_demo
    from castle_core.frames import export_frames

    folder = tmp_path_factory.mktemp("app")
    project = folder / "home" / "demo"
    make_demo(project, seconds=4, size=(320, 240), n_videos=2, encoder=False)
    opened = Project.open(project)
    for stem in ("mouse_day1", "mouse_day2"):
        export_frames(opened, stem, range(0, 120, 8), context=0)
    environment = {**os.environ, "CASTLE_HOME": str(folder / "home"), "CASTLE_STATE": str(folder / "state")}
    url = f"http://127.0.0.1:{starting.free_port()}"
    command = [sys.executable, "-c", "from castle_core.cli import main; main()", "serve", "--no-login"]
    output = folder / "app.log"
    with open(output, "wb") as log:
        process = subprocess.Popen(
            [*command, "--port", url.rpartition(":")[2]],
            env=environment,
            stdout=log,
            stderr=log,
            cwd=ROOT,
            start_new_session=True,
        )
    try:
        _wait(process, url, output)
        yield url, opened
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(5)


def test_thirty_frames_there_and_one_point_back(app, label_studio, chromium, tmp_path):
    url, project = app
    shots = Path(os.environ.get("CASTLE_TEST_SHOTS", tmp_path))
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(30_000)
    page = context.new_page()
    try:
        page.goto(f"{url}/label_export?project=demo")
        page.get_by_label("Address", exact=True).fill(label_studio.url)
        page.get_by_label("Token", exact=True).fill("wrong-token")
        page.get_by_role("button", name="Check and save").click()
        expect(page.get_by_text("does not accept the token")).to_be_visible()
        page.get_by_label("Token", exact=True).fill(label_studio.token)
        page.get_by_role("button", name="Check and save").click()
        expect(page.get_by_text(f"as {label_studio.email}")).to_be_visible()
        page.get_by_role("button", name="Push 30 frames").click()
        expect(page.get_by_text("30 frames sent")).to_be_visible(timeout=60_000)
        page.screenshot(path=shots / "pushed.png", full_page=True)
        link = page.get_by_role("link", name="Label the first open frame")
        with context.expect_page() as opened:
            link.click()
        studio = opened.value
        studio.get_by_label("Email").or_(studio.locator("input[name=email]")).first.fill(label_studio.email)
        studio.locator("input[name=password]").fill(label_studio.password)
        studio.locator("button[type=submit], [type=submit]").first.click()
        studio.wait_for_function("window.Htx?.annotationStore?.selected?.regions?.length >= 3", timeout=45_000)
        studio.wait_for_timeout(1000)
        studio.screenshot(path=shots / "label-studio.png")
        before = project_of(label_studio)
        first = before["labeled-data/mouse_day1/img00000000.png"]
        sent = {r["value"]["keypointlabels"][0]: r["value"] for r in first["predictions"][0]["result"]}
        # where the picture lies on the page
        box = studio.locator(".lsf-image img").first.bounding_box()
        label = "nose"
        x = box["x"] + sent[label]["x"] / 100 * box["width"]
        y = box["y"] + sent[label]["y"] / 100 * box["height"]
        studio.mouse.move(x, y)
        studio.mouse.down()
        studio.mouse.move(x + 10, y + 5, steps=4)
        studio.mouse.move(x + 20, y + 10, steps=4)
        studio.mouse.up()
        studio.screenshot(path=shots / "dragged.png")
        studio.get_by_role("button", name="Submit").click()
        deadline = time.monotonic() + 20
        while not (done := project_of(label_studio)["labeled-data/mouse_day1/img00000000.png"]["annotations"]):
            assert time.monotonic() < deadline
            time.sleep(0.3)
        studio.close()
        got = {r["value"]["keypointlabels"][0]: r["value"] for r in done[0]["result"]}
        moved = got[label]["x"] - sent[label]["x"], got[label]["y"] - sent[label]["y"]
        assert moved == pytest.approx((100 * 20 / box["width"], 100 * 10 / box["height"]), abs=0.05)
        page.bring_to_front()
        page.get_by_role("button", name="Pull labels").click()
        expect(page.get_by_text("1 new frame")).to_be_visible(timeout=60_000)
        page.get_by_text("Look at the frames").click()
        expect(page.locator(".board .points circle").first).to_be_visible()
        expect(page.get_by_text("How good were the pre-labels?")).to_be_visible()
        until_still(page)
        page.screenshot(path=shots / "pulled.png", full_page=True)
        problems = serious(page)
        page.emulate_media(color_scheme="dark")
        page.set_viewport_size({"width": 1400, "height": 1300})
        until_still(page)
        page.screenshot(path=shots / "dark.png")
        problems += serious(page)
        assert not problems, "\n".join(dict.fromkeys(problems))
        page.set_viewport_size({"width": 400, "height": 1500})
        until_still(page)
        page.screenshot(path=shots / "narrow.png")
        labels = project_labels(project)
        assert labels.frames == ("labeled-data/mouse_day1/img00000000.png",)
        for k, name in enumerate(labels.keypoints):
            if name not in sent:
                continue
            was = sent[name]["x"] / 100 * 320, sent[name]["y"] / 100 * 240
            if name == label:
                was = was[0] + moved[0] * 3.2, was[1] + moved[1] * 2.4
            assert tuple(labels.xy[0, 0, k]) == pytest.approx(was, abs=1e-6), name
        with (project.path / "CollectedData.csv").open() as file:
            assert len(list(csv.reader(file))) == 4
    finally:
        context.close()


def until_still(page):
    page.wait_for_timeout(400)
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")


def serious(page) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']} ({each['impact']}): {node['html'][:160]}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"][:3]
    ]


def project_of(label_studio):
    with label_studio.client() as client:
        (only,) = list(client.projects())
        return tasks(client, only["id"])
