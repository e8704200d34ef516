"""The connection to Label Studio: address and token, checked before they are kept."""

import streamlit as st

from castle_core.errors import CastleError
from castle_core.label_studio import (
    Credentials,
    check_connection,
    list_credentials,
    remove_credentials,
    save_credentials,
)
from castle_core.projects import Project
from ui.people import current_user
from ui.words import code, plain

_EDIT = "ls-edit"
ANCHOR = "connect-to-label-studio"


def connection_panel(project: Project) -> Credentials | None:
    """Show the connection and return it; None while there is none."""
    kept = _kept(project)
    with st.container(border=True, key="ls-connection"):
        if kept is None or st.session_state.get(_EDIT):
            _form(kept)
        else:
            _connected(kept)
        for warning in st.session_state.get("ls-warnings", ()):
            st.warning(plain(warning), icon=":material/warning:")
        if error := st.session_state.pop("ls-error", None):
            st.error(plain(error), icon=":material/error:")
    return kept


def is_connected(project: Project) -> bool:
    """Say whether the user has a token for this project's Label Studio."""
    return _kept(project) is not None


def _kept(project: Project) -> Credentials | None:
    """Return the user's token for the server that this project used last, else the only one that the user has."""
    mine = list_credentials(current_user())
    url = project.settings("label_studio").get("url")
    chosen = st.session_state.get("ls-url-used") or url
    return next((each for each in mine if each.url == chosen), mine[0] if len(mine) == 1 and not url else None)


def _connected(kept: Credentials) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        who = f" as `{code(kept.user)}`" if kept.user else ""  # as code, or the address would be a link for mails
        st.markdown(f":green[:material/check_circle:] **Label Studio** at {plain(kept.url)}{who}", width="stretch")
        st.button("Check", key="ls-check", icon=":material/sync:", on_click=_check_again, args=(kept.id,))
        st.button("Change", key="ls-change", type="tertiary", on_click=_edit)
        st.button(
            "Forget token",
            key="ls-forget",
            type="tertiary",
            on_click=_forget,
            args=(kept.id,),
            help="Removes the token from this server. Projects and labels stay.",
        )
    if version := st.session_state.get("ls-version"):
        st.caption(f"Version {plain(version)} answers and takes the token.")


def _form(kept: Credentials | None) -> None:
    st.subheader("Connect to Label Studio", anchor=ANCHOR)
    with st.form("ls-form", border=False):
        url = st.text_input(
            "Address",
            value=kept.url if kept else "",
            placeholder="http://labserver:8080",
            help="As in the browser in which you label. The server that runs this app must reach it.",
            key="ls-url",
        )
        token = st.text_input(
            "Token",
            type="password",
            autocomplete="off",
            help="In Label Studio: your picture, Account & Settings, then Personal Access Token or Legacy Token. It is "
            "kept on this server for you alone, and never shown again.",
            key="ls-token",
        )
        with st.container(horizontal=True):
            asked = st.form_submit_button("Check and save", type="primary", icon=":material/link:")
            cancelled = kept is not None and st.form_submit_button("Cancel")
    if cancelled:
        st.session_state.pop(_EDIT, None)
        st.rerun()
    if asked:
        with st.spinner("Asking Label Studio …"):
            _check_and_save(url, token)


def _check_and_save(url: str, token: str) -> None:
    try:
        found = check_connection(url, token)
        saved = save_credentials(found.url, token, owner=current_user(), user=found.user)
    except CastleError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    _found(saved.url, found.version, list(found.warnings))
    st.session_state.pop(_EDIT, None)
    st.rerun()


def _found(url: str, version: str, warnings: list[str]) -> None:
    st.session_state["ls-url-used"] = url
    st.session_state["ls-version"] = version
    st.session_state["ls-warnings"] = warnings


def _check_again(identity: str) -> None:
    st.session_state.pop("ls-version", None)
    st.session_state.pop("ls-warnings", None)
    try:
        kept = next(each for each in list_credentials(current_user()) if each.id == identity)
        found = check_connection(kept.url, kept.token)
        _found(kept.url, found.version, list(found.warnings))
    except CastleError as error:
        st.session_state["ls-error"] = str(error)
    except StopIteration:
        st.session_state["ls-error"] = "The token is not here any more. Save it again."


def _edit() -> None:
    st.session_state[_EDIT] = True


def _forget(identity: str) -> None:
    try:
        remove_credentials(identity, owner=current_user())
    except CastleError as error:
        st.session_state["ls-error"] = str(error)
    for key in ("ls-version", "ls-warnings", "ls-url-used"):
        st.session_state.pop(key, None)


def connection_hint() -> None:
    """Say in two lines what a Label Studio is, for who has none."""
    st.caption(
        "Label Studio is a free labelling tool that runs on a server of your lab: `pip install label-studio`, then "
        "`label-studio start`. This app cannot reach it? *Files in and out*, at the top, has the same frames as a zip "
        "to import there by hand, and files for other tools."
    )
