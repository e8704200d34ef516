import os
from pathlib import Path

import numpy as np
import pytest
from serving import make_client, running_server
from starlette.testclient import TestClient

from castle_core import users as users_module
from castle_core.projects import Project
from castle_core.users import UserTable

N_FRAMES = 40


@pytest.fixture(autouse=True)
def quick_passwords(monkeypatch):
    monkeypatch.setattr(users_module, "_N", 2**10)
    monkeypatch.setattr(users_module, "_NOBODY", users_module._NOBODY.replace(str(2**15), str(2**10)))


@pytest.fixture(autouse=True)
def no_wrong_passwords_yet(monkeypatch):
    from ui import login
    from ui.attempts import Attempts

    monkeypatch.setattr(login, "_ATTEMPTS", Attempts())


@pytest.fixture(scope="session")
def small_video(tmp_path_factory) -> Path:
    """A video whose grey level tells the frame index."""
    from castle_core.video import VideoWriter

    path = tmp_path_factory.mktemp("videos") / "small.mp4"
    with VideoWriter(path, fps=10, width=64, height=48, gop=10) as writer:
        for index in range(N_FRAMES):
            writer.write(np.full((48, 64, 3), 20 + 5 * index, np.uint8))
    return path


@pytest.fixture
def project(castle_folders) -> Project:
    return Project.create(castle_folders / "home" / "mice")


@pytest.fixture
def film(project, small_video) -> Project:
    """The project with one video, ``small``."""
    (project.path / "videos" / "small.mp4").write_bytes(small_video.read_bytes())
    return project


@pytest.fixture
def stranger(castle_folders) -> TestClient:
    """A browser that is not logged in."""
    return make_client()


@pytest.fixture
def people(castle_folders):
    """Two logged-in browsers."""
    from ui.sessions import sessions

    clients = {}
    for name in ("ann", "bob"):
        UserTable().add(name, f"{name}'s password")
        clients[name] = make_client()
        clients[name].cookies.set(sessions().cookie_name, sessions().new_cookie(name))
    return clients


@pytest.fixture
def ann(people) -> TestClient:
    return people["ann"]


@pytest.fixture
def bob(people) -> TestClient:
    return people["bob"]


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """One app for all tests that only ask it: users ann and bob, project mice."""
    folder = tmp_path_factory.mktemp("served")
    before = {name: os.environ.get(name) for name in ("CASTLE_HOME", "CASTLE_STATE")}
    os.environ.update({"CASTLE_HOME": str(folder / "home"), "CASTLE_STATE": str(folder / "state")})
    try:
        Project.create(folder / "home" / "mice")
        for name in ("ann", "bob"):
            UserTable().add(name, f"{name}'s password")
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)
    with running_server(folder) as running:
        yield running
