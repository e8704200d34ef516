"""Videos that were not taken, each named on the page until it is dismissed, whatever is folded away."""

import streamlit as st

from castle_core.errors import CastleError
from castle_core.projects import Project
from castle_core.uploads import Upload
from ui import uploads
from ui.components.uploader import refused_list
from ui.job_panel import ACTIVE, describe
from ui.people import current_user
from ui.server import jobs
from ui.words import counted, percent, plain


def upload_news(project: Project, group: str) -> None:
    """Show what became of the user's videos: checks under way, and all that were refused, by the browser or here.

    Parameters
    ----------
    project : Project
    group : str
        The drop zone's group, as `ui.components.uploader.uploader` takes it.
    """
    if project.read_only:
        return
    refused_list(group=group, key="uploader-refused")
    refused = []
    for upload in uploads.finished(current_user(), project):
        if not upload.is_video:
            continue
        if upload.state == "duplicate":
            _uploaded_before(project, upload)
            continue
        job = jobs().get(upload.job) if upload.job else None
        if job is not None and job.state in ACTIVE:
            st.progress(
                percent(job.done, job.total or 0) / 100, text=f"Checking **{plain(upload.name)}** · {describe(job)}"
            )
        elif job is not None and job.state == "failed":
            refused.append(upload)
            _refused(project, upload, job.error or "It cannot be read.")
    if len(refused) > 2:
        st.button(
            f"Delete these {counted(len(refused), 'upload')}",
            key="delete-refused",
            icon=":material/delete:",
            type="tertiary",
            on_click=forget_uploads,
            args=(str(project.path), [upload.id for upload in refused]),
        )


def _uploaded_before(project: Project, upload: Upload) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            f":material/content_copy: **{plain(upload.name)}** was uploaded before: the same bytes are here already.",
            width="stretch",
        )
        st.button(
            "Dismiss",
            key=f"forget-{upload.id}",
            type="tertiary",
            on_click=forget_uploads,
            args=(str(project.path), [upload.id]),
        )


def _refused(project: Project, upload: Upload, reason: str) -> None:
    why = reason.removeprefix(f"{upload.name} was not added to the project: ")
    with st.container(border=True, key=f"refused-{upload.id}", gap="small"):
        st.markdown(f":red[:material/error:] **{plain(upload.name)}** was not added.  \n:small[{plain(why)}]")
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
                "Delete the upload",
                key=f"delete-{upload.id}",
                on_click=forget_uploads,
                args=(str(project.path), [upload.id]),
                help=f"Deletes the bytes of {upload.name} on the server. Otherwise they are deleted after 7 days.",
            )


def _check_again(project: str, identity: str, name: str) -> None:
    try:
        uploads.check_again(current_user(), Project.open(project), identity, name)
    except CastleError as error:
        st.session_state["job-note"] = str(error)


def forget_uploads(project: str, identities: list[str]) -> None:
    """Delete uploads of the user's with what is left of their bytes; call from a button."""
    try:
        opened = Project.open(project)
        for identity in identities:
            uploads.forget(current_user(), opened, identity)
    except CastleError as error:
        st.session_state["job-note"] = str(error)
