"""The gate in front of everything: pages, websocket, uploads and media (pure ASGI, so nothing is buffered).

A request passes when its Host is one of this machine's names, its Origin is this app, and its cookie is a live
session. The user's name then travels in ``X-Castle-User`` (whatever a client put there is thrown away), which
Streamlit shows as ``st.user.email``.
"""

import time
from collections.abc import Iterable
from urllib.parse import quote, urlsplit

import streamlit as st
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from castle_core.errors import CastleError
from ui.sessions import Session, sessions
from ui.settings import allowed_hosts, is_loopback, prefix, settings

USER_HEADER = b"x-castle-user"
OPEN_PATHS = ("/login", "/_stcore/health")
SESSION_KEY = "castle_session"
"""Where the gate leaves the `Session` in the ASGI scope."""
LOCAL = "local"
"""The user's name where nobody logs in."""
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_FORWARDED = (b"x-forwarded-for", b"x-forwarded-host", b"forwarded", b"x-real-ip", b"via")
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_RECHECK_S = 1.0


def current_user() -> str:
    """Return the name of whoever looks at the running page.

    From the gate's header by way of ``st.user``; the header itself where Streamlit does not map it; `LOCAL` outside a
    browser session (tests, bare scripts).
    """
    mapped = st.user.get("email")
    if isinstance(mapped, str) and mapped:
        return mapped
    header = st.context.headers.get("X-Castle-User")
    return header or LOCAL


class Gate:
    """ASGI middleware that lets only known people in.

    Parameters
    ----------
    app : ASGIApp
        Everything behind the gate.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass, redirect to the login page, or refuse."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = _wrong_place(scope)
        if refusal is not None:
            await _refuse(PlainTextResponse(refusal, 403), scope, receive, send)
            return
        try:
            session = find_session(scope)
        except CastleError as error:
            await _refuse(PlainTextResponse(str(error), 503), scope, receive, send)
            return
        scope = _with_user(scope, session)
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send, session)
        elif session is None and _inner_path(scope) not in OPEN_PATHS:
            await _refuse(_ask_to_log_in(scope), scope, receive, send)
        else:
            await self._app(scope, receive, _with_headers(send))

    async def _websocket(self, scope: Scope, receive: Receive, send: Send, session: Session | None) -> None:
        if session is None:
            await _refuse(Response(status_code=403), scope, receive, send)
            return
        watch = _Watch(scope, send)
        await self._app(scope, lambda: watch.receive(receive), watch.send)


class _Watch:
    """Ends an open websocket soon after its session has ended (logout, user removed, password changed)."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope, self._send = scope, send
        self._checked = time.monotonic()
        self._closed = False

    async def _ended(self) -> bool:
        """Look at the session again, once a second at most; close the connection when it has ended."""
        now = time.monotonic()
        if not self._closed and now - self._checked >= _RECHECK_S:
            self._checked = now
            try:
                self._closed = find_session(self._scope) is None
            except CastleError:
                self._closed = True
            if self._closed:
                await self._send({"type": "websocket.close", "code": 1008, "reason": "logged out"})
        return self._closed

    async def receive(self, receive: Receive) -> Message:
        """Hand on the client's message, or say that the client is gone."""
        message = await receive()
        if message["type"] == "websocket.receive" and await self._ended():
            return {"type": "websocket.disconnect", "code": 1008}
        return message

    async def send(self, message: Message) -> None:
        """Hand on the app's message unless the session has ended."""
        if self._closed or (message["type"] == "websocket.send" and await self._ended()):
            return
        await self._send(message)


def find_session(scope: Scope) -> Session | None:
    """Return the live session of a request, or None."""
    if not settings().login:
        return Session(LOCAL, "no-login")
    known = sessions()
    for header in Headers(scope=scope).getlist("cookie"):
        cookie = cookie_parser(header).get(known.cookie_name)
        session = known.check(cookie) if cookie else None
        if session is not None:
            return session
    return None


def _inner_path(scope: Scope) -> str:
    """Return the path below ``server.baseUrlPath``."""
    path, base = str(scope["path"]), prefix()
    return path[len(base) :] if base and path.startswith(base + "/") else path


def _wrong_place(scope: Scope) -> str | None:
    """Say why a request does not come from where it should, or None."""
    headers = Headers(scope=scope)
    chosen = settings()
    host = host_name(headers.get("host"))
    if host is None or host not in allowed_hosts(chosen.host, chosen.hosts):
        return (
            "castle does not answer under this host name. Use the address that castle serve printed, or start it with "
            "--allow-host NAME."
        )
    if not chosen.login:
        peer = scope["client"][0] if scope.get("client") else ""
        forwarded = any(name.lower() in _FORWARDED for name, _ in scope["headers"])
        if forwarded or not is_loopback(peer) or not (host == "localhost" or is_loopback(host)):
            return "castle runs without login (--no-login) and then answers only on its own machine, at localhost."
    return _wrong_origin(scope, headers)


def _wrong_origin(scope: Scope, headers: Headers) -> str | None:
    """Refuse what another web site makes a browser send: changes, websockets, and pictures of our routes."""
    message = "This request comes from another web site."
    changes = scope["type"] == "websocket" or scope["method"] not in _SAFE_METHODS
    origin = headers.get("origin")
    if origin is not None and changes and not _same_origin(origin, headers.get("host", "")):
        return message
    site = headers.get("sec-fetch-site", "none")
    if site in ("cross-site", "same-site") and (changes or _inner_path(scope).startswith("/api/")):
        return message
    return None


def _same_origin(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
        default = {"http": 80, "https": 443}.get(parts.scheme)
        there = (parts.hostname, parts.port or default)
        here = urlsplit(f"//{host}")
        return default is not None and there == (here.hostname, here.port or default)
    except ValueError:
        return False


def host_name(header: str | None) -> str | None:
    """Return the name in a Host header without port and brackets, lower case; None if there is none or it is odd."""
    if not header or any(character in header for character in "/?#@\\ \t,"):
        return None
    try:
        parts = urlsplit(f"//{header}")
        _ = parts.port
    except ValueError:
        return None
    return parts.hostname.rstrip(".") if parts.hostname else None


def _with_user(scope: Scope, session: Session | None) -> Scope:
    kept = [(name, value) for name, value in scope["headers"] if name.lower() != USER_HEADER]
    if session is not None:
        kept.append((USER_HEADER, session.user.encode("latin-1", "replace")))
    return {**scope, "headers": kept, SESSION_KEY: session}


def _with_headers(send: Send) -> Send:
    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*_missing(message.get("headers", ())), *message.get("headers", ())]}
        await send(message)

    return sender


def _missing(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    present = {name.lower() for name, _ in headers}
    return [(name, value) for name, value in _HEADERS if name not in present]


def _ask_to_log_in(scope: Scope) -> Response:
    path = _inner_path(scope)
    if scope["method"] in ("GET", "HEAD") and not path.startswith("/api/"):
        query = scope.get("query_string", b"").decode("latin-1")
        wanted = path + (f"?{query}" if query else "")
        target = f"{prefix()}/login" + (f"?next={quote(wanted, safe='')}" if wanted != "/" else "")
        return RedirectResponse(target, 303, {"Cache-Control": "no-store"})
    return PlainTextResponse("Please log in first.", 401, {"Cache-Control": "no-store"})


async def _refuse(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
        return
    await response(scope, receive, _with_headers(send))
