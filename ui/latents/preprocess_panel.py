"""Middle column: presets, Center ROI, rotation, background, and Apply."""

from typing import Any

import streamlit as st

from castle_core.errors import CastleError
from castle_core.projects import Project
from ui.latents.form import (
    PRESETS,
    applied,
    apply_form,
    apply_preset,
    current_form,
    key_of,
    preprocess_settings,
    range_problem,
    roi_problem,
)
from ui.latents.form import preset_of as matching_preset
from ui.words import plain

_SESSION: Any = "session"
_NEEDS_CENTER = "Acts only with Center ROI on."
_APPLIED = "latent-applied-note"


def preprocess_panel(project: Project) -> None:
    """Show the preprocessing settings; Apply fixes and saves them."""
    st.subheader("Preprocessing", anchor=False)
    matching = matching_preset(current_form())
    st.caption("Presets")
    with st.container(key="latent-presets"):
        columns = st.columns(2, gap="small")
    for place, (name, (center, rotate, background)) in enumerate(PRESETS.items()):
        with columns[place % 2]:
            words = [
                f"{label} {'on' if on else 'off'}"
                for label, on in (("Center", center), ("Rotate", rotate), ("Remove Background", background))
            ]
            st.button(
                name,
                key=f"latent-preset-{name}",
                icon=":material/check:" if name == matching else None,
                width="stretch",
                help=" · ".join(words),
                on_click=apply_preset,
                args=(name,),
            )
    center = st.toggle("Center ROI", key=key_of("center"), persist_state=_SESSION)
    why = None if center else _NEEDS_CENTER
    one, two, three = st.columns(3, vertical_alignment="bottom")
    one.number_input(
        "Center ROI ID", 1, 255, key=key_of("center_roi"), persist_state=_SESSION, disabled=not center, help=why
    )
    two.number_input("Width", 2, 8192, key=key_of("width"), persist_state=_SESSION, disabled=not center, help=why)
    three.number_input("Height", 2, 8192, key=key_of("height"), persist_state=_SESSION, disabled=not center, help=why)
    rotate = st.toggle(
        "Rotate based on Tail",
        key=key_of("rotate"),
        persist_state=_SESSION,
        disabled=not center,
        help=why or "The tail points down, the body axis stands upright.",
    )
    turning = center and rotate
    one, two = st.columns(2)
    one.number_input(
        "Tail ROI ID",
        1,
        255,
        key=key_of("tail_roi"),
        persist_state=_SESSION,
        disabled=not turning,
        help=why or (None if rotate else "Acts only with Rotate based on Tail on."),
    )
    two.selectbox(
        "Tail point",
        ["nearest", "centroid"],
        format_func={"nearest": "nearest pixel", "centroid": "centroid"}.__getitem__,
        key=key_of("tail_point"),
        persist_state=_SESSION,
        disabled=not turning,
        help="Where the tail is: its pixel nearest to the centre, as CASTLE, or its centroid, which is steadier.",
    )
    background = st.toggle("Remove Background", key=key_of("remove_background"), persist_state=_SESSION)
    st.selectbox(
        "Keep",
        ["all", "roi"],
        format_func={"all": "all ROIs (as CASTLE)", "roi": "only this ROI"}.__getitem__,
        key=key_of("keep"),
        persist_state=_SESSION,
        disabled=not background,
    )
    with st.expander("Smoothing, gaps, aspect", icon=":material/tune:"):
        st.checkbox(
            "Smooth centre and angle",
            key=key_of("smooth"),
            persist_state=_SESSION,
            disabled=not center,
            help=why or "Over 0.1 s, without delay.",
        )
        st.number_input(
            "Fill gaps of up to (frames)",
            0,
            10_000,
            key=key_of("fill_gaps"),
            persist_state=_SESSION,
            disabled=not center,
            help=why
            or "Centre and angle are interpolated over so many frames without the ROI. 0: such frames are NaN.",
        )
        st.checkbox(
            "Letterbox",
            key=key_of("letterbox"),
            persist_state=_SESSION,
            help="Keep the aspect ratio and pad with black; otherwise the picture is squashed to the model's square.",
        )
    _apply_button(project)


def _apply_button(project: Project) -> None:
    fixed, now = applied(project), preprocess_settings(current_form())
    stale = fixed is not None and fixed != now
    wrong = bool(roi_problem(current_form()) or range_problem(current_form()))  # told by their fields
    if st.button(
        "Apply",
        key="latent-apply",
        type="primary" if fixed is None or stale else "secondary",
        icon=":material/check:",
        width="stretch",
        disabled=project.read_only,
        help="Fixes these settings, saves them in the project, and shows the preview.",
    ):
        try:
            apply_form(project, current_form())
            st.session_state[_APPLIED] = True
            st.rerun()
        except CastleError as error:
            if not wrong:
                st.error(plain(str(error)), icon=":material/error:")
                return
    if project.read_only:
        st.caption(":material/lock: This project is read-only.")
    elif wrong:
        st.caption(":material/error: Not applied: a field under *Model and target* is wrong. It is marked in red.")
    elif stale:
        st.warning("Changed since Apply: the preview below shows the old settings.", icon=":material/history:")
    elif fixed is not None:
        st.caption(":material/check_circle: Applied and saved in the project.")
    else:
        st.caption("Not applied yet.")


def just_applied() -> bool:
    """Say once whether Apply was clicked in the run before."""
    return bool(st.session_state.pop(_APPLIED, False))
