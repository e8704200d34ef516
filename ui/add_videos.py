"""New videos for the project: uploads from the user's computer, and links to the server's folders."""

import streamlit as st

from castle_core.errors import CastleError
from castle_core.machine import readable_size
from castle_core.projects import VIDEO_SUFFIXES, Project
from castle_core.uploads import Upload
from ui import uploads
from ui.components.uploader import uploader
from ui.job_panel import ACTIVE, describe
from ui.people import current_user
from ui.server import folders, jobs
from ui.server_browser import server_browser
from ui.words import percent, plain


def add_videos(project: Project) -> int:
    """Show both ways in; returns how many uploads are under way."""
    if project.read_only:
        st.caption(":material/lock: This project is read-only: videos cannot be added.")
        return 0
    allowed = folders()
    names = ["Upload", "Server folders"]
    way = st.segmented_control(
        "Add videos from",
        names,
        default=names[1] if allowed.names else names[0],
        key="add-from",
        required=True,
        format_func={
            "Upload": ":material/upload: this computer",
            "Server folders": ":material/dns: folders on the server",
        }.__getitem__,
        help="Folders on the server are linked: nothing is copied. Best for large recordings on the lab's share.",
    )
    if way == "Server folders":
        server_browser(project, allowed)
        return len(_under_way(project))
    return upload_panel(
        project,
        kinds=tuple(sorted(VIDEO_SUFFIXES)),
        label="Videos to upload",
        hint=f"mp4, avi, mov, mkv and others, up to {readable_size(uploads.max_size())} each. An upload that stops "
        "goes on when the same file is picked again.",
        group="videos",
    )


def upload_panel(project: Project, *, kinds: tuple[str, ...], label: str, hint: str, group: str) -> int:
    """Show a drop zone for files of these endings and what became of them; returns how many are under way."""
    user = current_user()
    counts = uploader(
        token=uploads.token(user, project),
        group=f"{project.path}|{group}",
        purpose=group,
        endpoint=uploads.endpoint(),
        accept=kinds,
        max_size=uploads.max_size(),
        label=label,
        hint=hint,
        key=f"uploader-{group}",
    )
    for upload, offset in uploads.unfinished(user, project):
        if upload.ending in kinds and upload.purpose in ("", group) and not counts.busy:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.caption(
                    f":material/pause_circle: **{plain(upload.name)}** stopped at {percent(offset, upload.size)} % of "
                    f"{readable_size(upload.size)}: pick the same file again to go on.",
                    width="stretch",
                )
                st.button(
                    "Forget",
                    key=f"forget-{upload.id}",
                    type="tertiary",
                    on_click=_forget,
                    args=(str(project.path), upload.id),
                )
    if group == "videos":
        _checks(project)
    return counts.busy + len(_under_way(project))


def _under_way(project: Project) -> list[Upload]:
    mine = uploads.finished(current_user(), project)
    return [u for u in mine if u.is_video and u.job and (job := jobs().get(u.job)) and job.state in ACTIVE]


def _checks(project: Project) -> None:
    for upload in uploads.finished(current_user(), project):
        if not upload.is_video:
            continue
        if upload.state == "duplicate":
            st.info(f"**{plain(upload.name)}** was uploaded before: the same bytes are here already.")
            continue
        job = jobs().get(upload.job) if upload.job else None
        if job is None:
            continue
        if job.state in ACTIVE:
            st.progress(
                percent(job.done, job.total or 0) / 100, text=f"Checking **{plain(upload.name)}** · {describe(job)}"
            )
        elif job.state == "failed":
            _refused(project, upload, job.error or "It cannot be read.")


def _refused(project: Project, upload: Upload, reason: str) -> None:
    with st.container(border=True, key=f"refused-{upload.id}"):
        st.markdown(f":red[:material/error:] **{plain(upload.name)}**  \n{plain(reason)}")
        with st.container(horizontal=True, vertical_alignment="bottom"):
            if "already" in reason:
                stem, dot, ending = upload.name.rpartition(".")
                name = st.text_input("Other name", f"{stem}_2{dot}{ending}", key=f"name-{upload.id}")
                st.button(
                    "Add under this name",
                    key=f"again-{upload.id}",
                    on_click=_check_again,
                    args=(str(project.path), upload.id, name),
                )
            st.button(
                "Delete the upload", key=f"delete-{upload.id}", on_click=_forget, args=(str(project.path), upload.id)
            )


def _check_again(project: str, identity: str, name: str) -> None:
    try:
        uploads.check_again(current_user(), Project.open(project), identity, name)
    except CastleError as error:
        st.session_state["job-note"] = str(error)


def _forget(project: str, identity: str) -> None:
    try:
        uploads.forget(current_user(), Project.open(project), identity)
    except CastleError as error:
        st.session_state["job-note"] = str(error)
