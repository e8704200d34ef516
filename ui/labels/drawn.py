"""Routes for labelled frames with their points drawn on them, and for finished exports."""

import functools
from pathlib import Path
from typing import Any
from urllib.parse import quote

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from castle_core.errors import CastleError, ProjectError
from castle_core.labels import Labels, project_labels
from castle_core.labels.in_project import label_state
from castle_core.projects import Project
from ui.frame_reader import rounded_width
from ui.gate import SESSION_KEY, current_user
from ui.sessions import sealed, unseal
from ui.settings import prefix

ENDPOINT = "/api/labels"
_LARGEST = 2560


def drawn_url(
    project: Project,
    frame: str,
    *,
    view: str | None = None,
    marked: list[tuple[str, str]] | None = None,
    user: str | None = None,
) -> str:
    """Return the address of a labelled frame with its points; add ``?w=`` for its width in pixels.

    `marked` are (individual, keypoint) of the points that get a ring. The address changes with the labels.
    """
    claims = [str(project.path), view, frame, [list(each) for each in marked or ()], _state(project)]
    return f"{prefix()}{ENDPOINT}/{sealed(f'drawn {user or current_user()}').dumps(claims)}/frame.jpg"


def export_url(project: Project, path: str, name: str, *, user: str | None = None) -> str:
    """Return the address of a finished export, signed for `user` (by default, who looks)."""
    key = sealed(f"export {user or current_user()}").dumps([str(project.path), path, name])
    return f"{prefix()}{ENDPOINT}/{key}/export"


def _state(project: Project) -> str:
    return label_state(project)


@functools.lru_cache(maxsize=4)
def _labels(project: str, view: str | None, state: str) -> tuple[Labels, dict[str, int]]:
    del state  # part of the cache's key only
    labels = project_labels(Project.open(project), view)
    return labels, {frame: row for row, frame in enumerate(labels.frames)}


def _draw(claims: list[Any], width: int) -> bytes:
    from castle_core.labels.images import image_file, read_image
    from castle_core.labels.pictures import draw_labels
    from castle_core.video.images import encode_jpeg

    project, view, frame, marked, _ = claims
    opened = Project.open(project)
    labels, rows = _labels(project, view, _state(opened))
    if frame not in rows:
        raise ProjectError(f"{frame} has no labels any more. Reload the page.")
    image = read_image(image_file(opened, frame))
    picture = draw_labels(
        image,
        labels,
        rows[frame],
        skeleton=opened.skeleton,
        marked=[(individual, keypoint) for individual, keypoint in marked],
        names=width > 640 or not width,
        width=width or None,
    )
    return encode_jpeg(picture, quality=88)


def _claims(request: Request, purpose: str) -> list[Any] | None:
    session = request.scope.get(SESSION_KEY)
    found = unseal(f"{purpose} {session.user}", request.path_params["key"]) if session is not None else None
    return found if isinstance(found, list) else None


def _nothing() -> Response:
    return PlainTextResponse("There is nothing at this address for you. Reload the page.", 404)


async def drawn(request: Request) -> Response:
    """Answer with the JPEG of a labelled frame."""
    claims = _claims(request, "drawn")
    if claims is None:
        return _nothing()
    text = request.query_params.get("w", "")
    width = min(rounded_width(int(text)), _LARGEST) if text.isascii() and text.isdigit() and len(text) < 6 else 0
    try:
        jpeg = await to_thread.run_sync(_draw, claims, width)
    except CastleError as error:
        return PlainTextResponse(str(error), 404, {"Cache-Control": "no-store"})
    return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=600"})


def _export_file(claims: list[Any]) -> Path:
    project, path, _ = claims
    root = (Project.open(project).cache_dir / "exports").resolve()
    file = Path(path).resolve()
    if not file.is_relative_to(root) or not file.is_file():
        raise ProjectError("This export is gone. Prepare it again.")
    return file


async def export(request: Request) -> Response:
    """Answer with a finished export."""
    claims = _claims(request, "export")
    if claims is None:
        return _nothing()
    try:
        file = await to_thread.run_sync(_export_file, claims)
    except CastleError as error:
        return PlainTextResponse(str(error), 404)
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(str(claims[2]), safe='')}",
        "Cache-Control": "no-store",
        "Content-Encoding": "identity",
    }
    return FileResponse(file, media_type="application/octet-stream", headers=headers)


def label_routes() -> list[Route]:
    """Return the routes."""
    base = f"{prefix()}{ENDPOINT}/{{key}}"
    return [
        Route(f"{base}/frame.jpg", drawn, methods=["GET", "HEAD"], name="labelled_frame"),
        Route(f"{base}/export", export, methods=["GET", "HEAD"], name="label_export"),
    ]
