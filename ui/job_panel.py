"""Jobs in the side bar and on the pages: what runs, what waits, what failed, and Cancel."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from castle_core.errors import CastleError
from castle_core.machine import readable_time
from castle_core.uploads import UploadStore
from ui.people import current_user
from ui.server import jobs
from ui.words import percent, plain

if TYPE_CHECKING:
    from castle_core.jobs import Job

ACTIVE = ("queued", "running")
_SEEN = "jobs-seen"
_CANCELLED = "jobs-cancelled"
_UNITS = {"demo": "frames", "proxy": "frames"}


def watched(kinds: Sequence[str], *, project: str | None) -> "list[Job]":
    """Return the queued and running jobs of these kinds, the oldest first; of every project when `project` is None."""
    return sorted(jobs().list(project=project, states=ACTIVE, kinds=kinds, limit=200), key=lambda job: job.id)


def last_ended(kinds: Sequence[str], *, project: str, owner: str | None = None) -> "Job | None":
    """Return the job of these kinds that ended last; of one person where `owner` is given."""
    ended = [
        job for job in jobs().list(project=project, owner=owner, kinds=kinds, limit=200) if job.state not in ACTIVE
    ]
    return max(ended, key=lambda job: (job.end_order or 0, job.id), default=None)


def describe(job: "Job") -> str:
    """Say in a few words how far a job is: percent, count, rate, time left."""
    if job.state == "queued":
        return "waiting for a free worker"
    if job.cancel_requested:
        return "cancelling …"
    parts = [plain(job.message)] if job.message else []
    if job.total:
        parts.append(f"{percent(job.done, job.total)} %")
    if job.rate and job.total and (unit := _UNITS.get(job.kind)):
        parts.append(f"{job.rate:,.0f} {unit} / s")
    if job.time_left_s is not None:  # the worker tells of one step after the other
        parts.append(f"{readable_time(job.time_left_s)} left" + (" for this step" if job.message else ""))
    return " · ".join(parts) or "starting"


def job_bar(job: "Job", *, with_cancel: bool = True, place: str = "page") -> None:
    """Show one active job with its bar and, for its owner, Cancel; `place` tells two bars of one job apart."""
    title = plain(job.title or job.kind)
    owner = "" if job.owner == current_user() else f" · {plain(job.owner)}"
    value = percent(job.done, job.total or 0) / 100 if job.state == "running" else 0.0
    st.progress(value, text=f"**{title}**{owner}  \n{describe(job)}")
    if with_cancel and job.owner == current_user():
        st.button(
            "Cancel",
            key=f"cancel-{place}-{job.id}",
            type="tertiary",
            icon=":material/close:",
            on_click=_cancel,
            args=(job.id,),
            disabled=job.cancel_requested,
            help="It stops at the next step." if job.cancel_requested else f"Cancel: {job.title}",
        )
    if st.session_state.pop(_CANCELLED, False):
        st.rerun()  # the page and the side bar both show the job: neither waits for its next look


SAFE = "You can leave or reload this page: the job goes on."


def live_bar(kinds: Sequence[str], *, project: str | None, note: str = SAFE) -> bool:
    """Show the first active job of these kinds with a bar that moves; False, and nothing, where there is none.

    When the job ends, the whole page runs again.
    """
    if not watched(kinds, project=project):
        return False

    @st.fragment(run_every=1.0, key=f"bar-{'-'.join(kinds)}")
    def bar() -> None:
        running = watched(kinds, project=project)
        if not running:
            st.rerun()
        job_bar(running[0], with_cancel=False)
        if note:
            st.caption(note)

    bar()
    return True


def _cancel(number: int) -> None:
    try:
        jobs().cancel(number, by=current_user())
        st.session_state[_CANCELLED] = True
    except CastleError as error:
        st.session_state["job-note"] = str(error)


def _retry(number: int) -> None:
    try:
        jobs().retry(number, by=current_user())
    except CastleError as error:
        st.session_state["job-note"] = str(error)


def _state_of_all(project: str | None) -> str:
    return " ".join(f"{job.id}{job.state[:2]}{job.attempt}" for job in jobs().list(project=project, limit=30))


def refresh_when_jobs_change(project: str | None) -> None:
    """Call in a polling fragment: runs the whole page again when a job of the project started or ended."""
    now = _state_of_all(project)
    if st.session_state.get(_SEEN) not in (None, now):
        st.session_state[_SEEN] = now
        st.rerun()


def jobs_panel(project: str | None) -> None:
    """Show the side bar's jobs; it looks again every second while something runs, and every ten seconds otherwise."""
    st.session_state[_SEEN] = _state_of_all(project)
    active = bool(jobs().list(states=ACTIVE, limit=1))

    @st.fragment(run_every=1.0 if active else 10.0, key="jobs-panel")
    def panel() -> None:
        refresh_when_jobs_change(project)
        everything = jobs().list(states=ACTIVE, limit=50)
        if bool(everything) != active:
            st.rerun()
        running = [job for job in everything if job.state == "running"]
        queued = sorted((job for job in everything if job.state == "queued"), key=lambda job: job.id)
        counts = [f"{len(running)} running"] * bool(running) + [f"{len(queued)} waiting"] * bool(queued)
        st.markdown("**Jobs**" + (f" · {', '.join(counts)}" if counts else ""))
        if note := st.session_state.pop("job-note", None):
            st.warning(plain(note))
        for job in running[:4]:
            job_bar(job, place="side")
        for job in queued[:4]:
            who = "" if job.owner == current_user() else f" ({plain(job.owner)})"
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.caption(f":material/schedule: {plain(job.title or job.kind)}{who}", width="stretch")
                if job.owner == current_user():
                    st.button(
                        "Cancel", key=f"cancel-queued-{job.id}", on_click=_cancel, args=(job.id,), type="tertiary"
                    )
        if len(running) + len(queued) > 8:
            st.caption(f"and {len(running) + len(queued) - 8} more")
        if not everything:
            st.caption("Nothing runs. Jobs go on when you close the page.")
        _last_failed(project)

    panel()


def _last_failed(project: str | None) -> None:
    if project is None:
        return
    ended = [job for job in jobs().list(project=project, limit=30) if job.state not in ACTIVE and not _dismissed(job)]
    last = max(ended, key=lambda job: (job.end_order or 0, job.id), default=None)
    if last is None or last.state != "failed" or st.session_state.get("failure-seen") == last.id:
        return
    with st.container(border=True, key="failed-job"):
        st.markdown(f":red[:material/error:] **{plain(last.title or last.kind)}** failed  \n{plain(last.error or '')}")
        with st.container(horizontal=True, gap="small"):
            if last.owner == current_user():
                st.button("Try again", key=f"retry-{last.id}", on_click=_retry, args=(last.id,), type="tertiary")
            st.button("Dismiss", key=f"seen-{last.id}", on_click=_seen, args=(last.id,), type="tertiary")


def _dismissed(job: "Job") -> bool:
    """Return whether a job failed over an upload that was dismissed since: there is nothing to try again."""
    return (
        job.kind == "check_upload"
        and job.state == "failed"
        and not UploadStore.record_of(Path(str(job.settings.get("path")))).exists()
    )


def _seen(number: int) -> None:
    st.session_state["failure-seen"] = number
