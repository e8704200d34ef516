"""Left column: the visual model with what it needs, the ROIs, and the target."""

from pathlib import Path
from typing import Any

import streamlit as st

from castle_core.encoders import EncoderStatus, encoder_status
from castle_core.encoders.table import ENCODERS
from castle_core.projects import Project
from ui.job_panel import live_bar
from ui.latents.form import OTHER_MODEL, encoder_of, key_of, range_problem, roi_problem
from ui.latents.work import newest, start
from ui.words import plain, prose

_SESSION: Any = "session"
_SLOW_ON_CPU = 50_000_000  # weights; about a second a frame and more without a GPU


def model_panel(project: Project, form: dict[str, Any]) -> None:
    """Show Select Visual Model, Enter ROI ID, Batch size, Select Target Video, Skip existing files and the range."""
    st.subheader("Model and target", anchor=False)
    names = _models(project)
    if st.session_state[key_of("encoder")] not in names:
        st.session_state[key_of("encoder_other")] = st.session_state[key_of("encoder")]
        st.session_state[key_of("encoder")] = OTHER_MODEL
    st.selectbox(
        "Select Visual Model",
        list(names),
        format_func=names.__getitem__,
        key=key_of("encoder"),
        persist_state=_SESSION,
        help=" ".join(f"{name}: {info.help}." for name, info in list(ENCODERS.items())[:3]),
    )
    if st.session_state[key_of("encoder")] == OTHER_MODEL:
        st.text_input(
            "Model folder, or its name on Hugging Face",
            key=key_of("encoder_other"),
            persist_state=_SESSION,
            placeholder="/models/my-dino or owner/model",
        )
    form["encoder"], form["encoder_other"] = (st.session_state[key_of(n)] for n in ("encoder", "encoder_other"))
    _needs(project, encoder_of(form))
    left, right = st.columns(2, vertical_alignment="bottom")
    left.text_input(
        "Enter ROI ID",
        key=key_of("roi_ids"),
        persist_state=_SESSION,
        help="Several in one pass: 1, 2. 0 is the whole frame, which needs no masks.",
    )
    right.number_input(
        "Batch size",
        1,
        4096,
        key=key_of("batch_size"),
        persist_state=_SESSION,
        disabled=bool(st.session_state[key_of("batch_auto")]),
        help="Increase if VRAM allows.",
    )
    if problem := roi_problem(form):
        st.error(plain(problem), icon=":material/error:")
    st.checkbox(
        "Automatic batch size", key=key_of("batch_auto"), persist_state=_SESSION, help="Takes what fits the GPU."
    )
    videos = {entry.stem: entry.name for entry in project.videos() if not entry.missing}
    chosen = [stem for stem in st.session_state[key_of("videos")] if stem in videos]
    if chosen != st.session_state[key_of("videos")]:
        st.session_state[key_of("videos")] = chosen
    st.multiselect(
        "Select Target Video",
        list(videos),
        format_func=videos.__getitem__,
        key=key_of("videos"),
        persist_state=_SESSION,
        placeholder=f"All ({len(videos)})",
        help="Nothing chosen means all.",
    )
    st.checkbox(
        "Skip existing files",
        key=key_of("skip_existing"),
        persist_state=_SESSION,
        help="Files that hold the same already are left alone; settings and masks are compared, not only the name.",
    )
    st.selectbox(
        "If made with other settings",
        ["recompute", "keep-both"],
        format_func={"recompute": "Replace it", "keep-both": "Keep both"}.__getitem__,
        help="Replace it: the old file goes to .castle/trash. Keep both: the new file's name gets _pre- and a short "
        "code of its settings.",
        key=key_of("when_different"),
        persist_state=_SESSION,
    )
    with st.expander("Range, precision", icon=":material/tune:"):
        one, two, three = st.columns(3, vertical_alignment="bottom")
        text = "0.8, 90s, 00:01:30.5 or 1200f."
        one.text_input("From", key=key_of("start"), persist_state=_SESSION, help=text)
        two.text_input("To", key=key_of("stop"), persist_state=_SESSION, help=f"{text} Not included. 1 is the end.")
        three.number_input(
            "Every k-th frame",
            1,
            100_000,
            key=key_of("every"),
            persist_state=_SESSION,
            help="For CPUs: the frames between get NaN and the status 'not requested'.",
        )
        one, two = st.columns(2)
        one.number_input(
            "Input size (pixels)",
            14,
            2048,
            value=None,
            key=key_of("input_size"),
            persist_state=_SESSION,
            placeholder="the model's own",
            help="Smaller is quicker and coarser. A multiple of the patch size.",
        )
        two.selectbox(
            "Precision",
            ["auto", "fp32", "bf16", "fp16"],
            key=key_of("precision"),
            persist_state=_SESSION,
            help="auto: fp32 on a CPU, fp16 on a GPU.",
        )
    if problem := range_problem(form):  # below: a closed expander would hide it
        st.error(plain(problem), icon=":material/error:")


def _models(project: Project) -> dict[str, str]:
    """Return the models: name or folder → what is shown."""
    names = {name: name for name in ENCODERS}
    for folder in sorted((project.path / "encoders").glob("*/config.json")):
        names[str(folder.parent)] = f"{folder.parent.name} (in this project)"
    return {**names, OTHER_MODEL: "Another model: a folder, or from Hugging Face"}


@st.cache_data(ttl=20, max_entries=50, show_spinner=False)
def _status(name: str, downloads: int) -> EncoderStatus:
    del downloads  # part of the cache's key only: looked up again after each download, and after 20 s
    return encoder_status(name)


def status_of(project: Project, name: str) -> EncoderStatus:
    """Return where a model's weights are."""
    job = newest(project, "download_model")
    return _status(name, (job.end_order or 0) if job else 0)


def not_here(project: Project, form: dict[str, Any]) -> str:
    """Say what to do where the model is not on this disk; empty where it is."""
    name = encoder_of(form)
    status = status_of(project, name)
    if status.state == "ready":
        return ""
    if status.state == "download":
        return f"{name} is not on this disk yet. Click Download under Select Visual Model first."
    return status.advice


@st.cache_data(ttl=600, show_spinner=False)
def has_gpu() -> bool:
    """Say whether this machine shows an NVIDIA GPU, without loading torch."""
    return Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidia0").exists()


def _needs(project: Project, name: str) -> None:
    """Say what a model needs: on disk, a download, consent; and whether it is too slow here."""
    if not name:
        return
    if (known := ENCODERS.get(name)) and known.help:
        st.caption(known.help[:1].upper() + known.help[1:] + ".")
    status = status_of(project, name)
    size = f"{status.size_bytes / 1e6:,.0f} MB" if status.size_bytes else "size unknown"
    if status.state == "ready":
        words = "built in, no download" if not status.size_bytes else f"on this disk ({size})"
        st.caption(f":material/check_circle: {words}")
    elif status.state == "download":
        st.caption(f":material/download: not here yet: a download of {size}")
        if not live_bar(["download_model"], project=str(project.path), note="") and st.button(
            "Download", key="latent-download", icon=":material/download:"
        ):
            start(project, "download_model", {"name": name}, f"Download {name}")
            st.rerun()
    elif status.state == "gated":
        st.caption(f":material/lock: gated, a download of {size}. {prose(status.advice)}")
    else:
        st.caption(f":material/error: {prose(status.advice)}")
    info = ENCODERS.get(name)
    if info and info.n_parameters > _SLOW_ON_CPU and not has_gpu():
        st.caption(
            ":material/hourglass_top: Slow without a GPU: a second or more a frame. Take a small model, hog, or every "
            "k-th frame; the check below measures it."
        )
