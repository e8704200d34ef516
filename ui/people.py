"""Who is at the screen."""

import streamlit as st

LOCAL = "local"


def current_user() -> str:
    """Return the name that the gate put on this session; `LOCAL` where nobody logs in (tests, ``--no-login``)."""
    email = st.user.get("email")
    return str(email) if email else LOCAL


def user_panel() -> None:
    """Show the user's name and, where there is a login, the way out."""
    user = current_user()
    with st.container(horizontal=True, vertical_alignment="center", key="user-panel"):
        st.caption(f":material/person: {'On this computer' if user == LOCAL else _plain(user)}", width="stretch")
        if user != LOCAL:
            st.html('<a href="/logout" target="_self">Log out</a>', width="content")


def _plain(text: str) -> str:
    from ui.words import plain

    return plain(text)
