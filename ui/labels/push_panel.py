"""Push: frames, pre-labels and existing labels to Label Studio, and the link to the first task."""

from collections.abc import Callable
from functools import partial
from typing import Any

import streamlit as st

from castle_core.errors import CastleError
from castle_core.label_studio import Credentials
from castle_core.label_studio.pictures import Picture, project_pictures
from castle_core.label_studio.pull_state import frames_there
from castle_core.labels import Labels, project_labels
from castle_core.predictions import find_models
from castle_core.projects import Project
from ui.job_panel import last_ended, live_bar, watched
from ui.labels.push_choice import choose, drawn_points, left_out, show
from ui.people import current_user
from ui.server import jobs
from ui.words import counted, plain

PUSH = "push_labels"
_NO_MODEL = "No pre-labels"


def push_panel(project: Project, kept: Credentials) -> Callable[[], None]:
    """Show the choice of frames and pre-labels, Push, its progress, and what came of it.

    Returns
    -------
    callable
        Shows the frames, for which the whole width is wanted.
    """
    try:
        labels = project_labels(project).for_one_animal("Label Studio")
    except CastleError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return _nothing
    pictures = project_pictures(project, labels.frames)
    there = frames_there(project, kept.url)
    with st.container(border=True, key="ls-push"):
        st.subheader("Push", anchor=False)
        if not pictures:
            st.caption("No frames are written yet. Choose some on the page Extract frames.")
            return _nothing
        new, by_hand = choose(project, pictures, there)
        model, threshold = _pre_labels(project)
        out = set(left_out(project)) if by_hand else set()
        send = [picture for picture in new if picture.lp_path not in out]
        labelled = sum(picture.lp_path in set(labels.frames) for picture in send)
        words = [counted(len(send), "new frame")]
        words += [f"{labelled:,} of them with the project's labels"] if labelled else []
        words += [f"{sum(path.lp_path in there for path in pictures):,} are in Label Studio"]
        st.markdown(f"{words[0]}" + "".join(f" · {word}" for word in words[1:]))
        if not project.keypoints:
            st.warning("The keypoints have no names yet. Name them above first.", icon=":material/label:")
        _buttons(project, kept, send, model, threshold, n_there=len(there))
        live_bar([PUSH], project=str(project.path))
        _outcome(project)
    return partial(_gallery, project, labels, pictures, new, send, there, model, threshold, by_hand=by_hand)


def _nothing() -> None:
    pass


def _gallery(
    project: Project,
    labels: Labels,
    pictures: list[Picture],
    new: list[Picture],
    send: list[Picture],
    there: dict[str, str],
    model: str | None,
    threshold: float,
    *,
    by_hand: bool,
) -> None:
    """Show the frames on request, and always when they are chosen by hand: for many frames it is not free."""
    if by_hand and not new:
        st.caption("Every frame is in Label Studio already.")
    elif by_hand:
        st.caption("Click a frame to leave it out, or to take it in again.")
        show(project, new, there, drawn_points(project, labels, new, model, threshold), editable=True)
    elif st.toggle("Look at the frames", key="push-look"):
        shown = [*send, *[each for each in pictures if each.lp_path in there]]
        show(project, shown, there, drawn_points(project, labels, shown, model, threshold), editable=False)


def _pre_labels(project: Project) -> tuple[str | None, float]:
    stems = [video.stem for video in project.videos()]
    models = [model.name for model in find_models(project.path, stems) if model.files]
    left, right = st.columns(2)
    with left:
        chosen = st.selectbox(
            "Pre-labels",
            [_NO_MODEL, *models],
            index=1 if models else 0,
            key="push-model",
            help="This model's predictions are there from the start, and can be moved: correcting is quicker than "
            "labelling, and shows how wrong the model is.",
        )
    with right:
        threshold = st.number_input(
            "Smallest likelihood",
            0.0,
            1.0,
            0.5,
            0.05,
            key="push-threshold",
            disabled=chosen == _NO_MODEL,
            help="Points of which the model is less sure are not sent: you place them yourself.",
        )
    return (None if chosen == _NO_MODEL else str(chosen)), float(threshold)


def _buttons(
    project: Project, kept: Credentials, send: list[Picture], model: str | None, threshold: float, *, n_there: int
) -> None:
    busy = bool(watched([PUSH, "pull_labels"], project=str(project.path)))
    ready = bool(project.keypoints) and not project.read_only and not busy
    settings: dict[str, Any] = {"credentials": kept.id, "model": model, "threshold": threshold if model else 0.0}
    with st.container(horizontal=True):
        st.button(
            f"Push {counted(len(send), 'frame')}",
            type="primary",
            icon=":material/upload:",
            key="ls-push-button",
            disabled=not (ready and send),
            on_click=_submit,
            args=(
                str(project.path),
                {**settings, "frames": [picture.lp_path for picture in send]},
                f"Push {counted(len(send), 'frame')} to Label Studio",
            ),
        )
        if model and n_there:
            st.button(
                "Update pre-labels",
                key="ls-update-button",
                icon=":material/published_with_changes:",
                disabled=not ready,
                on_click=_submit,
                args=(
                    str(project.path),
                    {**settings, "frames": sorted(frames_there(project, kept.url)), "update_predictions": True},
                    "Update pre-labels",
                ),
                help="Replaces the pre-labels of frames that nobody has worked on by those of this model.",
            )


def _submit(project: str, settings: dict[str, Any], title: str) -> None:
    jobs().submit(PUSH, project=project, settings=settings, owner=current_user(), title=title)


def _outcome(project: Project) -> None:
    job = last_ended([PUSH], project=str(project.path))
    if job is None or watched([PUSH], project=str(project.path)):
        return
    if job.state == "failed":
        st.error(plain(job.error or "The push failed."), icon=":material/error:")
        st.caption("What was sent stays there. Push again, and the rest follows.")
        return
    if job.state != "finished" or not job.result:
        return
    result = job.result
    words = []
    if result["created"] or not result["updated"]:
        words.append(f"**{counted(result['created'], 'frame')} sent**")
    if result["labelled"]:
        words.append(f"{result['labelled']:,} with labels")
    if result["predictions"]:
        words.append(f"{result['predictions']:,} with pre-labels")
    if result["updated"]:
        words.append(f"pre-labels of {counted(result['updated'], 'frame')} replaced")
    if result["skipped"]:
        words.append(f"{result['skipped']:,} were there already")
    st.success(", ".join(words) + ".", icon=":material/check_circle:")
    for line in result["warnings"]:
        st.warning(plain(line), icon=":material/warning:")
    # only an address that the job made of the user's own server
    st.link_button("Label the first open frame", result["link"], icon=":material/open_in_new:")
