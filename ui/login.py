"""Login by password or one-time link, and logout."""

import html
import math
from importlib import resources
from string import Template

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from ui.attempts import Attempts
from ui.gate import SESSION_KEY, find_session
from ui.sessions import MAX_AGE_S, Session, sessions
from ui.settings import operating_system_user, prefix, settings

_PAGE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    # Not stricter: without a referrer, a browser sends the form with "Origin: null", which the gate refuses.
    "Referrer-Policy": "same-origin",
}
_ATTEMPTS = Attempts()
_MAX_FORM_BYTES = 16_384
# Each check of a password takes 32 MB: two at a time are enough.
_CHECKS = CapacityLimiter(2)


def _page(
    title: str, body: str, *, status: int = 200, alert: str = "", headers: dict[str, str] | None = None
) -> Response:
    template = Template(resources.files("ui").joinpath("login.html").read_text(encoding="utf-8"))
    shown = f'<p class="alert" role="alert">{html.escape(alert)}</p>' if alert else ""
    text = template.substitute(title=html.escape(title), alert=shown, body=body)
    return HTMLResponse(text, status, {**_PAGE_HEADERS, **(headers or {})})


def _form(next_path: str, name: str = "") -> str:
    return (
        f'<form method="post" action="{html.escape(prefix())}/login">'
        f'<input type="hidden" name="next" value="{html.escape(next_path)}">'
        '<label for="user">User name</label>'
        f'<input id="user" name="user" value="{html.escape(name)}" autocomplete="username" autocapitalize="none" '
        f'spellcheck="false" maxlength="64" required{"" if name else " autofocus"}>'
        '<label for="password">Password</label>'
        '<input id="password" name="password" type="password" autocomplete="current-password" maxlength="1024" '
        f"required{' autofocus' if name else ''}>"
        "<button>Log in</button></form>"
    )


_LINK_HELP = (
    "<p>Open the link that <code>castle serve</code> printed in its terminal. Each link works once; "
    "the next one is printed right after.</p>"
    "<p>Several people on one server? <code>castle users add NAME</code> gives each of them a password.</p>"
)


def safe_next(text: str) -> str:
    """Return where to go after the login: a path inside this app, whatever the link said."""
    odd = not text.startswith("/") or text.startswith("//") or "\\" in text or any(ord(c) < 33 for c in text)
    return "/" if odd or text.split("?")[0].rstrip("/") in ("/login", "/logout") else text


async def show_login(request: Request) -> Response:
    """Show the form, or let somebody in who brings the one-time link."""
    known = sessions()
    next_path = safe_next(request.query_params.get("next", "/"))
    if request.scope.get(SESSION_KEY) is not None and "token" not in request.query_params:
        return RedirectResponse(prefix() + next_path, 303, {"Cache-Control": "no-store"})
    token = request.query_params.get("token")
    if known.has_users:
        alert = "This server has users: please log in with your name and password." if token else ""
        return _page("Log in", _form(next_path), alert=alert)
    if token is None:
        return _page("Log in", _LINK_HELP)
    address = request.client.host if request.client else ""
    wait = _ATTEMPTS.wait_s("", address)
    if wait > 0:
        return _too_many(wait, _LINK_HELP)
    fetched_ahead = "prefetch" in request.headers.get("sec-purpose", request.headers.get("purpose", ""))
    if request.method != "GET" or fetched_ahead:  # a browser that looks ahead must not use the link up
        return Response(status_code=204, headers={"Cache-Control": "no-store"})
    if not known.use_link(token):
        _ATTEMPTS.wrong("", address)
        return _page(
            "Log in", _LINK_HELP, status=403, alert="This link was used already or is not right. Take the newest one."
        )
    from ui.announce import print_link

    print_link(again=True)
    return _welcome(request, operating_system_user(), next_path)


def _welcome(request: Request, user: str, next_path: str) -> Response:
    known = sessions()
    headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    response = RedirectResponse(prefix() + next_path, 303, headers)
    response.set_cookie(
        known.cookie_name,
        known.new_cookie(user),
        max_age=MAX_AGE_S,
        path=prefix() or "/",
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return response


def _too_many(wait_s: float, body: str) -> Response:
    seconds = math.ceil(wait_s)
    spelled = f"{seconds} seconds" if seconds < 120 else f"{math.ceil(seconds / 60)} minutes"
    alert = f"Too many wrong tries. Please wait {spelled}, then try again."
    return _page("Log in", body, status=429, alert=alert, headers={"Retry-After": str(seconds)})


async def log_in(request: Request) -> Response:
    """Check name and password."""
    known = sessions()
    if int(request.headers.get("content-length") or _MAX_FORM_BYTES + 1) > _MAX_FORM_BYTES:
        return _page("Log in", _form("/"), status=413, alert="The form is too large.")
    form = await request.form(max_files=0, max_fields=10)
    name, password = str(form.get("user", ""))[:64], str(form.get("password", ""))
    next_path = safe_next(str(form.get("next", "/")))
    if not known.has_users:
        return _page("Log in", _LINK_HELP, status=403, alert="This server has no users yet; use the link.")
    address = request.client.host if request.client else ""
    body = _form(next_path, name)
    wait = _ATTEMPTS.wait_s(name, address)
    if wait > 0:
        return _too_many(wait, body)
    # Counted before the check, so that many tries sent at once do not all pass.
    _ATTEMPTS.wrong(name, address)
    user = await to_thread.run_sync(known.users.check, name, password, limiter=_CHECKS)
    if user is None:
        return _page("Log in", body, status=401, alert="The user name or the password is wrong.")
    _ATTEMPTS.right(name, address)
    return _welcome(request, user.name, next_path)


async def log_out(request: Request) -> Response:
    """End the session. A link from another site only gets the question."""
    own_click = request.headers.get("sec-fetch-site") == "same-origin"
    if request.method in ("GET", "HEAD") and not own_click:
        form = f'<form method="post" action="{html.escape(prefix())}/logout"><button autofocus>Log out</button></form>'
        return _page("Log out", f"<p>Do you want to log out?</p>{form}")
    session: Session | None = request.scope.get(SESSION_KEY) or find_session(request.scope)
    if session is not None and settings().login:
        await to_thread.run_sync(sessions().revoke, session)
    response = RedirectResponse(f"{prefix()}/login", 303, {"Cache-Control": "no-store", "Clear-Site-Data": '"cache"'})
    response.delete_cookie(sessions().cookie_name, path=prefix() or "/")
    return response


def login_routes() -> list[Route]:
    """Return the routes of login and logout."""
    base = prefix()
    return [
        Route(f"{base}/login", show_login, methods=["GET", "HEAD"], name="login"),
        Route(f"{base}/login", log_in, methods=["POST"], name="log-in"),
        Route(f"{base}/logout", log_out, methods=["GET", "POST"], name="logout"),
    ]
