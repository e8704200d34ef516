"""What all tests share: a home and a state folder of their own, and the real sample data where it is at hand."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# One process a core is enough: numerical libraries that each start a thread a core slow the suite down.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")


FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
BROWSERS = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")


@pytest.fixture(autouse=True)
def castle_folders(tmp_path_factory, monkeypatch):
    """Keep every test away from the user's own projects, jobs and secrets."""
    folder = tmp_path_factory.mktemp("castle")
    monkeypatch.setenv("CASTLE_HOME", str(folder / "home"))
    monkeypatch.setenv("CASTLE_STATE", str(folder / "state"))
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real sample data; tests that need it skip where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real sample data (../shared/data) is not here")
    return folder


def _has_cuda() -> bool:
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()


def pytest_collection_modifyitems(config, items):
    if not any(item.get_closest_marker("needs_cuda") for item in items):
        return
    if os.environ.get("FAIL_WITHOUT_CUDA") or _has_cuda():
        return
    for item in items:
        if item.get_closest_marker("needs_cuda"):
            item.add_marker(pytest.mark.skip(reason="no NVIDIA GPU here"))


@pytest.fixture(scope="module")
def chromium():
    """A browser for one module's tests; skip where there is none.

    While it is open, its driver's event loop runs in this thread: a second browser, or a test that starts a loop of its
    own, would fail, so it is closed with its module.
    """
    sync_api = pytest.importorskip("playwright.sync_api")
    sync_api.expect.set_options(timeout=30_000)
    program = next((path for path in BROWSERS if Path(path).exists()), None)
    with sync_api.sync_playwright() as playwright:
        if program is None and not Path(playwright.chromium.executable_path).exists():
            pytest.skip("no Chromium here (scripts/install_browser.sh installs one)")
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()
