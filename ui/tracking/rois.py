"""The ROIs of a project: their ids, names and colours, and which of them is drawn now."""

from collections.abc import Mapping, Sequence

import streamlit as st

from castle_core.errors import CastleError
from castle_core.palette import roi_colour
from castle_core.projects import Project
from ui.words import plain

SECTION = "track_rois"
_CURRENT = "track-roi"


def roi_names(project: Project) -> dict[int, str]:
    """Return the ids that people have made, and their names (empty where there is none), sorted by id."""
    saved = project.settings(SECTION).get("rois")
    found = saved if isinstance(saved, Mapping) else {}
    names = {int(key): str(name) for key, name in found.items() if str(key).isascii() and str(key).isdigit()}
    return dict(sorted((roi, name) for roi, name in names.items() if 1 <= roi <= 255))


def save_roi_names(project: Project, names: Mapping[int, str]) -> None:
    """Save ids and names; the page's other settings stay."""
    settings = project.settings(SECTION)
    settings["rois"] = {str(roi): name for roi, name in sorted(names.items())}
    project.save_settings(SECTION, settings)


def roi_title(roi: int, names: Mapping[int, str]) -> str:
    """Return what a ROI is called: its id, and its name where it has one."""
    return f"{roi} · {names[roi]}" if names.get(roi) else f"{roi}"


def current_roi() -> int:
    """Return the id that is drawn now."""
    return int(st.session_state.get(_CURRENT) or 1)


def choose_roi(project: Project, drawn: Mapping[int, str], others: Sequence[int] = ()) -> int:
    """Show the ROIs as a list to choose from, with what is drawn of each on this frame.

    Parameters
    ----------
    drawn : mapping
        Id → a few words about what is drawn of it.
    others : sequence of int
        Further ids that exist (in masks).
    """
    names = roi_names(project)
    ids = sorted({1, current_roi(), *names, *drawn, *others})
    st.html(_colours(ids))
    with st.container(key="roi-list"):
        chosen = st.radio(
            "ROI to draw",
            ids,
            index=ids.index(current_roi()),
            format_func=lambda roi: plain(roi_title(roi, names)),
            captions=[drawn.get(roi, "not on this frame") for roi in ids],
            key=f"roi-radio-{'-'.join(map(str, ids))}-{st.session_state.get('roi-turn', 0)}",
        )
    roi = int(chosen or 1)
    st.session_state[_CURRENT] = roi
    with st.container(horizontal=True, gap="small"):
        free = next((i for i in range(1, 256) if i not in ids), None)
        st.button(
            "Add a ROI",
            icon=":material/add:",
            key="roi-add",
            disabled=free is None or project.read_only,
            on_click=_add,
            args=(project, free, names),
        )
        with st.popover("Name", icon=":material/edit:", disabled=project.read_only):
            name = st.text_input(
                f"Name of ROI {roi}",
                names.get(roi, ""),
                max_chars=40,
                key=f"roi-name-{roi}",
                placeholder="body",
                help="For people only: masks hold the number.",
            )
            if name.strip() != names.get(roi, "") and st.button("Save the name", key=f"roi-save-{roi}"):
                _save(project, {**names, roi: name.strip()})
                st.rerun()
    return roi


def _add(project: Project, roi: int, names: dict[int, str]) -> None:
    st.session_state[_CURRENT] = roi
    st.session_state["roi-turn"] = st.session_state.get("roi-turn", 0) + 1
    _save(project, {**names, roi: names.get(roi, "")})


def _save(project: Project, names: Mapping[int, str]) -> None:
    try:
        save_roi_names(project, names)
    except CastleError as error:
        st.session_state["track-note"] = str(error)


def remember_rois(project: Project, ids: Sequence[int]) -> None:
    """Keep ids that were drawn in the list, on every frame and video."""
    names = roi_names(project)
    if not project.read_only and any(roi not in names for roi in ids):
        save_roi_names(project, {**dict.fromkeys(ids, ""), **names})


def _colours(ids: Sequence[int]) -> str:
    """Return the style that puts each ROI's colour beside its name."""
    each = "".join(
        f"{_LIST}>:nth-child({place}) label p::before{{background:{roi_colour(roi)}}}"
        for place, roi in enumerate(ids, 1)
    )
    return f"<style>{_STYLE}{each}</style>"


_LIST = ".st-key-roi-list [role=radiogroup]"
_STYLE = """
.st-key-roi-list [role=radiogroup] label p::before{content:"";display:inline-block;width:1rem;height:1rem;
border-radius:.3rem;border:1px solid #0008;margin-right:.5rem;vertical-align:-.15rem}
.castle-preview{max-width:100%;border-radius:.5rem;display:block}
"""
