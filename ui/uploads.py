"""Upload routes: the open tus 1.0 protocol (creation, expiration, termination) at ``/api/uploads``.

Any tus client can talk to it; ours is `ui.components.uploader`. Bytes go to the disk as they come, a few megabytes are
in memory at any time. A request needs the login's cookie like every other, and ``X-Upload-Token``, which says for
whom and into which project (and which another web site cannot know).
"""

import asyncio
import base64
import binascii
import contextlib
import logging
import os
import shutil
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

from anyio import to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from castle_core.errors import CastleError
from castle_core.files import write_error
from castle_core.projects import VIDEO_SUFFIXES, Project
from castle_core.uploads import (
    ABANDONED_S,
    OTHER_ENDINGS,
    SPARE_BYTES,
    RunningDigest,
    Upload,
    UploadRefusedError,
    UploadStore,
    upload_projects,
)
from ui.gate import SESSION_KEY
from ui.sessions import sealed, unseal
from ui.settings import prefix, settings

ENDPOINT = "/api/uploads"
ENDINGS = (*sorted(VIDEO_SUFFIXES), *OTHER_ENDINGS)
TOKEN_AGE_S = 24 * 3600
_BLOCK_BYTES = 4 << 20
_SILENCE_S = 60.0  # a connection on which nothing comes for so long is ended; the client goes on from the offset
_READ_AT_ONCE = 128 << 20  # so much is read again while the client waits; more, in the background
_STALLED_S = 10.0  # after so long without data, a new connection may take over
_BASE = {"Tus-Resumable": "1.0.0", "Cache-Control": "no-store"}
_STATUS = {"type": 415, "size": 413, "empty": 400, "disk": 507, "name": 400}
_LOGGER = logging.getLogger("castle.uploads")


def token(user: str, project: Project | Path | str) -> str:
    """Return the proof that `user` may upload into `project` today; the page hands it to the browser."""
    path = project.path if isinstance(project, Project) else Path(project)
    return str(sealed("upload").dumps([user, str(path), int(time.time())]))


def endpoint() -> str:
    """Return the path of the upload route, with ``server.baseUrlPath``."""
    return prefix() + ENDPOINT


def max_size() -> int:
    """Return the largest upload in bytes."""
    return settings().max_upload


def room(project: Project) -> int:
    """Return how many bytes an upload into a project may have now: the limit, or what its disk has free for it."""
    try:
        free = shutil.disk_usage(project.path).free
    except OSError:
        return max_size()
    return max(0, min(max_size(), free - SPARE_BYTES))


def finished(user: str, project: Project, purpose: str | None = None) -> list[Upload]:
    """Return the user's complete uploads in a project, oldest first; of a purpose, also those without one.

    A video's ``job`` is the check that moves it into the project; zips and tables wait at `received_path`.
    """
    return [
        upload
        for upload in UploadStore(project).all(user)
        if upload.state != "receiving" and (purpose is None or upload.purpose in ("", purpose))
    ]


def unfinished(user: str, project: Project) -> list[tuple[Upload, int]]:
    """Return the user's incomplete uploads with the bytes that came: picking the same file again resumes them."""
    store = UploadStore(project)
    return [(upload, store.offset(upload)) for upload in store.all(user) if upload.state == "receiving"]


def received_path(project: Project, upload: Upload) -> Path:
    """Return where a received file waits."""
    return UploadStore(project).part(upload)


def forget(user: str, project: Project, identity: str) -> None:
    """Delete an upload of the user's and what is left of its bytes; nothing if it is not there."""
    store = UploadStore(project)
    upload = store.get(identity, user)
    if upload is not None:
        store.remove(upload)


def check_again(user: str, project: Project, identity: str, name: str) -> int:
    """Check a received video again under another name (its stem was taken); return the job's id.

    Raises
    ------
    UploadRefusedError, CastleError
        If the upload is gone or cannot be queued.
    """
    store = UploadStore(project)
    upload = store.get(identity, user)
    if upload is None or not store.part(upload).exists():
        raise UploadRefusedError("This upload is no longer here. Pick the file again.", reason="name")
    renamed = replace(upload, name=name)
    if renamed.ending != upload.ending:
        raise UploadRefusedError(f"Keep the ending {upload.ending} in the new name.", reason="name")
    return _submit(store, renamed)


def _submit(store: UploadStore, upload: Upload) -> int:
    from ui.server import jobs

    job = jobs().submit(
        "check_upload",
        project=str(store.project.path),
        settings={"path": str(store.part(upload)), "name": upload.name},
        owner=upload.user,
        title=f"Check {upload.name}",
    )
    store.save(replace(upload, job=job))
    return job


class _Active:
    """What this process remembers of one upload: its digest so far, and who is writing."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.digest = RunningDigest()
        self.last_data = 0.0
        self.timeout: asyncio.Timeout | None = None

    async def acquire(self) -> bool:
        """Take the lock; from a connection on which nothing comes any more, take it over."""
        if self.lock.locked() and self.timeout is not None and time.monotonic() - self.last_data > _STALLED_S:
            self.timeout.reschedule(0)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(5):
                    await self.lock.acquire()
                    return True
        if self.lock.locked():
            return False
        await self.lock.acquire()
        return True


_ACTIVE: OrderedDict[str, _Active] = OrderedDict()
_TASKS: set[asyncio.Task[None]] = set()


def _active(identity: str) -> _Active:
    active = _ACTIVE.setdefault(identity, _Active())
    _ACTIVE.move_to_end(identity)
    if len(_ACTIVE) > 256:  # a forgotten digest is only read again from the disk
        for key in [key for key, item in _ACTIVE.items() if not item.lock.locked()][:64]:
            del _ACTIVE[key]
        _ACTIVE.setdefault(identity, active)
    return active


Handler = Callable[[Request, UploadStore, str], Awaitable[Response]]


def _guarded(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """Check protocol version and token, open the project, and turn errors into one line of text."""

    async def guarded(request: Request) -> Response:
        if request.headers.get("tus-resumable") != "1.0.0":
            return _text("This server speaks tus 1.0.0.", 412, {"Tus-Version": "1.0.0"})
        session = request.scope.get(SESSION_KEY)
        claims = unseal("upload", request.headers.get("x-upload-token", ""))
        if session is None or not isinstance(claims, list) or claims[0] != session.user:
            return _text("This page may not upload. Reload it, then pick the file again.", 403)
        user, path, issued = claims
        if abs(time.time() - issued) > TOKEN_AGE_S:
            return _text("This page is too old for uploads. Reload it, then pick the file again.", 403)
        try:
            store = UploadStore(await to_thread.run_sync(Project.open, path))
            return await handler(request, store, user)
        except UploadRefusedError as error:
            return _text(str(error), _STATUS[error.reason])
        except CastleError as error:
            full = isinstance(error.__cause__, OSError) and error.__cause__.errno in (28, 122)
            return _text(str(error), 507 if full else 409)

    return guarded


def _text(text: str, status: int, headers: dict[str, str] | None = None) -> Response:
    return PlainTextResponse(text, status, {**_BASE, **(headers or {})})


def _gone() -> Response:
    return _text("The server does not know this upload. Pick the file again.", 404)


def _expires(upload: Upload) -> dict[str, str]:
    if upload.state != "receiving":
        return {}
    return {"Upload-Expires": formatdate(time.time() + ABANDONED_S - upload.idle_s, usegmt=True)}


async def options(request: Request) -> Response:
    """Say what this server can."""
    del request
    return Response(
        status_code=204,
        headers={
            **_BASE,
            "Tus-Version": "1.0.0",
            "Tus-Extension": "creation,expiration,termination",
            "Tus-Max-Size": str(max_size()),
        },
    )


async def create(request: Request, store: UploadStore, user: str) -> Response:
    """Begin an upload."""
    length = request.headers.get("upload-length", "")
    if not (length.isascii() and length.isdigit() and len(length) < 20):
        return _text("The header Upload-Length must say how many bytes the file has.", 400)
    try:
        said = _metadata(request.headers.get("upload-metadata", ""))
        name, purpose = said["filename"], said.get("purpose", "")
    except (KeyError, ValueError):
        return _text("The header Upload-Metadata must hold the file's name (filename, base64 of UTF-8).", 400)
    upload = await to_thread.run_sync(
        lambda: store.create(user=user, name=name, size=int(length), max_size=max_size(), purpose=purpose)
    )
    location = f"{endpoint()}/{upload.id}"
    return Response(status_code=201, headers={**_BASE, "Location": location, "Upload-Offset": "0", **_expires(upload)})


def _metadata(header: str) -> dict[str, str]:
    values = {}
    for pair in filter(None, (part.strip() for part in header.split(","))):
        key, _, value = pair.partition(" ")
        try:
            values[key] = base64.b64decode(value.strip(), validate=True).decode("utf-8")
        except binascii.Error as error:
            raise ValueError(str(error)) from error
    return values


async def head(request: Request, store: UploadStore, user: str) -> Response:
    """Say how far an upload is."""
    upload = store.get(request.path_params["identity"], user)
    if upload is None:
        return Response(status_code=404, headers=_BASE)
    headers = {"Upload-Offset": str(store.offset(upload)), "Upload-Length": str(upload.size), **_expires(upload)}
    return Response(status_code=200, headers={**_BASE, **headers})


async def patch(request: Request, store: UploadStore, user: str) -> Response:
    """Append the body to an upload."""
    upload = store.get(request.path_params["identity"], user)
    if upload is None:
        return _gone()
    if request.headers.get("content-type") != "application/offset+octet-stream":
        return _text("The type of the body must be application/offset+octet-stream.", 415)
    wanted = request.headers.get("upload-offset", "")
    if not (wanted.isascii() and wanted.isdigit()):
        return _text("The header Upload-Offset must say where the bytes belong.", 400)
    active = _active(upload.id)
    if not await active.acquire():
        return _text(f"{upload.name} is being uploaded in another tab.", 423)
    try:
        upload = store.get(upload.id, user)  # it may have ended while this request waited
        if upload is None:
            return _gone()
        offset = store.offset(upload)
        if int(wanted) != offset:
            return _text(f"This upload is at byte {offset}.", 409, {"Upload-Offset": str(offset)})
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > upload.size - offset:
            return _text(f"{upload.name} was announced with {upload.size} bytes; this is more.", 413)
        if upload.state == "receiving":
            refusal = await _receive(request, store, upload, active)
            if refusal is not None:
                return refusal
        offset = store.offset(upload)
        if offset == upload.size and upload.state == "receiving":
            await _complete(store, upload, active)
        return Response(status_code=204, headers={**_BASE, "Upload-Offset": str(offset), **_expires(upload)})
    finally:
        active.lock.release()


async def _receive(request: Request, store: UploadStore, upload: Upload, active: _Active) -> Response | None:
    """Write the body to the part, block by block; what came before a lost connection is kept."""
    part = store.part(upload)
    offset = store.offset(upload)
    block = bytearray()
    too_long = False
    loop = asyncio.get_running_loop()
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_APPEND)
    except OSError as error:
        raise write_error(part, error) from error
    try:
        try:
            async with asyncio.timeout(_SILENCE_S) as active.timeout:
                active.last_data = time.monotonic()
                async for data in request.stream():
                    active.last_data = time.monotonic()
                    active.timeout.reschedule(loop.time() + _SILENCE_S)
                    room = upload.size - offset - len(block)
                    too_long = len(data) > room
                    block += data[:room] if too_long else data
                    if too_long:
                        break
                    if len(block) >= _BLOCK_BYTES:
                        offset = await to_thread.run_sync(_write, descriptor, block, offset, active.digest)
                        block = bytearray()
        except (ClientDisconnect, TimeoutError):
            pass
        finally:
            active.timeout = None
        if block:
            await to_thread.run_sync(_write, descriptor, block, offset, active.digest)
    except OSError as error:
        raise write_error(part, error) from error
    finally:
        os.close(descriptor)
    return _text(f"{upload.name} was announced with {upload.size} bytes; more came.", 413) if too_long else None


def _write(descriptor: int, block: bytearray, offset: int, digest: RunningDigest) -> int:
    """Append a block and hash it; return the new offset."""
    view = memoryview(block)
    written = 0
    while written < len(view):
        written += os.write(descriptor, view[written:])
    digest.add(view, offset)
    return offset + written


async def _complete(store: UploadStore, upload: Upload, active: _Active) -> None:
    """Finish an upload: at once where (nearly) all of it is hashed, else in the background, since it is read again."""
    if upload.size - active.digest.offset <= _READ_AT_ONCE:
        await to_thread.run_sync(_finish, store, upload, active.digest)
        _ACTIVE.pop(upload.id, None)
        return
    start_finishing(store, upload)


def start_finishing(store: UploadStore, upload: Upload) -> None:
    """Hash and finish a complete upload in the background."""

    async def work() -> None:
        active = _active(upload.id)
        async with active.lock:
            current = store.get(upload.id, upload.user)
            if current is not None and (current.state == "receiving" or (current.is_video and current.job is None)):
                try:
                    await to_thread.run_sync(_finish, store, current, active.digest)
                except CastleError as error:
                    _LOGGER.warning("upload %s of %s: %s", upload.id, upload.user, error)
        _ACTIVE.pop(upload.id, None)

    task = asyncio.get_running_loop().create_task(work(), name=f"finish upload {upload.id}")
    _TASKS.add(task)
    task.add_done_callback(_TASKS.discard)


def _finish(store: UploadStore, upload: Upload, digest: RunningDigest) -> None:
    received = store.finish(upload, digest) if upload.state == "receiving" else upload
    if received.state == "received" and received.is_video and received.job is None:
        _submit(store, received)


async def delete(request: Request, store: UploadStore, user: str) -> Response:
    """End an upload and delete its bytes."""
    upload = store.get(request.path_params["identity"], user)
    if upload is None:
        return _gone()
    active = _active(upload.id)
    if active.timeout is not None:
        active.timeout.reschedule(0)
    async with active.lock:
        await to_thread.run_sync(store.remove, upload)
    _ACTIVE.pop(upload.id, None)
    return Response(status_code=204, headers=_BASE)


async def new_token(request: Request) -> Response:
    """Give a logged-in client its token (``?project=NAME``), so that any tus client or curl can upload."""
    session = request.scope[SESSION_KEY]
    try:
        project = await to_thread.run_sync(Project.open, request.query_params.get("project", ""))
    except CastleError as error:
        return _text(str(error), 404)
    value: dict[str, Any] = {"token": token(session.user, project), "endpoint": endpoint(), "max_size": max_size()}
    return JSONResponse(value, headers={"Cache-Control": "no-store"})


async def override(request: Request) -> Response:
    """Let clients behind old proxies say PATCH and DELETE with POST."""
    methods = {"PATCH": patch, "DELETE": delete}
    chosen = methods.get(request.headers.get("x-http-method-override", "").upper())
    return await _guarded(chosen)(request) if chosen else _text("Use PATCH.", 405, {"Allow": "HEAD, PATCH, DELETE"})


def resume_after_restart() -> list[tuple[UploadStore, Upload]]:
    """Return uploads that were complete, or received but not queued, when the app was ended."""
    waiting = []
    for project in upload_projects():
        store = UploadStore(project)
        for upload in store.all():
            complete = store.offset(upload) == upload.size or _is_renamed(store, upload)
            unqueued = upload.state == "received" and upload.is_video and upload.job is None
            if (upload.state == "receiving" and complete) or unqueued:
                waiting.append((store, upload))
    return waiting


def _is_renamed(store: UploadStore, upload: Upload) -> bool:
    return upload.state == "receiving" and store.part(replace(upload, state="received")).exists()


def sweep_all() -> None:
    """Delete abandoned uploads in every project that this machine knows."""
    for project in upload_projects():
        for upload in UploadStore(project).sweep():
            _LOGGER.info("removed the abandoned upload %s (%s) of %s", upload.id, upload.name, upload.user)


def upload_routes() -> list[Route]:
    """Return the upload routes."""
    base = endpoint()
    return [
        Route(base, options, methods=["OPTIONS"], name="upload-options"),
        Route(base, _guarded(create), methods=["POST"], name="upload-create"),
        Route(f"{base}/token", new_token, methods=["GET"], name="upload-token"),
        Route(base + "/{identity}", options, methods=["OPTIONS"], name="upload-options-one"),
        Route(base + "/{identity}", _guarded(head), methods=["HEAD"], name="upload-head"),
        Route(base + "/{identity}", _guarded(patch), methods=["PATCH"], name="upload-patch"),
        Route(base + "/{identity}", _guarded(delete), methods=["DELETE"], name="upload-delete"),
        Route(base + "/{identity}", override, methods=["POST"], name="upload-override"),
    ]
