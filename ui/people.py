"""Who is at the screen."""

import html

import streamlit as st

from ui.gate import LOCAL, current_user
from ui.settings import prefix, settings
from ui.words import plain

__all__ = ["LOCAL", "current_user", "user_panel"]


def user_panel() -> None:
    """Show the user's name and, where there is a login, the way out."""
    with st.container(horizontal=True, vertical_alignment="center", key="user-panel"):
        st.caption(f":material/person: {plain(current_user())}", width="stretch")
        if settings().login:
            st.html(f'<a href="{html.escape(prefix())}/logout" target="_self">Log out</a>', width="content")
