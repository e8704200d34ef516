"""The app under Streamlit's AppTest: everything but the browser's side."""

from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def film(tmp_path_factory) -> Path:
    from castle_core.video import VideoWriter

    path = tmp_path_factory.mktemp("film") / "walk.mp4"
    with VideoWriter(path, fps=10, width=64, height=48, gop=10) as writer:
        for index in range(60):
            writer.write(np.full((48, 64, 3), 20 + 3 * index, np.uint8))
    return path


@pytest.fixture
def project(castle_folders, film):
    """A project with the video ``walk``."""
    from castle_core.projects import Project

    made = Project.create("mice")
    (made.path / "videos" / "walk.mp4").write_bytes(film.read_bytes())
    return made


@pytest.fixture
def run(castle_folders):
    """Run the app on a project (or none) and return the AppTest; what it keeps in the session must be JSON."""
    from streamlit.testing.v1 import AppTest

    def start(name: str | None = None, page: str | None = None):
        at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
        if name:
            at.query_params["project"] = name
        at.run()
        if page:
            at.switch_page(page).run()
        assert not at.exception, [error.value for error in at.exception]
        return at

    return start
