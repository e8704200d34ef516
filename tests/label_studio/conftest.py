"""A real Label Studio for all tests here: started once, on a free port, from a copy of the cached data folder."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from castle_core.label_studio import LabelStudio

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "scripts"))
import migrate_label_studio as starting  # noqa: E402

VERSION = "1.23.2"
CACHE = Path(
    os.environ.get("CASTLE_TEST_CACHE")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "castle-studio"
)


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(item.path).is_relative_to(HERE):
            item.add_marker(pytest.mark.xdist_group("label_studio"))


class Server:
    """The running server; may be killed and started again on the same port and data."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.data, self.log = folder / "data", folder / "label-studio.log"
        self._program, self.port = program, starting.free_port()
        self.process: subprocess.Popen | None = None
        self.token, self.email, self.password = starting.TOKEN, starting.USER, starting.PASSWORD

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process = starting.start(str(self._program), self.data, self.port, self.log)
        starting.wait(self.process, self.port, 120)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def ensure(self) -> None:
        if self.process is None or self.process.poll() is not None:
            self.start()

    def client(self, url: str | None = None) -> LabelStudio:
        return LabelStudio(url or self.url, self.token)


@pytest.fixture(scope="session")
def running(tmp_path_factory):
    program, data = CACHE / f"label-studio-{VERSION}/bin/label-studio", CACHE / f"label-studio-{VERSION}-data"
    if not program.exists() or not (data / "label_studio.sqlite3").exists():
        pytest.skip("no Label Studio here (scripts/install_label_studio.sh installs one)")
    server = Server(program, tmp_path_factory.mktemp("label-studio"))
    shutil.copytree(data, server.data)
    try:
        server.start()
        yield server
    finally:
        if server.process is not None:
            starting.stop(server.process)


@pytest.fixture
def label_studio(running):
    """The server, alive, with its projects of before removed: numbers start again from 1."""
    running.ensure()
    with running.client() as client:
        for each in list(client.projects()):
            client.request("DELETE", f"/api/projects/{each['id']}")
    return running


@pytest.fixture
def server(label_studio):
    """A client with the legacy token."""
    with label_studio.client() as client:
        yield client
