"""The app as a browser meets it: its routes in this process, or the whole of it in one of its own."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from starlette.applications import Starlette
from starlette.testclient import TestClient

ROOT = Path(__file__).resolve().parents[2]


def make_client(**options) -> TestClient:
    from ui.server import MIDDLEWARE, ROUTES

    app = Starlette(routes=ROUTES, middleware=MIDDLEWARE)
    return TestClient(app, base_url="http://localhost:8501", follow_redirects=False, **options)


@dataclass
class Server:
    """The real app in a process of its own."""

    process: subprocess.Popen
    output: Path
    url: str
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1].split("/")[0])

    def text(self) -> str:
        return self.output.read_text(encoding="utf-8")


@contextlib.contextmanager
def running_server(folder: Path, *, name="server", seconds=60.0, runner=False, base="", **chosen):
    environment = {
        **os.environ,
        "CASTLE_HOME": str(folder / "home"),
        "CASTLE_STATE": str(folder / "state"),
        "CASTLE_SERVE": json.dumps({"runner": runner, **chosen}),
        "PYTHONUNBUFFERED": "1",
    }
    output = folder / f"{name}.log"
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py"), "--server.address=127.0.0.1"]
    command += ["--server.port=0", "--logger.hideWelcomeMessage=true", f"--server.baseUrlPath={base}"]
    with open(output, "wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)
    try:
        server = Server(process, output, wait_for_url(process, output, seconds), environment)
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait(10)


def wait_for_url(process, output: Path, seconds: float) -> str:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        for word in output.read_text(encoding="utf-8").split():
            if word.startswith("http://") and answers(word):
                return word.split("/login")[0].rstrip("/")
        time.sleep(0.1)
    raise AssertionError(f"the app did not start: {output.read_text(encoding='utf-8')}")


def answers(url: str) -> bool:
    host, port = url.split("/")[2].rsplit(":", 1)
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0
