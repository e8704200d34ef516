"""An app of its own for a benchmark: a new home and state, users with sessions, and its memory watched."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
BROWSERS = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


@dataclass
class Served:
    """A running app."""

    folder: Path
    process: subprocess.Popen[bytes]
    url: str
    peaks: list[int] = field(default_factory=list)

    def cookie(self, user: str) -> tuple[str, str]:
        """Name and value of a session cookie, as a login gives it."""
        from ui.sessions import sessions

        return sessions().cookie_name, sessions().new_cookie(user)

    @property
    def host(self) -> str:
        return self.url.split("/")[2]


def prepare(folder: Path, users: int) -> list[str]:
    """Point this process and the app to folders of their own, and make users u01, u02, …"""
    os.environ.update({"CASTLE_HOME": str(folder / "home"), "CASTLE_STATE": str(folder / "state")})
    from castle_core import users as module

    module._N = 2**12  # how long a login takes is not measured here
    names = [f"u{number:02d}" for number in range(1, users + 1)]
    table = module.UserTable()
    for name in names:
        table.add(name, f"{name}'s password")
    return names


@contextlib.contextmanager
def served(folder: Path, name: str = "app", port: int = 0) -> Iterator[Served]:
    """Start ``castle serve`` (on a free port, or on `port`) and stop it afterwards, whatever happens."""
    log = folder / f"{name}.log"
    command = [sys.executable, "-c", "from castle_core.cli import main; main()", "serve", "--port", str(port)]
    with open(log, "wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=folder)
    try:
        deadline = time.monotonic() + 120
        while True:
            words = [word for word in log.read_text().split() if word.startswith("http://")]
            if words:
                break
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError(f"the app did not start: {log.read_text()}")
            time.sleep(0.2)
        yield Served(folder, process, words[0].rstrip("/"))
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


@contextlib.contextmanager
def watched_memory(pid: int) -> Iterator[dict[str, float]]:
    """Measure the resident memory (MB) of one process while the block runs: ``before`` and ``peak``."""
    process = psutil.Process(pid)
    result = {"before": process.memory_info().rss / 1e6, "peak": 0.0}
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.05):
            with contextlib.suppress(psutil.Error):
                result["peak"] = max(result["peak"], process.memory_info().rss / 1e6)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield result
    finally:
        stop.set()
        thread.join()


@contextlib.contextmanager
def chromium() -> Iterator[object]:
    """Start Chromium; the benchmark says so and goes on without where there is none."""
    from playwright.sync_api import sync_playwright

    path = next((path for path in BROWSERS if Path(path).exists()), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()
