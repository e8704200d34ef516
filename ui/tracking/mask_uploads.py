"""Mask files that come from elsewhere: uploaded, matched to a video, and taken in by a job that checks every frame."""

import streamlit as st

from castle_core.errors import CastleError
from castle_core.projects import Project, VideoEntry
from castle_core.rois import MaskFile
from castle_core.uploads import Upload
from ui import uploads
from ui.add_videos import upload_panel
from ui.job_panel import ACTIVE, job_bar
from ui.people import current_user
from ui.server import jobs
from ui.words import counted, plain

IMPORT = "import_masks"
_ENDINGS = (".h5",)


def mask_uploads(project: Project, video: VideoEntry) -> None:
    """Show the drop zone for ``mask_list.h5`` and what was uploaded."""
    if project.read_only:
        st.caption(":material/lock: This project is read-only: masks cannot be added.")
        return
    upload_panel(
        project,
        kinds=_ENDINGS,
        label="Mask files to upload",
        hint="CASTLE's mask_list.h5. Every mask is checked against its video first.",
        group="masks",
    )
    for upload in uploads.finished(current_user(), project, "masks"):
        if upload.ending in _ENDINGS and uploads.received_path(project, upload).exists():
            _one(project, upload, video)


def _one(project: Project, upload: Upload, video: VideoEntry) -> None:
    path = uploads.received_path(project, upload)
    tried = [
        job
        for job in jobs().list(project=str(project.path), kinds=[IMPORT], limit=200)
        if job.settings.get("file") == str(path)
    ]
    job = max(tried, key=lambda each: each.id, default=None)
    with st.container(border=True, key=f"mask-upload-{upload.id}"):
        if job is not None and job.state in ACTIVE:
            job_bar(job, with_cancel=False)
            return
        if job is not None and job.state == "finished":
            uploads.forget(current_user(), project, upload.id)
            st.success(f"**{plain(upload.name)}** is taken in.", icon=":material/check_circle:")
            return
        try:
            with MaskFile(path) as masks:
                size = f"{masks.width} × {masks.height} px · {counted(len(masks.frame_indices), 'mask')}"
        except CastleError:
            st.markdown(f"**{plain(upload.name)}** holds no masks as CASTLE writes them.")
            st.button("Delete", key=f"mask-delete-{upload.id}", on_click=_forget, args=(str(project.path), upload.id))
            return
        st.markdown(f"**{plain(upload.name)}** · {size}")
        if job is not None and job.error:
            st.error(plain(job.error), icon=":material/error:")
        stems = [each.stem for each in project.videos()]
        stem = st.selectbox("Belongs to", stems, index=stems.index(video.stem), key=f"mask-of-{upload.id}")
        with st.container(horizontal=True):
            if st.button("Take it in", type="primary", key=f"mask-import-{upload.id}"):
                jobs().submit(
                    IMPORT,
                    project=str(project.path),
                    settings={"file": str(path), "video": str(stem)},
                    owner=current_user(),
                    title=f"Take in masks of {stem}",
                )
                st.rerun()
            st.button(
                "Delete",
                key=f"mask-delete-{upload.id}",
                type="tertiary",
                on_click=_forget,
                args=(str(project.path), upload.id),
            )


def _forget(project: str, identity: str) -> None:
    try:
        uploads.forget(current_user(), Project.open(project), identity)
    except CastleError as error:
        st.session_state["job-note"] = str(error)
