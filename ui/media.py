"""Media routes: pictures of any frame, written PNGs, and the video itself with Range, straight from the disk.

An address holds a key that names one video of one project and is signed for one user: it works for nobody else, and
cannot be changed to name another file. A new version of the video has another address, so browsers may keep pictures
for good.
"""

import functools
import mimetypes
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import quote

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from castle_core.errors import CastleError, FrameDecodeError, FrameIndexError, NameRefusedError, VideoError
from castle_core.files import safe_name
from castle_core.projects import Project
from castle_core.rois import find_masks
from ui.frame_reader import FrameReader, Source, rounded_width, video_version
from ui.gate import SESSION_KEY, current_user
from ui.mask_pieces import mask_piece, masks_version
from ui.sessions import sealed, unseal
from ui.settings import prefix

ENDPOINT = "/api/media"
READER = FrameReader()
_KEPT = {"Cache-Control": "private, max-age=31536000, immutable", "Vary": "Cookie"}
_CHECKED = {"Cache-Control": "private, no-cache", "Vary": "Cookie"}
_PICTURES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".bmp": "image/bmp"}
_TYPES = {".m4v": "video/mp4", ".mkv": "video/x-matroska", ".mov": "video/quicktime", ".webm": "video/webm"}


def media_base(project: Project, stem: str, *, user: str | None = None) -> str:
    """Return the address below which everything of one video lies, signed for `user` (by default, who looks).

    ``<base>/frame/<index>.jpg?w=<pixels>``, ``<base>/video``: a component can make the addresses of many frames by
    itself.

    Raises
    ------
    ProjectError
        If the project has no such video.
    """
    entry = project.video(stem)
    try:
        version = video_version(entry.path)
    except OSError:
        version = "gone"
    return prefix() + f"{ENDPOINT}/{_key(user or current_user(), str(project.path), entry.stem, version)}"


@functools.lru_cache(maxsize=4096)
def _key(user: str, project: str, stem: str, version: str) -> str:
    return str(sealed(f"media {user}").dumps([project, stem, version]))


def frame_url(
    project: Project, stem: str, frame_index: int, width: int | None = None, *, user: str | None = None
) -> str:
    """Return the address of a frame's JPEG, at most `width` pixels wide (rounded up to one of a few sizes)."""
    size = rounded_width(width)
    return f"{media_base(project, stem, user=user)}/frame/{frame_index}.jpg" + (f"?w={size}" if size else "")


def video_url(project: Project, stem: str, *, user: str | None = None) -> str:
    """Return the address of the video: the copy for browsers where there is one, else the file itself."""
    copy = "?copy" if project.has_proxy(stem) else ""
    return f"{media_base(project, stem, user=user)}/video{copy}"


def written_url(project: Project, stem: str, name: str, *, user: str | None = None) -> str:
    """Return the address of a picture in ``labeled-data/<stem>``, whether or not the project has that video."""
    key = _key(user or current_user(), str(project.path), stem, "written")
    return f"{prefix()}{ENDPOINT}/{key}/written/{quote(name, safe='')}"


def crop_url(project: Project, stem: str, name: str, *, user: str | None = None) -> str:
    """Return the address of a crop video in ``crop/<stem>``."""
    key = _key(user or current_user(), str(project.path), stem, "crop")
    return f"{prefix()}{ENDPOINT}/{key}/crop/{quote(name, safe='')}"


def masks_url(project: Project, stem: str, *, user: str | None = None) -> str:
    """Return the address of a video's masks with the words START and STOP in place of frames; empty without masks."""
    version = masks_version(project, project.video(stem).name)
    return f"{media_base(project, stem, user=user)}/masks/START/STOP?v={version}" if version else ""


Handler = Callable[[Request, Project, Source], Awaitable[Response]]


def _guarded(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """Open what the key names, if it is this user's key; say in one line what is wrong."""

    async def guarded(request: Request) -> Response:
        session = request.scope.get(SESSION_KEY)
        claims = unseal(f"media {session.user}", request.path_params["key"]) if session is not None else None
        if not isinstance(claims, list):
            return _text("There is nothing at this address for you. Reload the page.", 404)
        source = Source(*claims)
        try:
            project = await to_thread.run_sync(Project.open, source.project)
            return await handler(request, project, source)
        except (FrameIndexError, NameRefusedError) as error:
            return _text(str(error), 404)
        except (FrameDecodeError, VideoError) as error:
            return _text(str(error), 422)
        except CastleError as error:
            return _text(str(error), 404)

    return guarded


def _text(text: str, status: int) -> Response:
    return PlainTextResponse(text, status, {"Cache-Control": "no-store"})


def _checked_video(project: Project, source: Source) -> Path:
    """Return the video's file, if it is still the one that the page was made for."""
    path = project.video(source.stem).path
    try:
        same = video_version(path) == source.version
    except OSError as error:
        raise CastleError(f"The file of {source.stem} is gone. Was it moved, or the drive unplugged?") from error
    if not same:
        raise CastleError(f"{source.stem} is another file now. Reload the page.")
    return path


async def frame(request: Request, project: Project, source: Source) -> Response:
    """Answer with the JPEG of one frame."""
    await to_thread.run_sync(_checked_video, project, source)
    text = request.query_params.get("w", "")
    width = rounded_width(int(text)) if text.isascii() and text.isdigit() and len(text) < 6 else 0
    jpeg = await READER.jpeg(source, request.path_params["frame_index"], width)
    return Response(jpeg, media_type="image/jpeg", headers=_KEPT)


async def video(request: Request, project: Project, source: Source) -> Response:
    """Answer with the video, or the part of it that the browser asks for."""
    path = await to_thread.run_sync(_checked_video, project, source)
    if "copy" in request.query_params and await to_thread.run_sync(project.has_proxy, source.stem):
        path = project.proxy_path(source.stem)
    ending = path.suffix.lower()
    kind = _TYPES.get(ending) or mimetypes.types_map.get(ending, "application/octet-stream")
    # Said to be unpacked already, so that nothing on the way packs it: ranges count the file's own bytes.
    return FileResponse(path, media_type=kind, headers={**_CHECKED, "Content-Encoding": "identity"})


async def masks(request: Request, project: Project, source: Source) -> Response:
    """Answer with the masks of some frames (see `mask_piece`); they are kept by browsers while they stay the same."""
    name = project.video(source.stem).name
    version = await to_thread.run_sync(masks_version, project, name)
    start, stop = request.path_params["start"], request.path_params["stop"]
    data = await to_thread.run_sync(mask_piece, find_masks(project, name), start, stop, limiter=_mask_limiter())
    headers = _KEPT if version == request.query_params.get("v") else {"Cache-Control": "no-store"}
    return Response(data, media_type="application/octet-stream", headers={**headers, "Content-Encoding": "gzip"})


@functools.lru_cache(maxsize=1)
def _mask_limiter() -> CapacityLimiter:
    return CapacityLimiter(2)


async def written(request: Request, project: Project, source: Source) -> Response:
    """Answer with a picture that was written to ``labeled-data``, or brought there with labels."""
    name = safe_name(request.path_params["name"])
    path = await to_thread.run_sync(_written_file, project, source.stem, name)
    return FileResponse(path, media_type=_PICTURES[path.suffix.lower()], headers=_CHECKED)


def _written_file(project: Project, stem: str, name: str) -> Path:
    folder = project.frames_folder(stem).resolve()
    path = (folder / name).resolve()
    if path.parent != folder or path.suffix.lower() not in _PICTURES or not path.is_file():
        raise CastleError(f"{name} is not among the written frames of {stem}.")
    return path


async def crop(request: Request, project: Project, source: Source) -> Response:
    """Answer with a crop video, or the part of it that the browser asks for."""
    name = safe_name(request.path_params["name"])
    path = await to_thread.run_sync(_crop_file, project, source.stem, name)
    return FileResponse(path, media_type="video/mp4", headers={**_CHECKED, "Content-Encoding": "identity"})


def _crop_file(project: Project, stem: str, name: str) -> Path:
    folder = (project.path / "crop" / safe_name(stem)).resolve()
    path = (folder / name).resolve()
    if path.parent != folder or path.suffix.lower() != ".mp4" or not path.is_file():
        raise CastleError(f"{name} is not among the crop videos of {stem}.")
    return path


def media_routes() -> list[Route]:
    """Return the media routes."""
    base = f"{prefix()}{ENDPOINT}/{{key}}"
    return [
        Route(base + "/frame/{frame_index:int}.jpg", _guarded(frame), methods=["GET", "HEAD"], name="frame"),
        Route(base + "/video", _guarded(video), methods=["GET", "HEAD"], name="video"),
        Route(base + "/masks/{start:int}/{stop:int}", _guarded(masks), methods=["GET", "HEAD"], name="masks"),
        Route(base + "/written/{name}", _guarded(written), methods=["GET", "HEAD"], name="written"),
        Route(base + "/crop/{name}", _guarded(crop), methods=["GET", "HEAD"], name="crop"),
    ]
