"""What the model saw of the frame shown: its token map in colours, and what is similar to a patch."""

from pathlib import PurePath
from typing import Any

import streamlit as st

from castle_core.encoders import encoder_status
from castle_core.errors import CastleError
from castle_core.job_functions.latents import config_from_json
from castle_core.projects import Project
from ui.inspector.look import Look, frame_shown
from ui.latents.frame_panel import frame_result
from ui.latents.work import FRAME, NOTE, newest, start
from ui.words import plain


def token_panel(look: Look) -> None:
    """Show the token map of the frame shown, or the button that makes it; nothing where it cannot be made."""
    frame_index = frame_shown(look)
    config = settings_of_map(look)
    if config is None or look.summary.status[frame_index]:
        return
    settings = {"video": look.file.stem, "frame_index": frame_index, "config": config}
    job = newest(look.project, FRAME, settings)
    if job is not None:
        frame_result(job)
    if note := st.session_state.pop(NOTE, None):
        st.error(plain(note), icon=":material/error:")
    if job is None or job.state in ("failed", "cancelled"):
        st.button(
            "Show its token map" if job is None else "Try again",
            key="inspector-tokens",
            icon=":material/grid_on:",
            help="Runs the model on the frame shown; shows its patches in colours and how alike they are.",
            on_click=_run,
            args=(look, settings),
        )


def _run(look: Look, settings: dict[str, Any]) -> None:
    start(look.project, FRAME, settings, f"Run frame {settings['frame_index']} of {look.file.stem}")


def _encoder(project: Project, name: str) -> str:
    """Return the folder of a model that lies in the project, as the demo's does; else its name."""
    folder = project.path / "encoders" / name
    return str(folder) if name and PurePath(name).name == name and folder.is_dir() else name


def settings_of_map(look: Look) -> dict[str, Any] | None:
    """Return the settings of Run Frame that show frames as this file's extraction did.

    None where the file does not tell them, or the frame cannot be run here: no video, a read-only project, a model
    that is not on this disk.
    """
    told = look.file.metadata
    name = _encoder(look.project, str(told.get("model_name") or ""))
    if look.project.read_only or not look.has_video or not told.get("identity"):
        return None
    config = {
        "encoder": name,
        "roi_ids": [look.file.roi_id or 0],
        "preprocess": dict(told.get("preprocessing") or {}),
        "input_size": told.get("input_size"),
    }
    try:
        config_from_json(config)
        ready = encoder_status(name).state == "ready"
    except (CastleError, TypeError):
        return None
    return config if ready else None
