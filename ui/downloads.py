"""Files that are too big for a download button: links to them, and the route for the frames of a video as a zip."""

import html
from collections.abc import Iterator
from urllib.parse import quote

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from castle_core.errors import CastleError
from castle_core.frame_zip import frame_files, stream_zip
from castle_core.projects import Project
from ui.gate import SESSION_KEY, current_user
from ui.sessions import sealed, unseal
from ui.settings import prefix

ENDPOINT = "/api/downloads"


def download_link(address: str, words: str) -> str:
    """Return the HTML of a link that looks like a button and saves what is at `address`."""
    return (
        f'<a class="castle-download" href="{html.escape(address, quote=True)}" download>'
        f"<span>{html.escape(words)}</span></a>"
    )


def frames_zip_url(project: Project, stem: str, *, user: str | None = None) -> str:
    """Return the address of a video's written frames as a zip, signed for `user` (by default, who looks)."""
    key = sealed(f"download {user or current_user()}").dumps([str(project.path), stem])
    return f"{prefix()}{ENDPOINT}/{key}/frames.zip"


async def frames_zip(request: Request) -> Response:
    """Answer with the zip, made while it is sent."""
    session = request.scope.get(SESSION_KEY)
    claims = unseal(f"download {session.user}", request.path_params["key"]) if session is not None else None
    if not isinstance(claims, list):
        return PlainTextResponse("There is nothing at this address for you. Reload the page.", 404)
    path, stem = claims

    def open_zip() -> Iterator[bytes]:
        return stream_zip(frame_files(Project.open(path).frames_folder(stem)))

    try:
        pieces = await to_thread.run_sync(open_zip)
    except CastleError as error:
        return PlainTextResponse(str(error), 404)
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(stem + '.zip', safe='')}",
        "Cache-Control": "no-store",
    }
    return StreamingResponse(pieces, media_type="application/zip", headers=headers)


def download_routes() -> list[Route]:
    """Return the download routes."""
    return [Route(f"{prefix()}{ENDPOINT}/{{key}}/frames.zip", frames_zip, methods=["GET"], name="frames_zip")]
