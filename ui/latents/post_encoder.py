"""Bottom: the post-encoder module, its outputs and points."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from castle_core.encoders.table import ENCODERS
from castle_core.errors import CastleError
from castle_core.files import atomic_path, make_folder, safe_name
from castle_core.latents.maps import map_bytes
from castle_core.latents.plan import replace_keeping
from castle_core.latents.point_keys import list_point_keys
from castle_core.latents.points import read_points
from castle_core.machine import readable_size
from castle_core.projects import Project, VideoEntry
from ui.job_panel import live_bar
from ui.latents.form import encoder_of, key_of
from ui.latents.work import start
from ui.pictures import timeline_of
from ui.words import counted, plain

_SESSION: Any = "session"
_MODULES = {"none": "None", "global": "Global Average Pooling", "point": "Spatial Point Extraction"}
_ABOUT = {
    "none": "The model's own output, pooled as chosen.",
    "global": "The mean over all cells of the feature map: a vector a frame.",
    "point": "The feature map read at a point of every frame: a vector a frame.",
}
_OUTPUTS = {"roi-mean": "standard latent (ROI mean)", "cls": "CLS token", "none": "feature map"}
_MOST_UPLOAD_MB = 200


def post_encoder_panel(project: Project, form: dict[str, Any], targets: Sequence[VideoEntry]) -> None:
    """Show Post-Encoder Module with Output, Point Key and Interpolation."""
    st.subheader("Post-Encoder Module", anchor=False)
    left, right = st.columns([1, 2], gap="large")
    module = left.selectbox(
        "Post-Encoder Module",
        list(_MODULES),
        format_func=_MODULES.__getitem__,
        key=key_of("module"),
        persist_state=_SESSION,
        label_visibility="collapsed",
    )
    left.caption(_ABOUT[str(module)])
    with right:
        if module == "none":
            outputs = st.multiselect(
                "Output",
                list(_OUTPUTS),
                format_func=_OUTPUTS.__getitem__,
                key=key_of("outputs"),
                persist_state=_SESSION,
                help="Several come from one pass.",
            )
            if "none" in outputs:
                _map_size(project, form, targets)
        elif module == "point":
            _points(project, targets)


def _map_size(project: Project, form: dict[str, Any], targets: Sequence[VideoEntry]) -> None:
    """Say how large the feature maps will be."""
    timelines = [timeline_of(project, entry.stem) for entry in targets]
    n_frames = sum(timeline.n_frames for timeline in timelines if timeline)
    shape = _map_shape(encoder_of(form), form)
    if shape is None or not n_frames:
        st.warning("Feature maps are large: megabytes a frame. The check below says how large.", icon=":material/save:")
        return
    dim, side = shape
    frames = -(-n_frames // max(1, int(form["every"])))
    size = map_bytes(frames, dim, side)
    st.warning(
        f"Feature maps of {counted(frames, 'frame')}: {dim} x {side} x {side} each, float16, "
        f"up to {readable_size(size)} on disk.",
        icon=":material/save:",
    )


def _map_shape(name: str, form: dict[str, Any]) -> tuple[int, int] | None:
    import json

    if info := ENCODERS.get(name):
        return info.embed_dim, int(form["input_size"] or info.input_size) // info.patch_size
    try:
        config = json.loads((Path(name) / "config.json").read_text(encoding="utf-8"))
        size = int(form["input_size"] or config["image_size"])
        return int(config["hidden_size"]), max(1, round(size / int(config["patch_size"])))
    except (OSError, ValueError, KeyError, TypeError):
        return None


@st.cache_data(ttl=30, max_entries=50, show_spinner="Looking for points …")
def _keys(path: str, stems: tuple[str, ...]) -> dict[str, int]:
    """Return every point key of these videos with the number of videos that have it."""
    project = Project.open(path)
    found: dict[str, int] = {}
    for stem in stems[:20]:
        for key in list_point_keys(project, stem):
            found[key] = found.get(key, 0) + 1
    return found


def _points(project: Project, targets: Sequence[VideoEntry]) -> None:
    stems = tuple(entry.stem for entry in targets)
    keys = _keys(str(project.path), stems)
    looked = min(len(stems), 20)
    known = list(dict.fromkeys([*keys, *st.session_state[key_of("points")]]))
    st.multiselect(
        "Point Key",
        known,
        format_func=lambda key: (
            key if keys.get(key, looked) == looked else f"{key} (in {keys[key]} of {looked} videos)"
        ),
        key=key_of("points"),
        persist_state=_SESSION,
        placeholder="Choose a point" if known else "No points yet: upload some, or take a ROI's centroid",
        help="Points of predictions in the project, of uploaded CSV files, and centroids of ROIs.",
    )
    one, two = st.columns(2)
    one.selectbox(
        "Interpolation",
        ["bilinear", "nearest"],
        format_func={
            "bilinear": "Bilinear",
            "nearest": "Nearest",
        }.__getitem__,
        help="Bilinear: recommended for sub-pixel accuracy. Nearest: faster.",
        key=key_of("interpolation"),
        persist_state=_SESSION,
    )
    two.number_input(
        "Lowest likelihood",
        0.0,
        1.0,
        step=0.05,
        key=key_of("likelihood_threshold"),
        persist_state=_SESSION,
        help="Points with less count as missing: NaN, never a guess.",
    )
    with st.expander("More points", icon=":material/add_location:"):
        _upload(project, targets)
        st.divider()
        _centroid(project, targets)


def _upload(project: Project, targets: Sequence[VideoEntry]) -> None:
    names = {entry.stem: entry.name for entry in targets}
    one, two = st.columns(2, vertical_alignment="bottom")
    stem = one.selectbox("Points of video", list(names), format_func=names.__getitem__, key="latent-points-video")
    name = two.text_input("Name of the point", "point", key="latent-points-name")
    given = st.file_uploader(
        "CSV: frame,x,y (comma, space or tab)",
        ["csv", "txt", "tsv"],
        key="latent-points-file",
        max_upload_size=_MOST_UPLOAD_MB,
    )
    if st.button("Add points", key="latent-points-add", disabled=given is None or project.read_only) and given:
        try:
            add_points(project, str(stem), name, given.getvalue())
            _keys.clear()
            st.rerun()
        except CastleError as error:
            st.error(plain(str(error)), icon=":material/error:")


def add_points(project: Project, stem: str, name: str, data: bytes) -> None:
    """Check a point file and keep it as ``points/<name>/<stem>.csv``; an earlier one goes to ``.castle/trash``.

    Raises
    ------
    PredictionError, NameRefusedError, ProjectError
        If it cannot be read, the name cannot be a folder's, or nothing may be written.
    """
    project.require_writable()
    entry = project.video(stem)
    target = make_folder(project.path / "points" / safe_name(name.strip())) / f"{entry.stem}.csv"

    def publish(temporary: Path, final: Path) -> None:
        if final.exists():
            replace_keeping(temporary, final, project.cache_dir, os.replace)
        else:
            os.replace(temporary, final)

    with atomic_path(target, publish=publish) as temporary:
        temporary.write_bytes(data)
        read_points(temporary)


def _centroid(project: Project, targets: Sequence[VideoEntry]) -> None:
    one, two = st.columns(2, vertical_alignment="bottom")
    roi = one.number_input("ROI whose centroid is the point", 1, 255, 1, key="latent-centroid-roi")
    if live_bar(["roi_centroids"], project=str(project.path), note=""):
        _keys.clear()
    elif two.button("Add centroid", key="latent-centroid-add", disabled=project.read_only):
        settings = {"videos": [entry.stem for entry in targets], "roi": int(roi)}
        start(project, "roi_centroids", settings, f"Points from ROI {roi}")
        _keys.clear()
        st.rerun()
