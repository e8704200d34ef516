"""The second source: zips of frames, looked at first, mended where that is safe, and imported all or not at all."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from castle_core.projects import Project
from castle_core.uploads import Upload
from castle_core.zips import EXAMPLE_NAME, example_zip
from ui import uploads
from ui.add_videos import upload_panel
from ui.job_panel import last_ended, live_bar, watched
from ui.people import current_user
from ui.server import jobs
from ui.words import code, counted, plain

IMPORT, INSPECT = "import_zips", "inspect_zips"
_LOOK = {
    "error": (":red[:material/block:]", "refused"),
    "fixable": (":orange[:material/build:]", "can be fixed"),
    "warning": (":blue[:material/info:]", "note"),
}


def zip_source(project: Project) -> None:
    """Show the drop zone, the report on what came, and Import."""
    left, right = st.columns([7, 5], gap="large")
    with right, st.container(border=True):
        st.subheader("What a zip looks like", anchor=False)
        st.markdown(
            "One zip per video, named like it: `subject023_session0.zip`. In it `img00000143.png` (the frame index in "
            "eight digits) for each frame, and `selected_frames.csv` with the names of the frames to label, one a "
            "line. For context models, also the two frames before and after each one."
        )
        st.download_button(
            "Download an example",
            example_zip,
            EXAMPLE_NAME,
            "application/zip",
            icon=":material/download:",
            on_click="ignore",
        )
    with left:
        if project.read_only:
            st.info("This project is read-only: frames cannot be imported.", icon=":material/lock:")
            return
        busy = upload_panel(
            project,
            kinds=(".zip",),
            label="Zips of frames to upload",
            hint="One zip per video. Nothing is imported before you have seen the report.",
            group="zips",
        )
        waiting = _waiting(project)
        if not waiting and not busy:
            st.caption("No zip is here yet.")
        if waiting:
            _report(project, waiting, busy)


def _waiting(project: Project) -> list[Upload]:
    found = []
    for upload in uploads.finished(current_user(), project):
        if upload.ending != ".zip":
            continue
        if uploads.received_path(project, upload).exists():
            found.append(upload)
        elif upload.state == "received":  # imported: its file went with the import
            uploads.forget(current_user(), project, upload.id)
    return found


def _sources(project: Project, waiting: Sequence[Upload]) -> list[dict[str, str]]:
    return [{"path": str(uploads.received_path(project, upload)), "name": upload.name} for upload in waiting]


def _report(project: Project, waiting: Sequence[Upload], busy: int) -> None:
    path, sources = str(project.path), _sources(project, waiting)
    if live_bar([IMPORT], project=path):
        return
    job = last_ended([INSPECT], project=path)
    looked = job is not None and job.settings.get("zips") == sources and not st.session_state.get("look-again")
    if not looked:
        if busy:
            return
        running = [each for each in watched([INSPECT], project=path) if each.settings.get("zips") == sources]
        if not running:
            st.session_state.pop("look-again", None)
            jobs().submit(
                INSPECT, project=path, settings={"zips": sources}, owner=current_user(), title="Look at the zips"
            )
        live_bar([INSPECT], project=path)
        return
    assert job is not None
    if job.state != "finished" or not job.result:
        st.error(plain(job.error or "The zips could not be looked at."), icon=":material/error:")
        st.button("Look again", on_click=_look_again)
        _delete_button(project, waiting)
        return
    reports = job.result["reports"]
    for report, upload in zip(reports, waiting, strict=True):
        _one(project, report, upload)
    _import_buttons(project, reports, sources)
    last = last_ended([IMPORT], project=path)
    if last is not None and last.state == "failed" and last.id > job.id:
        st.error(plain(last.error or "The import failed; nothing was written."), icon=":material/error:")


def _one(project: Project, report: Mapping[str, Any], upload: Upload) -> None:
    with st.container(border=True, key=f"zip-{upload.id}"):
        if report["ok"]:
            badge, colour, icon = "ready to import", "green", ":material/check_circle:"
        elif report["fixable"]:
            badge, colour, icon = "ready with fixes", "orange", ":material/build:"
        else:
            badge, colour, icon = "refused", "red", ":material/block:"
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{plain(report['name'])}**", width="content")
            st.badge(badge, icon=icon, color=colour)  # type: ignore[arg-type]
            st.markdown("", width="stretch")
            st.button(
                "Delete",
                key=f"delete-zip-{upload.id}",
                type="tertiary",
                icon=":material/delete:",
                on_click=_forget,
                args=(str(project.path), upload.id),
            )
        others = f", and {counted(report['other_frames'], 'other image')}," if report.get("other_frames") else ""
        st.caption(
            f"{counted(report['frames'], 'frame')} to label and {counted(report['context_frames'], 'context frame')}"
            f"{others} for `{code(report['video'])}`"
        )
        for group in report["groups"]:
            mark, word = _LOOK[group["severity"]]
            with st.expander(
                f"{mark} {group['title']} · {word} · {group['count']}", expanded=group["severity"] == "error"
            ):
                for problem in group["problems"]:
                    st.markdown(f"`{code(problem['file'])}` {plain(problem['problem'])}  \n→ {plain(problem['fix'])}")
                if group["count"] > len(group["problems"]):
                    st.caption(f"and {group['count'] - len(group['problems']):,} more like these")


def _import_buttons(project: Project, reports: Sequence[Mapping[str, Any]], sources: list[dict[str, str]]) -> None:
    frames = sum(report["frames"] for report in reports)
    if not all(report["fixable"] for report in reports):
        st.caption(
            "A refused zip blocks the import: delete it here, or mend it and upload it again. Nothing was written."
        )
        return
    if all(report["ok"] for report in reports):
        st.button(
            f"Import {counted(frames, 'frame')}",
            type="primary",
            icon=":material/download_done:",
            on_click=_import,
            args=(str(project.path), sources, False, frames),
        )
        return
    fixes = sum(1 for report in reports for group in report["groups"] if group["severity"] == "fixable")
    st.button(
        f"Fix {counted(fixes, 'problem')} and import {counted(frames, 'frame')}",
        type="primary",
        icon=":material/build:",
        on_click=_import,
        args=(str(project.path), sources, True, frames),
        help="The fixes are those listed above. Your zip itself is not changed.",
    )


def _import(project: str, sources: list[dict[str, str]], fix: bool, frames: int) -> None:
    jobs().submit(
        IMPORT,
        project=project,
        settings={"zips": sources, "fix": fix, "remove": True},
        owner=current_user(),
        title=f"Import {counted(frames, 'frame')}",
    )


def _delete_button(project: Project, waiting: Sequence[Upload]) -> None:
    for upload in waiting:
        st.button(
            f"Delete {plain(upload.name)}",
            key=f"delete-zip-{upload.id}",
            on_click=_forget,
            args=(str(project.path), upload.id),
        )


def _forget(project: str, identity: str) -> None:
    uploads.forget(current_user(), Project.open(project), identity)


def _look_again() -> None:
    st.session_state["look-again"] = True
