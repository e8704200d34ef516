"""One small demo project for all tests of it."""

import pytest

from castle_core.demo import make_demo

SECONDS, SIZE = 6, (320, 240)


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """The report of `make_demo` for a short, small project."""
    return make_demo(tmp_path_factory.mktemp("demo") / "project", seconds=SECONDS, size=SIZE, n_videos=1)
