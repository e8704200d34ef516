"""New videos for the project: uploads from the user's computer, and links to the server's folders."""

import streamlit as st

from castle_core.machine import readable_size
from castle_core.projects import VIDEO_SUFFIXES, Project
from castle_core.uploads import Upload
from ui import uploads
from ui.components.uploader import uploader
from ui.job_panel import ACTIVE
from ui.people import current_user
from ui.refused_uploads import forget_uploads, upload_news
from ui.server import folders, jobs
from ui.server_browser import server_browser
from ui.words import percent, plain

VIDEOS = "videos"


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
        hint=f"mp4, avi, mov, mkv and others, up to {readable_size(uploads.room(project))} each. An upload that stops "
        "goes on when the same file is picked again.",
        group=VIDEOS,
    )


def video_upload_news(project: Project) -> None:
    """Show what became of the uploaded videos; call outside of anything that folds."""
    upload_news(project, _group(project, VIDEOS))


def _group(project: Project, group: str) -> str:
    return f"{project.path}|{group}"


def upload_panel(project: Project, *, kinds: tuple[str, ...], label: str, hint: str, group: str) -> int:
    """Show a drop zone for files of these endings and what became of them; returns how many are under way."""
    user = current_user()
    counts = uploader(
        token=uploads.token(user, project),
        group=_group(project, group),
        purpose=group,
        endpoint=uploads.endpoint(),
        accept=kinds,
        max_size=uploads.max_size(),
        label=label,
        hint=hint,
        refused_elsewhere=group == VIDEOS,
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
                    on_click=forget_uploads,
                    args=(str(project.path), [upload.id]),
                )
    return counts.busy + len(_under_way(project))


def _under_way(project: Project) -> list[Upload]:
    mine = uploads.finished(current_user(), project)
    return [u for u in mine if u.is_video and u.job and (job := jobs().get(u.job)) and job.state in ACTIVE]
