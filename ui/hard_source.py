"""The third source: the frames that a pose model finds hard, with thresholds whose effect is shown at once."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from castle_core.errors import CastleError
from castle_core.hardness import DEFAULT_Z
from castle_core.predictions import find_models
from castle_core.projects import Project
from castle_core.score_sheet import LARGEST_Z, LIKELIHOOD_STEPS, N_BINS, SMALLEST_Z, Sheet, load_sheet
from castle_core.suggestions import state_of_inputs
from castle_core.trims import Trims
from ui.add_videos import upload_panel
from ui.hard_uploads import PREDICTION_ENDINGS, place_uploads
from ui.job_panel import SAFE, last_ended, live_bar, watched
from ui.people import current_user
from ui.pictures import timeline_of
from ui.server import jobs
from ui.trim_panel import current_trims, trim_panel
from ui.video_source import part_settings
from ui.words import code, counted, plain

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
SUGGEST, MEASURE = "suggest", "measure_model"
_NAMES = {
    "likelihood": "Unsure (likelihood)",
    "temporal_norm": "Jumps (temporal norm)",
    "pca_singleview": "Odd poses (PCA, one view)",
    "pca_multiview": "Views that disagree (PCA, several views)",
    "disagreement": "Models that disagree",
}


def newest_model(names: Sequence[str]) -> int:
    """Return the place of the newest of several models, whose names begin with its day; 0 where no name does."""
    dated = [(name, place) for place, name in enumerate(names) if _DAY.match(name)]
    return max(dated)[1] if dated else 0


def hard_source(project: Project, *, boards_wait: bool) -> None:
    """Show model, videos, thresholds and the button."""
    videos = project.videos()
    models = [model for model in find_models(project.path, [video.stem for video in videos]) if model.files]
    hints = [model.hint(project.path) for model in find_models(project.path) if not model.files]
    if not models:
        _no_model(project, hints)
        return
    left, right = st.columns([5, 7], gap="large")
    with left:
        with st.container(border=True):
            st.subheader("Model and videos", anchor=False)
            names = [model.name for model in models]
            name = str(
                st.selectbox(
                    "Model",
                    names,
                    index=newest_model(names),
                    key="hard-model",
                    help="Models with predictions of at least one video. First shown is the newest, by its date.",
                )
            )
            known = {video.stem: video for video in videos}
            files = {file.stem: file for file in models[names.index(name)].files if file.stem in known}
            stems = st.multiselect(
                "Videos it was run on",
                list(files),
                default=list(files),
                format_func=lambda stem: known[stem].name,
                key=f"hard-videos-{name}",
                placeholder="Choose at least one video",
            )
            for stem in sorted({file.stem for file in models[names.index(name)].files} - set(files)):
                st.caption(f":material/info: Its predictions of `{code(stem)}` fit no video of this project.")
            for hint in hints:
                st.caption(f":material/info: {plain(hint)}")
            with st.expander("Add predictions", icon=":material/upload:"):
                _upload(project)
        sheet = _sheet(project, name, stems) if stems else None
        _options_and_button(project, name, stems, sheet, boards_wait=boards_wait)
    with right:
        if sheet is not None:
            _explain(*sheet)
        trim_panel(project, [known[stem] for stem in stems], rerun_page=True)


def _no_model(project: Project, hints: list[str]) -> None:
    with st.container(border=True):
        st.subheader("No predictions yet", anchor=False)
        st.markdown(
            "Once a pose model was run on videos of this project, the frames that it finds hard can be chosen here: "
            "where it is unsure, where keypoints jump, where poses are odd. Lightning Pose, EKS, DeepLabCut and SLEAP "
            "files are read."
        )
        for hint in hints:
            st.info(plain(hint), icon=":material/terminal:")
        _upload(project)


def _upload(project: Project) -> None:
    if project.read_only:
        st.caption(":material/lock: This project is read-only: files cannot be added.")
        return
    upload_panel(
        project,
        kinds=PREDICTION_ENDINGS,
        label="Prediction files to upload",
        hint="csv, h5 or slp. A file named like its video is matched to it by itself.",
        group="predictions",
    )
    place_uploads(project)


def _sheet(project: Project, model: str, stems: list[str]) -> tuple[Sheet, dict[str, Any]] | None:
    path = str(project.path)
    wanted = {"model": model, "videos": sorted(stems), "inputs": state_of_inputs(project, stems)}
    done = [
        job
        for job in jobs().list(project=path, states=("finished", "failed"), kinds=[MEASURE])
        if job.settings == wanted
    ]
    job = max(done, key=lambda each: each.id, default=None)
    if job is not None and job.state == "failed" and st.session_state.get("measure-again", 0) < job.id:
        st.error(plain(job.error or "The predictions cannot be scored."), icon=":material/error:")
        st.button("Try again", on_click=_measure_again, args=(job.id,), key="measure-retry")
        return None
    if job is not None and job.state == "finished" and job.result and Path(job.result["sheet"]).exists():
        try:
            return _load(job.result["sheet"], job.id), job.result
        except CastleError as error:
            st.error(plain(str(error)))
            return None
    running = [each for each in watched([MEASURE], project=path) if each.settings == wanted]
    if not running:
        jobs().submit(MEASURE, project=path, settings=wanted, owner=current_user(), title=f"Score {model}")
    live_bar([MEASURE], project=path, note="")
    return None


@st.cache_data(max_entries=8, show_spinner=False)
def _load(path: str, job: int) -> Sheet:
    del job  # part of the cache's key only
    return load_sheet(Path(path))


def _measure_again(number: int) -> None:
    st.session_state["measure-again"] = number


def _explain(sheet: Sheet, result: dict[str, Any]) -> None:
    with st.expander("What the scores are made from", icon=":material/info:"):
        for name, source in result["sources"].items():
            st.markdown(f"**{_NAMES.get(name, name)}**: {plain(source)}")
        for note in result["notes"]:
            st.caption(plain(note))


def _options_and_button(
    project: Project, model: str, stems: list[str], sheet: tuple[Sheet, dict[str, Any]] | None, *, boards_wait: bool
) -> None:
    with st.container(border=True):
        st.subheader("How to choose", anchor=False)
        left, right = st.columns(2)
        n = int(left.number_input("Frames in all", 1, 20_000, 20, key="hard-n", persist_state="session"))
        minimum = 0
        if len(stems) > 1:
            minimum = int(right.number_input("At least per video", 0, max(0, n // len(stems)), 0, key="hard-minimum"))
        thresholds, likelihood = _thresholds(project, sheet[0]) if sheet else ({}, 0.9)
        context = st.checkbox(
            "Context frames ±2",
            value=True,
            key="hard-context",
            persist_state="session",
            help="Recommended, though not required.",
        )
        review = st.checkbox("Review before writing", value=True, key="hard-review", persist_state="session")
        with st.expander("More", icon=":material/tune:"):
            seed = int(st.number_input("Seed", 0, 2**31 - 1, 0, key="hard-seed"))
            gap = st.number_input(
                "Smallest distance in frames", 1, 100_000, None, placeholder="automatic", key="hard-gap"
            )
    running = watched([SUGGEST], project=str(project.path))
    settings = {
        "n": n,
        "minimum": minimum,
        "likelihood_threshold": likelihood,
        "thresholds": thresholds,
        "seed": seed,
        "min_gap": int(gap) if gap else None,
    }
    if st.button(
        "Extract frames",
        type="secondary" if boards_wait or running else "primary",
        width="stretch",
        icon=":material/auto_awesome:",
        disabled=project.read_only or not stems or sheet is None or bool(running),
        key="extract-hard",
    ):
        _start(project, model, list(stems), settings, 2 if context else 0, review)
        st.rerun()
    if not stems:
        st.caption(":material/info: Choose at least one video.")
    if live_bar([SUGGEST], project=str(project.path), note=f"{SAFE} The frames wait here."):
        return
    job = last_ended([SUGGEST], project=str(project.path), owner=current_user())
    if job is not None and job.state == "failed" and st.session_state.get("suggest-failure-seen") != job.id:
        st.error(plain(job.error or "Something went wrong."), icon=":material/error:")
        st.button("Dismiss", key=f"suggest-failed-{job.id}", type="tertiary", on_click=_failure_seen, args=(job.id,))


def _failure_seen(number: int) -> None:
    st.session_state["suggest-failure-seen"] = number


def _usable(project: Project, sheet: Sheet) -> "npt.NDArray[np.bool_]":
    """Return which rows of the sheet the job may pick: inside the range, not left out, not selected or labelled."""
    trims, parts = current_trims(project), {}
    for stem in sheet.lengths:
        if trims != Trims() and (timeline := timeline_of(project, stem)) is not None:
            parts[stem] = trims.part(stem, n_frames=timeline.n_frames, fps=timeline.average_fps)
    return sheet.usable(parts, {stem: project.covered(stem) for stem in sheet.lengths})


def _thresholds(project: Project, sheet: Sheet) -> tuple[dict[str, float], float]:
    usable = _usable(project, sheet)
    thresholds: dict[Any, float] = {}
    likelihood = 0.9
    place = st.container()
    with st.expander("Thresholds", icon=":material/tune:"):
        st.caption(
            "A frame is hard when one of its keypoints lies this many robust standard deviations above what is usual "
            "for it. Grey: how many frames lie where."
        )
        if "likelihood" in sheet.names:
            likelihood = float(
                st.select_slider(
                    "A keypoint counts as unsure below this likelihood",
                    LIKELIHOOD_STEPS,
                    0.9,
                    key="hard-likelihood",
                    persist_state="session",
                )
            )
        for name in sheet.names:
            thresholds[name] = float(
                st.slider(
                    _NAMES[name],
                    SMALLEST_Z,
                    LARGEST_Z,
                    float(DEFAULT_Z[name]),
                    0.5,
                    key=f"hard-z-{name}",
                    persist_state="session",
                )
            )
            _histogram(sheet.histogram(name, likelihood, usable), thresholds[name], _NAMES[name])
    count = sheet.count_hard(thresholds, likelihood, usable)
    place.markdown(
        f":material/priority_high: **{count:,}** of {int(usable.sum()):,} usable frames are hard.",
        help="Usable: inside the part to use, and neither selected nor labelled yet.",
    )
    if count == 0:
        place.caption(
            "No frame is: all will be filled up with frames that differ most. Lower a threshold to find some."
        )
    return {str(name): value for name, value in thresholds.items()}, likelihood


def _histogram(counts: list[int], threshold: float, name: str) -> None:
    top = max(counts, default=0) ** 0.5 or 1.0
    first = threshold / LARGEST_Z * N_BINS
    bars = "".join(
        f'<i class="{"above" if place >= first else "below"}" style="height:{100 * count**0.5 / top:.1f}%"></i>'
        for place, count in enumerate(counts)
    )
    words = (
        f"{counted(sum(count for place, count in enumerate(counts) if place >= first), 'frame')} above {threshold:g}"
    )
    st.html(f'<div class="castle-histogram" role="img" aria-label="{name}: {words}">{bars}</div><small>{words}</small>')


def _start(opened: Project, model: str, stems: list[str], settings: dict[str, Any], context: int, review: bool) -> None:
    trims = current_trims(opened)
    try:
        jobs().submit(
            SUGGEST,
            project=str(opened.path),
            settings={
                "model": model,
                "videos": [part_settings(opened, stem, trims) for stem in stems],
                "settings": settings,
                "context": context,
                "review": review,
            },
            owner=current_user(),
            title=f"Find hard frames in {counted(len(stems), 'video')}",
        )
    except CastleError as error:
        st.session_state["job-note"] = str(error)
