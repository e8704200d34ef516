"""Latents for other programs: CSV, .npy with its rows, NWB."""

import datetime
import importlib.util
from pathlib import Path
from typing import Any

import streamlit as st

from castle_core.inspection import sampling_words
from ui.inspector.look import Look
from ui.inspector.routes import export_url
from ui.job_panel import live_bar
from ui.people import current_user
from ui.server import jobs
from ui.words import code, plain

JOB = "export_latents"
_FORMATS = {
    "csv": "CSV (row, col_0, …)",
    "npy": ".npy and its _rows.npy",
    "nwb": "NWB (with the video's time stamps)",
}


def export_panel(look: Look) -> None:
    """Let the user write the whole file in another format."""
    has_nwb = importlib.util.find_spec("pynwb") is not None
    kinds = [kind for kind in _FORMATS if kind != "nwb" or (has_nwb and look.has_video)]
    kind = st.radio("Format", kinds, format_func=_FORMATS.__getitem__, key="inspector-format", horizontal=True)
    if not has_nwb:
        st.caption("For NWB, install the extra: `pip install 'castle-studio[nwb]'`.")
    settings: dict[str, Any] = {"file": look.file.relative, "format": kind}
    problem = "The project is read-only." if look.project.read_only else ""
    if kind == "nwb":
        left, middle, right = st.columns(3)
        day = left.date_input("Day of the recording", None, key="inspector-nwb-day")
        time = middle.time_input("Its start", None, key="inspector-nwb-time")
        zone = right.number_input("Hours from UTC", -12.0, 14.0, 0.0, 0.25, key="inspector-nwb-zone")
        settings["subject_id"] = st.text_input("Subject", key="inspector-nwb-subject", help="May stay empty.")
        if isinstance(day, datetime.date) and time is not None:
            start = datetime.datetime.combine(day, time, datetime.timezone(datetime.timedelta(hours=float(zone))))
            settings["session_start"] = start.isoformat()
        else:
            problem = problem or "NWB needs the day and the time at which the recording started."
    else:
        settings["with_gaps"] = st.checkbox(
            "Also rows of frames without a value (as nan)", value=True, key="inspector-with-gaps"
        )
    if sampled := sampling_words(look.summary.status):
        others = "are nan with status 7 (not requested)" if kind == "nwb" else "are left out"
        st.caption(f":material/info: Extracted: {sampled}. The other frames {others}.")
    if st.button("Export", key="inspector-export", disabled=bool(problem), icon=":material/download:"):
        jobs().submit(
            JOB,
            project=str(look.project.path),
            settings=settings,
            owner=current_user(),
            title=f"Export {look.file.path.name} as {kind}",
        )
        st.rerun()
    if problem:
        st.caption(f":material/info: {problem}")
    if not live_bar([JOB], project=str(look.project.path)):
        _written(look)


def _written(look: Look) -> None:
    """Say how the last export of this file ended, with links to what it wrote."""
    done = jobs().list(project=str(look.project.path), kinds=[JOB], limit=200)
    ours = [job for job in done if job.settings.get("file") == look.file.relative]
    job = max(ours, key=lambda job: job.id, default=None)
    if job is None:
        return
    if job.state != "finished" or not job.result:
        st.error(plain(job.error or "The export was cancelled."), icon=":material/error:")
        return
    path = Path(str(job.result.get("path", "")))
    names = [path.name] + ([f"{path.stem}_rows.npy"] if path.suffix == ".npy" else [])
    if not path.is_file():
        return
    if look.file.path.stat().st_mtime > (job.started or 0.0):
        st.caption(":material/history: These latents are newer than their last export. Export them again.")
        return
    st.caption(f"Written to `{code(str(path))}`")
    links = [
        f'<a class="castle-download" href="{export_url(look.project, n)}" download>Download {_safe(n)}</a>'
        for n in names
    ]
    st.html(f'<div style="display:grid;gap:.5rem">{"".join(links)}</div>')


def _safe(text: str) -> str:
    import html

    return html.escape(text)
