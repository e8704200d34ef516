"""The Inspector in a real browser on a file of 200,000 x 768 beside its video: first paint, memory, each interaction.

Every number is the time from the user's action until the picture that it asks for is painted, as Chromium shows it.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks import videos
from benchmarks.serving import Served, chromium, prepare, served, watched_memory

N, D = 200_000, 768
REPEATS = 5
_RELATIVE = "latent/made/long_ROI_1_made.npz"
_SMALL = 2000
# A sum over the pixels of a canvas: it changes when anything else is painted. 0 while nothing is.
_INK = """c => { if (!c.width || !c.height) return 0;
  const d = new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer);
  let sum = 0; for (let i = 0; i < d.length; i += 7) sum = (sum * 31 + d[i]) | 0;
  return d.some(v => v) ? sum || 1 : 0; }"""
_LOADED = "i => i.complete && i.naturalWidth > 0"


def _rows(n: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(8, D)).astype(np.float32)
    rates = np.array([0.001, 0.003, 0.01, 0.02, 0.05, 0.07, 0.0003, 0.0001])
    for first in range(0, n, 2000):
        waves = np.sin(np.arange(first, first + 2000)[:, None] * rates) @ weights
        yield (waves + rng.normal(size=(2000, D)) * 0.5).astype(np.float32)


def _write(project: Any, n: int) -> None:
    from castle_core.latents.npz import write_latents

    path = project.path / _RELATIVE
    path.parent.mkdir(parents=True)
    status = np.zeros(n, np.uint8)
    status[100:140] = 2
    write_latents(path, _rows(n), (n, D), status=status, metadata={"video_name": "long.mp4"})


def _film(n: int) -> Path:
    """Make (or find) a small video: a square that walks, so that every frame is another picture."""
    from castle_core.video import VideoWriter

    path = videos.folder() / f"walk_{n}.mp4"
    if path.exists():
        return path
    ground = np.full((64, 64, 3), 40, np.uint8)
    with VideoWriter(path, fps=30, width=64, height=64, gop=60, preset="ultrafast") as writer:
        for index in range(n):
            frame = ground.copy()
            x, y = index % 48, index // 48 % 48
            frame[y : y + 12, x : x + 12] = 230
            writer.write(frame)
    return path


class _Tab:
    """One tab of Chromium, and what a person does in it."""

    def __init__(self, page: Any, app: Served) -> None:
        self.page, self.app = page, app
        self.times: dict[str, list[float]] = {}
        self.cpu: dict[str, list[float]] = {}
        self.server = psutil.Process(app.process.pid)

    def timed(self, name: str, act: Callable[[], object], done: Callable[[], object]) -> float:
        """Do something and wait until `done` says that it is shown."""
        start, busy = time.perf_counter(), self._server_seconds()
        act()
        while not done():
            if time.perf_counter() - start > 60:
                raise RuntimeError(f"{name}: nothing was shown")
            time.sleep(0.02)
        seconds = time.perf_counter() - start
        self.times.setdefault(name, []).append(seconds)
        self.cpu.setdefault(name, []).append(self._server_seconds() - busy)
        self.settle()
        return seconds

    def _server_seconds(self) -> float:
        spent = self.server.cpu_times()
        return spent.user + spent.system

    def settle(self) -> None:
        """Wait until no script runs, so that one action does not count in the next one's time."""
        self.page.wait_for_timeout(400)
        self.page.wait_for_function(
            "document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'"
        )
        self.page.wait_for_timeout(100)

    def ink(self, selector: str) -> int:
        """Return what is painted on a canvas, as a number; 0 for nothing."""
        canvas = self.page.locator(selector)
        return canvas.first.evaluate(_INK) if canvas.count() else 0

    def repainted(self, selector: str) -> Callable[[], bool]:
        """Return a test of whether a canvas is painted, other than now."""
        before = self.ink(selector)
        return lambda: self.ink(selector) not in (0, before)

    def open(self, name: str, project: str) -> None:
        """Open the Inspector and wait for the map."""
        address = f"{self.app.url}/inspector?project={project}"
        self.timed(name, lambda: self.page.goto(address, wait_until="commit"), lambda: self.ink(".scatter .dots"))

    def view(self, name: str, done: str) -> None:
        choose = self.page.get_by_role("radio", name=name, exact=True).first
        self.timed(f"open {name}", choose.click, lambda: self.ink(done))

    def type(self, name: str, label: str, value: int, done: Callable[[], object]) -> None:
        """Type a number into a field."""
        field = self.page.get_by_role("spinbutton", name=label, exact=True)
        field.fill(str(value))
        self.timed(name, lambda: field.press("Enter"), done)

    def shows(self, frame: int) -> bool:
        """Say whether the picture of a frame is there."""
        picture = self.page.locator(f'img[alt="Frame {frame}"]')
        return bool(picture.count()) and picture.first.evaluate(_LOADED)


def _map(tab: _Tab) -> None:
    dots, page = ".scatter .dots", tab.page
    for frame in range(30_001, N, N // REPEATS):
        tab.type("map: frame jump, with its picture", "Frame shown", frame, lambda frame=frame: tab.shows(frame))
    tab.timed(
        "map: colour by cluster", page.get_by_role("radio", name="cluster", exact=True).click, tab.repainted(dots)
    )
    for k in (5, 12, 20):
        tab.type("map: other number of clusters", "Clusters", k, tab.repainted(dots))
    tab.timed(
        "map: colour by channel", page.get_by_role("radio", name="channel", exact=True).click, tab.repainted(dots)
    )
    for channel in (5, 300, 767):
        tab.type("map: another channel", "Channel", channel, tab.repainted(dots))
    for _ in range(3):
        tab.timed("map: zoom", page.get_by_role("button", name="Zoom in").click, tab.repainted(dots))
    page.get_by_role("button", name="Show all").click()
    box = page.locator(dots).bounding_box()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    for x, y in ((0.6, 0.2), (0.6, 0.7), (0.2, 0.7), (0.2, 0.2)):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
    tab.timed("map: lasso", page.mouse.up, page.get_by_text("inside the lasso").count)
    tab.timed(
        "lasso: send 20 frames (click to job)",
        page.get_by_role("button", name="Send to labelling").click,
        page.get_by_text("frames to labelling").count,
    )
    switch = page.get_by_text("Most alike frames")
    alike = page.locator("[class*=st-key-inspector-alike-]")
    tab.timed("nearest frames", switch.click, lambda: alike.count() >= 6)
    for frame in (20_011, 120_011, 180_011):
        before = alike.all_text_contents()
        tab.type(
            "nearest frames of another frame",
            "Frame shown",
            frame,
            lambda frame=frame, before=before: tab.shows(frame) and alike.all_text_contents() != before,
        )
    switch.click()
    tab.settle()


def _others(tab: _Tab) -> None:
    page, lane = tab.page, ".lanes .lane canvas"
    zoom = page.locator(".lanes").get_by_role("button", name="Zoom in")
    tab.view("Heat map", lane)
    for _ in range(7):  # 200,000 frames to 1,600: the shorter stretches are read anew
        tab.timed("heat map: zoom", zoom.click, tab.repainted(lane))
    tab.timed("heat map: whole video", page.get_by_role("button", name="Whole video").click, tab.repainted(lane))
    tab.view("Traces", lane)
    for channel in (100, 500):
        page.get_by_role("combobox", name="Traces").fill(f"channel {channel}")
        option = page.get_by_role("option", name=f"channel {channel}", exact=True)
        option.wait_for()
        lanes = page.locator(lane).count()
        last = f".lanes .lane:nth-child({lanes + 1}) canvas"
        tab.timed("traces: one more channel", option.click, lambda last=last: tab.ink(last))
    page.keyboard.press("Escape")
    for _ in range(6):
        tab.timed("traces: zoom", zoom.click, tab.repainted(lane))
    page.get_by_role("radio", name="Table", exact=True).first.click()
    tab.settle()
    for frame in (199_999, 50_000, 125_000):
        first = f"Rows {frame // 100 * 100:,} to"
        tab.type(
            "table: jump to a row",
            "Frame shown",
            frame,
            lambda frame=frame, first=first: page.get_by_text(first).count() and tab.shows(frame),
        )
    grid = page.get_by_test_id("stDataFrame").bounding_box()
    for row in (2, 5):
        tab.timed(
            "table: choose a row, with its picture",
            lambda row=row: page.mouse.click(grid["x"] + 18, grid["y"] + 35 * row + 17),
            lambda row=row: tab.shows(125_000 + row - 1),
        )
    tab.view("Clusters", lane)
    for k in (5, 30, 12):
        last, painted = page.get_by_text(f"cluster {k}:"), tab.repainted(lane)
        tab.type(
            f"clusters: {k} of them, with ethogram",
            "Clusters",
            k,
            lambda last=last, painted=painted: last.count() and painted(),
        )
    tab.view("Gaps", lane)


def _print(tab: _Tab, memory: dict[str, float]) -> None:
    print("  | what | median (s) | longest (s) | server's processor time (s) |\n  |---|---|---|---|")
    for name, seconds in tab.times.items():
        spent = statistics.median(tab.cpu[name])
        print(f"  | {name} | {statistics.median(seconds):.2f} | {max(seconds):.2f} | {spent:.2f} |")
    more = memory["peak"] - memory["before"]
    print(f"  server memory: {memory['before']:.0f} MB before, peak {memory['peak']:.0f} MB (+{more:.0f} MB)")


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="castle-bench-") as name:
        folder = Path(name)
        prepare(folder, 1)
        from castle_core.projects import Project

        small, long = Project.create("small"), Project.create("long")
        _write(small, _SMALL)
        print(f"  making {N:,} x {D} and a video of as many frames …", flush=True)
        _write(long, N)
        (long.path / "videos" / "long.mp4").symlink_to(_film(N))
        print(f"  load before: {os.getloadavg()[0]:.1f}")
        with served(folder) as app, chromium() as browser:
            cookie, value = app.cookie("u01")
            context = browser.new_context(viewport={"width": 1400, "height": 900})
            context.add_cookies([{"name": cookie, "value": value, "url": app.url}])
            context.set_default_timeout(60_000)
            page = context.new_page()
            page.goto(f"{app.url}/?project=long")  # the video is read once, as for every page
            page.get_by_role("heading", name="Extract frames").wait_for()
            page.wait_for_timeout(5000)
            tab = _Tab(page, app)
            try:
                with watched_memory(app.process.pid) as memory:
                    tab.open("first paint, file never looked at", "long")
                    for _ in range(3):
                        page.goto("about:blank")
                        tab.open("first paint, looked at before", "long")
                    _map(tab)
                    _others(tab)
            finally:
                print(f"  load after: {os.getloadavg()[0]:.1f}")
                _print(tab, memory)


if __name__ == "__main__":
    main()
