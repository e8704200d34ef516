"""What the app adds to Streamlit: the gate, login, uploads and media routes, and the jobs' workers."""

import asyncio
import functools
import logging
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyio import to_thread
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from castle_core.errors import CastleError
from castle_core.server_folders import ServerFolders
from castle_core.state import castle_state
from ui.announce import print_link
from ui.downloads import download_routes
from ui.gate import Gate
from ui.inspector.routes import inspector_routes
from ui.labels.drawn import label_routes
from ui.login import login_routes
from ui.media import READER, media_routes
from ui.settings import prefix, settings
from ui.uploads import resume_after_restart, start_finishing, sweep_all, upload_routes

if TYPE_CHECKING:
    from castle_core.jobs import JobTable, Runner


async def to_first_page(request: Request) -> Response:
    """Lead from the first page's own name to where Streamlit keeps it, at the bare address."""
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"{prefix()}/{query}", 303)


FIRST_PAGE = Route(f"{prefix()}/extract_frames", to_first_page, methods=["GET", "HEAD"], name="first-page")
ROUTES: list[BaseRoute] = [
    FIRST_PAGE,
    *login_routes(),
    *upload_routes(),
    *media_routes(),
    *download_routes(),
    *inspector_routes(),
    *label_routes(),
]
MIDDLEWARE = [Middleware(Gate)]
_SWEEP_S = 3600.0
_GRACE_S = 3
_LOGGER = logging.getLogger("castle.server")


@functools.lru_cache(maxsize=8)
def _table(state: Path) -> "JobTable":
    from castle_core.jobs import JobTable

    return JobTable(state / "jobs.sqlite")


def jobs() -> "JobTable":
    """Return the table of jobs, the same object for pages, routes and the runner."""
    return _table(castle_state())


def folders() -> ServerFolders:
    """Return the server folders that people may browse."""
    return settings().folders


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[dict[str, Any]]:
    """Run the jobs' workers and the clean-up of old uploads while the app is up."""
    del app
    runner = _start_runner() if settings().runner else None
    house_keeping = asyncio.create_task(_keep_house(), name="castle house-keeping")
    _limit_shutdown()
    _use_only_our_navigation()
    try:
        print_link()
        yield {}
    finally:
        house_keeping.cancel()
        READER.close()
        if runner is not None:
            try:
                await to_thread.run_sync(runner.stop)
            except CastleError as error:
                _LOGGER.warning("%s", error)


def _use_only_our_navigation() -> None:
    """Keep Streamlit from taking ``pages/`` for its older kind of app until the first page has run.

    Else the first visit after a start, if it is to a page's own address, runs that page without all that surrounds it.
    """
    from streamlit.runtime.pages_manager import PagesManager

    if hasattr(PagesManager, "uses_pages_directory"):
        PagesManager.uses_pages_directory = False


def _start_runner() -> "Runner":
    from castle_core.jobs import Runner

    runner = Runner(jobs())
    try:
        runner.start()
    except CastleError as error:
        print(f"castle: {error}", file=sys.stderr, flush=True)
        raise
    return runner


async def _keep_house() -> None:
    """Finish what a killed app left complete, then look for abandoned uploads once an hour."""
    try:
        for store, upload in await to_thread.run_sync(resume_after_restart):
            start_finishing(store, upload)
    except (CastleError, OSError) as error:
        _LOGGER.warning("uploads: %s", error)
    while True:
        try:
            await to_thread.run_sync(sweep_all)
        except (CastleError, OSError) as error:
            _LOGGER.warning("clean-up of uploads: %s", error)
        await asyncio.sleep(_SWEEP_S)


def _limit_shutdown() -> None:
    """Let the server end within seconds: by default it waits until a browser has fetched all of a paused video.

    Streamlit does not hand this option of uvicorn on; the handler of SIGTERM is a method of the uvicorn server.
    """
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    config = getattr(server, "config", None)
    if config is not None and getattr(config, "timeout_graceful_shutdown", 0) is None:
        config.timeout_graceful_shutdown = _GRACE_S
