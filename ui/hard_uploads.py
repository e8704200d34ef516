"""Prediction files that were uploaded: matched to a video and put where models live in the project."""

import streamlit as st

from castle_core.errors import CastleError
from castle_core.predictions.uploaded import guess_stem, place_prediction
from castle_core.projects import Project
from castle_core.uploads import Upload
from ui import uploads
from ui.people import current_user
from ui.words import plain

PREDICTION_ENDINGS = (".csv", ".h5", ".slp")


def place_uploads(project: Project) -> None:
    """Ask for model and video of each uploaded prediction file, and put it into ``models/<name>/``."""
    for note in st.session_state.pop("placed", ()):
        st.success(plain(note), icon=":material/check_circle:")
    for upload in uploads.finished(current_user(), project, "predictions"):
        if upload.ending not in PREDICTION_ENDINGS or not uploads.received_path(project, upload).exists():
            continue
        if not upload.purpose and upload.name.startswith("CollectedData"):
            continue  # labels, which wait on the page Label export
        _one(project, upload)


def _one(project: Project, upload: Upload) -> None:
    stems = [video.stem for video in project.videos()]
    with st.container(border=True, key=f"prediction-{upload.id}"):
        st.markdown(f"**{plain(upload.name)}**")
        if not stems:
            st.caption("Add the video first, then this file can be matched to it.")
        guess = guess_stem(upload.name, stems)
        left, right = st.columns(2)
        stem = left.selectbox(
            "Belongs to", stems, index=stems.index(guess) if guess else None, key=f"belongs-{upload.id}"
        )
        model = right.text_input("Model", "uploaded", key=f"model-{upload.id}")
        with st.container(horizontal=True):
            if st.button("Add", type="primary", key=f"place-{upload.id}", disabled=not stem or not model.strip()):
                try:
                    placed = place_prediction(
                        project, uploads.received_path(project, upload), upload.name, str(stem), model.strip()
                    )
                    uploads.forget(current_user(), project, upload.id)
                    st.session_state["placed"] = [f"{upload.name} is in {placed.parent.relative_to(project.path)} now."]
                    st.rerun()
                except CastleError as error:
                    st.error(plain(str(error)))
            if st.button("Delete", key=f"delete-{upload.id}", type="tertiary"):
                uploads.forget(current_user(), project, upload.id)
                st.rerun()
