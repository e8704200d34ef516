"""One app for all browser tests, and pages that remember what the browser complained about."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
ARTIFACTS = ROOT / "test-artifacts"
WAIT_MS = 30_000


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(item.path).is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.xdist_group("e2e"))


@dataclass
class App:
    """The running app: its address, and the folders it works in."""

    url: str
    home: Path
    state: Path

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which commands see the same projects, and another state (the app holds its own)."""
        return {**os.environ, "CASTLE_HOME": str(self.home), "CASTLE_STATE": str(self.state.with_name("other-state"))}

    def castle(self, *arguments: str) -> str:
        """Run the command line and return what it prints."""
        command = [sys.executable, "-c", "from castle_core.cli import main; main()", *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        return done.stdout


def _free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(5)


@pytest.fixture(scope="session")
def app(tmp_path_factory, share) -> Iterator[App]:
    """Start the app once, as a user does, with one server folder."""
    folder = tmp_path_factory.mktemp("app")
    running = App(f"http://127.0.0.1:{_free_port()}", folder / "home", folder / "state")
    environment = {**os.environ, "CASTLE_HOME": str(running.home), "CASTLE_STATE": str(running.state)}
    command = [sys.executable, "-c", "from castle_core.cli import main; main()", "serve", "--no-login"]
    command += ["--port", running.url.rpartition(":")[2], "--allow", f"recordings={share}"]
    log = folder / "app.log"
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"{running.url}/_stcore/health", timeout=2) as answer:
                    if answer.status == 200:
                        break
            except OSError:
                pass
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield running
    finally:
        _stop(process)
        ARTIFACTS.mkdir(exist_ok=True)
        shutil.copyfile(log, ARTIFACTS / "app.log")


@pytest.fixture(scope="session")
def share(tmp_path_factory) -> Path:
    """A folder of recordings, as on a lab's share; the real openfield video is in it where it is at hand."""
    folder = tmp_path_factory.mktemp("share")
    (folder / "2026-01").mkdir()
    real = ROOT.parent / "shared" / "data" / "dlc_openfield" / "m3v1mp4.mp4"
    if real.is_file():
        shutil.copyfile(real, folder / "2026-01" / "m3v1mp4.mp4")
    return folder


@pytest.fixture(scope="session")
def short_film(tmp_path_factory) -> Path:
    """300 frames of a bright square that walks over a dark ground."""
    from castle_core.video import VideoWriter

    path = tmp_path_factory.mktemp("films") / "walk.mp4"
    random = np.random.default_rng(0)
    ground = random.integers(20, 60, (120, 160, 1), dtype=np.uint8).repeat(3, axis=2)
    with VideoWriter(path, fps=30, width=160, height=120, gop=30) as writer:
        for index in range(300):
            frame = ground.copy()
            x, y = 10 + index * 120 // 300, int(50 + 40 * np.sin(index / 25))
            frame[y : y + 20, x : x + 20] = 230
            writer.write(frame)
    return path


@pytest.fixture
def page(chromium, app, request):
    """A fresh browser session; what it complains about fails the test, and a picture is left of a failure."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    context.set_default_timeout(WAIT_MS)
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    yield opened
    failed = getattr(request.node, "outcome_of_call", None)
    if failed or complaints:
        ARTIFACTS.mkdir(exist_ok=True)
        with contextlib.suppress(Exception):
            opened.screenshot(path=ARTIFACTS / f"{request.node.name}.png")
    context.close()
    assert not complaints, complaints


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call":
        item.outcome_of_call = report.failed
    return report
