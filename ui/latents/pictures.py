"""Pictures of one frame: the source with its masks and points, and what the model will see."""

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from castle_core.encoders import natural_input
from castle_core.errors import CastleError
from castle_core.job_functions.latents import config_from_json
from castle_core.latents.one_frame import render_frame
from castle_core.latents.opening import open_masks
from castle_core.latents.point_keys import point_version, read_point_track
from castle_core.palette import roi_rgb
from castle_core.preprocess import OK, STATUS_NAMES, apply_affine
from castle_core.projects import Project
from castle_core.video.images import encode_jpeg
from ui.frame_reader import video_version
from ui.mask_pieces import masks_version

_POINT = (255, 64, 64)


@dataclass(frozen=True)
class _Input:
    """How a model takes its picture; all that rendering needs to know of it."""

    input_size: int
    interpolation: str
    antialias: bool = True
    device: str = "cpu"
    has_cls: bool = True


def _input_of(config: Any) -> _Input:
    size, interpolation = natural_input(config.encoder)
    return _Input(config.input_size or size, interpolation, antialias=interpolation != "bicubic")


def preview(project: Project, stem: str, frame_index: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Render one frame; kept for the same video, masks, points and settings.

    Returns
    -------
    dict
        ``source`` and ``seen`` (JPEG; ``seen`` empty without a picture), ``words`` (why not; empty when ok), ``points``
        (key → words).

    Raises
    ------
    CastleError
        If video or masks cannot be read.
    """
    entry = project.video(stem)
    versions = (
        video_version(entry.path),
        masks_version(project, entry.name),
        *(point_version(project, entry.stem, key) for key in settings["points"]),
    )
    keys = ("encoder", "input_size", "preprocess", "roi_ids", "points", "poolings", "likelihood_threshold")
    return _preview(str(project.path), entry.stem, frame_index, {key: settings[key] for key in keys}, versions)


@st.cache_data(max_entries=200, ttl=600, show_spinner=False)
def _preview(
    path: str, stem: str, frame_index: int, settings: dict[str, Any], versions: tuple[str, ...]
) -> dict[str, Any]:
    del versions  # part of the cache's key only
    project, config = Project.open(path), config_from_json(settings)
    entry = project.video(stem)
    with project.open_video(stem) as video:
        source = video.frame_at(frame_index)
        masks = open_masks(project, entry.name, video, config)
        try:
            mask = masks.mask_at(frame_index)
        finally:
            masks.close()
    model: Any = _input_of(config)
    seen = render_frame(source, mask, config, model)
    shown = overlay(source, mask)
    picture = seen.images[0].copy() if seen.status == OK and seen.images else None
    said = {}
    for key in config.points:
        try:
            xy = read_point_track(project, stem, key, likelihood_threshold=config.likelihood_threshold).at(frame_index)
        except CastleError as error:
            said[key] = str(error)
            continue
        if not np.isfinite(xy).all():
            said[key] = "missing on this frame, or of low likelihood"
            continue
        said[key] = f"x {xy[0]:.1f}, y {xy[1]:.1f} px"
        _mark(shown, xy)
        if picture is not None and seen.affine is not None:
            _mark(picture, apply_affine(seen.affine, xy))
    return {
        "source": encode_jpeg(shown, width=960),
        "seen": b"" if picture is None else encode_jpeg(picture),
        "words": "" if picture is not None else STATUS_NAMES[seen.status],
        "points": said,
        "side": model.input_size,
    }


def overlay(frame: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Return the frame with each ROI tinted, outlined and numbered."""
    import cv2

    shown = np.ascontiguousarray(frame).copy()
    if mask is None:
        return shown
    thick = max(1, round(frame.shape[1] / 400))
    for roi in (int(value) for value in np.unique(mask) if value):
        inside = (mask == roi).astype(np.uint8)
        colour = roi_rgb(roi)
        shown[inside > 0] = (0.6 * shown[inside > 0] + 0.4 * np.array(colour)).astype(np.uint8)
        outlines, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(shown, outlines, -1, colour, thick)
        x, y, w, h = cv2.boundingRect(inside)
        place = (min(x + w // 2, frame.shape[1] - 20), max(16, y + h // 2))
        for tint, width in (((0, 0, 0), 3 * thick), ((255, 255, 255), thick)):
            cv2.putText(shown, str(roi), place, cv2.FONT_HERSHEY_SIMPLEX, 0.6 * thick, tint, width, cv2.LINE_AA)
    return shown


def _mark(image: np.ndarray, xy: Sequence[float] | np.ndarray) -> None:
    import cv2

    size = max(5, image.shape[1] // 50)
    place = (round(float(xy[0])), round(float(xy[1])))
    for colour, width in (((0, 0, 0), 4), (_POINT, 2)):
        cv2.drawMarker(image, place, colour, cv2.MARKER_CROSS, 2 * size, width, cv2.LINE_AA)


def show_picture(jpeg: bytes, alt: str, *, kind: str = "jpeg", limit: str = "") -> None:
    """Show a picture with a text for those who do not see it."""
    data = base64.b64encode(jpeg).decode()
    style = f' style="max-width:{limit}"' if limit else ""
    st.html(f'<img class="castle-drawn"{style} alt="{html.escape(alt)}" src="data:image/{kind};base64,{data}">')
