"""Make the README's pictures: the page with a demo project in light and dark. Needs a Chromium on this machine."""

import argparse
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from castle_core.zips import EXAMPLE_NAME, example_zip

ROOT = Path(__file__).resolve().parent.parent
CASTLE = str(Path(sys.executable).with_name("castle"))
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
VIEW = {"width": 1440, "height": 960}
NARROW = {"width": 400, "height": 900}
READY_SECONDS = 90
SECOND = "demo-models"  # a project of its own, so that each board is the only one that waits
JOB_MS = 180_000


@contextmanager
def served(home: Path, state: Path) -> Iterator[str]:
    """Run the app with folders of its own; give its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "CASTLE_HOME": str(home), "CASTLE_STATE": str(state)}
    command = [CASTLE, "serve", "--no-login", "--port", str(port)]
    with (state.parent / "serve.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True)
    address = f"http://localhost:{port}"
    try:
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                urllib.request.urlopen(f"{address}/_stcore/health", timeout=2).close()
                break
            except OSError:
                if server.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit((state.parent / "serve.log").read_text()) from None
                time.sleep(0.2)
        yield address
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def settle(page: Page) -> None:
    """Wait until the page has stopped running and its pictures are there."""
    page.wait_for_load_state("networkidle")
    page.wait_for_function("!document.querySelector('[data-testid=stStatusWidget]')", timeout=60_000)
    page.wait_for_function("!document.querySelector('[data-testid=stSkeleton]')", timeout=60_000)
    page.wait_for_function("[...document.images].every(image => image.complete)", timeout=60_000)
    page.wait_for_timeout(500)


def picture(page: Page, target: Path) -> None:
    """Write one picture of what is in sight."""
    settle(page)
    page.screenshot(path=target, animations="disabled")
    print(target)


def tour(page: Page, address: str, pictures: Path, theme: str, *, choose: bool) -> None:
    """Open the demo project, choose frames (once), and take the pictures of one theme."""
    page.goto(f"{address}/?project=demo")
    page.get_by_role("heading", name="Extract frames").wait_for(timeout=60_000)
    page.get_by_text("Start here").first.wait_for(timeout=60_000)
    page.wait_for_timeout(1500)  # the player draws its first frame
    picture(page, pictures / f"extract-{theme}.png")
    if choose:
        page.get_by_role("button", name="Extract frames").click()
    write = page.get_by_role("button", name="Write ").first
    write.wait_for(timeout=JOB_MS)
    settle(page)
    board = page.get_by_role("heading", name="Look at the frames")
    board.evaluate("element => element.scrollIntoView({block: 'start'})")
    page.mouse.move(0, 0)
    page.wait_for_timeout(2000)  # the gallery asks for its thumbnails when it comes into sight
    picture(page, pictures / f"board-{theme}.png")


def hard_frames(page: Page, address: str, pictures: Path, theme: str, *, choose: bool) -> None:
    """Choose the frames that the demo's newer model, which errs, finds hard (once); picture of their board."""
    page.goto(f"{address}/?project={SECOND}")
    page.get_by_text("Automatically extract frames using a given model").first.click()
    page.get_by_text("frames are hard").wait_for(timeout=JOB_MS)
    if choose:
        page.get_by_role("button", name="Extract frames").last.click()
    board = page.get_by_role("heading", name="Look at the frames")
    board.wait_for(timeout=JOB_MS)
    settle(page)
    board.evaluate("element => element.scrollIntoView({block: 'start'})")
    page.mouse.move(0, 0)
    page.locator(".board li .points").first.wait_for()
    page.wait_for_timeout(2000)  # the gallery asks for its thumbnails when it comes into sight
    picture(page, pictures / f"hard-{theme}.png")


def zip_report(page: Page, address: str, pictures: Path, theme: str, example: Path, *, upload: bool) -> None:
    """Upload a zip with some problems and take a picture of its report."""
    page.goto(f"{address}/?project=demo")
    page.get_by_text("Upload zipped files of frames").first.click()
    page.get_by_text("What a zip looks like").wait_for(timeout=60_000)
    if upload:
        page.get_by_label("Zips of frames to upload").set_input_files(example)
    page.get_by_text("ready with fixes").wait_for(timeout=JOB_MS)
    page.mouse.move(0, 0)
    picture(page, pictures / f"zip-{theme}.png")


def latents(page: Page, address: str, pictures: Path, theme: str, *, apply: bool) -> None:
    """Take a picture of Extract latent with the preset for postures applied (once) and its preview."""
    page.goto(f"{address}/extract_latent?project=demo")
    page.get_by_role("heading", name="Extract latent").wait_for(timeout=60_000)
    settle(page)
    if apply:
        page.get_by_role("combobox", name="Select Visual Model").click()
        page.get_by_role("option", name="tiny-dinov2").click()
        settle(page)
        page.get_by_role("button", name="Posture analysis").click()
        settle(page)
        page.get_by_role("button", name="Apply", exact=True).click()
    page.get_by_alt_text("What the model sees of frame 0").wait_for(timeout=60_000)
    page.get_by_text("measured on a few pictures").wait_for(timeout=JOB_MS)
    page.mouse.move(0, 0)
    page.set_viewport_size({**VIEW, "height": 1640})
    picture(page, pictures / f"latents-{theme}.png")
    if apply:
        page.set_viewport_size(NARROW)
        picture(page, pictures / "latents-narrow.png")
    page.set_viewport_size(VIEW)


def inspector(page: Page, address: str, pictures: Path, theme: str) -> None:
    """Take a picture of the map of latents, coloured by cluster, with the frames most like the one shown."""
    page.goto(f"{address}/inspector?project=demo")
    page.locator(".scatter .dots").wait_for(timeout=60_000)
    settle(page)
    page.get_by_role("radio", name="cluster", exact=True).click()
    shown = page.get_by_role("spinbutton", name="Frame shown")
    shown.fill("400")
    shown.press("Enter")
    page.get_by_text("cluster 8").wait_for()
    settle(page)
    page.get_by_text("Most alike frames").click()
    page.locator("[class*=st-key-inspector-alike-]").last.wait_for()
    page.mouse.move(0, 0)
    picture(page, pictures / f"inspector-{theme}.png")
    if theme == "light":
        page.set_viewport_size(NARROW)
        picture(page, pictures / "inspector-narrow.png")
        page.set_viewport_size(VIEW)


def tracking(page: Page, address: str, pictures: Path, theme: str) -> None:
    """Take a picture of the masks under the video, with their strips."""
    page.goto(f"{address}/track_rois?project=demo")
    page.locator(".player .strip").first.wait_for(timeout=JOB_MS)
    settle(page)
    page.get_by_role("heading", name="Look at the masks").evaluate("e => e.scrollIntoView({block: 'start'})")
    page.mouse.move(0, 0)
    page.wait_for_timeout(2000)
    picture(page, pictures / f"track-{theme}.png")


def extract_latents(home: Path) -> None:
    """Extract latents of one demo video with the made-up model that lies in the demo."""
    video = sorted((home / "demo" / "videos").iterdir())[0].name
    command = [CASTLE, "latents", "--project", str(home / "demo"), "--video", video, "--roi", "1"]
    command += ["--encoder", str(home / "demo" / "encoders" / "tiny-dinov2"), "--center-roi", "1", "--crop", "200x200"]
    command += ["--input-size", "224"]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


def untidy_zip(folder: Path) -> Path:
    """Write a zip as people make them: in a folder, with other paddings and what macOS leaves, without the csv."""
    target = folder / EXAMPLE_NAME
    with zipfile.ZipFile(io.BytesIO(example_zip())) as tidy, zipfile.ZipFile(target, "w") as untidy:
        for name in tidy.namelist():
            if name.endswith(".png") and name != "img00000145.png":
                untidy.writestr(f"session0/{name.replace('img000', 'img')}", tidy.read(name))
        untidy.writestr("__MACOSX/session0/._img00143.png", b"")
        untidy.writestr("session0/selected_frames.csv", tidy.read("selected_frames.csv").replace(b"img000", b"img"))
    return target


def main() -> None:
    """Make a demo project, serve it, and write docs/pictures/*.png."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "pictures")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the demo's videos")
    options = parser.parse_args()
    browser_path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser_path is None:
        raise SystemExit("No Chromium here. Install chromium and try again.")
    options.out.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="castle-pictures-"))
    try:
        home, state = work / "home", work / "state"
        home.mkdir()
        state.mkdir(mode=0o700)
        demo = [CASTLE, "demo", str(home / "demo"), "--seconds", str(options.seconds)]
        subprocess.run(demo, check=True, cwd=ROOT)
        shutil.copytree(home / "demo", home / SECOND)
        extract_latents(home)
        with served(home, state) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=browser_path, args=ARGUMENTS)
            for theme in ("light", "dark"):
                context = browser.new_context(viewport=VIEW, color_scheme=theme, device_scale_factor=1)
                page = context.new_page()
                try:
                    tour(page, address, options.out, theme, choose=theme == "light")
                    hard_frames(page, address, options.out, theme, choose=theme == "light")
                    latents(page, address, options.out, theme, apply=theme == "light")
                    inspector(page, address, options.out, theme)
                    tracking(page, address, options.out, theme)
                    zip_report(page, address, options.out, theme, untidy_zip(work), upload=theme == "light")
                except Exception:
                    page.screenshot(path=options.out / "failed.png", full_page=True)
                    print(f"What the page looked like: {options.out / 'failed.png'}")
                    raise
                context.close()
            browser.close()
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
