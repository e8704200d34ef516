"""The shared server: memory during a large upload, and twenty people at once. Bounded load, loopback only.

CASTLE_BENCH_UPLOAD_MIB (1536), CASTLE_BENCH_PEOPLE (20) and CASTLE_BENCH_SECONDS (60) make it smaller.
"""

import asyncio
import base64
import contextlib
import hashlib
import os
import shutil
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from benchmarks.serving import Served, chromium, prepare, served, watched_memory
from benchmarks.visitors import Visitor

_MIB = 1 << 20


def _file(path: Path, mib: int) -> str:
    """Write a file of pseudo-random bytes and return its SHA-256."""
    digest, block = hashlib.sha256(), os.urandom(_MIB)
    with open(path, "wb") as file:
        for number in range(mib):
            piece = number.to_bytes(8, "big") + block[8:]
            file.write(piece)
            digest.update(piece)
    return digest.hexdigest()


def _send(app: Served, user: str, project: str, path: Path, name: str, mb_a_second: float | None = None) -> None:
    """Upload a file as a tus client does, in pieces of 32 MiB; at a bounded speed where one is given."""
    cookie, value = app.cookie(user)
    with httpx.Client(base_url=app.url, cookies={cookie: value}, timeout=120) as client:
        token = client.get("/api/uploads/token", params={"project": project}).json()["token"]
        tus = {"Tus-Resumable": "1.0.0", "X-Upload-Token": token}
        metadata = "filename " + base64.b64encode(name.encode()).decode()
        size = path.stat().st_size
        made = client.post("/api/uploads", headers={**tus, "Upload-Length": str(size), "Upload-Metadata": metadata})
        url, offset = made.headers["location"], 0
        with open(path, "rb") as file:
            while offset < size:
                headers = {**tus, "Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
                answer = client.patch(url, headers=headers, content=_pieces(file, 32 * _MIB, mb_a_second))
                answer.raise_for_status()
                offset = int(answer.headers["upload-offset"])


def _pieces(file: Any, size: int, mb_a_second: float | None) -> Iterator[bytes]:
    while size > 0 and (piece := file.read(min(size, _MIB))):
        size -= len(piece)
        yield piece
        if mb_a_second:
            time.sleep(len(piece) / 1e6 / mb_a_second)


def _arrived(project: Path, name: str, seconds: float = 300) -> str:
    """Wait for an upload to be received; return the SHA-256 that the server computed."""
    from castle_core.projects import Project
    from castle_core.uploads import UploadStore

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for upload in UploadStore(Project.open(project)).all():
            if upload.name == name and upload.sha256:
                return upload.sha256
        time.sleep(0.1)
    raise RuntimeError(f"{name} did not arrive")


@contextlib.contextmanager
def _page(browser: Any, app: Served, project: str) -> Iterator[Any]:
    """Open the first page of a project as a user who is logged in."""
    cookie, value = app.cookie("u01")
    context = browser.new_context()
    context.add_cookies([{"name": cookie, "value": value, "url": app.url}])
    page = context.new_page()
    page.goto(f"{app.url}/?project={project}")
    yield page
    context.close()


def _wait_for_form(page: Any) -> None:
    page.locator("input[type=file]").first.wait_for(state="attached", timeout=120_000)


def _pick(page: Any, path: Path) -> None:
    page.locator("input[type=file]").first.set_input_files(str(path), timeout=120_000)


def _wait_for_share(project: Path, path: Path, share: float, seconds: float = 300) -> None:
    """Wait until the server has this share of a file."""
    from castle_core.projects import Project
    from castle_core.uploads import UploadStore

    store = UploadStore(Project.open(project))
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        upload = next((u for u in store.all() if u.name == path.name), None)
        if upload is not None and store.offset(upload) >= share * upload.size:
            return
        time.sleep(0.02)
    raise RuntimeError(f"{path.name} did not start")


def _browser_upload(app: Served, project: Path, path: Path, *, kill_at: float | None = None) -> None:
    """Pick the file in Chromium; with `kill_at`, close the tab at that share and pick the file again."""
    with chromium() as browser:
        if kill_at is not None:
            with _page(browser, app, project.name) as page:
                _pick(page, path)
                _wait_for_share(project, path, kill_at)
        with _page(browser, app, project.name) as page:
            _pick(page, path)
            _arrived(project, path.name)


def _upload_with_killed_app(folder: Path, project: Path, path: Path, kill_at: float) -> tuple[float, float]:
    """Kill the app with SIGKILL at that share, start it again, pick the file again; return its memory (MB)."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with chromium() as browser:
        with served(folder, "killed", port) as app, _page(browser, app, project.name) as page:
            _pick(page, path)
            _wait_for_share(project, path, kill_at)
            app.process.kill()
            app.process.wait()
        with served(folder, "restarted", port) as app:
            with _page(browser, app, project.name) as page:
                _wait_for_form(page)
            with watched_memory(app.process.pid) as memory, _page(browser, app, project.name) as page:
                _pick(page, path)
                _arrived(project, path.name)
    return memory["before"], memory["peak"]


def _open_once(app: Served, project: str) -> None:
    """Open the page once: what the first page imports is no memory of the upload."""
    with chromium() as browser, _page(browser, app, project) as page:
        _wait_for_form(page)


def upload_memory(folder: Path, mib: int) -> list[tuple[str, str]]:
    """Measure the app's memory while one large file comes: by a client, by Chromium, tab or app killed."""
    from castle_core.projects import Project

    prepare(folder, 2)
    project = Project.create(folder / "home" / "uploads").path
    rows = []

    def measure(way: str, send: Callable[[Path], tuple[float, float] | None], pid: int) -> None:
        path = folder / f"{len(rows)}.mp4"
        digest = _file(path, mib)
        start = time.perf_counter()
        with watched_memory(pid) as memory:
            before, peak = send(path) or (memory["before"], 0.0)
            same = _arrived(project, path.name) == digest
        seconds = time.perf_counter() - start
        peak = peak or memory["peak"]
        path.unlink()
        shutil.rmtree(project / ".castle" / "uploads")
        rows.append(
            (
                f"{mib} MiB by {way}",
                f"memory {before:.0f} → {peak:.0f} MB (+{peak - before:.0f}), {seconds:.1f} s, "
                f"SHA-256 {'right' if same else 'WRONG'}",
            )
        )

    with served(folder) as app:
        _open_once(app, project.name)
        pid = app.process.pid
        measure("a tus client", lambda path: _send(app, "u01", project.name, path, path.name), pid)
        measure("Chromium", lambda path: _browser_upload(app, project, path), pid)
        measure("Chromium, tab killed at 30 %", lambda path: _browser_upload(app, project, path, kill_at=0.3), pid)
    measure(
        "Chromium, app killed at 30 %", lambda path: _upload_with_killed_app(folder, project, path, 0.3), os.getpid()
    )
    return rows


def _projects(folder: Path, people: int) -> list[str]:
    """Make a demo project with a board of 200 frames for each person."""
    from castle_core.demo import make_demo
    from castle_core.job_functions import job_function
    from castle_core.progress import QUIET

    first = folder / "home" / "p01"
    make_demo(first, seconds=60, n_videos=1, encoder=False)
    video = next((first / "videos").iterdir()).name
    job_function("choose_frames")(
        QUIET, project=str(first), owner="u01", videos=[{"name": video}], settings={"n": 200}, review=True
    )
    names = [f"p{number:02d}" for number in range(1, people + 1)]
    for name in names[1:]:
        shutil.copytree(first, folder / "home" / name)
    return names


def twenty_people(folder: Path, people: int, seconds: float) -> list[tuple[str, str]]:
    """People with open boards who click, three uploads, two jobs; one of the people sits at a real browser."""
    from castle_core.projects import Project

    users = prepare(folder, people)
    projects = _projects(folder, people)
    digest = _file(folder / "upload.zip", 96)
    with served(folder) as app:
        stop_at = time.monotonic() + seconds
        visitors = [
            Visitor(app.url, "=".join(app.cookie(user)), project, seed)
            for seed, (user, project) in enumerate(zip(users[1:], projects[1:], strict=True))
        ]
        uploads = [
            threading.Thread(target=_send, args=(app, user, project, folder / "upload.zip", "upload.zip", 8.0))
            for user, project in list(zip(users, projects, strict=True))[:3]
        ]
        jobs = _submit_jobs(folder, projects[-2:], users[-2:])
        crowd = threading.Thread(target=lambda: asyncio.run(_crowd(visitors, stop_at)))
        for thread in (crowd, *uploads):
            thread.start()
        painted, counted = _at_the_screen(app, users[0], projects[0], stop_at)
        for thread in (crowd, *uploads):
            thread.join()
        states = _wait_for_jobs(jobs)
        lost = [p for p in projects[:3] if _arrived(Project.open(p).path, "upload.zip") != digest]
    errors = [error for visitor in visitors for error in visitor.errors]
    clicks = [click for visitor in visitors for click in visitor.clicks]
    opened = [each for visitor in visitors for each in visitor.opened]
    return [
        (f"{people} people, {seconds:.0f} s", f"{len(clicks)} clicks on boards of 200 frames, 3 uploads, 2 jobs"),
        ("click to the last message of the answer", _spread(clicks)),
        ("page opened", _spread(opened)),
        ("real browser: click to the tile's new look", _spread(painted)),
        ("real browser: click to the server's new count", _spread(counted)),
        ("errors, lost files, jobs", f"{errors or 'none'}, {lost or 'none'}, {', '.join(states)}"),
    ]


async def _crowd(visitors: list[Visitor], stop_at: float) -> None:
    await asyncio.gather(*(visitor.live(stop_at) for visitor in visitors))


def _submit_jobs(folder: Path, projects: list[str], users: list[str]) -> list[int]:
    from castle_core.jobs import JobTable

    table = JobTable(folder / "state" / "jobs.sqlite")
    numbers = []
    for project, user in zip(projects, users, strict=True):
        path = folder / "home" / project
        video = next((path / "videos").iterdir()).name
        settings = {"videos": [{"name": video}], "settings": {"n": 20, "exhaustive": True}, "review": True}
        numbers.append(table.submit("choose_frames", project=path, settings=settings, owner=user))
    return numbers


def _wait_for_jobs(numbers: list[int]) -> list[str]:
    from castle_core.jobs import ENDED_STATES, JobTable

    table, deadline = JobTable(), time.monotonic() + 120
    while time.monotonic() < deadline and any(table.get(number).state not in ENDED_STATES for number in numbers):
        time.sleep(0.2)
    return [table.get(number).state for number in numbers]


def _at_the_screen(app: Served, user: str, project: str, stop_at: float) -> tuple[list[float], list[float]]:
    """Click on tiles in Chromium; return seconds until the tile looks new, and until the server's count is new."""
    painted: list[float] = []
    counted: list[float] = []
    cookie, value = app.cookie(user)
    with chromium() as browser:
        context = browser.new_context(viewport={"width": 1280, "height": 900})  # type: ignore[attr-defined]
        context.add_cookies([{"name": cookie, "value": value, "url": app.url}])
        page = context.new_page()
        page.goto(f"{app.url}/?project={project}")
        tiles = page.locator(".board li")
        tiles.first.wait_for(timeout=60_000)
        number = 0
        while time.monotonic() < stop_at:
            tile = tiles.nth(number % 8)
            before = page.get_by_text("frames kept").first.inner_text(timeout=60_000)
            look = tile.get_attribute("class")
            start = time.perf_counter()
            tile.locator("button.tile").click()
            while tile.get_attribute("class") == look:
                pass
            painted.append(time.perf_counter() - start)
            while page.get_by_text("frames kept").first.inner_text(timeout=60_000) == before:
                time.sleep(0.01)
            counted.append(time.perf_counter() - start)
            number += 1
            time.sleep(2.0)
        context.close()
    return painted, counted


def _spread(values: list[float]) -> str:
    if not values:
        return "nothing measured"
    ordered = sorted(values)
    return (
        f"median {statistics.median(ordered):.3f} s, 95 % {ordered[int(0.95 * (len(ordered) - 1))]:.3f} s, "
        f"longest {ordered[-1]:.3f} s (n = {len(ordered)})"
    )


def main() -> None:
    """Run both and print the tables."""
    mib = int(os.environ.get("CASTLE_BENCH_UPLOAD_MIB", "1536"))
    people = int(os.environ.get("CASTLE_BENCH_PEOPLE", "20"))
    seconds = float(os.environ.get("CASTLE_BENCH_SECONDS", "60"))
    kept = {name: os.environ.get(name) for name in ("CASTLE_HOME", "CASTLE_STATE")}
    try:
        for title, run in (
            ("Upload: the app's memory", lambda folder: upload_memory(folder, mib)),
            ("Many people at once", lambda folder: twenty_people(folder, people, seconds)),
        ):
            with tempfile.TemporaryDirectory(prefix="castle-bench-") as folder:
                print(f"\n{title}")
                for name, value in run(Path(folder)):
                    print(f"  {name:<46} {value}")
    finally:
        for name, before in kept.items():
            os.environ.pop(name, None) if before is None else os.environ.__setitem__(name, before)


if __name__ == "__main__":
    main()
