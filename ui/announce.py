"""What ``castle serve`` prints when the app is ready: its address, and the login link."""

import sys

import streamlit as st

from ui.sessions import sessions
from ui.settings import prefix, settings


def address() -> str:
    """Return the address to open in a browser, without a path's last slash."""
    host = settings().host
    if host in ("0.0.0.0", "::", ""):
        import socket

        host = socket.gethostname()
    scheme = "https" if st.get_option("server.sslCertFile") else "http"
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}:{st.get_option('server.port')}{prefix()}"


def print_link(*, again: bool = False) -> None:
    """Print how to get in; `again` after a link was used up."""
    chosen = settings()
    if not chosen.announce:
        return
    if not chosen.login:
        text = f"castle is ready (without login, on this machine only):\n    {address()}/"
    elif sessions().has_users:
        text = f"castle is ready:\n    {address()}/"
    else:
        first = (
            "Another browser or person? This link works once:"
            if again
            else ("castle is ready. Open this link in your browser; it works once:")
        )
        text = f"{first}\n    {address()}/login?token={sessions().link_token()}"
    print(f"\n{text}\n", file=sys.stderr, flush=True)
