"""What a person does on the pages, in words."""

import itertools
import time
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

EXTRACT = "Extract frames"


def fresh(app, name: str) -> Path:
    """Return the folder of a project to be made: another one at each try, as the app's own "demo", "demo-2" …"""
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    return next(folder for each in names if not (folder := app.home / each).exists())


def until(condition, what: str, seconds: float = 30.0):
    """Wait for something outside the browser."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.1)
    return value


def open_project(page: Page, app, name: str) -> None:
    """Open a project by its address."""
    page.goto(f"{app.url}/?project={name}")
    expect(page.get_by_role("heading", name=EXTRACT)).to_be_visible()


def extract_button(page: Page) -> Locator:
    """The button that starts choosing."""
    return page.get_by_test_id("stMain").get_by_role("button", name=EXTRACT, exact=True)


def set_number(page: Page, label: str, value: int) -> None:
    """Type a number into a field, and wait for the page to take it."""
    field = page.get_by_label(label, exact=True)
    expect(field).to_have_count(1)  # while a page is drawn anew, its old field may stand beside the new one
    field.fill(str(value))
    field.press("Enter")
    settle(page)


def settle(page: Page) -> None:
    """Wait until no script runs."""
    page.wait_for_timeout(150)
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")


def in_theme(page: Page, scheme: str) -> None:
    """Switch to light or dark, and wait until all colours have followed."""
    page.emulate_media(color_scheme=scheme)
    page.wait_for_timeout(600)
    settle(page)


def wait_for_board(page: Page) -> Locator:
    """Wait for the board; returns its tiles."""
    expect(page.get_by_role("heading", name="Look at the frames")).to_be_visible(timeout=30_000)
    tiles = page.locator(".board li")
    expect(tiles.first).to_be_visible()
    return tiles


def write(page: Page, n: int) -> None:
    """Write the board and wait for the green line."""
    settle(page)
    page.get_by_role("button", name=f"Write {n} frame").last.click()
    expect(page.get_by_text(f"{n} frames written.")).to_be_visible(timeout=30_000)
    expect(page.get_by_text(f"{n} frames written.")).to_be_in_viewport()
    expect(page.get_by_text("Proceed to the next tab to label frames")).to_be_visible()


def selected(project: Path, stem: str) -> list[int]:
    """Read a video's selected_frames.csv."""
    path = project / "labeled-data" / stem / "selected_frames.csv"
    if not path.exists():
        return []
    return [int(Path(line).stem.removeprefix("img")) for line in path.read_text().split()]


def tile_frames(tiles: Locator) -> list[int]:
    """Read the frame indices of the tiles."""
    return [int(text.removeprefix("frame ")) for text in tiles.locator("b").all_text_contents()]
