"""The run itself: a bar a video with rate and time left, the log, and how the last one ended."""

import html
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from castle_core.errors import CastleError
from castle_core.projects import Project
from ui.job_panel import ACTIVE, SAFE, job_bar
from ui.latents.work import KIND, NOTE, newest
from ui.people import current_user
from ui.server import jobs
from ui.words import code, counted, percent, plain

if TYPE_CHECKING:
    from castle_core.jobs import Job


def progress_of_videos(job: "Job", lines: Sequence[str]) -> list[tuple[str, float, str]]:
    """Return (video, share done 0..1, state in words) for every video that the log has begun."""
    begun = [line.strip()[len("Processing ") : -3] for line in lines if line.strip().startswith("Processing ")]
    failed = {line.split("Error processing ")[1].split(": ")[0] for line in lines if "Error processing " in line}
    begun = list(dict.fromkeys(begun))
    found = []
    for place, name in enumerate(begun):
        if name in failed:
            found.append((name, 1.0, "failed"))
        elif place + 1 < len(begun) or job.state == "finished":
            found.append((name, 1.0, "done"))
        else:
            several = job.total > 1000 and job.total % 1000 == 0 and job.message.startswith(name)
            share = (job.done % 1000) / 1000 if several else job.done / job.total if job.total else 0.0
            found.append((name, min(share, 1.0), "running"))
    return found


def live_panel(project: Project, running: "Sequence[Job]") -> None:
    """Show the run that goes on, with a bar a video, and how many wait behind it."""
    number, asked = running[0].id, running[0].settings.get("videos")
    names = [entry.name for entry in project.videos() if not asked or entry.stem in asked]

    @st.fragment(run_every=1.0, key="latent-live")
    def live() -> None:
        job = jobs().get(number)
        if job.state not in ACTIVE:
            st.rerun()
        job_bar(job, place="latents")
        lines = jobs().log(number)
        videos = progress_of_videos(job, lines)
        for name, share, words in videos if len(names) > 1 else []:
            st.progress(
                percent(share, 1) / 100,
                text=f"{plain(name)} · {percent(share, 1)} %" if words == "running" else f"{plain(name)} · {words}",
            )
        waiting = len(names) - len(videos)
        if len(names) > 1 and waiting > 0:
            st.caption(f"{counted(waiting, 'video')} to come")
        _log(lines)
        st.caption(SAFE + " Cancel keeps what is finished.")

    live()
    for job in running[1:]:
        st.caption(f":material/schedule: waits: {plain(job.title)}")


def _log(lines: Sequence[str]) -> None:
    if lines:
        with st.container(height=220, border=False, autoscroll=True):
            st.code("\n".join(line.strip("\n") for line in lines[-200:]), language=None, wrap_lines=True)


def ended_panel(project: Project) -> None:
    """Show how the last run ended."""
    job = newest(project, KIND)
    if job is None:
        st.caption("Nothing has been extracted from this page yet.")
        return
    result = job.result or {}
    st.caption(f"Last run: {plain(job.title)}")
    if job.state == "finished":
        _summary(result)
    elif job.state == "cancelled":
        st.info("Cancelled. What was finished is kept: Continue goes on from there.", icon=":material/pause:")
    else:
        st.error(plain(job.error or "Failed."), icon=":material/error:")
    with st.container(horizontal=True):
        if job.state in ("cancelled", "failed") and job.owner == current_user():
            st.button("Continue", key="latent-continue", icon=":material/play_arrow:", on_click=_retry, args=(job.id,))
        if result.get("outputs") and Path("pages/inspector.py").is_file():
            st.page_link("pages/inspector.py", label="Look at them in the Inspector", icon=":material/query_stats:")
    with st.expander("Log of the last run", icon=":material/terminal:"):
        _log(jobs().log(job.id))
    _crop_videos(project, result)


def _summary(result: dict[str, Any]) -> None:
    outputs, skipped, failed = (result.get(name, []) for name in ("outputs", "skipped", "failed"))
    films = result.get("crop_videos", [])
    parts = [counted(len(outputs), "file") + " written"] if outputs else []
    parts += [counted(len(films), "crop video") + " written"] if films else []
    parts += [counted(len(skipped), "file") + " skipped"] if skipped else []
    parts += [counted(len(failed), "video") + " failed"] if failed else []
    words = "Extraction Complete! " + (", ".join(parts) or "nothing to do") + "."
    (st.warning if failed else st.success)(words, icon=":material/error:" if failed else ":material/check_circle:")
    if outputs:
        _files(outputs)
    with st.container(key="latent-notes"):
        for row in skipped[:20]:
            st.caption(
                f":material/fast_forward:\N{NO-BREAK SPACE}{plain(Path(row['path']).name)}: {plain(row['reason'])}"
            )
        for row in failed:
            st.caption(f":material/close: **{plain(row['video'])}**: {plain(row['reason'])}")


def _files(outputs: Sequence[dict[str, Any]]) -> None:
    lines = "".join(
        f"<li><b>{html.escape(Path(row['path']).name)}</b>{counted(row['n_frames'], 'row')} of {row['dim']:,} numbers"
        + (f", {row['nan_rows']:,} NaN" if row["nan_rows"] else "")
        + "</li>"
        for row in outputs
    )
    st.html(f'<ul class="castle-files" tabindex="0" aria-label="Files written">{lines}</ul>')
    folders = dict.fromkeys(str(Path(row["path"]).parent) for row in outputs)
    st.caption("In " + ", ".join(f"`{code(folder)}`" for folder in folders))


def _crop_videos(project: Project, result: dict[str, Any]) -> None:
    from ui.media import crop_url

    films = {Path(row["path"]).name: row for row in result.get("crop_videos", []) if Path(row["path"]).is_file()}
    if not films:
        return
    name = st.selectbox("Crop video", list(films), key="latent-crop-film")
    url = crop_url(project, project.video(films[str(name)]["video"]).stem, str(name))
    st.html(
        f'<video class="castle-drawn" controls muted preload="metadata" src="{url}" aria-label="Crop video"></video>'
    )
    st.caption(f"`{code(films[str(name)]['path'])}`")


def _retry(number: int) -> None:
    try:
        jobs().retry(number, by=current_user())
    except CastleError as error:
        st.session_state[NOTE] = str(error)
