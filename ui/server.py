"""What the app adds to Streamlit: the gate, login, uploads and media routes, and the jobs' workers."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from castle_core.server_folders import ServerFolders
from ui.announce import print_link
from ui.gate import Gate
from ui.login import login_routes
from ui.settings import settings

if TYPE_CHECKING:
    from castle_core.jobs import JobTable

_LOGGER = logging.getLogger("castle.server")

ROUTES: list[BaseRoute] = [*login_routes()]
MIDDLEWARE = [Middleware(Gate)]


def jobs() -> "JobTable":
    """Return the table of jobs."""
    from castle_core.jobs import JobTable

    return JobTable()


def folders() -> ServerFolders:
    """Return the server folders that people may browse."""
    return settings().folders


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[dict[str, Any]]:
    """Run the jobs' workers and the clean-up of old uploads while the app is up."""
    del app
    print_link()
    yield {}
