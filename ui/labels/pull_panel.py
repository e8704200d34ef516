"""Pull: finished labels into the project, on demand or every few minutes, and what they say about the model."""

import time
from typing import TYPE_CHECKING, Any

import streamlit as st

from castle_core.label_studio import Credentials
from castle_core.projects import Project
from ui.job_panel import last_ended, live_bar, watched
from ui.people import current_user
from ui.server import jobs
from ui.words import counted, plain

if TYPE_CHECKING:
    from castle_core.jobs import Job

PULL = "pull_labels"
_EVERY = {0: "on demand", 2: "every 2 minutes", 5: "every 5 minutes", 15: "every 15 minutes"}


def pull_panel(project: Project, kept: Credentials) -> None:
    """Show Pull, how far labelling is, and the model's errors as people corrected them."""
    path = str(project.path)
    with st.container(border=True, key="ls-pull"):
        st.subheader("Pull", anchor=False)
        busy = bool(watched([PULL, "push_labels"], project=path))
        left, right = st.columns([1, 1], vertical_alignment="bottom")
        with left:
            st.button(
                "Pull labels",
                key="ls-pull-button",
                icon=":material/download:",
                disabled=busy or project.read_only,
                on_click=_submit,
                args=(path, kept.id),
                width="stretch",
            )
        with right:
            minutes = st.selectbox(
                "Pull",
                list(_EVERY),
                format_func=_EVERY.__getitem__,
                key="pull-every",
                help="While this page is open somewhere. What people submitted is merged into CollectedData.csv.",
            )
        live_bar([PULL], project=path)
        if minutes and not project.read_only:
            _every(path, kept.id, int(minutes))
        job = last_ended([PULL], project=path)
        if job is None:
            st.caption("Nothing was pulled yet. Rows of CollectedData.csv that Label Studio does not know stay.")
        elif not busy:
            _outcome(job)


def _submit(project: str, credentials: str) -> None:
    jobs().submit(
        PULL, project=project, settings={"credentials": credentials}, owner=current_user(), title="Pull labels"
    )


def _every(project: str, credentials: str, minutes: int) -> None:
    @st.fragment(run_every=20.0, key="pull-clock")
    def clock() -> None:
        if watched([PULL, "push_labels"], project=project):
            return
        job = last_ended([PULL], project=project)
        if job is None or time.time() - (job.ended or 0.0) > 60 * minutes:
            _submit(project, credentials)
            st.rerun()

    clock()


def _outcome(job: "Job") -> None:
    if job.state == "failed":
        st.error(plain(job.error or "The pull failed."), icon=":material/error:")
        st.caption("CollectedData.csv is as it was. Pull again when this is mended.")
        return
    if job.state != "finished" or not job.result:
        return
    result = job.result
    news = f"**{counted(len(result['added']), 'new frame')}** in CollectedData.csv, {len(result['changed']):,} changed."
    st.success(news, icon=":material/check_circle:")
    st.markdown(
        f"{result['labelled']:,} labelled · {result['empty']:,} without animal · {result['skipped']:,} skipped · "
        f"{result['open']:,} open"
    )
    for line in result["warnings"]:
        st.warning(plain(line), icon=":material/warning:")


def labelling_panel(project: Project) -> None:
    """Show how far labelling was at the last pull, by video, every remark, and how good the pre-labels were."""
    done = [job for job in jobs().list(project=str(project.path), kinds=[PULL]) if job.result]
    job = max(done, key=lambda job: job.id, default=None)
    if job is None or job.result is None:
        return
    result = job.result
    left, right = st.columns(2, gap="large")
    with left:
        _by_video(result["by_video"])
        if result["details"]:
            with st.expander(f"Every remark ({result.get('n_details', len(result['details'])):,})"):
                st.dataframe(result["details"], hide_index=True)
    with right:
        _statistics(result["statistics"])


def _by_video(by_video: dict[str, dict[str, int]]) -> None:
    rows = []
    for video, counts in sorted(by_video.items()):
        total = sum(counts.values())
        rows.append({"video": video or "(no video)", **counts, "done": 1 - counts["open"] / total if total else 0.0})
    if rows:
        st.markdown("**How far is labelling?** At the last pull")
        st.dataframe(
            rows,
            hide_index=True,
            column_config={
                "empty": st.column_config.NumberColumn("no animal"),
                "done": st.column_config.ProgressColumn("done", format="percent", min_value=0, max_value=1),
            },
        )


def _statistics(rows: list[dict[str, Any]]) -> None:
    if not any(row["accepted"] or row["corrected"] or row["removed"] for row in rows):
        return
    st.markdown("**How good were the pre-labels?**")
    st.dataframe(
        [
            {
                "keypoint": row["keypoint"],
                "accepted": row["accepted"],
                "corrected": row["corrected"],
                "new": row["new"],
                "removed": row["removed"],
                "moved by": row["median_correction_px"],
                "error": row["median_error_px"],
            }
            for row in rows
        ],
        hide_index=True,
        column_config={
            name: st.column_config.NumberColumn(name, format="%.1f px", help=f"Median {words}.")
            for name, words in (("moved by", "of points that were moved"), ("error", "with accepted points as 0"))
        },
    )
    st.caption("Medians in pixels. Accepted points have an error of 0; new ones were set where the model had none.")
