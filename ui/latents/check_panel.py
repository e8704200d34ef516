"""The check before a run: every video with a verdict, and a fix beside each problem."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from castle_core.errors import CastleError
from castle_core.machine import readable_time
from castle_core.projects import Project
from castle_core.rois import find_masks
from ui.job_panel import ACTIVE, job_bar
from ui.latents.check_table import check_table
from ui.latents.form import current_form, job_settings, key_of, why_not
from ui.latents.model_panel import not_here
from ui.latents.work import CHECK, KIND, newest, start
from ui.server import jobs
from ui.words import counted, plain

if TYPE_CHECKING:
    from castle_core.jobs import Job

_MOST_FIXES = 12


def check_panel(project: Project, form: dict[str, Any]) -> None:
    """Show the table of videos: readable, masks, ROI, what exists, disk space, time; with a fix beside each problem."""
    st.subheader("Before you start", anchor=False)
    if why_not(project, form):
        st.caption("After Apply, every video is looked at: masks, ROIs, what exists already, disk space and time.")
        return
    if missing := not_here(project, form):
        st.caption(f"The videos are looked at once the model is here. {plain(missing)}")
        return
    job = _last_check(project, form)
    if job is not None and job.state in ACTIVE:
        _wait(job.id)
        return
    if job is not None and job.state == "finished" and _mended_since(project, job):
        start_check(project, form)
        st.rerun()
    if job is None:
        st.caption("These settings have not been checked yet. Extract checks them first.")
    elif job.state != "finished":
        st.error(plain(job.error or "The check was cancelled."), icon=":material/error:")
    else:
        _table(_rows(project, form), str((job.result or {}).get("device", "")))
        _fixes(project, form, problems_of(project, form))
        run = newest(project, KIND)
        if run is not None and (run.ended or 0) > _begun(job):
            st.caption(":material/history: Checked before the last run ended. Check again to see what exists now.")
    st.button(
        "Check the videos" if job is None else "Check again",
        key="latent-check",
        icon=":material/fact_check:",
        on_click=start_check,
        args=(project, form),
    )


def start_check(project: Project, form: dict[str, Any]) -> None:
    """Look at the videos now (after Apply, without being asked), if the model is here."""
    try:
        if not_here(project, form):
            return
        start(project, CHECK, _asked(form), "Look before extracting")
    except CastleError:
        return


def _asked(form: dict[str, Any]) -> dict[str, Any]:
    settings = job_settings(form, "latent")
    return {"videos": settings["videos"], "config": settings["config"]}


def _last_check(project: Project, form: dict[str, Any]) -> "Job | None":
    return newest(project, CHECK, _asked(form))


def problems_of(project: Project, form: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of videos that the newest check of these settings found unable to run."""
    return [row for row in _rows(project, form) if row["verdict"] == "problem"]


def _rows(project: Project, form: dict[str, Any]) -> list[dict[str, Any]]:
    if why_not(project, form):
        return []
    job = _last_check(project, form)
    if job is None or job.state != "finished":
        return []
    there = {entry.name for entry in project.videos()}
    return [row for row in (job.result or {}).get("rows", []) if row["video"] in there]


def others_that_run(project: Project, form: dict[str, Any]) -> list[str]:
    """Return the stems of the videos that can run, where others cannot."""
    return [row["video"] for row in _as_stems(project, _rows(project, form)) if row["verdict"] != "problem"]


def _as_stems(project: Project, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows with the stem in place of the video's name; those of videos that are gone are left out."""
    stems = {name: entry.stem for entry in project.videos() for name in (entry.name, entry.stem)}
    return [{**row, "video": stems[row["video"]]} for row in rows if row["video"] in stems]


def _begun(job: "Job") -> float:
    return job.started or job.created or 0.0


def _mended_since(project: Project, job: "Job") -> bool:
    """Say whether the masks or the file of a video with a problem changed after the check began."""
    for row in (job.result or {}).get("rows", []):
        if row.get("cause") in ("masks", "video"):
            try:
                entry = project.video(row["video"])
                path = find_masks(project, entry.name) if row["cause"] == "masks" else entry.path
                if _begun(job) < path.stat().st_mtime <= time.time():
                    return True
            except (CastleError, OSError):
                continue
    return False


def _table(rows: Sequence[dict[str, Any]], device: str) -> None:
    check_table(rows)
    seconds = sum(row["seconds"] for row in rows)
    if seconds:
        where = "GPU" if device.startswith("cuda") else "CPU"
        st.caption(
            f"About {readable_time(seconds)} for the model on the {where}, measured on a few pictures; reading the "
            "videos comes on top."
        )


def _fixes(project: Project, form: dict[str, Any], problems: Sequence[dict[str, Any]]) -> None:
    """Put the ways out beside each video that cannot run."""
    others = others_that_run(project, form)
    for row in problems[:_MOST_FIXES]:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f":red[:material/block:] **{plain(row['video'])}**", width="content")
            if row["cause"] == "masks":
                st.page_link("pages/track_rois.py", label="Track its ROIs", icon=":material/draw:")
            elif row["cause"] == "disk" and "none" in form["outputs"] and form["module"] == "none":
                st.button(
                    "Leave the feature map out", key="latent-no-map", icon=":material/save:", on_click=_without_map
                )
            else:
                st.caption(_ADVICE[row["cause"]], width="content")
            if others and row["cause"] != "disk":
                st.button(
                    "Leave it out",
                    key=f"latent-leave-{row['video']}",
                    icon=":material/remove_circle_outline:",
                    help=f"Leave {row['video']} out of Select Target Video.",
                    on_click=_leave_out,
                    args=(project, form, row["video"]),
                )
        if row["cause"] in ("disk", "settings"):
            break  # the same for every video
    if len(problems) > _MOST_FIXES:
        st.caption(f"and {counted(len(problems) - _MOST_FIXES, 'video')} more")


_ADVICE = {
    "video": "Copy the video again, and check again.",
    "points": "Choose another Point Key, or add its points below.",
    "settings": "Change the setting and click Apply.",
    "disk": "Free some space, and check again.",
    "other": "Mend it, and check again.",
}


def _leave_out(project: Project, form: dict[str, Any], video: str) -> None:
    rows = [row for row in _rows(project, form) if row["video"] != video]
    st.session_state[key_of("videos")] = [row["video"] for row in _as_stems(project, rows)]
    start_check(project, current_form())


def _without_map() -> None:
    outputs = [each for each in st.session_state[key_of("outputs")] if each != "none"]
    st.session_state[key_of("outputs")] = outputs or ["roi-mean"]


@st.fragment(run_every=1.0, key="latent-check-wait")
def _wait(number: int) -> None:
    job = jobs().get(number)
    if job.state not in ACTIVE:
        st.rerun()
    job_bar(job, place="check")
