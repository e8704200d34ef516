"""Folders of the server that the administrator opened: walk, tick videos, link them into the project."""

from pathlib import PurePosixPath

import streamlit as st

from castle_core.errors import AccessError, CastleError, NameRefusedError
from castle_core.machine import readable_size
from castle_core.projects import Project
from castle_core.server_folders import Entry, ServerFolders
from ui.words import counted, plain

SHOWN = 200
_PLACE = "browse-place"


def server_browser(project: Project, folders: ServerFolders) -> None:
    """Show the allowed folders; ticked videos are linked, never copied, and their source is never touched."""
    if not folders.names:
        st.info(
            "No server folder is open here. The administrator opens one when the server starts: "
            "`castle serve --allow recordings=/data/recordings`.",
            icon=":material/folder_off:",
        )
        return
    _browser(project, folders)


@st.fragment(key="server-browser")
def _browser(project: Project, folders: ServerFolders) -> None:
    root = folders.names[0]
    if len(folders.names) > 1:
        root = str(st.selectbox("Server folder", folders.names, key="browse-root"))
    places = st.session_state.setdefault(_PLACE, {})
    here = str(places.get(root, ""))
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button(
            "Up",
            icon=":material/arrow_upward:",
            disabled=not here,
            on_click=_go,
            args=(root, _parent(here)),
            key="browse-up",
        )
        st.markdown(f"**{plain(root)}** / {plain(here.replace('/', ' / '))}", width="stretch")
    try:
        entries = folders.list(root, here)
    except AccessError as error:
        st.error(plain(str(error)), icon=":material/folder_off:")
        st.button("Back to the beginning", on_click=_go, args=(root, ""), key="browse-home")
        return
    word = st.text_input("Filter", placeholder="part of a name", key=f"browse-filter-{root}").strip().casefold()
    entries = tuple(e for e in entries if e.kind in ("folder", "video") and word in e.name.casefold())
    videos = [entry for entry in entries if entry.kind == "video"]
    linked = {str(video.path.resolve()) for video in project.videos()}
    ticked: list[Entry] = []
    with st.container(height=300 if len(entries) > 6 else "content", border=True, key="browse-list"):
        if not entries:
            st.caption("No videos and no folders here." if not word else "Nothing here has this in its name.")
        for entry in entries[:SHOWN]:
            if _row(folders, root, entry, linked):
                ticked.append(entry)
        if len(entries) > SHOWN:
            st.caption(f"and {len(entries) - SHOWN:,} more: filter by name to see them.")
    with st.container(horizontal=True, vertical_alignment="center"):
        size = sum(entry.size for entry in ticked)
        words = f"{counted(len(ticked), 'video')} · {readable_size(size)}. " if ticked else ""
        st.caption(f"{words}Linked, not copied; the files stay as they are.", width="stretch")
        if len(videos) > 1:
            st.button(
                "Tick all",
                on_click=_tick,
                args=(root, [e.relative for e in videos[:SHOWN] if not _is_linked(folders, root, e, linked)]),
                key="browse-all",
            )
        if st.button(
            f"Add {counted(len(ticked), 'video')}" if ticked else "Add videos",
            type="primary",
            disabled=not ticked or project.read_only,
            key="browse-add",
        ):
            _link(project, folders, root, ticked)
            st.rerun()
    _offers(project)


def _row(folders: ServerFolders, root: str, entry: Entry, linked: set[str]) -> bool:
    if entry.kind == "folder":
        st.button(
            plain(entry.name),
            icon=":material/folder:",
            type="tertiary",
            on_click=_go,
            args=(root, entry.relative),
            key=f"go-{root}-{entry.relative}",
        )
        return False
    there = _is_linked(folders, root, entry, linked)
    label = f"{plain(entry.name)} · {readable_size(entry.size)}" + (" · in the project" if there else "")
    return bool(st.checkbox(label, key=_tick_key(root, entry.relative), disabled=there)) and not there


def _is_linked(folders: ServerFolders, root: str, entry: Entry, linked: set[str]) -> bool:
    try:
        return str(folders.resolve(root, entry.relative)) in linked
    except AccessError:
        return False


def _tick_key(root: str, relative: str) -> str:
    return f"tick-{root}-{relative}"


def _parent(relative: str) -> str:
    parent = str(PurePosixPath(relative).parent)
    return "" if parent == "." else parent


def _go(root: str, relative: str) -> None:
    st.session_state[_PLACE] = {**st.session_state.get(_PLACE, {}), root: relative}


def _tick(root: str, relatives: list[str]) -> None:
    for relative in relatives:
        st.session_state[_tick_key(root, relative)] = True


def _link(project: Project, folders: ServerFolders, root: str, entries: list[Entry]) -> None:
    notes, offers = [], []
    for entry in entries:
        try:
            source = folders.resolve(root, entry.relative)
            project.link_video(source)
        except NameRefusedError as error:
            try:
                offers.append([str(source), project.offer_name(source)])
            except CastleError:
                notes.append(str(error))
        except CastleError as error:
            notes.append(str(error))
    st.session_state["browse-notes"] = notes
    st.session_state["browse-offers"] = offers


def _offers(project: Project) -> None:
    for note in st.session_state.get("browse-notes", ()):
        st.error(plain(note))
    for source, stem in st.session_state.get("browse-offers", ()):
        with st.container(horizontal=True, vertical_alignment="center", border=True):
            name = PurePosixPath(source).name
            st.markdown(
                f":material/content_copy: The project has a video called **{plain(name)}** already.", width="stretch"
            )
            st.button(
                f"Add as {plain(stem)}", on_click=_accept, args=(str(project.path), source, stem), key=f"as-{source}"
            )


def _accept(project: str, source: str, stem: str) -> None:
    offers = st.session_state.get("browse-offers", [])
    st.session_state["browse-offers"] = [offer for offer in offers if offer[0] != source]
    try:
        Project.open(project).link_video(source, stem)
    except CastleError as error:
        st.session_state["browse-notes"] = [str(error)]
