"""Where a Label Studio is: its address as people paste it, brought to the address of the server."""

from urllib.parse import urlsplit, urlunsplit

from castle_core.errors import LabelStudioError

# The first of these in a pasted address is a page of Label Studio: the server's own address ends before it.
_PAGES = ("projects", "user", "api", "tasks", "organization", "home", "login")


def normalise_url(url: str) -> str:
    """Bring an address as somebody pasted it to the server's own: scheme, host, port and subpath, no slash at its end.

    ``http://lab:8080/ls/projects/3/data?tab=1`` becomes ``http://lab:8080/ls``; without a scheme it is http.

    Raises
    ------
    LabelStudioError
        If there is no host in it, it is not http or https, or it holds a user name or password.
    """
    text = url.strip()
    if text and "://" not in text:
        text = "http://" + text
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise LabelStudioError(f"{url!r} is not an address. Copy it from the browser's address bar.") from error
    if parts.scheme not in {"http", "https"} or not host:
        raise LabelStudioError(f"{url!r} is not an address. Give one like http://labserver:8080.")
    if parts.username is not None or parts.password is not None:
        raise LabelStudioError(
            "The address holds a user name or password. Give it without; the token says who you are."
        )
    names = [name for name in parts.path.split("/") if name]
    stop = next((place for place, name in enumerate(names) if name in _PAGES), len(names))
    path = "".join(f"/{name}" for name in names[:stop])
    shown = f"[{host}]" if ":" in host else host
    return urlunsplit((parts.scheme, shown if port is None else f"{shown}:{port}", path, "", ""))


def path_prefix(url: str) -> str:
    """Return the subpath at which a Label Studio lies (``/ls``), empty at the root: its pictures' paths begin so."""
    return urlsplit(url).path.rstrip("/")


def task_url(url: str, ls_project: int, task: int | None = None) -> str:
    """Return the page on which a task is labelled, or the project's list of tasks."""
    page = f"{url}/projects/{ls_project}/data"
    return page if task is None else f"{page}?task={task}"
